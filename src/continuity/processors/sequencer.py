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
from itertools import chain
from typing import Any, NamedTuple

from continuity import codec
from continuity.codec import Rejection, Reply, ReplyTo
from continuity.core import canonical, ids
from continuity.core.acceptance import RULES_VERSION
from continuity.core.decide import Accepted, Duplicate, Rejected, decide
from continuity.core.records import SEQUENCER_EPOCH, SEQUENCER_MARK, Command, Event
from continuity.core.refusals import REFUSALS
from continuity.core.restore import advance
from continuity.core.seal import Damaged, own_record
from continuity.core.state import State
from continuity.errors import Retryable
from continuity.processors.cache import Cache
from continuity.processors.opening import Opened
from continuity.processors.ports import Fetched, WorkStore

_NO_EVENT: Any = dict.fromkeys(("event_seq", "event_id", "event_type", "goal_id", "task_id", "state_checksum"))


class Dislodged(Exception):
    """This ownership has ended: send nothing more, throw the producer away, open again from the log."""


class CommandRecord(NamedTuple):
    """A record of the commands topic. `timestamp` is the broker's, in microseconds."""

    offset: int
    timestamp: int
    value: bytes | None


class Outgoing(NamedTuple):
    """A record to append to the events partition; `epoch_seq` comes back with its delivery."""

    epoch_seq: int
    value: bytes


class Answer(NamedTuple):
    """An outcome to publish: a reply if somebody waits for one, a rejection if the command became no event."""

    reply_to: ReplyTo | None
    reply: Reply | None
    rejection: Rejection | None


class _InFlight(NamedTuple):
    """A record on its way, and the answers that wait for it."""

    epoch_seq: int
    workflow_id: str | None
    value: bytes
    answers: list[Answer]


class _Decided(NamedTuple):
    """A command record, its decoded command if it has one, and what was decided."""

    record: CommandRecord
    command: Command | None
    reply_to: ReplyTo | None
    outcome: Accepted | Duplicate | Rejected


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
            outcome = refused or self._decide_one(command, record.timestamp, cold)
            self.next_source_offset = record.offset + 1
            held.append(self._answer(_Decided(record, command, reply_to, outcome)))
            if isinstance(outcome, Accepted):
                outgoing.append(self._send(outcome.event, record.offset, held))
                held = []
        if held:
            mark = own_record(SEQUENCER_MARK, timestamp=fresh[-1].timestamp)
            outgoing.append(self._send(mark, fresh[-1].offset, held))
            self.counts["marks"] += 1
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
        self, command: Command | None, timestamp: int, cold: dict[str, Rejected]
    ) -> Accepted | Duplicate | Rejected:
        assert command is not None, "A record that is no command was refused before."
        if command.workflow_id in cold:
            return cold[command.workflow_id]
        outcome = decide(self.cache.get(command.workflow_id), command, timestamp)
        if isinstance(outcome, Accepted):
            self.cache.put_unconfirmed(outcome.state)
        return outcome

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
        if projected < self._tail.start:
            detail = "The projection is too far behind to restore this workflow."
            return dict.fromkeys(workflow_ids, Rejected("unavailable", detail))
        self._tail.forget_before(projected)
        return self._rebuild(workflow_ids, fetched)

    def _rebuild(self, workflow_ids: set[str], fetched: Fetched) -> dict[str, Rejected]:
        cold = {key: Rejected("workflow_stopped", reason) for key, reason in fetched.stopped.items()}
        states = {workflow_id: State(workflow_id) for workflow_id in workflow_ids}
        unprojected = self._tail.events(workflow_ids, fetched.position.offset)
        for event in chain(*fetched.journals.values(), unprojected):
            workflow_id = event["workflow_id"]
            if workflow_id in cold:
                continue
            try:
                states[workflow_id] = advance(states[workflow_id], event)
            except Damaged as damage:
                cold[workflow_id] = Rejected("unavailable", damage.detail)
            self.counts["events_replayed"] += 1
        for workflow_id in workflow_ids - cold.keys():
            self.cache.put(states[workflow_id])
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

    # Answering

    def _answer(self, decided: _Decided) -> Answer:
        record, command, reply_to, outcome = decided
        status = _status(outcome)
        self.counts[status] += 1
        rejection = self._rejection(record, command, outcome) if isinstance(outcome, Rejected) else None
        if reply_to is None or command is None:
            return Answer(None, None, rejection)
        event = outcome.event if isinstance(outcome, Accepted) else _NO_EVENT
        reply: Reply = {
            "command_id": command.command_id,
            "workflow_id": command.workflow_id,
            "status": status,
            "event_seq": event["event_seq"],
            "event_id": event["event_id"],
            "event_type": event["event_type"],
            "goal_id": event["goal_id"],
            "task_id": event["task_id"],
            "state_checksum": event["state_checksum"],
            "fencing_token": None,
            "code": None,
            "detail": None,
            "fix": None,
            "partition": self.partition,
            "source_offset": record.offset,
            "source_generation": self.generation,
            "epoch": self.epoch,
        }
        if isinstance(outcome, Duplicate):
            reply.update(outcome._asdict())  # type: ignore[typeddict-item]
        elif isinstance(outcome, Rejected):
            reply["code"], reply["detail"], reply["fix"] = outcome.code, outcome.detail, outcome.fix
        return Answer(reply_to, reply, rejection)

    def _rejection(self, record: CommandRecord, command: Command | None, outcome: Rejected) -> Rejection:
        return Rejection(
            command_id=command and command.command_id,
            command_type=command and command.command_type,
            tenant=command and command.tenant,
            project=command and command.project,
            workflow_id=command and command.workflow_id,
            operator_id=command and command.operator_id,
            operator_kind=command and command.operator_kind,
            session_id=command and command.session_id,
            code=outcome.code,
            detail=outcome.detail,
            fix=REFUSALS[outcome.code].fix,
            timestamp=record.timestamp,
            partition=self.partition,
            source_offset=record.offset,
            source_generation=self.generation,
            epoch=self.epoch,
            raw=(record.value or b"")[: codec.RAW_BYTES_MAX] if command is None else None,
        )


def _status(outcome: Accepted | Duplicate | Rejected) -> str:
    if isinstance(outcome, Accepted):
        return "accepted"
    if isinstance(outcome, Duplicate):
        return "duplicate"
    return "unavailable" if outcome.code == "unavailable" else "refused"
