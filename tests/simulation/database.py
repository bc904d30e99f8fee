"""The projected work, as a database that lags, is away, rots, or is rebuilt; and the projector that fills it.

The projector reads records and judges batches with the product's own code, and takes snapshots by the product's policy;
a batch is one transaction: position, journals, stopped workflows and snapshots move together, or not at all. A state is
read back from the newest snapshot that is sound, and the events after it.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any, NamedTuple

import orjson

from continuity.core import snapshot
from continuity.core.acceptance import chain_fits
from continuity.core.history import forked
from continuity.core.ids import ZERO_HASH
from continuity.core.records import Event
from continuity.core.restore import restore
from continuity.core.seal import Damaged
from continuity.core.snapshot import Head, Policy, Since, Unsound
from continuity.core.state import State
from continuity.errors import IntegrityError, Retryable
from continuity.logged import facts
from continuity.processors import Fetched, StoredPosition
from continuity.projections.batch import Position, judged
from continuity.projections.record import Record, decoded
from tests.simulation.partition import PARTITION, Partition
from tests.simulation.store import Store

NOTHING = Head(0, ZERO_HASH, 0)


class Taken(NamedTuple):
    """A snapshot: the work itself, or the name of the blob that holds it."""

    head: Head
    checksum: str
    slots: bytes
    inline: bytes | None
    ref: str | None


@dataclass
class Kept:
    """What is stored of one workflow; `stopped` says why nothing more is."""

    journal: list[Event] = field(default_factory=list)
    snapshots: list[Taken] = field(default_factory=list)
    late: list[Any] = field(default_factory=list)
    since: Since = field(default_factory=Since)
    stopped: str | None = None

    def copy(self) -> "Kept":
        return Kept([*self.journal], [*self.snapshots], [*self.late], self.since, self.stopped)


class Database:
    """Implements `ports.WorkStore`. `is_away` and `rotten` are set by the world."""

    def __init__(self, partition: Partition, random: Random, policy: Policy) -> None:
        self.partition = partition
        self.blobs = Store(random)
        self.policy = policy
        self.is_away = False
        self.rotten: set[str] = set()
        self.positions = {PARTITION: Position()}
        self.kept: dict[str, Kept] = {}
        self.counts: Counter[str] = Counter()

    @property
    def projected(self) -> StoredPosition:
        position = self.positions[PARTITION]
        return StoredPosition(position.acceptance, position.next_offset)

    # For sequencers

    def position(self, partition: int) -> StoredPosition:
        del partition
        self._answer()
        return self.projected

    def past(self, workflow_id: str, at_seq: int) -> State:
        self._answer()
        kept = self.kept.get(workflow_id, Kept())
        if len(kept.journal) < at_seq:
            self.counts["asked for what is not projected"] += 1
            raise Retryable(f"Event {at_seq} is not projected yet.")
        return self.restored(workflow_id, kept, at_seq)

    def keep_base(self, state: State) -> None:
        self._answer()
        self.blobs.put(snapshot.document(state))

    def base_of(self, first: Event) -> State | None:
        self._answer()
        return self._base_of(first)

    def fetch(self, partition: int, workflow_ids: Collection[str]) -> Fetched:
        del partition
        self._answer()
        states, stopped, unavailable = {}, {}, {}
        for each in workflow_ids:
            kept = self.kept.get(each, Kept())
            if kept.stopped is not None:
                stopped[each] = kept.stopped
                continue
            try:
                states[each] = self.restored(each, kept)
            except (IntegrityError, Retryable) as error:
                unavailable[each] = error.detail
        return Fetched(self.projected, states, stopped, unavailable)

    def _answer(self) -> None:
        if self.is_away:
            self.counts["asked while away"] += 1
            raise Retryable("The database does not answer.")

    # Reading back

    def restored(self, workflow_id: str, kept: Kept, at_seq: int | None = None) -> State:
        """Raises IntegrityError, and Retryable while what a fork stands on cannot be read."""
        seq = len(kept.journal) if at_seq is None else at_seq
        for taken in reversed(kept.snapshots):
            if taken.head.seq <= seq:
                try:
                    state = self._state_of(workflow_id, taken)
                except (Unsound, IntegrityError, Retryable):
                    self.counts["snapshot passed over"] += 1
                    continue
                self.counts["snapshot read"] += 1
                return self._replayed(workflow_id, self._journal(workflow_id, kept, taken.head.seq, seq), state)
        events = self._journal(workflow_id, kept, 0, seq)
        return self._replayed(workflow_id, events, self._base_of(events[0]) if events else None)

    def _base_of(self, first: Event) -> State | None:
        """What a fork stands on: its blob, or what its origin's journal says."""
        cited, workflow_id = snapshot.base_of(first), first["workflow_id"]
        if cited is None:
            return None
        try:
            work = orjson.loads(self.blobs.get(cited.digest))
            return snapshot.state_of(workflow_id, work, NOTHING, cited.checksum, b"")
        except (Unsound, IntegrityError, Retryable):
            self.counts["base read from the origin"] += 1
        base = forked(self._origin(cited), workflow_id)
        if base.checksum != cited.checksum:
            raise IntegrityError("The origin does not have what the fork cites.", workflow_id=workflow_id)
        return base

    def _origin(self, cited: snapshot.Base) -> State:
        """As far as it is not projected, it is read from the log."""
        try:
            return self.past(cited.workflow_id, cited.seq)
        except Retryable:
            self.counts["base read from the log"] += 1
        every = facts(value for _, value in self.partition.read(0, self.partition.end()))
        events = list(islice((event for event in every if event["workflow_id"] == cited.workflow_id), cited.seq))
        return self._replayed(cited.workflow_id, events, self._base_of(events[0]))

    def _state_of(self, workflow_id: str, taken: Taken) -> State:
        document = taken.inline if taken.inline is not None else self.blobs.get(taken.ref or "")
        return snapshot.state_of(workflow_id, orjson.loads(document), taken.head, taken.checksum, taken.slots)

    def _replayed(self, workflow_id: str, events: Iterable[Event], base: State | None) -> State:
        try:
            return restore(workflow_id, events, base)
        except Damaged as damage:
            raise IntegrityError(damage.detail, workflow_id=workflow_id) from None

    def _journal(self, workflow_id: str, kept: Kept, after: int, up_to: int) -> list[Event]:
        journal = kept.journal[after:up_to]
        if workflow_id in self.rotten and journal:
            self.counts["rotten journal read"] += 1
            damaged: Any = dict(journal[-1])
            damaged["delta"] = damaged["delta"].replace("e", "f", 1)
            journal[-1] = damaged
        return journal

    # The projector

    def project(self, records_max: int, crash_at: int | None = None) -> None:
        """One transaction: up to so many records of the log. One that crashes at a record leaves no trace."""
        if self.is_away:
            return
        start = self.positions[PARTITION].next_offset
        values = self.partition.read(start, start + records_max)
        batch = judged(self.positions, [decoded(PARTITION, offset, value) for offset, value in values])
        changed: dict[str, Kept] = {}
        for number, record in enumerate(batch.facts):
            if number == crash_at:
                self.counts["projector crashed in a batch"] += 1
                return
            try:
                self._add(self._opened(changed, record.workflow_id), record)
            except Retryable:
                self.counts["projector waited for blobs"] += 1
                return
        for late in batch.late_results:
            self._opened(changed, late.workflow_id).late.append(late)
        self.positions |= batch.after
        self.kept |= changed

    def _opened(self, changed: dict[str, Kept], workflow_id: str) -> Kept:
        if workflow_id not in changed:
            changed[workflow_id] = self.kept.get(workflow_id, Kept()).copy()
        return changed[workflow_id]

    def _add(self, kept: Kept, record: Record) -> None:
        event = record.event
        assert event is not None
        if kept.stopped is not None:
            return
        last = kept.journal[-1] if kept.journal else None
        head = (last["event_seq"], last["event_hash"]) if last else (0, ZERO_HASH)
        if not chain_fits(*head, event) or record.flaw is not None:
            kept.stopped = record.flaw or f"Event {event['event_seq']} does not follow event {head[0]}."
            return
        kept.journal.append(event)
        events, size = kept.since
        kept.since = Since(events + 1, size + snapshot.journal_bytes(event))
        if self.policy.is_due(event["event_seq"], 0, kept.since):
            self._take(record.workflow_id, kept)

    def _take(self, workflow_id: str, kept: Kept) -> None:
        try:
            state = self.restored(workflow_id, kept)
        except IntegrityError:
            self.counts["no snapshot of what is rotten"] += 1
            return
        document = snapshot.document(state)
        is_small = len(document) <= self.policy.inline_bytes_max
        inline, ref = (document, None) if is_small else (None, self.blobs.put(document))
        head = Head(state.head_seq, state.head_hash, state.head_timestamp)
        kept.snapshots.append(Taken(head, state.checksum, state.window.slots, inline, ref))
        kept.since = Since()
        self.counts["snapshot taken"] += 1
        del kept.snapshots[: -self.policy.keep]

    def rebuild(self) -> None:
        """From nothing, at once: it will catch up."""
        self.counts["rebuilt"] += 1
        self.positions = {PARTITION: Position()}
        self.kept, self.rotten = {}, set()
