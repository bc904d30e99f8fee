"""What to do next: a total order over the work state, without a clock and without a guess. Pure.

Only tasks of active goals count; "last" and "oldest" go by `event_seq`. The same state gives the same answer, byte for
byte in canonical JSON. The API answers the same from indexed rows; a property test holds the two equal.
"""

from typing import Any, Literal, NamedTuple, TypedDict

from continuity.core.records import Blocker, Checkpoint, Task
from continuity.core.state import State

Action = Literal["continue", "unblock", "start", "propose_tasks"]


class Rank(TypedDict):
    """Which rule chose, and the tuple that won: `[changed_seq]`, or `[goal priority, created_seq]`, or nothing."""

    rule: int
    name: Literal["doing", "blocked", "ready", "none"]
    key: list[int]


class NextStep(TypedDict):
    """The answer. `next_step` is the latest checkpoint's, or null: it is never invented."""

    action: Action
    task_id: str | None
    goal_id: str | None
    title: str | None
    next_step: str | None
    where_we_left_off: str | None
    required_context_refs: list[str]
    blockers: list[Blocker]
    as_of_seq: int
    state_checksum: str
    rank: Rank


class Choice(NamedTuple):
    """The task that a rule chose."""

    action: Action
    task: Task | None
    rank: Rank


def next_step(state: State, for_owner: str | None = None) -> NextStep:
    """The one next step of a project; with `for_owner` that of one executor among several."""
    choice = choose(state, for_owner)
    checkpoint = state.checkpoints.get(choice.task["task_id"]) if choice.task else None
    return answer(choice, checkpoint, state.head_seq, state.checksum)


def choose(state: State, for_owner: str | None = None) -> Choice:
    """Apply the four rules in their order.

    With `for_owner` the tasks that others have claimed are left out, until their claims are voided: there is no clock
    here, so one that has run out still counts. Taking it over is what `claim_task` is for.
    """
    active = {goal_id: goal["priority"] for goal_id, goal in state.goals.items() if goal["status"] == "active"}
    held = set() if for_owner is None else _held_by_others(state, for_owner)
    tasks = [task for task in state.tasks.values() if task["goal_id"] in active and task["task_id"] not in held]
    doing = [task for task in tasks if task["status"] == "doing"]
    if doing:
        task = max(doing, key=lambda task: task["changed_seq"])
        return Choice("continue", task, Rank(rule=1, name="doing", key=[task["changed_seq"]]))
    blocked = [task for task in tasks if task["status"] == "blocked"]
    if blocked:
        task = max(blocked, key=lambda task: task["changed_seq"])
        return Choice("unblock", task, Rank(rule=2, name="blocked", key=[task["changed_seq"]]))
    ready = [task for task in tasks if task["status"] == "todo" and is_ready(state, task)]
    if ready:
        task = min(ready, key=lambda task: (-active[task["goal_id"]], task["created_seq"]))
        key = [active[task["goal_id"]], task["created_seq"]]
        return Choice("start", task, Rank(rule=3, name="ready", key=key))
    return Choice("propose_tasks", None, Rank(rule=4, name="none", key=[]))


def _held_by_others(state: State, owner_id: str) -> set[str]:
    return {grant["task_id"] for grant in state.grants.values() if grant["task_id"] and grant["owner_id"] != owner_id}


def is_ready(state: State, task: Task) -> bool:
    """Whether all that the task depends on is done."""
    return all(state.tasks[needed]["status"] == "done" for needed in task["depends_on"])


def answer(choice: Choice, checkpoint: Checkpoint | None, as_of_seq: int, state_checksum: str) -> NextStep:
    """The answer about a chosen task; `checkpoint` is the task's latest one."""
    task: Any = choice.task or {}
    left: Any = checkpoint or {}
    return NextStep(
        action=choice.action,
        task_id=task.get("task_id"),
        goal_id=task.get("goal_id"),
        title=task.get("title"),
        next_step=left.get("next_step"),
        where_we_left_off=left.get("where_we_left_off"),
        required_context_refs=left.get("needed_context_refs", []),
        blockers=task.get("blockers", []),
        as_of_seq=as_of_seq,
        state_checksum=state_checksum,
        rank=choice.rank,
    )
