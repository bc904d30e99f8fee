"""The rows that Postgres has to have for a state: what the projector keeps, worked out from the state alone. Pure.

The projector gets there event by event, at a cost that does not grow with the project; this looks at everything.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from continuity.contract import AttemptRow, ClaimRow, CompletionRow
from continuity.core.grants import WORKFLOW
from continuity.core.ids import micros_of
from continuity.core.next_step import choose, is_ready
from continuity.core.state import State
from continuity.rows import CheckpointRow, EntityRow, GoalRow, TaskRow

ENTITIES: Final = ("grants", "steps", "silent_deaths")
Row = GoalRow | TaskRow | CheckpointRow | EntityRow | AttemptRow | CompletionRow | ClaimRow


class Next(NamedTuple):
    """What a head says of the next step."""

    next_rule: int
    next_task_id: str | None
    next_key: list[int]


def next_of(state: State) -> Next:
    """What the head's columns of the next step must be."""
    choice = choose(state)
    return Next(choice.rank["rule"], choice.task["task_id"] if choice.task else None, choice.rank["key"])


def goals(state: State) -> Iterator[GoalRow]:
    """Each with its best task by each rule."""
    best: dict[str, dict[str, int]] = {goal_id: {} for goal_id in state.goals}
    for task in state.tasks.values():
        mine = best[task["goal_id"]]
        if task["status"] in ("doing", "blocked"):
            mine[task["status"]] = max(mine.get(task["status"], task["changed_seq"]), task["changed_seq"])
        elif task["status"] == "todo" and is_ready(state, task):
            mine["ready"] = min(mine.get("ready", task["created_seq"]), task["created_seq"])
    for goal_id, goal in state.goals.items():
        doing, blocked, ready = (best[goal_id].get(name) for name in ("doing", "blocked", "ready"))
        yield GoalRow(
            state.workflow_id, goal_id, goal["status"], goal["priority"], doing, blocked, ready,
            _doc(state, "goals", goal_id),
        )  # fmt: skip


def tasks(state: State) -> Iterator[TaskRow]:
    """Each with the number of tasks that it waits for, and its checkpoint."""
    for task_id, task in state.tasks.items():
        unmet = sum(state.tasks[needed]["status"] != "done" for needed in set(task["depends_on"]))
        checkpoint = state.checkpoints.get(task_id)
        yield TaskRow(
            state.workflow_id, task_id, task["goal_id"], task["status"], task["created_seq"], task["changed_seq"],
            unmet, None if checkpoint is None else checkpoint["seq"], _doc(state, "tasks", task_id),
        )  # fmt: skip


def checkpoints(state: State) -> Iterator[CheckpointRow]:
    """The latest of each task."""
    for task_id, checkpoint in state.checkpoints.items():
        yield CheckpointRow(state.workflow_id, task_id, checkpoint["seq"], _doc(state, "checkpoints", task_id))


def entities(state: State) -> Iterator[EntityRow]:
    """Grants, steps and silent deaths."""
    for name in ENTITIES:
        for key in getattr(state, name):
            yield EntityRow(state.workflow_id, name, key, _doc(state, name, key))


def attempts(state: State) -> Iterator[AttemptRow]:
    """All tries of all steps."""
    for step_id, step in state.steps.items():
        for each in step["attempts"]:
            at = micros_of(each["started_at"])
            yield AttemptRow(state.workflow_id, step_id, each["attempt_id"], at, each["token"])


def completions(state: State) -> Iterator[CompletionRow]:
    """Of each completed step, its one completion."""
    for step_id, step in state.steps.items():
        if step["status"] == "completed":
            last = step["attempts"][-1]
            result = step.get("result_ref"), step.get("result_checksum")
            yield CompletionRow(
                state.workflow_id, step_id, last["attempt_id"], micros_of(last["ended_at"]), *result
            )  # fmt: skip


def claims(state: State) -> Iterator[ClaimRow]:
    """The claims that are held. Expiry and sign of life are as granted: renewals may have moved what is stored."""
    for key, grant in state.grants.items():
        if key != WORKFLOW:
            at = micros_of(grant["acquired_at"])
            yield ClaimRow(
                state.workflow_id, key, grant["owner_id"], at, micros_of(grant["expires_at"]), grant["token"], at
            )  # fmt: skip


def difference(row: Any, other: Any, apart: Iterable[str] = ()) -> str | None:
    """The first column in which two rows differ, but for those that may."""
    names = (name for name in row._fields if name not in apart)
    return next((name for name in names if getattr(row, name) != getattr(other, name)), None)


def _doc(state: State, name: str, key: str) -> str:
    raw: bytes | None = getattr(state, name).raw(key)
    assert raw is not None, "the key is one of its own"
    return raw.decode()
