"""A short session of the real sequencer over lists instead of Kafka and Postgres: what the golden vectors record.

Two projects, every command type, refusals, a duplicate, a poison record, a clock that steps back, and two epochs. The
ids that are drawn in production (command ids, sequencer ids) are fixed here, so that every run gives the same bytes.
"""

import importlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, cast
from unittest.mock import patch

from continuity import codec
from continuity.codec import ReplyTo
from continuity.core import canonical, ids
from continuity.core.acceptance import START
from continuity.core.records import Command
from continuity.processors import CommandRecord, Fetched, Sequencer, SourceFacts, StoredPosition, read_log
from continuity.processors.cache import Cache

TENANT = "acme"
PARTITIONS = 1
PARTITION = 0
TOPIC_ID = "kZ3fZ2m1QkqYx1mF0l3vGw"
FIRST_MILLIS = 1_795_258_800_123
SEQUENCERS = ("5e9c2a10-7d1c-4f0e-9a55-0c1f8e3b7a01", "5e9c2a10-7d1c-4f0e-9a55-0c1f8e3b7a02")
PRODUCER_VERSION = "vectors/1.0"
"""Stands in place of the product's own version, which moves on while these bytes stay."""

OPERATORS = (("ada", "human", None), ("planner-7", "agent", "session-1"), ("nightly", "automation", None))


@contextmanager
def fixed_version() -> Iterator[None]:
    """What is written meanwhile names PRODUCER_VERSION as the software that wrote it."""
    with ExitStack() as stack:
        for name in ("continuity.codec", "continuity.core.decide", "continuity.core.seal"):
            # By name, because `continuity.core.decide` is also the function that its package exports.
            stack.enter_context(patch.object(importlib.import_module(name), "PRODUCER_VERSION", PRODUCER_VERSION))
        yield


class Answered(NamedTuple):
    """A reply or rejection as it would be published."""

    key: str
    partition: int | None
    value: bytes


class Session(NamedTuple):
    """All that went over the wire, in order."""

    commands: list[CommandRecord]
    batches: list[list[int]]
    log: list[bytes]
    replies: list[Answered]
    rejections: list[Answered]


def command_id(number: int) -> str:
    """The fixed command id of that number."""
    return f"c0ffee00-0000-4000-8000-{number:012d}"


def entity(project: str, number: int) -> str:
    """The id of what command `number` created in that project."""
    return ids.entity_id(ids.workflow_id(TENANT, project), command_id(number))


class Script:
    """Writes command records, numbering them and letting the broker's clock go on by 250 ms each."""

    def __init__(self) -> None:
        self.records: list[CommandRecord] = []
        self.batches: list[list[int]] = [[]]

    def add(self, project: str, command_type: str, *, number: int | None = None, clock: int = 0, **body: Any) -> None:
        """Append a command; `number` repeats an earlier id, `clock` moves its broker time, in milliseconds."""
        offset = len(self.records)
        expected = body.pop("expected_seq", None)
        after = body.pop("after", None)
        operator_id, operator_kind, session_id = OPERATORS[offset % len(OPERATORS)]
        command = Command(
            command_id=command_id(offset if number is None else number),
            command_type=command_type,
            body=canonical.text(body),
            tenant=TENANT,
            project=project,
            workflow_id=ids.workflow_id(TENANT, project),
            operator_id=operator_id,
            operator_kind=operator_kind,
            session_id=session_id,
            expected_seq=expected,
            after=after,
        )
        reply_to = None if offset % 5 == 4 else ReplyTo(offset % 2, f"a1b2c3d4e5f6-{offset + 1}")
        self.raw(codec.encode_command(command, reply_to), clock)

    def raw(self, value: bytes, clock: int = 0) -> None:
        """Append any bytes."""
        offset = len(self.records)
        self.records.append(CommandRecord(offset, (FIRST_MILLIS + 250 * offset + clock) * 1000, value))
        self.batches[-1].append(offset)

    def end_batch(self) -> None:
        """What follows is decided in another batch."""
        self.batches.append([])


def script() -> Script:
    """The commands of the session."""
    the = Script()
    goal, survey, draft = entity("atlas", 0), entity("atlas", 1), entity("atlas", 2)
    other_goal = entity("zebra", 3)
    the.add("atlas", "create_goal", text="Map the north coast", priority=5)
    the.add("atlas", "add_task", goal_id=goal, title="Survey the harbour \u2014 \u6e2f")
    the.add(
        "atlas", "add_task", goal_id=goal, title="Draft the chart", depends_on=[survey],
        acceptance_criteria=["Scale 1:10000", 'Names as in "the survey", \\ and / kept'],
    )  # fmt: skip
    the.add("zebra", "create_goal", text="Tab\there, line\nthere, \u007f, \u2028, \U0001f9ed and \ue000")
    the.end_batch()
    the.add("atlas", "start_task", task_id=draft)  # refused: unmet dependencies
    the.add("atlas", "start_task", task_id=survey, expected_seq=3)
    the.add("atlas", "create_goal", number=0, text="Map the north coast", priority=5)  # a duplicate: closed by a mark
    the.end_batch()
    refs = ["chart:7", "log/2026-11-20"]
    the.add(
        "atlas", "update_checkpoint", task_id=survey, where_left_off="Soundings done up to the mole.",
        next_step="Sound the inner basin", context_refs=refs,
    )  # fmt: skip
    the.add("atlas", "block_task", task_id=survey, blocker={"text": "No boat", "clears_when": "The boat is repaired"})
    the.add(
        "atlas", "update_checkpoint", task_id=survey, where_left_off="Waiting for the boat.",
        next_step="Ask the harbour master for the boat", context_refs=[],
    )  # fmt: skip
    the.add("atlas", "start_task", task_id=survey, clock=-2_000)  # the broker's clock stepped back: clamped
    the.raw(b"no avro at all")  # poison, in the middle of a batch
    the.add("atlas", "set_goal_priority", goal_id=goal, priority=-3)
    the.end_batch()
    the.add("atlas", "pause_task", task_id=survey, reason="Tide")
    the.add("atlas", "start_task", task_id=survey)
    the.add("atlas", "complete_task", task_id=survey, evidence="soundings.csv, 412 points")
    the.add("atlas", "amend_task", task_id=draft, title="Draft the chart, sheet 1", depends_on=[])
    the.add("atlas", "start_task", task_id=draft, after=command_id(16))
    the.add("atlas", "complete_task", task_id=draft)
    the.add("atlas", "reopen_task", task_id=survey)
    the.add("atlas", "complete_task", task_id=survey)
    the.add("atlas", "set_goal_status", goal_id=goal, status="done")
    the.add("zebra", "set_goal_status", goal_id=other_goal, status="paused")
    the.add("zebra", "start_task", task_id=draft)  # refused: another project's task
    return the


class Log:
    """`ports.PartitionLog` over lists."""

    def __init__(self, commands: int) -> None:
        self.values: list[bytes] = []
        self.commands = commands

    def source(self) -> SourceFacts:
        return SourceFacts(PARTITION, PARTITIONS, TOPIC_ID, 0, self.commands)

    def end(self) -> int:
        return len(self.values)

    def read(self, start: int, end: int) -> Iterable[tuple[int, bytes]]:
        return enumerate(self.values[start:end], start)


class Nothing:
    """`ports.WorkStore` of a database that has projected nothing: everything is in the tail."""

    def position(self, partition: int) -> StoredPosition:  # noqa: ARG002 - the port's shape
        return StoredPosition(START, 0)

    def fetch(self, partition: int, workflow_ids: Collection[str]) -> Fetched:  # noqa: ARG002 - the port's shape
        return Fetched(StoredPosition(START, 0), {}, {})


def play() -> Session:
    """Run the session: the first sequencer decides two batches, a second one takes over for the rest."""
    the = script()
    session = Session(the.records, the.batches, [], [], [])
    log = Log(len(the.records))
    for sequencer_id, batches in zip(SEQUENCERS, (the.batches[:2], the.batches[2:]), strict=True):
        sequencer = Sequencer(read_log(log, Nothing(), Cache(100)), sequencer_id, Cache(100))
        _append(session, log, sequencer, [(sequencer.opening.epoch_seq, sequencer.opening.value)])
        for batch in batches:
            records = [the.records[offset] for offset in batch]
            _append(session, log, sequencer, sequencer.decide(records, Nothing()))
    session.log.extend(log.values)
    return session


def _append(session: Session, log: Log, sequencer: Sequencer, outgoing: Sequence[tuple[int, bytes]]) -> None:
    for epoch_seq, value in outgoing:
        log.values.append(value)
        for answer in sequencer.confirm(epoch_seq, len(log.values) - 1):
            if answer.reply is not None and answer.reply_to is not None:
                reply = codec.encode_reply(cast("codec.Reply", _worded(answer.reply)))
                session.replies.append(Answered(answer.reply_to.correlation, answer.reply_to.partition, reply))
            if answer.rejection is not None:
                rejection = codec.encode_rejection(cast("codec.Rejection", _worded(answer.rejection)))
                session.rejections.append(Answered(answer.rejection["workflow_id"] or "", None, rejection))


def _worded(answer: Mapping[str, Any]) -> dict[str, Any]:
    """A refusal with fixed sentences: ours may get better, and these bytes stay."""
    words = {"detail": "What happened, to which thing.", "fix": "What to do next."}
    return {name: words[name] if name in words and value else value for name, value in answer.items()}
