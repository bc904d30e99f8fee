"""Reading a state back from its events: every digest checked, and closed on the first that does not fit. Pure.

The deltas are applied, not the payloads: they are cheaper, and `fold(events) = fold(deltas)` is a tested invariant.
"""

from collections.abc import Iterable

from continuity.core import seal
from continuity.core.acceptance import chain_fits
from continuity.core.canonical import loads_canonical
from continuity.core.delta import apply_delta
from continuity.core.records import Event
from continuity.core.state import State


def restore(workflow_id: str, events: Iterable[Event], base: State | None = None) -> State:
    """The state after `events`, in order, on top of `base` (default: the empty state).

    Raises `Damaged` naming workflow, sequence and field at the first event that is missing, doubled, swapped, or
    changed in any bit that carries meaning. What it returns is exactly what was committed.
    """
    state = base if base is not None else State(workflow_id)
    for event in events:
        state = advance(state, event)
    return state


def advance(state: State, event: Event) -> State:
    """The state after one event, all of it verified; `Damaged` names the field that does not fit."""
    if event["workflow_id"] != state.workflow_id:
        raise seal.Damaged(event, "workflow_id", f"it does not belong to workflow {state.workflow_id}")
    if not chain_fits(state.head_seq, state.head_hash, event):
        field = "prev_hash" if event["event_seq"] == state.head_seq + 1 else "event_seq"
        raise seal.Damaged(event, field, f"it does not follow event {state.head_seq} of the chain")
    seal.verify(event)
    try:
        after = apply_delta(state, loads_canonical(event["delta"])).with_head(event)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        # Its hash is right, so it was written like this: by a stranger, or by a version that this one does not know.
        raise seal.Damaged(event, "delta", f"it cannot be applied, {type(error).__name__}: {error}") from None
    if after.checksum != event["state_checksum"]:
        raise seal.Damaged(event, "state_checksum", "the state after it does not have its checksum")
    return after
