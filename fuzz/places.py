"""What really exists, put into requests that are otherwise drawn: invented ids lead no further than 404.

Only a value that fits is replaced. One that was drawn to be wrong stays wrong, because being refused is its purpose.
Used on both sides: written by the run, read by `fuzz.hooks` in an environment that has the standard library only.
"""

import json
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

Known = Mapping[str, Any]
"""Values that belong together, by the name of the parameter or field that takes them.

`seq_max` is the last event there is to ask about, `seen_seq` the last one that reads have shown.
"""

SEQS = ("at_seq", "from_seq", "to_seq")
TOKEN = "Fencing-Token"  # noqa: S105 - a header's name
COUNT_MAX = 2**53 - 1


class Facts(NamedTuple):
    """All places; lines of a batch that are well formed; and what a value of each name must look like to be valid.

    `cursors` are ends of pages, by operation: what is opaque cannot be drawn.
    """

    places: list[Known]
    lines: list[dict[str, Any]]
    forms: dict[str, str]
    cursors: dict[str, str]

    def write(self, path: Path) -> None:
        """Into a file."""
        path.write_text(json.dumps(self._asdict()), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Facts":
        """What `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def put(self, place: Known | None, values: MutableMapping[str, Any]) -> None:
        """Replace the ids and event numbers among path parameters, query parameters or fields by those of a place."""
        for name, value in list(values.items()):
            if name == "min_seq":
                # An event that is yet to come is waited for, and answered 503 `not_yet` after seconds: rightly so.
                values[name] = _within(value, 0, place.get("seen_seq", 0) if place else 0)
            elif place and name in SEQS:
                values[name] = _within(value, 1, place["seq_max"])
            elif place and name in place and self._fits(name, value):
                values[name] = place[name]
            elif place and name == "depends_on" and "task_id" in place and self._fits_all("task_id", value):
                values[name] = [place["task_id"]]

    def put_token(self, place: Known | None, headers: MutableMapping[str, Any]) -> None:
        """Send the token of the place's grant where one is sent."""
        if place and TOKEN in headers and "token" in place:
            headers[TOKEN] = _same_kind(headers[TOKEN], _number(headers[TOKEN]), place["token"])

    def _fits(self, name: str, value: object) -> bool:
        if name not in self.forms:
            return _number(value) is not None
        return isinstance(value, str) and re.fullmatch(self.forms[name], unquote(value)) is not None

    def _fits_all(self, name: str, values: object) -> bool:
        return isinstance(values, list) and bool(values) and all(self._fits(name, each) for each in values)


def _within(value: object, least: int, most: int) -> Any:
    """A number that is too large becomes one that is not; what is no number, or too small, stays."""
    number = _number(value)
    if number is None or number <= most:
        return value
    return _same_kind(value, number, least + number % (most - least + 1))


def _same_kind(value: object, number: int | None, wanted: int) -> Any:
    if number is None:
        return value
    return str(wanted) if isinstance(value, str) else wanted


def _number(value: object) -> int | None:
    """What a count reads as, typed or as text on the wire; None where it is none."""
    number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,16}", value) else value
    return number if type(number) is int and 0 <= number <= COUNT_MAX else None
