"""Rollback and fork: decisions that look at an older state, which the caller has restored. Pure.

The prefix below a head cannot change, so an older state is an argument like any other. Both add to the history and take
nothing away: a rollback compensates, and can be rolled back itself; a fork begins a new workflow on another's state.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from continuity.core import canonical, commands, grants
from continuity.core.fields import FormError
from continuity.core.ids import ZERO_HASH, instant, workflow_id
from continuity.core.outcome import Context, Draft, Refusal
from continuity.core.records import Change, Collection, Command
from continuity.core.state import COLLECTIONS, State
from continuity.core.window import Window

NUMBERED = frozenset({"created_seq", "changed_seq", "seq"})
"""The fields of a document that name an event; those of a step stand in its attempts."""

ROLLED_BACK: tuple[Collection, ...] = ("goals", "tasks", "checkpoints")
"""What a rollback brings back. Never grants, tokens, steps: what was done in the world stays done."""


def origin(command: Command) -> tuple[str, int] | None:
    """The older state that a command needs, as workflow and sequence; None for one that needs none, or is malformed."""
    if command.command_type not in ("rollback", "fork_project"):
        return None
    try:
        body = commands.parse_canonical(command.command_type, command.body)
    except FormError:
        return None
    if isinstance(body, commands.Rollback):
        return command.workflow_id, body.to_seq
    if isinstance(body, commands.ForkProject):
        return workflow_id(command.tenant, body.from_project), body.at_seq
    return None


def rollback(context: Context, body: commands.Rollback) -> Draft:
    """Goals, tasks and checkpoints as they stood after event `to_seq`."""
    state = context.state
    if body.to_seq >= state.head_seq:
        raise Refusal("no_such_seq", f"The head is {state.head_seq}: there is nothing behind event {body.to_seq}.")
    voided = grants.pass_all(context)
    past = _past(context)
    payload = {"to_seq": past.head_seq, "to_hash": past.head_hash, "to_state_checksum": past.checksum}
    payload |= {"voided": voided} if voided else {}
    return Draft(payload, changes=changes(state, past, payload, state.head_seq + 1, instant(context.now)))


def fork(context: Context, body: commands.ForkProject) -> Draft:
    """A new workflow whose first event stands on another's state: same ids, same tokens, its own history from here."""
    if context.state.head_seq:
        raise Refusal("project_exists", f"Project {context.command.project} has {context.state.head_seq} events.")
    past = _past(context)
    base = forked(past, context.state.workflow_id)
    payload = {
        "from_project": body.from_project,
        "origin_workflow_id": past.workflow_id,
        "origin_seq": past.head_seq,
        "origin_hash": past.head_hash,
        "origin_state_checksum": past.checksum,
        "base_digest": base_digest(base),
    }
    return Draft(payload, changes=[], base=base)


def forked(past: State, workflow: str) -> State:
    """The state on which a fork's first event stands: the origin's work, and no history of its own.

    Its sequence numbers count back from the fork, whose own events begin at 1: what the origin did last has 0, what it
    did before that less. So whatever goes by the order of events goes on as before, and no two tasks are equal in it.
    """
    base = past.with_changes(_counted_back(past))
    return base._replace(workflow_id=workflow, head_seq=0, head_hash=ZERO_HASH, head_timestamp=0, window=Window())


def base_digest(base: State) -> str:
    """The digest of a work state's canonical form: under this name the fork's base is stored."""
    return sha256(canonical.dumps(base.work)).hexdigest()


def _counted_back(past: State) -> Iterator[Change]:
    for name in COLLECTIONS:
        for key, document in getattr(past, name).items():
            if isinstance(document, dict):  # a count of silent deaths is none
                numbers = {field: document[field] - past.head_seq for field in NUMBERED & document.keys()}
                if "attempts" in document:
                    tries = [{**each, "seq": each["seq"] - past.head_seq} for each in document["attempts"]]
                    numbers |= {"attempts": tries}
                yield Change(name, key, {**document, **numbers})


def changes(state: State, past: State, payload: Mapping[str, Any], seq: int, at: str) -> list[Change]:
    """What a rollback with this payload does: the work as it stood in `past`, and the grants that it ends."""
    back = [change for name in ROLLED_BACK for change in _differences(state, past, name)]
    return back + grants.changes(state, "rolled_back", payload, seq, at)


def _past(context: Context) -> State:
    if context.history is None:
        raise Refusal("no_such_seq", "The state that the command goes back to was not found.")
    return context.history


def _differences(state: State, past: State, name: Collection) -> list[Change]:
    now, then = getattr(state, name), getattr(past, name)
    keys = sorted({*now, *then})
    return [Change(name, key, then.get(key)) for key in keys if now.raw(key) != then.raw(key)]
