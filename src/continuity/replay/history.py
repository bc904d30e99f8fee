"""A tracker's history as facts: one JSON object a line, checked before anything is made of it. Pure.

The shape is told in `examples/README.md`. A fact that cannot be understood, or that names an id which never appears,
is the file's fault and ends the reading with the number of its line.
"""

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from continuity.core.transitions import TASK_TRANSITIONS
from continuity.errors import ConfigError

STATUSES = frozenset(target for _, target in TASK_TRANSITIONS.values())
_FIELDS: dict[str, dict[str, type]] = {
    "add": {"status": str, "priority": int, "depends_on": list, "title_len": int, "text_len": int},
    "status": {"frm": str, "to": str},
    "deps": {"depends_on": list},
    "priority": {"priority": int},
    "notes": {"text_len": int},
}


class Fact(NamedTuple):
    """One line. `status` is the one after the fact and `before` the one that a change left; lengths in characters."""

    line: int
    second: int
    op: str
    id: str
    status: str = ""
    before: str = ""
    priority: int = 0
    depends_on: tuple[str, ...] = ()
    parent: str | None = None
    title_length: int = 0
    text_length: int = 0
    who: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The other ids that the fact names: its parent and what it depends on."""
        return (*((self.parent,) if self.parent else ()), *self.depends_on)


class History(NamedTuple):
    """All facts in the order of the file, the line where each id appears, and the ids that are a `parent`."""

    facts: tuple[Fact, ...]
    adds: dict[str, Fact]
    parents: frozenset[str]


def read(lines: Iterable[str | bytes]) -> History:
    """The history in these lines. Raises ConfigError naming the first line that cannot be used."""
    facts = tuple(_fact(number, line) for number, line in enumerate(lines, 1))
    if not facts:
        raise _unusable(1, "there is no line")
    adds: dict[str, Fact] = {}
    for fact in facts:
        if fact.op == "add" and adds.setdefault(fact.id, fact) is not fact:
            raise _unusable(fact.line, f"{fact.id} was added before, on line {adds[fact.id].line}")
    for earlier, fact in pairwise(facts):
        if fact.second < earlier.second:
            raise _unusable(fact.line, "it is older than the line before it")
    for fact in facts:
        if unknown := {fact.id, *fact.names} - adds.keys():
            raise _unusable(fact.line, f"it names {min(unknown)}, which no line adds")
    return History(facts, adds, frozenset(fact.parent for fact in facts if fact.parent))


def _fact(number: int, line: str | bytes) -> Fact:
    try:
        record: Any = json.loads(line)
        fields = {"t": int, "id": str, **_FIELDS[record["op"]]}
        values = {name: record[name] for name in fields} | {name: record.get(name) for name in ("parent", "who")}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unusable(number, f"it is no fact ({type(error).__name__}: {error})") from None
    for name, value in values.items():
        kind = fields.get(name, str)
        is_missing = value is None and name not in fields
        if not is_missing and (type(value) is not kind or (isinstance(value, int) and value < 0)):
            raise _unusable(number, f"its {name} is {value!r:.40}")
    fact = Fact(
        line=number,
        second=values["t"],
        op=record["op"],
        id=values["id"],
        status=values.get("to") or values.get("status", ""),
        before=values.get("frm", ""),
        priority=values.get("priority", 0),
        depends_on=tuple(dict.fromkeys(map(str, values.get("depends_on", ())))),
        parent=values["parent"],
        title_length=values.get("title_len", 0),
        text_length=values.get("text_len", 0),
        who=values["who"],
    )
    if unknown := {fact.status, fact.before} - STATUSES - {""}:
        raise _unusable(number, f"there is no status {min(unknown)!r:.40}")
    return fact


def _unusable(line: int, why: str) -> ConfigError:
    return ConfigError(f"Line {line} cannot be used: {why}.", fix="Correct the file; examples/README.md has its shape.")
