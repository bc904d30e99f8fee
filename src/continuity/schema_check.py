"""`python -m continuity.schema_check`: whether the schemas can be read by, and can read, everything that was released.

Reads the packaged schemas and `released/`; exit code 1 and one line for each breach. The rule is full and transitive
(FORMAT.md, Evolution): between any two versions fields are only added, each with a default, and an id keeps standing
for the schema that it was released with. It is written by hand because Avro's own resolution is laxer: it lets a field
vanish or change its type in one direction, and knows nothing of ids.
"""

import sys
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import combinations
from typing import Any, NamedTuple

import fastavro
import orjson
from fastavro.schema import SchemaParseException, UnknownType

IDS = "ids.json"
RELEASED = "released"
CURRENT = "current"

Schema = Mapping[str, Any]


class Version(NamedTuple):
    """The schemas of one version by kind of record, and what each id of the framing stands for in it."""

    name: str
    schemas: Mapping[str, Schema]
    ids: Mapping[str, Schema]


def main() -> int:
    """Check the packaged schemas; say what is wrong on stderr."""
    found = list(breaches(versions(files("continuity.schemas"))))
    for breach in found:
        sys.stderr.write(f"schemas: {breach}\n")
    return 1 if found else 0


def versions(folder: Traversable) -> list[Version]:
    """The released versions, oldest first, and the current one last."""
    released = [each for each in folder.joinpath(RELEASED).iterdir() if each.is_dir()]
    released.sort(key=lambda each: tuple(map(int, each.name.split("."))))
    return [*(_read(each, each.name) for each in released), _read(folder, CURRENT)]


def breaches(history: list[Version]) -> Iterator[str]:
    """What forbids to release the last of these versions, a sentence each."""
    for version in history:
        yield from _unusable(version)
    for older, newer in combinations(history, 2):
        yield from _changed_ids(older, newer)
        for kind in older.schemas:
            if kind not in newer.schemas:
                yield f"{kind}.avsc of version {older.name} is gone in {newer.name}: others still write or read it."
            else:
                pair = f"{kind}.avsc, {older.name} to {newer.name}"
                yield from (f"{pair}: {breach}" for breach in changes(older.schemas[kind], newer.schemas[kind]))


def changes(older: Schema, newer: Schema) -> Iterator[str]:
    """What keeps two schemas of one kind of record from reading each other's data with the same meaning."""
    if _full_name(older) != _full_name(newer):
        yield f"the record {_full_name(older)} is called {_full_name(newer)}; keep the name."
    before = {field["name"]: field for field in older["fields"]}
    after = {field["name"]: field for field in newer["fields"]}
    for name, field in before.items():
        if name not in after:
            yield f"the field {name} is gone; keep it, an unused field costs a byte."
        elif field["type"] != after[name]["type"]:
            yield f"the field {name} changed its type; add a field of another name instead."
        elif field.get("default", ...) != after[name].get("default", ...):
            yield f"the field {name} changed its default, so old records would get another meaning; leave it."
    for name in after.keys() - before.keys():
        if "default" not in after[name]:
            yield f"the field {name} is new and has no default, so older records cannot be read; give it one."


def _changed_ids(older: Version, newer: Version) -> Iterator[str]:
    for number, schema in older.ids.items():
        now = newer.ids.get(number)
        if now is None:
            yield f"id {number} of version {older.name} is gone in {newer.name}: records with it are in the log."
        elif _wire(now) != _wire(schema):
            yield (
                f"id {number} stands for another schema in {newer.name} than in {older.name}: give the changed schema"
                f" a new id, and let {number} stand for {RELEASED}/{older.name}/{schema['name'].lower()}.avsc."
            )


def _unusable(version: Version) -> Iterator[str]:
    for kind, schema in version.schemas.items():
        if not any(_wire(each) == _wire(schema) for each in version.ids.values()):
            yield f"{kind}.avsc of version {version.name} has no id in {IDS}: nothing could be written with it."
    for kind, schema in version.schemas.items():
        try:
            fastavro.parse_schema(dict(schema))
        except (SchemaParseException, UnknownType, KeyError, TypeError) as error:
            yield f"{kind}.avsc of version {version.name} is not an Avro schema: {error}."


def _read(folder: Traversable, name: str) -> Version:
    schemas = {
        each.name.removesuffix(".avsc"): orjson.loads(each.read_bytes())
        for each in sorted(folder.iterdir(), key=lambda each: each.name)
        if each.name.endswith(".avsc")
    }
    ids = orjson.loads(folder.joinpath(IDS).read_bytes())
    named = {number: orjson.loads(folder.joinpath(*path.split("/")).read_bytes()) for number, path in ids.items()}
    return Version(name, schemas, named)


def _full_name(schema: Schema) -> str:
    return f"{schema.get('namespace', '')}.{schema['name']}"


def _wire(schema: Any) -> Any:
    """A schema without its documentation: what decides the bytes and how they are read."""
    if isinstance(schema, list):
        return [_wire(each) for each in schema]
    if isinstance(schema, Mapping):
        return {key: _wire(value) for key, value in schema.items() if key != "doc"}
    return schema


if __name__ == "__main__":
    sys.exit(main())
