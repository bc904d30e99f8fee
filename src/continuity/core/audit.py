"""Checking a workflow's history from its events alone: was every one of them written whole, and allowed? Pure.

Shared by `continuity verify`, offline and on the live system. It goes further than `restore`: besides chain, digests
and states it holds that payload and delta tell the same, and that no event breaks a rule (`core.breaches`).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from continuity.core import history, seal
from continuity.core.breaches import breaches, malformed
from continuity.core.canonical import loads_canonical, text
from continuity.core.delta import of_changes
from continuity.core.evolve import UnknownEventType, changes
from continuity.core.history import base_digest
from continuity.core.ids import instant
from continuity.core.records import Change, Event
from continuity.core.restore import advance
from continuity.core.state import State

Payload = Mapping[str, Any]

ROLLBACK: Final = "rolled_back"
FORK: Final = "project_forked"
UNREADABLE: Final = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""What a payload raises that is not of its type's shape: its hashes are right, so a stranger wrote it like this."""


class Problem(NamedTuple):
    """What is wrong, and exactly where."""

    workflow_id: str
    event_seq: int
    field: str
    detail: str


class Audit:
    """One workflow, event by event. After the first problem its state proves nothing, so it looks no further.

    `base` is the state before the first event: empty, but for a fork (`core.history.forked`). A rollback is held
    against the state that it goes back to: `keep` names the events after which states are kept for that.
    """

    def __init__(self, base: State, keep: Collection[int] = ()) -> None:
        self.state = base
        self.events = 0
        self.problem: Problem | None = None
        self._base = base
        self._keep = frozenset(keep)
        self._kept = {0: base}

    def add(self, event: Event) -> Problem | None:
        """Check the next event; the problem, if it is the first."""
        if self.problem is not None:
            return None
        before = self.state
        try:
            found = next(malformed(event), None)
            if found is None:
                self.state = advance(before, event)
                found = next(self._found(before, event), None)
        except seal.Damaged as damage:
            found = damage.field, damage.detail
        except UnknownEventType as unknown:
            found = "event_type", str(unknown)
        except UNREADABLE as error:
            found = "payload", f"it does not have the shape of its type, {type(error).__name__}: {error}"
        self.events += 1
        if found is not None:
            # Not the event's own workflow_id, which may be what is wrong.
            self.problem = Problem(before.workflow_id, event["event_seq"], *found)
        elif event["event_seq"] in self._keep:
            self._kept[event["event_seq"]] = self.state
        return self.problem

    def _found(self, before: State, event: Event) -> Iterator[tuple[str, str]]:
        payload: Payload = loads_canonical(event["payload"])
        yield from breaches(before, event, payload)
        yield from self._origin(before, event, payload)
        made = self._made(before, event, payload)
        if made is None:
            yield "payload", f"the state after event {payload['to_seq']} is not the one that it goes back to"
        elif not _lead_to_one_state(before, made, event):
            yield "payload", "payload and delta lead to two states"

    def _origin(self, before: State, event: Event, payload: Payload) -> Iterator[tuple[str, str]]:
        """A fork, and nothing else, begins with a state."""
        if event["event_type"] == FORK:
            if payload["base_digest"] != base_digest(before):
                yield "payload", "the state that it begins with is not the one that it names"
        elif before.head_seq == 0 and before.checksum != State(before.workflow_id).checksum:
            yield "event_type", "a history that begins with a state begins with a fork"

    def _made(self, before: State, event: Event, payload: Payload) -> list[Change] | None:
        """What the payload changes; None where a rollback does not go back to where it says."""
        seq, at = event["event_seq"], instant(event["timestamp"])
        if event["event_type"] == FORK:
            return []
        if event["event_type"] != ROLLBACK:
            return changes(before, event["event_type"], dict(payload), seq, at)
        past = self._kept.get(payload["to_seq"])
        if past is None or (past.head_hash, past.checksum) != (payload["to_hash"], payload["to_state_checksum"]):
            return None
        return history.changes(before, past, payload, seq, at)


def _lead_to_one_state(before: State, made: list[Change], event: Event) -> bool:
    # Ours writes the delta from these very changes. Another writer may have put them in another order.
    if text(of_changes(before, made)) == event["delta"]:
        return True
    return before.with_changes(made).checksum == event["state_checksum"]


def returns(event: Event) -> int | None:
    """The sequence whose state an audit has to keep for this event: that which a rollback goes back to."""
    if event["event_type"] != ROLLBACK:
        return None
    try:
        to_seq = loads_canonical(event["payload"])["to_seq"]
    except UNREADABLE:
        return None
    return to_seq if type(to_seq) is int else None
