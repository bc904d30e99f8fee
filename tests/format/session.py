"""A short session of the real sequencer over lists instead of Kafka and Postgres: what the golden vectors record.

Four projects, every command type, refusals, duplicates, a poison record, a clock that steps back, and two epochs. The
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
from continuity.core.history import forked
from continuity.core.records import Command, Event
from continuity.core.restore import advance
from continuity.core.state import State
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
    """A reply, rejection or lease as it would be published."""

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
    leases: list[Answered]


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
        token = body.pop("token", None)
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
            fencing_token=token,
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
    _hold(the)
    _vanish(the)
    _go_back(the)
    _fork(the)
    return the


MINUTE = 60_000
DIGEST = "4f" * 32
KEEPER: dict[str, Any] = {"owner_id": "keeper", "ttl_seconds": 30}
RELIEF: dict[str, Any] = {"owner_id": "relief", "ttl_seconds": 30}


def _hold(the: Script) -> None:
    """A lease, claims and steps, a takeover, a result that comes too late, and a way back."""
    the.end_batch()
    goal, first = entity("beacon", 24), entity("beacon", 25)
    order: dict[str, Any] = {"step_id": "oil:order", "step_type": "non_idempotent", "external_key": "order-7"}
    the.add("beacon", "create_goal", text="Keep the light")
    the.add("beacon", "add_task", goal_id=goal, title="Trim the wick")
    the.add("beacon", "add_task", goal_id=goal, title="Fill the oil")
    the.add("beacon", "acquire_lease", **KEEPER)
    the.add("beacon", "acquire_lease", **RELIEF)  # refused: it is held
    the.add("beacon", "start_task", task_id=first)  # refused: without the token
    the.add("beacon", "begin_step", token=1, **order)
    the.add("beacon", "fail_step", token=1, step_id="oil:order", attempt_id=1, error="No ship")
    the.add("beacon", "begin_step", token=1, **order)  # ambiguous, and left open
    the.add("beacon", "renew_lease", token=1)  # answered
    the.add("beacon", "release_lease", token=1)
    the.end_batch()
    the.add("beacon", "claim_task", **KEEPER)  # the next one, which it starts
    the.add("beacon", "begin_step", token=2, step_id="light", step_type="idempotent")
    takeover = len(the.records)
    the.add("beacon", "claim_task", clock=MINUTE, **RELIEF, task_id=first)
    the.add("beacon", "claim_task", clock=MINUTE, number=takeover, **RELIEF, task_id=first)  # a duplicate
    late: dict[str, Any] = {"step_id": "light", "attempt_id": 1, "result_ref": "blob:late", "result_checksum": DIGEST}
    the.add("beacon", "complete_step", token=2, clock=MINUTE, **late)  # fenced, and kept in a mark
    the.add("beacon", "begin_step", token=3, clock=MINUTE, step_id="light", step_type="idempotent")
    done: dict[str, Any] = {"step_id": "light", "attempt_id": 2, "result_ref": "blob:done", "result_checksum": DIGEST}
    the.add("beacon", "complete_step", token=3, clock=MINUTE, **done)
    the.add("beacon", "begin_step", token=3, clock=MINUTE, step_id="light", step_type="idempotent")  # answered
    the.add("beacon", "complete_task", token=3, clock=MINUTE, task_id=first)  # ends its claim
    the.add("beacon", "rollback", clock=MINUTE, to_seq=3)


def _vanish(the: Script) -> None:
    """Holders that vanish, until their task is blocked; grants that end in every way there is."""
    the.end_batch()
    first, second = entity("beacon", 25), entity("beacon", 26)
    place: dict[str, Any] = {"task_id": second, "where_left_off": "The oil stands at the door.", "context_refs": []}
    the.add("beacon", "claim_task", clock=2 * MINUTE, **KEEPER, task_id=second)  # 4
    the.add("beacon", "claim_task", clock=3 * MINUTE, **RELIEF, task_id=second)  # 5: one silent death
    the.add("beacon", "claim_task", clock=3 * MINUTE, **RELIEF, task_id=second)  # 6 replaces its own
    the.add("beacon", "acquire_lease", clock=3 * MINUTE, **RELIEF)  # 7 stands beside its own claim
    the.add("beacon", "claim_task", clock=4 * MINUTE, **KEEPER, task_id=second)  # 8 voids both: two
    the.end_batch()
    the.add("beacon", "rollback", clock=5 * MINUTE, to_seq=3)  # voids what ran out: three
    the.add("beacon", "claim_task", clock=5 * MINUTE, **KEEPER, task_id=second)  # 9
    the.add("beacon", "claim_task", clock=6 * MINUTE, **RELIEF, task_id=second)  # 10: four
    the.add("beacon", "claim_task", clock=7 * MINUTE, **KEEPER, task_id=second)  # five: blocked instead
    the.add("beacon", "start_task", clock=7 * MINUTE, task_id=second)  # free for all
    the.add("beacon", "claim_task", clock=7 * MINUTE, **KEEPER, task_id=second)  # 11, of a task that is doing
    the.add("beacon", "update_checkpoint", token=11, clock=7 * MINUTE, **place, next_step="Carry it up")
    the.add("beacon", "update_checkpoint", clock=8 * MINUTE, **place, next_step="Pour it")  # voids a holder that acted
    the.add("beacon", "claim_task", clock=8 * MINUTE, **KEEPER)  # 12: what was left behind comes first
    the.add("beacon", "claim_task", clock=9 * MINUTE, **RELIEF, task_id=second)  # 13: one
    the.add("beacon", "claim_task", clock=9 * MINUTE, **RELIEF, task_id=first)  # 14: two at once
    the.add("beacon", "begin_step", token=13, clock=9 * MINUTE, step_id="pour", step_type="pure")  # no more deaths
    the.add("beacon", "complete_step", token=13, clock=9 * MINUTE, step_id="pour", attempt_id=1)  # without a result
    the.add("beacon", "renew_lease", token=13, clock=9 * MINUTE + 10_000)  # answered, and shown to outsiders
    the.add("beacon", "claim_task", clock=10 * MINUTE, **KEEPER, task_id=first)  # 15: one
    the.add("beacon", "release_lease", clock=10 * MINUTE, task_id=first, force=True)
    the.add("beacon", "pause_task", clock=10 * MINUTE, task_id=first)  # nobody's: no more deaths all the same
    the.add("beacon", "release_lease", token=13, clock=10 * MINUTE, task_id=second)


def _go_back(the: Script) -> None:
    """A goal, a task and a checkpoint are undone, and that is undone too."""
    goal = entity("beacon", 24)
    the.add("beacon", "set_goal_priority", clock=10 * MINUTE, goal_id=goal, priority=7)
    the.add("beacon", "add_task", clock=10 * MINUTE, goal_id=goal, title="Polish the lens")  # event 39
    the.end_batch()
    the.add("beacon", "rollback", clock=10 * MINUTE, to_seq=3)
    the.end_batch()
    the.add("beacon", "rollback", clock=10 * MINUTE, to_seq=39)


def _fork(the: Script) -> None:
    """Another project, that begins where the first had a lease, goes on under its token, and comes back to its base."""
    first = entity("beacon", 25)
    the.add("beacon-2", "fork_project", clock=10 * MINUTE, from_project="beacon", at_seq=4)
    the.end_batch()
    the.add("beacon-2", "start_task", token=1, clock=10 * MINUTE, task_id=first)
    the.add("beacon-2", "rollback", token=1, clock=10 * MINUTE, to_seq=1)
    the.add("beacon-2", "fork_project", clock=10 * MINUTE, from_project="beacon", at_seq=4)  # refused: it exists


def histories(log: Iterable[bytes]) -> dict[str, list[State]]:
    """Each workflow's states by `event_seq`, beginning with the one before its first event; of a log of only ours."""
    states: dict[str, list[State]] = {}
    for event in facts(log):
        known = states.get(event["workflow_id"]) or states.setdefault(event["workflow_id"], [_base(event, states)])
        known.append(advance(known[-1], event))
    return states


def facts(log: Iterable[bytes]) -> list[Event]:
    """The events of a log to which nobody else wrote."""
    return [event for event in map(codec.decode_event, log) if not event["event_type"].startswith("sequencer_")]


def _base(event: Event, states: Mapping[str, list[State]]) -> State:
    if event["event_type"] != "project_forked":
        return State(event["workflow_id"])
    cited = canonical.loads(event["payload"])
    return forked(states[cited["origin_workflow_id"]][cited["origin_seq"]], event["workflow_id"])


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
    """`ports.WorkStore` of a database that has projected nothing: everything is in the tail. History is in the log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def past(self, workflow_id: str, at_seq: int) -> State:
        return histories(self._log.values)[workflow_id][at_seq]

    def keep_base(self, state: State) -> None:
        """Nowhere: what FORMAT.md says of it is tested with real storage."""

    def base_of(self, first: Event) -> State | None:
        return _base(first, histories(self._log.values))

    def position(self, partition: int) -> StoredPosition:  # noqa: ARG002 - the port's shape
        return StoredPosition(START, 0)

    def fetch(self, partition: int, workflow_ids: Collection[str]) -> Fetched:  # noqa: ARG002 - the port's shape
        return Fetched(StoredPosition(START, 0), {}, {})


def play() -> Session:
    """Run the session: the first sequencer decides two batches, a second one takes over for the rest."""
    the = script()
    session = Session(the.records, the.batches, [], [], [], [])
    log = Log(len(the.records))
    for sequencer_id, batches in zip(SEQUENCERS, (the.batches[:2], the.batches[2:]), strict=True):
        sequencer = Sequencer(read_log(log, Nothing(log), Cache(100)), sequencer_id, Cache(100))
        _append(session, log, sequencer, [(sequencer.opening.epoch_seq, sequencer.opening.value)])
        for batch in batches:
            records = [the.records[offset] for offset in batch]
            _append(session, log, sequencer, sequencer.decide(records, Nothing(log)))
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
            if answer.lease is not None:
                key = f"{answer.lease['workflow_id']}/{answer.lease['fencing_token']}"
                session.leases.append(Answered(key, None, codec.encode_lease(answer.lease)))


def _worded(answer: Mapping[str, Any]) -> dict[str, Any]:
    """A refusal with fixed sentences: ours may get better, and these bytes stay."""
    words = {"detail": "What happened, to which thing.", "fix": "What to do next."}
    return {name: words[name] if name in words and value else value for name, value in answer.items()}
