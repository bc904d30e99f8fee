"""One bit of a stored value, the other way round: of any type of our columns, and of a file. Pure, but for the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import orjson

NOTHING: Final = {"uuid": str(UUID(int=0)), "jsonb": "{}", "bytea": "\\x00"}
"""What a null becomes, whose one bit says that there is nothing. Of all other types: see `flipped`."""
INTEGER_BITS: Final = {"bigint": 64, "integer": 32, "smallint": 16}
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Postgres keeps a timestamptz as microseconds since then, in 64 bits."""


class Impossible(Exception):
    """No value of the column's type has that bit flipped, or it is the same value: the database would refuse it."""


def flipped(kind: str, text: str | None, bit: int) -> str:
    """A value of a Postgres type, as text, with one bit flipped: `bit`, modulo their number. Raises Impossible."""
    if text is None:
        return NOTHING.get(kind, "0" if kind in INTEGER_BITS else "2000-01-01Z" if kind == "timestamptz" else "")
    if kind == "uuid":
        return str(UUID(int=UUID(text).int ^ 1 << bit % 128))
    if kind in INTEGER_BITS:
        return str(_flipped_integer(int(text), bit, INTEGER_BITS[kind]))
    if kind == "boolean":
        return "false" if text == "true" else "true"
    if kind == "timestamptz":
        return _flipped_time(text, bit)
    if kind == "bytea":
        return "\\x" + _flipped_bytes(bytes.fromhex(text.removeprefix("\\x")), bit).hex()
    if kind == "bigint[]":
        return _flipped_array(text, bit)
    changed = _flipped_text(text, bit)
    return _json(changed, text) if kind == "jsonb" else changed


@contextmanager
def flipped_file(path: Path, bit: int) -> Iterator[None]:
    """A file with one bit flipped, as long as the block runs."""
    content = path.read_bytes()
    path.write_bytes(_flipped_bytes(content, bit))
    try:
        yield
    finally:
        path.write_bytes(content)


@contextmanager
def missing_file(path: Path) -> Iterator[None]:
    """A file that is not there, as long as the block runs."""
    content = path.read_bytes()
    path.unlink()
    try:
        yield
    finally:
        path.write_bytes(content)


def _flipped_integer(value: int, bit: int, width: int) -> int:
    """In two's complement."""
    changed = (value ^ 1 << bit % width) & (1 << width) - 1
    return changed - (1 << width) if changed >> width - 1 else changed


def _flipped_time(text: str, bit: int) -> str:
    micros = (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)
    try:
        return (EPOCH + timedelta(microseconds=_flipped_integer(micros, bit, 64))).isoformat()
    except OverflowError as error:
        raise Impossible from error  # a time that Python cannot say; most of them Postgres cannot, either


def _flipped_array(text: str, bit: int) -> str:
    values = [int(each) for each in text.strip("{}").split(",") if each]
    if not values:
        raise Impossible
    at = bit // 64 % len(values)
    values[at] = _flipped_integer(values[at], bit, 64)
    return "{" + ",".join(map(str, values)) + "}"


def _flipped_bytes(raw: bytes, bit: int) -> bytes:
    if not raw:
        raise Impossible
    at = bit // 8 % len(raw)
    return raw[:at] + bytes([raw[at] ^ 1 << bit % 8]) + raw[at + 1 :]


def _flipped_text(text: str, bit: int) -> str:
    try:
        changed = _flipped_bytes(text.encode(), bit).decode()
    except UnicodeDecodeError as error:
        raise Impossible from error
    if "\0" in changed:
        raise Impossible
    return changed


def _json(changed: str, text: str) -> str:
    try:
        if orjson.loads(changed) == orjson.loads(text):
            raise Impossible  # another spelling of the same value: JSONB would keep what it has
    except orjson.JSONDecodeError as error:
        raise Impossible from error
    return changed
