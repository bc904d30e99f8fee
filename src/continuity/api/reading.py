"""Questions over HTTP: next step, state, events, projects, and what became of a command.

What is answered comes from `api.reads`; this module knows parameters, pages and headers.
"""

from http import HTTPStatus
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from continuity.api import incoming
from continuity.api.gate import Handler
from continuity.api.ports import ReadPort
from continuity.api.problems import Problem
from continuity.core import canonical
from continuity.core.ids import instant
from continuity.core.records import LOG_FIELDS, Event
from continuity.keys import Caller

JSON = JSONResponse.media_type


class Reader:
    """The handlers of the surface's reads, by name."""

    def __init__(self, reads: ReadPort) -> None:
        self._reads = reads
        self.handlers: dict[str, Handler] = {
            "next_step": self.next_step,
            "state": self.state,
            "events": self.events,
            "projects": self.projects,
            "command": self.command,
        }

    async def next_step(self, request: Request, caller: Caller) -> Response:
        """`core.next_step`'s answer in canonical JSON: the bytes are comparable."""
        project, min_seq = _place(request)
        step = await self._reads.next_step(caller.tenant, project, min_seq=min_seq)
        if step is None:
            raise _unknown(project)
        return Response(canonical.dumps(step), headers=_etag(step["as_of_seq"]), media_type=JSON)

    async def state(self, request: Request, caller: Caller) -> Response:
        """The ActiveWorkState."""
        project, min_seq = _place(request)
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
        incoming.parameters(request, ())
        command_id = incoming.identifier("command_id", request.path_params["command_id"])
        outcome = await self._reads.command(caller.tenant, command_id)
        if outcome is None:
            raise Problem("unknown_command_id", f"No command {command_id} is known here.", command_id=command_id)
        return Response(orjson.dumps(outcome), HTTPStatus.OK, media_type=JSON)


def event_document(event: Event) -> dict[str, Any]:
    """An event for people and programs: payload and delta as JSON values, the time as text, the log's fields apart."""
    told: dict[str, Any] = {name: value for name, value in event.items() if name not in LOG_FIELDS}
    told["timestamp"] = instant(event["timestamp"])
    told["payload"] = orjson.loads(event["payload"])
    told["delta"] = orjson.loads(event["delta"])
    return told


def _place(request: Request) -> tuple[str, int]:
    given = incoming.parameters(request, ("min_seq",))
    return incoming.project_name(request.path_params["project"]), incoming.number(given, "min_seq", 0)


def _etag(event_seq: int) -> dict[str, str]:
    return {"ETag": f'"seq-{event_seq}"'}


def _unknown(project: str) -> Problem:
    return Problem("unknown_project", f"There is no project {project!r}.")
