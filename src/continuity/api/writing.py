"""Commands over HTTP: from a request to the log, and from an outcome to an answer. One command a request.

The rules of a command are not here: its form is `core.commands`, its decision the sequencer's.
"""

import asyncio
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from continuity.answers import LateResult
from continuity.api import incoming, problems
from continuity.api.gate import Handler
from continuity.api.metrics import Meter
from continuity.api.ports import CommandPort, ReadPort
from continuity.api.surface import CLAIM, MAKING, WRITE_PARAMETERS, Write, query_fields
from continuity.core.commands import ForkProject, parse
from continuity.core.limits import ATTEMPTS_MAX
from continuity.core.next_step import NextStep
from continuity.errors import ContinuityError, Retryable
from continuity.keys import Caller
from continuity.producers import Outcome, Wait
from continuity.producers import Request as CommandRequest

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 8.0
"""Shorter than the ten seconds that a command line waits: the 503 arrives before it gives up."""

LATE_SECONDS_MAX = 0.25
"""How long an answer to a claim waits for the late results of its task; they can be asked for afterwards, too."""
LATE_RESULTS_TOLD_MAX = 20

ANSWER_FIELDS = (
    "command_id", "status", "workflow_id", "event_seq", "event_id", "event_type", "goal_id", "task_id",
    "fencing_token", "state_checksum",
)  # fmt: skip
LEASING = frozenset({"acquire_lease", "claim_task", "renew_lease"})
FORK = "fork_project"
STEPPING = frozenset({"begin_step", "complete_step", "fail_step"})


class Writer:
    """Sends one command and waits for as much as was asked: recorded, committed, or to be seen in reads."""

    def __init__(self, commands: CommandPort, reads: ReadPort, meter: Meter) -> None:
        self._commands = commands
        self._reads = reads
        self._meter = meter

    async def send(self, command: CommandRequest, wait: incoming.Wait) -> Outcome:
        """The outcome: of the record for `durable`, else of the decision. Raises FormError, Retryable, Problem."""
        if command.command_type == FORK:
            await self._check_origin(command)
        confirmed: Wait = "durable" if wait == "durable" else "committed"
        outcome = await self._commands.send(command, wait=confirmed, deadline_seconds=DEADLINE_SECONDS)
        self._meter.outcome(outcome["status"])
        return outcome

    async def _check_origin(self, command: CommandRequest) -> None:
        """Wait, bounded, until reads show the event at which a fork begins. Raises Problem where there is none.

        The sequencer cannot tell an event that was never written from one of another partition that is on its way. It
        has such a command sent again and again, and a misspelt name would look like an outage.
        """
        wanted = parse(FORK, command.body)
        assert isinstance(wanted, ForkProject)
        try:
            head = await self._reads.head_seq(command.tenant, wanted.from_project, min_seq=wanted.at_seq)
        except Retryable as error:
            if error.code != "not_yet":
                raise
            head = await self._reads.head_seq(command.tenant, wanted.from_project)
        if head is None:
            raise problems.Problem("unknown_project", f"There is no project {wanted.from_project!r}.")
        if head < wanted.at_seq:
            raise problems.Problem("no_such_seq", f"Project {wanted.from_project!r} has no event {wanted.at_seq}.")

    async def shown(self, command: CommandRequest, outcome: Outcome) -> None:
        """Wait, bounded, until reads show the outcome's event. Raises Retryable (`not_yet`)."""
        if outcome["event_seq"] is not None:
            await self._reads.head_seq(command.tenant, command.project, min_seq=outcome["event_seq"])

    async def told(self, command: CommandRequest, outcome: Outcome, wait: incoming.Wait) -> dict[str, Any]:
        """The answer's body, with what only reads know: the late results of a handover, and the next step."""
        step = None
        if wait == "materialized" and outcome["event_seq"] is not None:
            step = await self._reads.next_step(command.tenant, command.project, min_seq=outcome["event_seq"])
        body = document(command.command_type, outcome, step)
        handover = (body.get("lease") or {}).get("handover")
        if handover is not None:
            late = await self._late_results(command, body["lease"]["task_id"], outcome["event_seq"] or 1)
            if late is not None:
                handover["late_results"] = late
        return body

    def handler(self, write: Write) -> Handler:
        """The handler of one row of the surface."""

        async def handle(request: Request, caller: Caller) -> Response:
            conditions = incoming.conditions(incoming.headers_of(request))
            try:
                wait, project, body = await _understood(write, request)
                command = command_request(write.command_type, project, body, conditions, caller)
                outcome = await self.send(command, wait)
                return response(outcome, await self.told(command, outcome, wait))
            except Exception as error:  # noqa: BLE001 - answered with the command's id, so that it can be repeated
                return problems.response(error, conditions.command_id)

        return handle

    async def _late_results(self, command: CommandRequest, task_id: str | None, seq: int) -> list[LateResult] | None:
        """Those that were known before the event `seq`, which granted; none for a project that began with it.

        Best effort: the grant stands, whether or not the database answers in time.
        """
        try:
            async with asyncio.timeout(LATE_SECONDS_MAX):
                late = await self._reads.late_results(
                    command.tenant, command.project, task_id=task_id, limit=LATE_RESULTS_TOLD_MAX, min_seq=seq - 1
                )
        except (ContinuityError, TimeoutError) as error:
            log.info("The late results of a handover could not be read: %s", error)
            return None
        return late or []


def command_request(
    command_type: str, project: str, body: dict[str, Any], conditions: incoming.Conditions, caller: Caller
) -> CommandRequest:
    """A command as it goes to the log: tenant and operator are the key's."""
    return CommandRequest(
        command_type=command_type,
        body=body,
        command_id=conditions.command_id,
        tenant=caller.tenant,
        project=project,
        operator_id=caller.operator_id,
        operator_kind=caller.operator_kind,
        session_id=conditions.session_id,
        expected_seq=conditions.expected_seq,
        fencing_token=conditions.fencing_token,
    )


def response(outcome: Outcome, body: dict[str, Any]) -> Response:
    """The HTTP response of an outcome: 200, 201 when something was made, 202 for `durable`, or the refusal's status."""
    if outcome["status"] == "refused":
        return problems.answer(body)
    headers = {}
    if outcome["status"] == "durable":
        headers["Location"] = f"/v1/commands/{outcome['command_id']}"
    if outcome["event_seq"] is not None:
        headers["ETag"] = f'"seq-{outcome["event_seq"]}"'
    return Response(orjson.dumps(body), status_of(outcome), headers, media_type=JSONResponse.media_type)


def status_of(outcome: Outcome) -> HTTPStatus:
    """The HTTP status of an outcome that is no refusal."""
    if outcome["status"] == "durable":
        return HTTPStatus.ACCEPTED
    is_new = outcome["status"] == "accepted" and outcome["event_type"] in MAKING
    return HTTPStatus.CREATED if is_new else HTTPStatus.OK


def document(command_type: str, outcome: Outcome, next_step: NextStep | None = None) -> dict[str, Any]:
    """What a caller is told of an outcome; a refusal is told as a problem."""
    if outcome["status"] == "refused":
        code, detail = outcome["code"] or "internal", outcome["detail"] or ""
        return problems.document(code, detail, outcome["fix"], command_id=outcome["command_id"])
    told: Mapping[str, Any] = outcome
    body = {name: told[name] for name in ANSWER_FIELDS if told.get(name) is not None}
    result = outcome["result"]
    if command_type in LEASING and outcome["status"] != "durable":
        body["lease"] = result if result and result["token"] is not None else None
    elif command_type in STEPPING and result is not None:
        body["step"] = result
    if next_step is not None:
        body["next_step"] = next_step
    return body


async def _understood(write: Write, request: Request) -> tuple[incoming.Wait, str, dict[str, Any]]:
    """How long to wait, the project, and the command's fields: from path and query, or from path and body."""
    ids = dict(request.path_params)
    project = incoming.project_name(ids.pop("project"))
    fields = query_fields(write)
    given = incoming.parameters(request, (*WRITE_PARAMETERS, *fields))
    wait = incoming.wait_of(given)
    body = await incoming.json_object(request)
    if fields and body:
        raise problems.Problem("unknown_field", f"DELETE takes no body: send {' and '.join(fields)} in the query.")
    body |= {name: incoming.flag(given, name) for name in fields if name in given}
    for name in write.absent:
        if name in body:
            raise problems.Problem("unknown_field", f"{name} has no place here: the path is {CLAIM}.")
    return wait, project, _with_ids(body, ids)


def _with_ids(body: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    # The path names the thing; a body that names it again could name another one.
    for name, value in ids.items():
        if name in body:
            raise problems.Problem("unknown_field", f"{name} stands in the path: the body must not have it.")
        if name == "attempt_id":
            body[name] = incoming.number(ids, name, 0, minimum=1, maximum=ATTEMPTS_MAX)
        else:
            body[name] = value if name == "step_id" else value.lower()
    return body
