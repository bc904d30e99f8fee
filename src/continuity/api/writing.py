"""Commands over HTTP: from a request to the log, and from an outcome to an answer. One command a request.

The rules of a command are not here: its form is `core.commands`, its decision the sequencer's.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from continuity.api import incoming, problems
from continuity.api.gate import Handler
from continuity.api.metrics import Meter
from continuity.api.ports import CommandPort, ReadPort
from continuity.api.surface import CREATING, WRITE_PARAMETERS, Write
from continuity.core.next_step import NextStep
from continuity.keys import Caller
from continuity.producers import Outcome, Wait
from continuity.producers import Request as CommandRequest

DEADLINE_SECONDS = 8.0
"""Shorter than the ten seconds that a command line waits: the 503 arrives before it gives up."""

ANSWER_FIELDS = (
    "command_id", "status", "workflow_id", "event_seq", "event_id", "event_type", "goal_id", "task_id",
    "fencing_token", "state_checksum",
)  # fmt: skip


class Writer:
    """Sends one command and waits for as much as was asked: recorded, committed, or to be seen in reads."""

    def __init__(self, commands: CommandPort, reads: ReadPort, meter: Meter) -> None:
        self._commands = commands
        self._reads = reads
        self._meter = meter

    async def send(self, command: CommandRequest, wait: incoming.Wait) -> Outcome:
        """The outcome: of the record for `durable`, else of the decision. Raises FormError, Retryable."""
        confirmed: Wait = "durable" if wait == "durable" else "committed"
        outcome = await self._commands.send(command, wait=confirmed, deadline_seconds=DEADLINE_SECONDS)
        self._meter.outcome(outcome["status"])
        return outcome

    async def shown(self, command: CommandRequest, outcome: Outcome) -> None:
        """Wait, bounded, until reads show the outcome's event. Raises Retryable (`not_yet`)."""
        if outcome["event_seq"] is not None:
            await self._reads.head_seq(command.tenant, command.project, min_seq=outcome["event_seq"])

    def handler(self, write: Write) -> Handler:
        """The handler of one row of the surface."""

        async def handle(request: Request, caller: Caller) -> Response:
            conditions = incoming.conditions(incoming.headers_of(request))
            try:
                wait = incoming.wait_of(incoming.parameters(request, WRITE_PARAMETERS))
                ids = dict(request.path_params)
                project = incoming.project_name(ids.pop("project"))
                body = _with_ids(await incoming.json_object(request), ids)
                command = CommandRequest(
                    command_type=write.command_type,
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
                outcome = await self.send(command, wait)
                step = None
                if wait == "materialized" and outcome["event_seq"] is not None:
                    step = await self._reads.next_step(caller.tenant, project, min_seq=outcome["event_seq"])
                return answer(write.command_type, outcome, step)
            except Exception as error:  # noqa: BLE001 - answered with the command's id, so that it can be repeated
                return problems.response(error, conditions.command_id)

        return handle


def answer(command_type: str, outcome: Outcome, next_step: NextStep | None) -> Response:
    """The HTTP response of an outcome: 200, 201 when something was made, 202 for `durable`, or the refusal's status."""
    body = document(outcome, next_step)
    if outcome["status"] == "refused":
        return problems.answer(body)
    status = HTTPStatus.OK
    headers = {}
    if outcome["status"] == "durable":
        status = HTTPStatus.ACCEPTED
        headers["Location"] = f"/v1/commands/{outcome['command_id']}"
    elif outcome["status"] == "accepted" and command_type in CREATING:
        status = HTTPStatus.CREATED
    if outcome["event_seq"] is not None:
        headers["ETag"] = f'"seq-{outcome["event_seq"]}"'
    return Response(orjson.dumps(body), status, headers, media_type=JSONResponse.media_type)


def document(outcome: Outcome, next_step: NextStep | None = None) -> dict[str, Any]:
    """What a caller is told of an outcome; a refusal is told as a problem."""
    if outcome["status"] == "refused":
        code, detail = outcome["code"] or "internal", outcome["detail"] or ""
        return problems.document(code, detail, outcome["fix"], command_id=outcome["command_id"])
    told: Mapping[str, Any] = outcome
    body = {name: told[name] for name in ANSWER_FIELDS if told.get(name) is not None}
    if next_step is not None:
        body["next_step"] = next_step
    return body


def _with_ids(body: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    # The path names the thing; a body that names it again could name another one.
    for name, value in ids.items():
        if name in body:
            raise problems.Problem("unknown_field", f"{name} stands in the path: the body must not have it.")
        body[name] = value.lower()
    return body
