"""Histories for tests: the committed one, small ones told in a few words, and random ones."""

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from continuity.replay.history import History, read
from continuity.replay.plan import Plan, plan

EXAMPLE = Path(__file__).parents[2] / "examples" / "tracker-history.jsonl"
STATUSES = ("todo", "doing", "done")


def example() -> History:
    with EXAMPLE.open("rb") as lines:
        return read(lines)


def told(*records: dict[str, Any]) -> History:
    return read(json.dumps(record) for record in records)


def planned(*records: dict[str, Any]) -> Plan:
    return plan(told(*records), "local", "tests")


def add(
    name: str, status: str = "todo", *, t: int = 1, parent: str | None = None, depends_on: Any = ()
) -> dict[str, Any]:
    return {
        "t": t, "op": "add", "id": name, "status": status, "priority": 2, "kind": "task",
        "depends_on": list(depends_on), "parent": parent, "title_len": 20, "text_len": 30,
    }  # fmt: skip


def status(name: str, frm: str, to: str, *, t: int = 1, who: str | None = None) -> dict[str, Any]:
    return {"t": t, "op": "status", "id": name, "frm": frm, "to": to} | ({"who": who} if who else {})


def deps(name: str, *depends_on: str, t: int = 1) -> dict[str, Any]:
    return {"t": t, "op": "deps", "id": name, "depends_on": list(depends_on)}


def priority(name: str, value: int, *, t: int = 1) -> dict[str, Any]:
    return {"t": t, "op": "priority", "id": name, "priority": value}


def notes(name: str, length: int, *, t: int = 1) -> dict[str, Any]:
    return {"t": t, "op": "notes", "id": name, "text_len": length}


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Up to a few dozen facts about a handful of goals and tasks, with everything that a tracker allows."""
    goals = [f"g{number}" for number in range(draw(st.integers(1, 3)))]
    tasks = [f"t{number}" for number in range(draw(st.integers(2, 6)))]
    anything = st.sampled_from([*goals, *tasks])
    some = st.lists(anything, max_size=3, unique=True)
    parents = dict(zip(tasks, goals, strict=False)) | {
        task: draw(st.none() | st.sampled_from(goals)) for task in tasks[len(goals) :]
    }
    now = {name: draw(st.sampled_from(STATUSES)) for name in [*goals, *tasks]}
    records = [
        add(name, now[name], parent=parents.get(name), depends_on=draw(some)) for name in draw(st.permutations([*now]))
    ]
    for _ in range(draw(st.integers(0, 30))):
        second = records[-1]["t"] + draw(st.integers(0, 1))
        name = draw(anything)
        kind = draw(st.sampled_from(("status", "status", "status", "deps", "priority", "notes")))
        if kind == "status":
            to = draw(st.sampled_from([each for each in STATUSES if each != now[name]]))
            records.append(status(name, now[name], to, t=second))
            now[name] = to
        elif kind == "deps":
            records.append(deps(name, *draw(some), t=second))
        elif kind == "priority":
            records.append(priority(name, draw(st.integers(0, 4)), t=second))
        else:
            records.append(notes(name, draw(st.integers(0, 200)), t=second))
    return told(*records)
