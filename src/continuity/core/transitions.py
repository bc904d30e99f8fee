"""The state machine, as one table to be read against the specification: all that is not in it is refused. Pure."""

from typing import Final

from continuity.core.records import TaskStatus

TASK_TRANSITIONS: Final[dict[str, tuple[tuple[TaskStatus, ...], TaskStatus]]] = {
    # command         from                   to
    "start_task":    (("todo", "blocked"),  "doing"),
    "pause_task":    (("doing", "blocked"), "todo"),
    "block_task":    (("doing",),           "blocked"),
    "complete_task": (("doing",),           "done"),
    "reopen_task":   (("done",),            "doing"),
}  # fmt: skip

EVENT_TYPES: Final[dict[str, str]] = {
    "create_goal": "goal_created",
    "set_goal_status": "goal_status_set",
    "set_goal_priority": "goal_priority_set",
    "add_task": "task_added",
    "amend_task": "task_amended",
    "start_task": "task_started",
    "pause_task": "task_paused",
    "block_task": "task_blocked",
    "complete_task": "task_completed",
    "reopen_task": "task_reopened",
    "update_checkpoint": "checkpoint_updated",
    "acquire_lease": "lease_acquired",
    "release_lease": "lease_released",
    "claim_task": "task_claimed",
    "begin_step": "step_begun",
    "complete_step": "step_completed",
    "fail_step": "step_failed",
    "rollback": "rolled_back",
    "fork_project": "project_forked",
}
"""One accepted command is exactly one event, and this is its type; a claim that blocks is a `task_blocked`."""
