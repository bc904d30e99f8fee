"""Requests and outcomes: what a caller gives and gets. Pure; form is checked here, before anything is sent."""

from typing import Any, Literal, NamedTuple, TypedDict

import orjson

from continuity.codec import Reply
from continuity.core import canonical
from continuity.core.commands import field_names
from continuity.core.decide import check_form
from continuity.core.fields import FormError
from continuity.core.ids import workflow_id
from continuity.core.limits import COMMAND_BYTES_MAX
from continuity.core.records import Command, OperatorKind

Wait = Literal["durable", "committed"]


class Request(NamedTuple):
    """A command to be sent. `body` is a JSON object with the fields of `core.commands`; None stands for absent.

    `command_id` (a UUID) is the caller's: repeat with the same one after a Retryable. `expected_seq` refuses the
    command unless it is the project's head; `after` unless that command was accepted before this one.
    """

    command_type: str
    body: dict[str, Any]
    command_id: str
    tenant: str
    project: str
    operator_id: str
    operator_kind: OperatorKind = "agent"
    session_id: str | None = None
    expected_seq: int | None = None
    fencing_token: int | None = None
    after: str | None = None


class Outcome(TypedDict):
    """What became of a command. `status`: accepted, duplicate, answered (no event was needed: a renewal, a step that is
    completed already), refused, or durable (in the command log, undecided).

    `partition` and `offset` are the command record's. A duplicate carries the original's ids but no state_checksum.
    `result` is what the caller is told besides: of a grant its token and what it takes over, of an attempt its number.
    """

    command_id: str
    workflow_id: str
    status: str
    event_seq: int | None
    event_id: str | None
    event_type: str | None
    goal_id: str | None
    task_id: str | None
    state_checksum: str | None
    fencing_token: int | None
    code: str | None
    detail: str | None
    fix: str | None
    partition: int
    offset: int
    result: dict[str, Any] | None


def command_of(request: Request) -> Command:
    """The command record of a request, or FormError naming the first field at fault."""
    # An unknown field stays, null or not: it may be a known one whose name is misspelt.
    known = field_names(request.command_type)
    given = {name: value for name, value in request.body.items() if value is not None or name not in known}
    try:
        body = canonical.dumps(given)
    except (TypeError, orjson.JSONEncodeError) as error:
        raise FormError("invalid_field", f"The body is not JSON: {error}.") from None
    if len(body) > COMMAND_BYTES_MAX:
        raise FormError("command_too_large", f"The command has {len(body)} bytes, at most {COMMAND_BYTES_MAX} go.")
    command = Command(
        command_id=request.command_id,
        command_type=request.command_type,
        body=body.decode(),
        tenant=request.tenant,
        project=request.project,
        workflow_id=workflow_id(request.tenant, request.project),
        operator_id=request.operator_id,
        operator_kind=request.operator_kind,
        session_id=request.session_id,
        expected_seq=request.expected_seq,
        fencing_token=request.fencing_token,
        after=request.after,
    )
    check_form(command)
    return command


def outcome_of_reply(reply: Reply) -> Outcome:
    """The outcome that a sequencer replied."""
    return Outcome(
        command_id=reply["command_id"],
        workflow_id=reply["workflow_id"],
        status=reply["status"],
        event_seq=reply["event_seq"],
        event_id=reply["event_id"],
        event_type=reply["event_type"],
        goal_id=reply["goal_id"],
        task_id=reply["task_id"],
        state_checksum=reply["state_checksum"],
        fencing_token=reply["fencing_token"],
        code=reply["code"],
        detail=reply["detail"],
        fix=reply["fix"],
        partition=reply["partition"],
        offset=reply["source_offset"],
        result=None if reply["result"] is None else orjson.loads(reply["result"]),
    )


def durable_outcome(command: Command, partition: int, offset: int) -> Outcome:
    """The outcome of a command that the log has and nobody has decided yet."""
    return Outcome(
        command_id=command.command_id,
        workflow_id=command.workflow_id,
        status="durable",
        event_seq=None,
        event_id=None,
        event_type=None,
        goal_id=None,
        task_id=None,
        state_checksum=None,
        fencing_token=None,
        code=None,
        detail=None,
        fix=None,
        partition=partition,
        offset=offset,
        result=None,
    )
