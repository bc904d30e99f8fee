"""What each event means for the state: the fold that rebuilds work from facts. Pure and total.

`decide` uses the very same functions, so a decision and its replay cannot disagree. An event is never refused here;
only a type that this version does not know raises, because skipping it would make work vanish.
"""

from collections.abc import Callable
from typing import Any, Final

from continuity.core import grants, steps
from continuity.core.canonical import loads_canonical
from continuity.core.delta import apply_delta
from continuity.core.ids import instant
from continuity.core.records import Change, Event
from continuity.core.state import State

Payload = dict[str, Any]


class UnknownEventType(ValueError):
    """This version does not know the event's type: a newer one wrote it. Upgrade before reading on."""


def evolve(state: State, event: Event) -> State:
    """The state after `event`, whose place in the chain the caller has checked (`core.acceptance`, `core.restore`).

    A fork's first event changes nothing: the caller begins with the state that it stands on (`core.history.forked`).
    """
    if event["event_type"] == "rolled_back":
        # Its payload tells less than its delta: what it changed, only the older state would show.
        return apply_delta(state, loads_canonical(event["delta"])).with_head(event)
    made = changes(
        state, event["event_type"], loads_canonical(event["payload"]), event["event_seq"], instant(event["timestamp"])
    )
    return state.with_changes(made).with_head(event)


def changes(state: State, event_type: str, payload: Payload, seq: int, at: str) -> list[Change]:
    """The entities that an event of this type changes, as they become. `at` is the event's instant."""
    rule = _EVOLUTIONS.get(event_type)
    if rule is None:
        raise UnknownEventType(f"Event type {event_type!r} at seq {seq} is not known to this version.")
    made = rule(state, payload, seq, at)
    if state.grants or state.silent_deaths or event_type in grants.GRANTING:  # most projects are worked on without
        made += grants.changes(state, event_type, payload, seq, at)
    return made


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
    left = {name: payload[name] for name in ("task_id", "where_we_left_off", "next_step", "needed_context_refs")}
    return [
        Change("tasks", task_id, {**task, "updated_at": at, "changed_seq": seq}),
        Change("checkpoints", task_id, left | {"blockers": unresolved, "timestamp": at, "seq": seq}),
    ]


def _task_claimed(state: State, payload: Payload, seq: int, at: str) -> list[Change]:
    return [_task(state, payload["task_id"], seq, at, status="doing")] if "from_status" in payload else []


def _nothing(state: State, payload: Payload, seq: int, at: str) -> list[Change]:  # noqa: ARG001
    return []  # of the work; `grants.changes` sees to the rest


def _step_completed(state: State, payload: Payload, seq: int, at: str) -> list[Change]:  # noqa: ARG001
    return steps.ended(state, payload, "completed", at)


def _step_failed(state: State, payload: Payload, seq: int, at: str) -> list[Change]:  # noqa: ARG001
    return steps.ended(state, payload, "failed", at)


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
    "lease_acquired": _nothing,
    "lease_released": _nothing,
    "task_claimed": _task_claimed,
    "step_begun": steps.begun,
    "step_completed": _step_completed,
    "step_failed": _step_failed,
    "project_forked": _nothing,
}

KNOWN_TYPES: Final = frozenset({*_EVOLUTIONS, "rolled_back"})
"""What this version can fold; another type was written by a newer one."""
