"""Canonical JSON: the same bytes as RFC 8785 on our subset, and a clear refusal of everything outside it."""

import json
from contextlib import suppress
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from continuity.core import canonical
from continuity.core.canonical import InvalidJson
from continuity.core.limits import JSON_DEPTH_MAX, JSON_INTEGER_MAX

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
ascii_names = st.text(st.characters(max_codepoint=126, min_codepoint=1))
scalars = st.none() | st.booleans() | st.integers(-JSON_INTEGER_MAX, JSON_INTEGER_MAX) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ascii_names, inner, max_size=4), max_leaves=20
)


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@given(values)
@example({"b": 1, "a": [True, None, -0], "": 'é\u2028\U0001f600\x1f\x7f"\\/'})
@example([JSON_INTEGER_MAX, -JSON_INTEGER_MAX])
def test_the_bytes_are_those_of_rfc_8785(value: Any) -> None:
    assert canonical.dumps(value) == rfc8785.dumps(value)


@given(values)
def test_a_value_survives_the_way_out_and_back(value: Any) -> None:
    written = canonical.dumps(value)
    assert canonical.text(value).encode() == written
    assert canonical.loads(written) == canonical.loads(written.decode()) == value
    assert canonical.loads_canonical(written) == canonical.loads_canonical(written.decode()) == value


@given(values)
def test_spacing_key_order_and_escapes_do_not_matter_to_loads(value: Any) -> None:
    assert canonical.loads(json.dumps(value, indent=3, ensure_ascii=True)) == value


@pytest.mark.parametrize(
    ("raw", "code", "mention"),
    [
        ('{"a":1.0}', "json_float", "1.0"),
        ('{"a":-0.0}', "json_float", "-0.0"),
        ('{"a":1e2}', "json_float", "1e2"),
        ('{"a":NaN}', "json_float", "NaN"),
        ("[Infinity]", "json_float", "Infinity"),
        ("[-Infinity]", "json_float", "-Infinity"),
        ('{"a":1,"b":2,"a":1}', "json_duplicate_key", "'a'"),
        ('[{"x":{"k":1,"k":1}}]', "json_duplicate_key", "'k'"),
        ('{"a":1,"\\u0061":2}', "json_duplicate_key", "'a'"),
        ('{"a":["\\ud800"]}', "json_string", "$.a[0]"),
        ('"\\udfff\\ud800"', "json_string", "$"),
        ('{"\\ud800":1}', "json_string", "$"),
        ('"\\u0000"', "json_string", "U+0000"),
        ('{"a":{"\\u0000":1}}', "json_string", "$.a"),
        ("9007199254740992", "json_number_range", "9007199254740992"),
        ("-9007199254740992", "json_number_range", "-9007199254740992"),
        ("1" + "0" * 5000, "json_number_range", "1000"),
        (nested(JSON_DEPTH_MAX + 1), "json_depth", "32"),
        (nested(100_000), "json_depth", "32"),
        ("", "json_syntax", "character 0"),
        ("{", "json_syntax", "character 1"),
        ("{'a':1}", "json_syntax", "character 1"),
        ("[1,]", "json_syntax", "character"),
        ("[01]", "json_syntax", "character"),
        ("1 2", "json_syntax", "character 2"),
        ('"\x01"', "json_syntax", "character"),
        ("\ufeff[]", "json_syntax", "character"),
        (b"\xff", "json_syntax", "byte 0"),
        (b'"\xed\xa0\x80"', "json_syntax", "byte 1"),
    ],
)  # fmt: skip
def test_loads_refuses(raw: str | bytes, code: str, mention: str) -> None:
    with pytest.raises(InvalidJson) as refusal:
        canonical.loads(raw)
    assert refusal.value.code == code
    assert mention in refusal.value.detail
    assert len(refusal.value.detail) < 200, "a detail does not repeat a whole document"


@pytest.mark.parametrize(
    "raw", [str(JSON_INTEGER_MAX), str(-JSON_INTEGER_MAX), "-0", nested(JSON_DEPTH_MAX), '"\\ud83d\\ude00"']
)
def test_loads_takes_what_is_just_inside(raw: str) -> None:
    value = canonical.loads(raw)
    assert canonical.dumps(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "raw",
    [
        '{"b":1,"a":2}', '{"a": 1}', '{"a":1,"a":1}', '"\\u0041"', '"\\/"', "", "{", "NaN", "-0", "\ufeff[]", "[1] ",
        "1" + "0" * 400, nested(300), nested(2_000), b"\xff", '"\ud800"',
    ],
)  # fmt: skip
def test_loads_canonical_refuses_other_spellings(raw: str | bytes) -> None:
    with pytest.raises(InvalidJson) as refusal:
        canonical.loads_canonical(raw)
    assert refusal.value.code == "json_syntax"


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_nothing_but_invalid_json_is_ever_raised(raw: str | bytes) -> None:
    for read in (canonical.loads, canonical.loads_canonical):
        with suppress(InvalidJson):
            canonical.dumps(read(raw))


@pytest.mark.parametrize(("value", "code"), [(1.5, "json_float"), ({"a": ["\ud800"]}, "json_string")])
def test_check_refuses_values_that_never_were_text(value: Any, code: str) -> None:
    with pytest.raises(InvalidJson) as refusal:
        canonical.check(value)
    assert refusal.value.code == code
