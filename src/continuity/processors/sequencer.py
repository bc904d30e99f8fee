"""The sequencer of one partition: the only writer of its events. It moves no bytes itself.

One object is one ownership (an *epoch*) of the partition. It is told what arrived and what was delivered; it returns
records to append and replies to send. On anything unexpected it raises `Dislodged`, and the caller makes a new one,
with a new producer, from the log. Five rules keep the log right whoever else may write to it (design, section 4):

1. It opens with an epoch record, and decides nothing before that is confirmed.
2. It resumes after the last command that the accepted log speaks for.
3. One event for each accepted command; a batch that ends otherwise is closed by a mark.
4. A record is confirmed when it is the oldest one on the way and has the offset that was expected.
5. Replies leave in command order, each when a record that speaks for its command is confirmed.
"""

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from continuity import codec
from continuity.codec import Lease, ReplyTo
from continuity.core import canonical, ids
from continuity.core.acceptance import RULES_VERSION
from continuity.core.decide import decide
from continuity.core.history import forked, origin
from continuity.core.outcome import Accepted, Answered, Outcome, Rejected
from continuity.core.records import SEQUENCER_EPOCH, SEQUENCER_MARK, Command, Event
from continuity.core.restore import Fold
from continuity.core.seal import Damaged, own_record, verify
from continuity.core.state import State
from continuity.errors import IntegrityError, Retryable
from continuity.processors.answering import (
    TOO_LATE,
    Answer,
    CommandRecord,
    Decided,
    answer,
    counts_of,
    kept,
    late_result,
)
from continuity.processors.cache import Cache
from continuity.processors.opening import Opened
from continuity.processors.ports import Fetched, WorkStore
from continuity.processors.renewals import Renewals


class Dislodged(Exception):
    """This ownership has ended: send nothing more, throw the producer away, open again from the log."""


class Outgoing(NamedTuple):
    """A record to append to the events partition; `epoch_seq` comes back with its delivery."""

    epoch_seq: int
    value: bytes


class _InFlight(NamedTuple):
    """A record on its way, and the answers that wait for it."""

    epoch_seq: int
    workflow_id: str | None
    value: bytes
    answers: list[Answer]


class Sequencer:
    """One ownership of one partition, begun with what `opening.read_log` found. Append `opening`, then feed it."""

    def __init__(self, opened: Opened, sequencer_id: str, cache: Cache, counts: Counter[str] | None = None) -> None:
        self.partition = opened.source.partition
        self.partitions = opened.source.partitions
        self.sequencer_id = sequencer_id
        self.epoch = opened.acceptance.epoch + 1
        self.generation = opened.resume.generation
        self.lost = opened.resume.lost
        self.next_source_offset = opened.resume.offset
        self.expected_offset = opened.end
        self.is_open = False
        self.cache = cache
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._tail = opened.tail
        self._renewals = Renewals()
        self._in_flight: deque[_InFlight] = deque()
        self._epoch_seq = 0
        self.opening = self._open(opened)

    def _open(self, opened: Opened) -> Outgoing:
        payload = {
            "forced_by": opened.forced_by,
            "lost": list(self.lost) if self.lost else None,
            "partition": self.partition,
            "rules_version": RULES_VERSION,
            "topic_id": opened.source.topic_id,
        }
        record = own_record(SEQUENCER_EPOCH, canonical.text(payload))
        self._stamp(record, 0, self.next_source_offset - 1)
        opening = Outgoing(0, codec.encode_event(record))
        self._in_flight.append(_InFlight(0, None, opening.value, []))
        return opening

    @property
    def in_flight(self) -> int:
        """Records that are not yet confirmed."""
        return len(self._in_flight)

    # Deciding

    def decide(self, records: Sequence[CommandRecord], store: WorkStore) -> list[Outgoing]:
        """Decide a batch in offset order; the records to append, in order. Cold workflows are restored together."""
        if not self.is_open:
            raise AssertionError("Nothing is decided before the epoch record is confirmed.")
        fresh = [record for record in records if record.offset >= self.next_source_offset]
        decoded = [(record, *self._decode(record)) for record in fresh]
        wanted = {command.workflow_id for _, command, _, refused in decoded if command is not None and refused is None}
        cold = self._restore({workflow_id for workflow_id in wanted if workflow_id not in self.cache}, store)
        outgoing: list[Outgoing] = []
        held: list[Answer] = []
        for record, command, reply_to, refused in decoded:
            if self._renewals.opened_at is None:
                self._renewals.opened_at = record.timestamp
            outcome = refused or self._decide_one(command, record.timestamp, cold, store)
            lease = self._renewed(command, record.timestamp, outcome)
            late = self._late_result(command, record.timestamp, outcome)
            if late is not None:
                outcome = kept(outcome, late)
            self.next_source_offset = record.offset + 1
            held.append(self._answer(Decided(record, command, reply_to, outcome, lease)))
            if isinstance(outcome, Accepted):
                outgoing.append(self._send(outcome.event, record.offset, held))
                held = []
            elif late is not None:
                outgoing.append(self._mark(record, held, canonical.text({"late_results": [late]})))
                held = []
        if held:
            outgoing.append(self._mark(fresh[-1], held))
        self.cache.trim()
        return outgoing

    def _decode(self, record: CommandRecord) -> tuple[Command | None, ReplyTo | None, Rejected | None]:
        try:
            command, reply_to = codec.decode_command(record.value)
        except codec.Undecodable as error:
            return None, None, Rejected("poison", f"Record {record.offset} of partition {self.partition}: {error}")
        if command.workflow_id not in self.cache:  # a warm one was checked when it was restored
            return command, reply_to, self._misplaced(command)
        return command, reply_to, None

    def _misplaced(self, command: Command) -> Rejected | None:
        """A workflow in two partitions would have two histories; an id that is not a project's has none."""
        if command.workflow_id != ids.workflow_id(command.tenant, command.project):
            return Rejected("invalid_field", "workflow_id is not the one of this tenant and project.")
        home = ids.partition_of(command.workflow_id, self.partitions)
        if home != self.partition:
            detail = f"Workflow {command.workflow_id} belongs to partition {home}, the command is in {self.partition}."
            return Rejected("wrong_partition", detail)
        return None

    def _decide_one(
        self, command: Command | None, timestamp: int, cold: dict[str, Rejected], store: WorkStore
    ) -> Outcome:
        assert command is not None, "A record that is no command was refused before."
        if command.workflow_id in cold:
            return cold[command.workflow_id]
        state = self.cache.get(command.workflow_id)
        past = self._past(command, state, store)
        if isinstance(past, Rejected):
            return past
        outcome = decide(state, command, timestamp, self._renewals.liveness(state), past)
        if isinstance(outcome, Accepted):
            self.cache.put_unconfirmed(outcome.state)
        return outcome

    def _past(self, command: Command, state: State, store: WorkStore) -> State | Rejected | None:
        """The older state that a rollback or a fork goes back to, where there can be one."""
        wanted = origin(command)
        if wanted is None:
            return None
        is_fork = wanted[0] != state.workflow_id
        if state.head_seq if is_fork else wanted[1] >= state.head_seq:
            return None
        try:
            past = store.past(*wanted)
            if is_fork:
                store.keep_base(forked(past, state.workflow_id))
        except Retryable as error:
            return Rejected("unavailable", error.detail)
        except IntegrityError as error:
            return Rejected("integrity", error.detail)
        return past

    def _renewed(self, command: Command | None, timestamp: int, outcome: Outcome) -> Lease | None:
        """Remember that a holder is alive: it renewed, was granted, or had a command accepted under its token."""
        if command is None or not isinstance(outcome, Accepted | Answered):
            return None
        token = outcome.renewed if isinstance(outcome, Answered) else outcome.event["fencing_token"]
        if token is None:
            return None
        state = self.cache.get(command.workflow_id)
        now = max(timestamp, state.head_timestamp)
        self._renewals.forget_ended(state, now)
        return self._renewals.renew(state, token, now) if token in state.lookup.tokens else None

    def _late_result(self, command: Command | None, timestamp: int, outcome: Outcome) -> dict[str, Any] | None:
        if command is None or command.command_type != "complete_step":
            return None
        if not isinstance(outcome, Rejected) or outcome.code not in TOO_LATE:
            return None
        return late_result(command, self.cache.get(command.workflow_id), timestamp)

    def _answer(self, decided: Decided) -> Answer:
        for name in counts_of(decided.command, decided.outcome):
            self.counts[name] += 1
        return answer(decided, self.partition, self.generation, self.epoch)

    def _mark(self, record: CommandRecord, answers: list[Answer], payload: str = "{}") -> Outgoing:
        self.counts["marks"] += 1
        return self._send(own_record(SEQUENCER_MARK, payload, record.timestamp), record.offset, answers)

    def _send(self, event: Event, source_offset: int, answers: list[Answer]) -> Outgoing:
        self._epoch_seq += 1
        self._stamp(event, self._epoch_seq, source_offset)
        value = codec.encode_event(event)
        workflow_id = None if event["event_type"] == SEQUENCER_MARK else event["workflow_id"]
        self._in_flight.append(_InFlight(self._epoch_seq, workflow_id, value, answers))
        return Outgoing(self._epoch_seq, value)

    def _stamp(self, event: Event, epoch_seq: int, source_offset: int) -> None:
        event["epoch"] = self.epoch
        event["sequencer_id"] = self.sequencer_id
        event["epoch_seq"] = epoch_seq
        event["source_generation"] = self.generation
        event["source_offset"] = source_offset

    # Restoring

    def _restore(self, workflow_ids: set[str], store: WorkStore) -> dict[str, Rejected]:
        """Make these workflows warm; the ones that cannot be now, with what their commands are answered."""
        if not workflow_ids:
            return {}
        self.counts["restores"] += len(workflow_ids)
        try:
            fetched = store.fetch(self.partition, workflow_ids)
        except Retryable as error:
            return dict.fromkeys(workflow_ids, Rejected("unavailable", error.detail))
        projected = fetched.position.offset
        if projected > self.expected_offset + len(self._in_flight):
            raise Dislodged(
                f"The projection is at {projected}, beyond all that this owner wrote: somebody else writes."
            )
        near = {workflow_id for workflow_id in workflow_ids if self._tail.reaches(workflow_id, projected)}
        behind = Rejected("unavailable", "The projection is too far behind to restore this workflow.")
        self._tail.forget_before(projected)
        return dict.fromkeys(workflow_ids - near, behind) | self._rebuild(near, fetched, store)

    def _rebuild(self, workflow_ids: set[str], fetched: Fetched, store: WorkStore) -> dict[str, Rejected]:
        cold = {key: Rejected("workflow_stopped", reason) for key, reason in fetched.stopped.items()}
        cold |= {key: Rejected("unavailable", reason) for key, reason in fetched.unavailable.items()}
        self.counts["events_replayed"] += fetched.replayed
        folds = {key: Fold(fetched.states.get(key) or State(key)) for key in workflow_ids - cold.keys()}
        for event in self._tail.events(set(folds), fetched.position.offset):
            workflow_id = event["workflow_id"]
            if workflow_id not in folds:
                continue
            try:
                if event["event_seq"] == 1:
                    verify(event)  # what it cites is believed
                    folds[workflow_id] = Fold(store.base_of(event) or State(workflow_id))
                folds[workflow_id].add(event)
            except (Damaged, IntegrityError, Retryable) as error:
                cold[workflow_id] = Rejected("unavailable", error.detail)
                del folds[workflow_id]
            self.counts["events_replayed"] += 1
        for fold in folds.values():
            self.cache.put(fold.state())
        return cold

    # Confirming

    def confirm(self, epoch_seq: int, offset: int) -> list[Answer]:
        """A record arrived in the log at `offset`. The answers that may leave now, in command order."""
        oldest = self._in_flight[0].epoch_seq if self._in_flight else None
        if epoch_seq != oldest or offset != self.expected_offset:
            raise Dislodged(
                f"Record {epoch_seq} of epoch {self.epoch} got offset {offset}; expected was record {oldest} at"
                f" {self.expected_offset}: somebody else writes to partition {self.partition}."
            )
        record = self._in_flight.popleft()
        self.expected_offset = self.cache.as_of_offset = offset + 1
        self.is_open = True
        if record.workflow_id is not None:
            self.cache.confirm(record.workflow_id)
            self._tail.append(offset, record.workflow_id, record.value)
        return record.answers
