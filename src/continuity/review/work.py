"""The work at an event, in the shape and the bytes that the API answered then. Pure."""

from typing import Any, cast

from continuity.answers import ActiveWorkState
from continuity.core.records import Blocker, Checkpoint, Goal, Task
from continuity.core.state import State


def active_work(project: str, state: State) -> ActiveWorkState:
    """The work state, as `GET …/state` answered it at that event."""
    tasks = sorted(_all(state, "tasks"), key=lambda task: task["created_seq"])
    doing = [task for task in tasks if task["status"] == "doing"]
    active = max(doing, key=lambda task: task["changed_seq"]) if doing else None
    blockers: list[Blocker] = [blocker for task in tasks for blocker in task.get("blockers", [])]
    return ActiveWorkState(
        project=project,
        workflow_id=state.workflow_id,
        as_of_seq=state.head_seq,
        state_checksum=state.checksum,
        goals=cast("list[Goal]", sorted(_all(state, "goals"), key=lambda goal: goal["created_seq"])),
        tasks=cast("list[Task]", tasks),
        checkpoints=cast("list[Checkpoint]", sorted(_all(state, "checkpoints"), key=lambda left: left["seq"])),
        active_task=cast("Task | None", active),
        latest_checkpoint=state.checkpoints.get(active["task_id"]) if active else None,
        unresolved_blockers=blockers,
    )


def _all(state: State, name: str) -> list[Any]:
    return list(getattr(state, name).values())
