"""What is said of a decision: the reply to who asked, the rejection for audit, the late result for who needs it.

Pure: nothing is sent here. When an answer may leave is the sequencer's business.
"""

from typing import Any, NamedTuple, TypedDict

from continuity import codec
from continuity.codec import Lease, Rejection, Reply, ReplyTo
from continuity.core import canonical, ids
from continuity.core.outcome import Accepted, Answered, Duplicate, Outcome, Rejected
from continuity.core.records import Command
from continuity.core.state import State

ACQUIRING = frozenset({"acquire_lease", "claim_task"})
TOO_LATE = frozenset({"fenced", "lease_held", "step_completed", "attempt_closed"})
_NO_EVENT: Any = dict.fromkeys(("event_seq", "event_id", "event_type", "goal_id", "task_id", "state_checksum"))


class CommandRecord(NamedTuple):
    """A record of the commands topic. `timestamp` is the broker's, in microseconds."""

    offset: int
    timestamp: int
    value: bytes | None


class Place(TypedDict):
    """Where a command record stands, and under which epoch it was decided: the same in replies and rejections."""

    partition: int
    source_offset: int
    source_generation: int
    epoch: int


class Decided(NamedTuple):
    """A command record, its decoded command if it has one, and what was decided."""

    record: CommandRecord
    command: Command | None
    reply_to: ReplyTo | None
    outcome: Outcome
    lease: Lease | None = None


class Answer(NamedTuple):
    """An outcome to publish: a reply if somebody waits for one, a rejection if the command became no event.

    `lease` is the expiry that outsiders are to see, if the command has moved one.
    """

    reply_to: ReplyTo | None
    reply: Reply | None
    rejection: Rejection | None
    lease: Lease | None = None


def answer(decided: Decided, partition: int, generation: int, epoch: int) -> Answer:
    """The answer of the owner of `partition` in `epoch`."""
    record, command, reply_to, outcome, lease = decided
    place = Place(partition=partition, source_offset=record.offset, source_generation=generation, epoch=epoch)
    rejection = _rejection(decided, place) if isinstance(outcome, Rejected) else None
    if reply_to is None or command is None:
        return Answer(None, None, rejection, lease)
    event = outcome.event if isinstance(outcome, Accepted) else _NO_EVENT
    reply: Reply = {
        "command_id": command.command_id,
        "workflow_id": command.workflow_id,
        "status": status_of(outcome),
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
        **place,
        "result": None,
    }
    if isinstance(outcome, Rejected):
        reply["code"], reply["detail"], reply["fix"] = outcome.code, outcome.detail, outcome.fix
        return Answer(reply_to, reply, rejection, lease)
    if isinstance(outcome, Duplicate):
        reply.update(outcome._asdict())  # type: ignore[typeddict-item]
    if outcome.result is not None:
        reply["result"] = canonical.text(outcome.result)
        reply["fencing_token"] = outcome.result.get("token")
    return Answer(reply_to, reply, rejection, lease)


def counts_of(command: Command | None, outcome: Outcome) -> tuple[str, ...]:
    """What a decision is counted as, among the counts of a process."""
    status = status_of(outcome)
    if isinstance(outcome, Duplicate) or (isinstance(outcome, Answered) and outcome.renewed is None):
        return status, "answered_from_before"
    if status == "refused" and command is not None and command.command_type in ACQUIRING:
        return status, "not_acquired"
    return (status,)


def late_result(command: Command, state: State, timestamp: int) -> dict[str, Any] | None:
    """What a completion that was refused too late has found out, for the mark that follows: never applied, and never
    thrown away. None where nothing would be lost.
    """
    body = canonical.loads_canonical(command.body)
    step = state.steps.get(body["step_id"]) or {}
    if body.get("result_ref") in (None, step.get("result_ref")):
        return None
    names = ("step_id", "attempt_id", "result_ref", "result_checksum")
    return {name: body[name] for name in names} | {
        "workflow_id": command.workflow_id,
        "tenant": command.tenant,
        "project": command.project,
        "task_id": step.get("task_id"),
        "fencing_token": command.fencing_token,
        "operator_id": command.operator_id,
        "command_id": command.command_id,
        "timestamp": ids.instant(timestamp),
    }


def kept(outcome: Any, late: dict[str, Any]) -> Rejected:
    """The refusal, saying that the result is not lost."""
    detail = f"{outcome.detail} Its result {late['result_ref']} is kept among the late results."
    return Rejected(outcome.code, detail)


def status_of(outcome: Outcome) -> str:
    """The word for an outcome in a reply."""
    if isinstance(outcome, Accepted):
        return "accepted"
    if isinstance(outcome, Duplicate):
        return "duplicate"
    if isinstance(outcome, Answered):
        return "answered"
    return "unavailable" if outcome.code == "unavailable" else "refused"


def _rejection(decided: Decided, place: Place) -> Rejection:
    record, command, _, outcome, _ = decided
    assert isinstance(outcome, Rejected)
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
        fix=outcome.fix,
        timestamp=record.timestamp,
        **place,
        raw=(record.value or b"")[: codec.RAW_BYTES_MAX] if command is None else None,
    )
