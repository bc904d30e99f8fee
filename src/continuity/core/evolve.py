"""What each event means for the state: the fold that rebuilds work from facts. Pure and total.

`decide` uses the very same functions, so a decision and its replay cannot disagree. An event is never refused here;
only a type that this version does not know raises, because skipping it would make work vanish.
"""

from collections.abc import Callable
from typing import Any, Final

from continuity.core.canonical import loads_canonical
from continuity.core.ids import instant
from continuity.core.records import Change, Event
from continuity.core.state import State

Payload = dict[str, Any]


class UnknownEventType(ValueError):
    """This version does not know the event's type: a newer one wrote it. Upgrade before reading on."""


def evolve(state: State, event: Event) -> State:
    """The state after `event`, whose place in the chain the caller has checked (`core.acceptance`, `core.restore`)."""
    made = changes(
        state, event["event_type"], loads_canonical(event["payload"]), event["event_seq"], instant(event["timestamp"])
    )
    return state.with_changes(made).with_head(event)


def changes(state: State, event_type: str, payload: Payload, seq: int, at: str) -> list[Change]:
    """The entities that an event of this type changes, as they become. `at` is the event's instant."""
    rule = _EVOLUTIONS.get(event_type)
    if rule is None:
        raise UnknownEventType(f"Event type {event_type!r} at seq {seq} is not known to this version.")
    return rule(state, payload, seq, at)


def _goal_created(state: State, payload: Payload, seq: int, at: str) -> list[Change]:  # noqa: ARG001 - one shape for all
    return [Change("goals", payload["goal_id"], {**payload, "status": "active", "created_at": at, "created_seq": seq})]


def _goal_changed(state: State, payload: Payload, seq: int, at: str) -> list[Change]:  # noqa: ARG001
    return [Change("goals", payload["goal_id"], {**state.goals[payload["goal_id"]], **payload})]


def _task_added(state: State, payload: Payload, seq: int, at: str) -> list[Change]:  # noqa: ARG001
    task = {
        **payload,
        "status": "todo",
        "created_at": at,
        "updated_at": at,
        "created_seq": seq,
        "changed_seq": seq,
    }
    return [Change("tasks", payload["task_id"], task)]


def _task_amended(state: State, payload: Payload, seq: int, at: str) -> list[Change]:
    return [_task(state, payload["task_id"], seq, at, **payload)]


def _task_started(state: State, payload: Payload, seq: int, at: str) -> list[Change]:
    return [_task(state, payload["task_id"], seq, at, status="doing")]


def _task_paused(state: State, payload: Payload, seq: int, at: str) -> list[Change]:
    return [_task(state, payload["task_id"], seq, at, status="todo")]


def _task_blocked(state: State, payload: Payload, seq: int, at: str) -> list[Change]:
    return [_task(state, payload["task_id"], seq, at, status="blocked", blockers=[payload["blocker"]])]


def _task_completed(state: State, payload: Payload, seq: int, at: str) -> list[Change]:
    evidence = {"evidence": payload["evidence"]} if "evidence" in payload else {}
    return [_task(state, payload["task_id"], seq, at, status="done", **evidence)]


def _checkpoint_updated(state: State, payload: Payload, seq: int, at: str) -> list[Change]:
    task_id = payload["task_id"]
    task = state.tasks[task_id]
    unresolved = task.get("blockers", [])
    return [
        Change("tasks", task_id, {**task, "updated_at": at, "changed_seq": seq}),
        Change("checkpoints", task_id, {**payload, "blockers": unresolved, "timestamp": at, "seq": seq}),
    ]


def _task(state: State, task_id: str, seq: int, at: str, /, **fields: Any) -> Change:
    """A task with other fields; a transition leaves blockers and evidence of the status before behind."""
    task: dict[str, Any] = {**state.tasks[task_id], "updated_at": at, "changed_seq": seq}
    if "status" in fields:
        task.pop("blockers", None)
        task.pop("evidence", None)
    return Change("tasks", task_id, task | fields)


_EVOLUTIONS: Final[dict[str, Callable[[State, Payload, int, str], list[Change]]]] = {
    "goal_created": _goal_created,
    "goal_status_set": _goal_changed,
    "goal_priority_set": _goal_changed,
    "task_added": _task_added,
    "task_amended": _task_amended,
    "task_started": _task_started,
    "task_paused": _task_paused,
    "task_blocked": _task_blocked,
    "task_completed": _task_completed,
    "task_reopened": _task_started,
    "checkpoint_updated": _checkpoint_updated,
}
