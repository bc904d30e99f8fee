"""What is known of a command that comes again: from the window, and beyond it from what it once made. Pure."""

from typing import Any, NamedTuple

from continuity.core import grants, steps
from continuity.core import transitions as table
from continuity.core.commands import AcquireLease, AddTask, Body, ClaimTask, CreateGoal
from continuity.core.ids import entity_id, event_id, micros_of
from continuity.core.outcome import Duplicate, Rejected, Result
from continuity.core.records import Command
from continuity.core.state import State
from continuity.core.window import DIGEST


class _Made(NamedTuple):
    """What a command made, as far as the state still has it: by which event, and when."""

    event_seq: int
    timestamp: int
    task_id: str | None = None
    result: Result | None = None
    as_asked: bool = True


def known(state: State, command: Command, command_digest: str, body: Body) -> Duplicate | Rejected | None:
    """The answer to a repeat; a rejection if the id came with another body; None for a command that is new."""
    made = _made(state, command, body)
    seen = state.window.find(command.command_id, state.head_seq)
    if seen is not None:
        seq, timestamp, as_asked = seen.event_seq, seen.timestamp, seen.digest == bytes.fromhex(command_digest)[:DIGEST]
    elif made is not None:
        seq, timestamp, as_asked = made.event_seq, made.timestamp, made.as_asked
    else:
        return None
    if not as_asked:
        detail = f"command_id {command.command_id} was accepted with another body, as event {seq}."
        return Rejected("idempotency_key_reused", detail)
    return _duplicate(state, command, body, seq, timestamp, made)


def _made(state: State, command: Command, body: Body) -> _Made | None:
    if not isinstance(body, CreateGoal | AddTask | AcquireLease | ClaimTask):
        return None
    new_id = entity_id(state.workflow_id, command.command_id)
    if isinstance(body, CreateGoal | AddTask):
        entity: Any = (state.goals if isinstance(body, CreateGoal) else state.tasks).get(new_id)
        return None if entity is None else _Made(entity["created_seq"], micros_of(entity["created_at"]))
    grant = grants.by_grant_id(state, new_id)
    if grant is None:
        return None
    made = _Made(grant["seq"], micros_of(grant["acquired_at"]), grant["task_id"], grants.told(grant))
    return made._replace(as_asked=grants.is_asked_for(grant, body))


def _duplicate(state: State, command: Command, body: Body, seq: int, timestamp: int, made: _Made | None) -> Duplicate:
    kind = command.command_type
    new_id = entity_id(state.workflow_id, command.command_id)
    task_id = new_id if kind == "add_task" else getattr(body, "task_id", None) or (made and made.task_id)
    result = made and made.result
    if isinstance(body, steps.StepCommand):
        task_id = steps.task_of(state, body, None)
        result = steps.result_of(state, body, seq)
    task = None if task_id is None else state.tasks.get(task_id)  # a rollback can have undone it
    if task is not None:
        goal_id = task["goal_id"]  # a task never changes its goal
    else:
        goal_id = new_id if kind == "create_goal" else getattr(body, "goal_id", None)
    event_type = None if kind == "claim_task" and made is None else table.EVENT_TYPES[kind]
    identity = event_id(timestamp, state.workflow_id, seq, command.command_id)
    return Duplicate(seq, identity, event_type, goal_id, task_id, result)
