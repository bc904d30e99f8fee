"""Canonical JSON: one byte string for one value, so that digests can be compared. Pure.

The values are a subset of JSON on which `orjson` with sorted keys writes the same bytes as RFC 8785 (a property test
holds it): objects, arrays, strings, booleans, null and integers below 2**53. Refused: floats, NaN, duplicate keys,
lone surrogates, U+0000, and more than 32 levels. See docs/decisions/json-subset.md.
"""

import json
from typing import Any, NoReturn

import orjson

from continuity.core.limits import JSON_DEPTH_MAX, JSON_INTEGER_MAX

INTEGER_DIGITS_MAX = 16


class InvalidJson(ValueError):
    """The text is outside the subset. `code` is one of the `json_*` refusals, `detail` says where."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def dumps(value: Any) -> bytes:
    """The canonical UTF-8 bytes of a value that is already known to be in the subset."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def text(value: Any) -> str:
    """The same as a string, for fields that hold JSON."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def loads(raw: bytes | str) -> Any:
    """Parse text of an outsider: any spacing and key order is fine, anything outside the subset is `InvalidJson`."""
    try:
        value = json.loads(
            raw if isinstance(raw, str) else raw.decode(),
            object_pairs_hook=_object,
            parse_float=_float,
            parse_constant=_float,
            parse_int=_integer,
        )
    except UnicodeDecodeError as error:
        raise InvalidJson("json_syntax", f"The text is not UTF-8: {error.reason} at byte {error.start}.") from None
    except RecursionError:
        raise InvalidJson("json_depth", f"The text nests deeper than {JSON_DEPTH_MAX} levels.") from None
    except json.JSONDecodeError as error:
        raise InvalidJson("json_syntax", f"The text is not JSON: {error.msg} at character {error.pos}.") from None
    check(value)
    return value


def loads_canonical(raw: bytes | str) -> Any:
    """Parse text that must be canonical already, as on our topics. Much cheaper than `loads`; says no, not why."""
    try:
        value = orjson.loads(raw)
        if dumps(value) == (raw.encode() if isinstance(raw, str) else raw):
            return value
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        pass  # the second: nested so deep that it can be read and not written
    raise InvalidJson("json_syntax", "The text is not canonical JSON.")


def check(value: Any, path: str = "$", depth: int = 1) -> None:
    """Walk a parsed value and raise `InvalidJson` naming the first place that is outside the subset."""
    if isinstance(value, str):
        check_string(value, path)
    elif isinstance(value, float):
        _float(repr(value))
    elif isinstance(value, dict | list):
        if depth > JSON_DEPTH_MAX:
            raise InvalidJson("json_depth", f"{path} nests deeper than {JSON_DEPTH_MAX} levels.")
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            check_string(str(key), path)
            check(item, f"{path}.{key}" if isinstance(value, dict) else f"{path}[{key}]", depth + 1)


def check_string(value: str, path: str) -> None:
    """Refuse U+0000 (Postgres cannot hold it) and lone surrogates (UTF-8 cannot)."""
    if "\x00" in value:
        raise InvalidJson("json_string", f"{path} contains U+0000.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidJson("json_string", f"{path} contains a lone surrogate.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InvalidJson("json_duplicate_key", f"The key {twice!r} stands twice in one object.")
    return value


def _float(literal: str) -> NoReturn:
    raise InvalidJson("json_float", f"{literal} is not an integer: numbers are integers below 2**53.")


def _integer(literal: str) -> int:
    if len(literal.lstrip("-")) > INTEGER_DIGITS_MAX or abs(int(literal)) > JSON_INTEGER_MAX:
        raise InvalidJson("json_number_range", f"{literal[:40]} is out of range: integers are below 2**53.")
    return int(literal)
