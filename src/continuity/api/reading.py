"""Questions over HTTP: next step, state, events, projects, and what became of a command.

What is answered comes from `api.reads`; this module knows parameters, pages and headers.
"""

from http import HTTPStatus
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from continuity.answers import CommandOutcome
from continuity.api import incoming
from continuity.api.fleet import Fleet
from continuity.api.gate import Handler
from continuity.api.looking import Looking
from continuity.api.ports import ReadPort
from continuity.api.problems import Problem, refuse
from continuity.core import canonical
from continuity.core.ids import instant
from continuity.core.records import LOG_FIELDS, Event
from continuity.keys import Caller

JSON = JSONResponse.media_type


class Reader:
    """The handlers of the surface's reads, by name."""

    def __init__(self, reads: ReadPort, fleet: Fleet, looking: Looking) -> None:
        self._reads = reads
        self._looking = looking
        self._fleet = fleet
        self.handlers: dict[str, Handler] = {
            "next_step": self.next_step,
            "state": self.state,
            "events": self.events,
            "late_results": self.late_results,
            "projects": self.projects,
            "command": self.command,
            **looking.handlers,
        }

    async def next_step(self, request: Request, caller: Caller) -> Response:
        """`core.next_step`'s answer in canonical JSON: the bytes are comparable."""
        project = incoming.project_name(request.path_params["project"])
        given = incoming.parameters(request, ("at_seq", "for_owner", "min_seq"))
        if "at_seq" in given:
            return await self._looking.next_step(request, caller, given)
        min_seq, owner = incoming.number(given, "min_seq", 0), incoming.owner(given, "for_owner")
        step = await self._reads.next_step(caller.tenant, project, min_seq=min_seq, for_owner=owner)
        if step is None:
            raise _unknown(project)
        return Response(canonical.dumps(step), headers=_etag(step["as_of_seq"]), media_type=JSON)

    async def state(self, request: Request, caller: Caller) -> Response:
        """The ActiveWorkState."""
        given = incoming.parameters(request, ("at_seq", "min_seq"))
        if "at_seq" in given:
            return await self._looking.state(request, caller, given)
        project = incoming.project_name(request.path_params["project"])
        min_seq = incoming.number(given, "min_seq", 0)
        state = await self._reads.state(caller.tenant, project, min_seq=min_seq)
        if state is None:
            raise _unknown(project)
        return Response(canonical.dumps(state), headers=_etag(state["as_of_seq"]), media_type=JSON)

    async def events(self, request: Request, caller: Caller) -> Response:
        """A page of the journal. `next_cursor` is always there: after the last page it waits for what comes."""
        project = incoming.project_name(request.path_params["project"])
        given = incoming.parameters(request, ("cursor", "limit", "min_seq"))
        after = incoming.after_seq(given)
        limit = incoming.number(given, "limit", incoming.PAGE_DEFAULT, minimum=1, maximum=incoming.PAGE_MAX)
        min_seq = incoming.number(given, "min_seq", 0)
        # One more than the page shows whether there is more.
        events = await self._reads.events(caller.tenant, project, after_seq=after, limit=limit + 1, min_seq=min_seq)
        if events is None:
            raise _unknown(project)
        page = events[:limit]
        last = page[-1]["event_seq"] if page else after
        body = {
            "events": [event_document(event) for event in page],
            "next_cursor": incoming.cursor("seq", last),
            "has_more": len(events) > limit,
        }
        return Response(orjson.dumps(body), media_type=JSON)

    async def late_results(self, request: Request, caller: Caller) -> Response:
        """What came too late, of one task or of all."""
        project = incoming.project_name(request.path_params["project"])
        given = incoming.parameters(request, ("task_id", "limit", "min_seq"))
        task_id = incoming.identifier("task_id", given["task_id"]) if "task_id" in given else None
        limit = incoming.number(given, "limit", incoming.PAGE_DEFAULT, minimum=1, maximum=incoming.PAGE_MAX)
        min_seq = incoming.number(given, "min_seq", 0)
        late = await self._reads.late_results(caller.tenant, project, task_id=task_id, limit=limit, min_seq=min_seq)
        if late is None:
            raise _unknown(project)
        return Response(orjson.dumps({"late_results": late}), media_type=JSON)

    async def projects(self, request: Request, caller: Caller) -> Response:
        """A page of the tenant's projects."""
        given = incoming.parameters(request, ("cursor", "limit"))
        limit = incoming.number(given, "limit", incoming.PAGE_DEFAULT, minimum=1, maximum=incoming.PAGE_MAX)
        after = incoming.after_name(given)
        projects = await self._reads.projects(caller.tenant, after=after, limit=limit + 1)
        page = projects[:limit]
        body: dict[str, Any] = {"projects": page, "has_more": len(projects) > limit}
        if body["has_more"]:
            body["next_cursor"] = incoming.cursor("name", page[-1]["project"])
        return Response(orjson.dumps(body), media_type=JSON)

    async def command(self, request: Request, caller: Caller) -> Response:
        """What became of a command, for whoever lost the answer; also a refusal is told with status 200."""
        given = incoming.parameters(request, ("project", "min_seq"))
        command_id = incoming.identifier("command_id", request.path_params["command_id"])
        min_seq = incoming.number(given, "min_seq", 0)
        project = incoming.project_name(given["project"]) if "project" in given else None
        if min_seq and project is None:
            refuse("min_seq", "needs `project`: events are numbered in each project.")
        outcome = await self._outcome(caller.tenant, command_id)
        if outcome is None and project is not None:
            await self._reads.head_seq(caller.tenant, project, min_seq=min_seq)
            outcome = await self._outcome(caller.tenant, command_id)
        if outcome is None:
            raise Problem("unknown_command_id", f"No command {command_id} is known here.", command_id=command_id)
        return Response(orjson.dumps(outcome | {"command_id": command_id}), HTTPStatus.OK, media_type=JSON)

    async def _outcome(self, tenant: str, command_id: str) -> CommandOutcome | None:
        outcome = await self._reads.command(tenant, command_id)
        if outcome is None and (sent_as := await self._fleet.sent_as(tenant, command_id)) is not None:
            outcome = await self._reads.command(tenant, sent_as)
        return outcome


def event_document(event: Event) -> dict[str, Any]:
    """An event for people and programs: payload and delta as JSON values, the time as text, the log's fields apart."""
    told: dict[str, Any] = {name: value for name, value in event.items() if name not in LOG_FIELDS}
    told["timestamp"] = instant(event["timestamp"])
    told["payload"] = orjson.loads(event["payload"])
    told["delta"] = orjson.loads(event["delta"])
    return told


def _etag(event_seq: int) -> dict[str, str]:
    return {"ETag": f'"seq-{event_seq}"'}


def _unknown(project: str) -> Problem:
    return Problem("unknown_project", f"There is no project {project!r}.")
