"""Claims for a fleet of workers: the next task of any project of the tenant, one after another until one is to be had.

Each project decides for itself, as for `POST …/claims`, under a command id made of the caller's and of the project. The
project is stored before the command is sent, so that a repeat whose first answer was lost goes to the same one and is
given the same claim. While a request is at it, no other one moves the same claim on (`ports.Assignment`).
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from continuity.api import incoming, problems
from continuity.api.ports import AssignmentPort
from continuity.api.problems import Problem
from continuity.api.surface import WRITE_PARAMETERS
from continuity.api.writing import Writer, command_request, response
from continuity.core import commands
from continuity.core.ids import entity_id, workflow_id
from continuity.keys import Caller
from continuity.producers import Outcome
from continuity.producers import Request as CommandRequest

CLAIM = "claim_task"
PASSING = frozenset({"nothing_to_claim", "lease_held", "workflow_stopped"})
"""Refusals with which one project sends the claim on to the next."""
TRIED_MAX = 20
"""Projects that one claim is sent to. Each takes a few milliseconds, and a caller does not wait for ever."""


def derived_id(tenant: str, project: str, command_id: str) -> str:
    """The command id under which a fleet's claim goes to one project: the same for every repeat."""
    return entity_id(workflow_id(tenant, project), command_id)


class Fleet:
    """Takes claims for any project of the caller's tenant."""

    def __init__(self, writer: Writer, assignments: AssignmentPort) -> None:
        self._writer = writer
        self._assignments = assignments

    async def sent_as(self, tenant: str, command_id: str) -> str | None:
        """The id of the command in which a fleet's claim ended, or is; None when no claim has this id."""
        project = await self._assignments.assigned(tenant, command_id)
        return None if project is None else derived_id(tenant, project, command_id)

    async def handle(self, request: Request, caller: Caller) -> Response:
        """The handler of `POST /v1/claims`."""
        conditions = incoming.conditions(incoming.headers_of(request))
        try:
            wait = incoming.wait_of(incoming.parameters(request, WRITE_PARAMETERS))
            _check_free(wait, conditions)
            body = _checked(await incoming.json_object(request))
            command, outcome = await self._claim(body, conditions, caller, wait)
            told = await self._writer.told(command, outcome, wait)
            if outcome["status"] != "refused":
                told |= {"command_id": conditions.command_id, "project": command.project}
            else:
                told["command_id"] = conditions.command_id
            return response(outcome, told)
        except Exception as error:  # noqa: BLE001 - answered with the command's id, so that it can be repeated
            return problems.response(error, conditions.command_id)

    async def _claim(
        self, body: dict[str, Any], conditions: incoming.Conditions, caller: Caller, wait: incoming.Wait
    ) -> tuple[CommandRequest, Outcome]:
        """The first outcome that is not passed on. Raises Problem(nothing_to_claim)."""
        async with self._assignments.held(caller.tenant, conditions.command_id) as assignment:
            # Where it was sent before comes first: it may have been given there.
            before = [] if assignment.project is None else [assignment.project]
            known = set(before)
            for project in before:
                command, outcome = await self._sent(project, body, conditions, caller, wait)
                if outcome["code"] not in PASSING:
                    return command, outcome
            for project in await assignment.candidates():
                if project in known or len(known) >= TRIED_MAX:
                    continue
                known.add(project)
                await assignment.move(project)
                command, outcome = await self._sent(project, body, conditions, caller, wait)
                if outcome["code"] not in PASSING:
                    return command, outcome
        raise Problem("nothing_to_claim", f"None of {len(known)} projects has a ready task that nobody holds.")

    async def _sent(
        self,
        project: str,
        body: dict[str, Any],
        conditions: incoming.Conditions,
        caller: Caller,
        wait: incoming.Wait,
    ) -> tuple[CommandRequest, Outcome]:
        own = conditions._replace(command_id=derived_id(caller.tenant, project, conditions.command_id))
        command = command_request(CLAIM, project, body, own, caller)
        return command, await self._writer.send(command, wait)


def _check_free(wait: incoming.Wait, conditions: incoming.Conditions) -> None:
    if wait == "durable":
        problems.refuse("wait", "cannot be durable here: which project it is comes from the decision.")
    if (conditions.expected_seq, conditions.fencing_token) != (None, None):
        problems.refuse("If-Match and Fencing-Token", "belong to one project: claim in it.")


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    # The form is checked before anything is stored; a task has a project, so none can be named here.
    if "task_id" in body:
        raise Problem("unknown_field", "task_id has no place here: claim a named task in its project.")
    commands.parse(CLAIM, body)
    return body
