"""The compatibility check lets the one good way of changing a schema pass, and names each bad one."""

import json
import shutil
from io import BytesIO
from pathlib import Path

import fastavro
import pytest

from continuity.schema_check import breaches, main, versions

SCHEMAS = Path(__file__).parents[2] / "schemas"


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(SCHEMAS, tmp_path / "schemas"))


def edited(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def field(schema, name):
    return next(each for each in schema["fields"] if each["name"] == name)


def found(folder):
    return list(breaches(versions(folder)))


def with_a_new_field(schema):
    schema["fields"].append({"name": "origin", "type": ["null", "string"], "default": None})


def grow(folder):
    """The good way: a field with a default, a new id, and the old id for the released file."""
    edited(folder / "event.avsc", with_a_new_field)
    edited(folder / "ids.json", lambda ids: ids.update({"2": "released/1.0/event.avsc", "6": "event.avsc"}))


def test_the_schemas_of_this_version_pass():
    assert main() == 0


def test_a_field_with_a_default_and_a_new_id_pass(folder):
    grow(folder)
    assert found(folder) == []


def test_documentation_may_change(folder):
    edited(folder / "event.avsc", lambda schema: field(schema, "payload").update(doc="Said better."))
    assert found(folder) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda schema: schema["fields"].remove(field(schema, "session_id")), "the field session_id is gone"),
        (lambda schema: field(schema, "session_id").update(name="session"), "the field session_id is gone"),
        (lambda schema: field(schema, "epoch").update(type="int"), "the field epoch changed its type"),
        (lambda schema: field(schema, "event_type").update(type=["null", "string"]), "event_type changed its type"),
        (lambda schema: field(schema, "timestamp").update(type="long"), "the field timestamp changed its type"),
        (lambda schema: field(schema, "goal_id").pop("default"), "the field goal_id changed its default"),
        (lambda schema: field(schema, "epoch").update(default=0), "the field epoch changed its default"),
        (lambda schema: schema.update(name="Fact"), "continuity.v1.Event is called continuity.v1.Fact"),
        (lambda schema: schema["fields"].append({"name": "origin", "type": "string"}), "origin is new and has no def"),
    ],
)
def test_an_incompatible_change_is_named_even_under_a_new_id(folder, change, says):
    edited(folder / "event.avsc", change)
    edited(folder / "ids.json", lambda ids: ids.update({"2": "released/1.0/event.avsc", "6": "event.avsc"}))
    assert any(says in breach for breach in found(folder))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ids: ids.pop("5"), "id 5 of version 1.0 is gone"),
        (lambda ids: ids.update({"2": "reply.avsc", "3": "event.avsc"}), "id 2 stands for another schema"),
        (lambda ids: ids.pop("4"), "rejection.avsc of version current has no id"),
    ],
)
def test_ids_stay_what_they_were(folder, change, says):
    edited(folder / "ids.json", change)
    assert any(says in breach for breach in found(folder))


def test_a_changed_schema_under_its_old_id_is_refused(folder):
    edited(folder / "event.avsc", with_a_new_field)
    assert any("give the changed schema a new id" in breach for breach in found(folder))


def test_a_kind_of_record_does_not_vanish(folder):
    (folder / "lease.avsc").unlink()
    edited(folder / "ids.json", lambda ids: ids.update({"5": "released/1.0/lease.avsc"}))
    assert any("lease.avsc of version 1.0 is gone" in breach for breach in found(folder))


def test_what_is_no_avro_is_refused(folder):
    edited(folder / "event.avsc", lambda schema: field(schema, "payload").update(type="text"))
    assert any("is not an Avro schema" in breach for breach in found(folder))


def test_a_version_is_compared_with_all_before_it_not_only_the_last(folder):
    grow(folder)
    shutil.copytree(folder / "released" / "1.0", folder / "released" / "1.1")
    shutil.copy(folder / "event.avsc", folder / "released" / "1.1")
    edited(folder / "released" / "1.1" / "ids.json", lambda ids: ids.pop("5"))
    (folder / "released" / "1.1" / "lease.avsc").unlink()
    said = found(folder)
    assert any("lease.avsc of version 1.0 is gone in 1.1" in breach for breach in said)
    assert not any("of version 1.1 is gone in current" in breach for breach in said)


def test_each_version_reads_what_the_other_wrote(folder):
    grow(folder)
    old = fastavro.parse_schema(json.loads((folder / "released/1.0/event.avsc").read_text()), _force=True)
    new = fastavro.parse_schema(json.loads((folder / "event.avsc").read_text()), _force=True)
    record = next(
        each["fields"]
        for each in json.loads((SCHEMAS.parent / "tests/vectors/framing.json").read_text())["records"]
        if each["kind"] == "event"
    )

    def read(writer, reader, fields):
        data = BytesIO()
        fastavro.schemaless_writer(data, writer, fields)
        data.seek(0)
        return fastavro.schemaless_reader(data, writer, reader)

    assert read(old, new, record)["origin"] is None
    assert "origin" not in read(new, old, {**record, "origin": "fork"})
