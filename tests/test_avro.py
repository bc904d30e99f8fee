"""Our writer of flat records beside `fastavro`'s, for every published schema: the same bytes, read back the same."""

import io

import fastavro
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuity import avro, codec

NAMES = [name.removesuffix(".avsc") for name in codec.schema_ids().values()]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5_000)
VALUES = {
    "string": TEXT,
    "bytes": st.binary(max_size=5_000),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
}


def physical(kind):
    if isinstance(kind, list):
        return [physical(each) for each in kind]
    return kind["type"] if isinstance(kind, dict) else kind


def schema_of(name):
    schema = orjson.loads(codec.schema_text(name))
    schema["fields"] = [{"name": field["name"], "type": physical(field["type"])} for field in schema["fields"]]
    return schema


def values_of(kind):
    return st.none() | VALUES[kind[1]] if isinstance(kind, list) else VALUES[kind]


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_same_bytes_as_fastavro(name, data):
    schema = schema_of(name)
    record = data.draw(st.fixed_dictionaries({each["name"]: values_of(each["type"]) for each in schema["fields"]}))
    written = avro.writer(schema)(record)
    expected = io.BytesIO()
    parsed = fastavro.parse_schema(schema)
    fastavro.schemaless_writer(expected, parsed, record)
    assert written == expected.getvalue()
    assert fastavro.schemaless_reader(io.BytesIO(written), parsed, None) == record


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_an_integer_of_more_than_64_bits_is_refused(value):
    write = avro.writer({"fields": [{"name": "a", "type": "long"}, {"name": "b", "type": "long"}]})
    with pytest.raises(OverflowError):
        write({"a": value, "b": 0})


@pytest.mark.parametrize("kind", ["float", ["string", "null"], {"type": "array", "items": "string"}])
def test_a_field_that_is_not_flat_is_refused(kind):
    with pytest.raises(TypeError):
        avro.writer({"fields": [{"name": "a", "type": kind}, {"name": "b", "type": "long"}]})
