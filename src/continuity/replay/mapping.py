"""What each fact of a tracker becomes: the commands, and what has no counterpart here and is skipped. Pure.

An id that others name as `parent` is a goal, every other id is a task; a task without a parent belongs to one goal of
their own. A jump between statuses becomes the shortest way through `core.transitions`. Where the history holds only
lengths, the texts are made up: of exactly that length, and always the same.
"""

from collections import deque
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID, uuid5
from zlib import crc32

from continuity.core import limits
from continuity.core.ids import entity_id, workflow_id
from continuity.core.transitions import TASK_TRANSITIONS
from continuity.replay.history import STATUSES, Fact, History

LEAST_URGENT = 4
"""The tracker's priorities run from 0, the most urgent, to this; here the larger number comes first."""
USUAL_PRIORITY = 2
OWN_GOAL_LINE = 0
"""Stands for the goal of the tasks without a parent, which no line adds."""

VERBS = ("fix", "test", "document", "speed up", "split", "rename", "simplify", "review")
THINGS = ("import", "parser", "index", "daemon", "merge", "release script", "lock file", "config loader")
WHERE = ("on Windows", "for large files", "in the CLI", "after a crash", "offline", "at start", "in CI", "on upgrade")


class Step(NamedTuple):
    """One command that a fact becomes."""

    command_type: str
    body: dict[str, Any]


class Deviation(NamedTuple):
    """A fact, or a part of one, that did not come to pass as it stands: refused by a rule, or skipped before."""

    line: int
    outcome: str
    code: str
    reason: str


class Translation(NamedTuple):
    """A fact in our words. `kind` names it in the table of counts."""

    kind: str
    steps: tuple[Step, ...] = ()
    skips: tuple[Deviation, ...] = ()


class Mapping:
    """The facts of one history, as commands of one project."""

    def __init__(self, history: History, tenant: str, project: str) -> None:
        self._history = history
        self._workflow_id = workflow_id(tenant, project)

    def is_goal(self, name: str) -> bool:
        """Whether the id is one that others name as parent."""
        return name in self._history.parents

    def command_id(self, line: int, step: int) -> str:
        """The id of a line's command: always the same, so that a repeat is recognized."""
        return str(uuid5(UUID(self._workflow_id), f"{line}/{step}"))

    def our_id(self, name: str | None) -> str:
        """Our id of what the tracker calls `name`; without a name, of the goal of the tasks without a parent."""
        line = self._history.adds[name].line if name else OWN_GOAL_LINE
        return entity_id(self._workflow_id, self.command_id(line, 0))

    def own_goal(self) -> Step:
        """The goal of the tasks without a parent."""
        return Step("create_goal", {"text": "Tasks without a parent", "priority": LEAST_URGENT - USUAL_PRIORITY})

    def translate(self, fact: Fact) -> Translation:
        """The commands of a fact, in their order, and what of it is skipped."""
        of_what = "goal" if self.is_goal(fact.id) else "task"
        translation: Translation = getattr(self, f"_{of_what}_{fact.op}")(fact)
        return translation

    # Facts about goals

    def _goal_add(self, fact: Fact) -> Translation:
        text = prose(f"{fact.id}:", fact.title_length + fact.text_length, limits.GOAL_TEXT_CHARACTERS_MAX)
        steps = [Step("create_goal", {"text": text, "priority": LEAST_URGENT - fact.priority})]
        if fact.status == "done":
            steps.append(self._goal_becomes(fact, "done"))
        skips = []
        if fact.parent:
            skips.append(_skip(fact, "nested_goal", f"Goal {fact.id} is a part of {fact.parent}: goals do not nest."))
        if fact.depends_on:
            skips.append(_goal_depends(fact))
        return Translation(f"add of a goal, {_goal_status(fact.status)}", tuple(steps), tuple(skips))

    def _goal_status(self, fact: Fact) -> Translation:
        before, after = _goal_status(fact.before), _goal_status(fact.status)
        if before == after:
            skip = _skip(
                fact, "goal_active", f"Goal {fact.id} goes from {fact.before} to {fact.status}: it is active in both."
            )
            return Translation("status of a goal, active in both", skips=(skip,))
        return Translation(f"status of a goal, {before} → {after}", (self._goal_becomes(fact, after),))

    def _goal_becomes(self, fact: Fact, status: str) -> Step:
        return Step("set_goal_status", {"goal_id": self.our_id(fact.id), "status": status})

    def _goal_deps(self, fact: Fact) -> Translation:
        return Translation("deps of a goal", skips=(_goal_depends(fact),))

    def _goal_priority(self, fact: Fact) -> Translation:
        body = {"goal_id": self.our_id(fact.id), "priority": LEAST_URGENT - fact.priority}
        return Translation("priority of a goal", (Step("set_goal_priority", body),))

    def _goal_notes(self, fact: Fact) -> Translation:
        skip = _skip(fact, "goal_notes", f"Goal {fact.id} has notes: only tasks have checkpoints.")
        return Translation("notes of a goal", skips=(skip,))

    # Facts about tasks

    def _task_add(self, fact: Fact) -> Translation:
        depends_on, skips = self._dependencies(fact)
        body: dict[str, Any] = {
            "goal_id": self.our_id(fact.parent),
            "title": prose(f"{fact.id}:", fact.title_length, limits.TASK_TITLE_CHARACTERS_MAX),
        }
        if fact.text_length:
            body["acceptance_criteria"] = _criteria(fact)
        if depends_on:
            body["depends_on"] = depends_on
        steps = (Step("add_task", body), *self._way(fact, "todo"))
        return Translation(f"add of a task, {fact.status}", steps, skips)

    def _task_status(self, fact: Fact) -> Translation:
        return Translation(f"status of a task, {fact.before} → {fact.status}", self._way(fact, fact.before))

    def _task_deps(self, fact: Fact) -> Translation:
        depends_on, skips = self._dependencies(fact)
        body = {"task_id": self.our_id(fact.id), "depends_on": depends_on}
        return Translation("deps of a task", (Step("amend_task", body),), skips)

    def _task_priority(self, fact: Fact) -> Translation:
        skip = _skip(fact, "task_priority", f"Task {fact.id} has a priority: only goals do.")
        return Translation("priority of a task", skips=(skip,))

    def _task_notes(self, fact: Fact) -> Translation:
        if not fact.text_length:
            skip = _skip(fact, "empty_notes", f"Task {fact.id} has no notes any more: a checkpoint says something.")
            return Translation("notes of a task, emptied", skips=(skip,))
        body = {
            "task_id": self.our_id(fact.id),
            "where_left_off": prose(
                f"{fact.id} on line {fact.line}:", fact.text_length, limits.WHERE_LEFT_OFF_CHARACTERS_MAX
            ),
            "next_step": f"Go on with {fact.id} as the notes on line {fact.line} say.",
            "context_refs": [f"line:{fact.line}"],
        }
        return Translation("notes of a task", (Step("update_checkpoint", body),))

    def _way(self, fact: Fact, before: str) -> tuple[Step, ...]:
        task_id = self.our_id(fact.id)
        return tuple(
            Step(command_type, {"task_id": task_id, **_said(command_type, fact)})
            for command_type in way(before, fact.status)
        )

    def _dependencies(self, fact: Fact) -> tuple[list[str], tuple[Deviation, ...]]:
        goals = [name for name in fact.depends_on if self.is_goal(name)]
        skips = tuple(
            _skip(fact, "depends_on_goal", f"Task {fact.id} depends on goal {name}: tasks depend on tasks.")
            for name in goals
        )
        return [self.our_id(name) for name in fact.depends_on if name not in goals], skips


@cache
def way(before: str, after: str) -> tuple[str, ...]:
    """The fewest commands that take a task from one status to another: none when they are the same."""
    ways: dict[str, tuple[str, ...]] = {before: ()}
    pending = deque([before])
    while after not in ways:
        status = pending.popleft()
        for command_type, (sources, target) in TASK_TRANSITIONS.items():
            if status in sources and target not in ways:
                ways[target] = (*ways[status], command_type)
                pending.append(target)
    return ways[after]


def prose(label: str, length: int, maximum: int) -> str:
    """Made-up text of one line: exactly `length` characters, at least one and at most `maximum`, always the same."""
    length = min(max(length, 1), maximum)
    text, number = label, crc32(label.encode())
    while len(text) < length:
        number = (number * 1_664_525 + 1_013_904_223) % 2**32  # a linear congruential generator; its high bits are good
        verb, thing, where = (words[number >> shift & 7] for words, shift in ((VERBS, 29), (THINGS, 25), (WHERE, 21)))
        text += f" {verb} the {thing} {where};"
    return text[:length]


def _criteria(fact: Fact) -> list[str]:
    """A task's text as acceptance criteria: pieces of the largest length, and the rest."""
    pieces = range(0, fact.text_length, limits.CRITERION_CHARACTERS_MAX)
    return [
        prose(f"{number}.", fact.text_length - start, limits.CRITERION_CHARACTERS_MAX)
        for number, start in enumerate(pieces[: limits.CRITERIA_MAX], 1)
    ]


def _said(command_type: str, fact: Fact) -> dict[str, Any]:
    """What a transition carries besides the task: where in the history it comes from."""
    where = f"line {fact.line}"
    if command_type == "block_task":
        return {"blocker": {"text": where}}
    field = {"pause_task": "reason", "complete_task": "evidence"}.get(command_type)
    return {field: where} if field else {}


def _goal_status(status: str) -> str:
    assert status in STATUSES
    return "done" if status == "done" else "active"


def _goal_depends(fact: Fact) -> Deviation:
    return _skip(fact, "goal_dependencies", f"Goal {fact.id} depends on others: only tasks do.")


def _skip(fact: Fact, code: str, reason: str) -> Deviation:
    return Deviation(fact.line, "skipped", code, reason)
