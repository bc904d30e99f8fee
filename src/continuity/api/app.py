"""The application: the surface's routes with their handlers behind the gate, service routes, and answers for the rest.

FastAPI carries the routes; the handlers are plain request-to-response functions. Its dependency and model layer costs
127 µs a request here against 70 µs for a plain route (measured on two cores), parses bodies that our own rules must see
first, and would write a second declaration of every command beside `core.commands`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import NamedTuple

import orjson
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Match, Route

from continuity.api import docs, openapi, problems, registry, surface
from continuity.api.batch import Batches
from continuity.api.fleet import Fleet
from continuity.api.gate import IN_FLIGHT_MAX, Gate
from continuity.api.looking import Looking
from continuity.api.metrics import Meter
from continuity.api.ports import AssignmentPort, BlobPort, CommandPort, PastPort, ReadPort
from continuity.api.reading import Reader
from continuity.api.results import Results
from continuity.api.writing import Writer
from continuity.errors import ContinuityError
from continuity.keys import Keyring

Probe = Callable[[], Awaitable[None]]
"""Raises ContinuityError while what it asks about cannot be used."""

V1 = "/v1"
EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Neighbours(NamedTuple):
    """What the application stands on. It starts and closes all but the blobs, which need neither."""

    commands: CommandPort
    reads: ReadPort
    assignments: AssignmentPort
    blobs: BlobPort
    past: PastPort


def create_app(
    neighbours: Neighbours,
    keyring: Keyring,
    *,
    probes: Mapping[str, Probe] | None = None,
    in_flight_max: int = IN_FLIGHT_MAX,
) -> FastAPI:
    """The ASGI application over its neighbours."""
    commands, reads, assignments, blobs, past = neighbours

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await reads.start()
        await assignments.start()
        await commands.start()
        try:
            yield
        finally:
            await commands.close()
            await assignments.close()
            await reads.close()

    app = FastAPI(
        title="continuity", version=version("continuity"), lifespan=lifespan, openapi_url=None, redirect_slashes=False
    )
    meter = Meter()
    gate = Gate(keyring, meter, in_flight_max=in_flight_max)
    writer = Writer(commands, reads, meter)
    fleet = Fleet(writer, assignments)
    looking = Looking(past, reads)
    reader = Reader(reads, fleet, looking)
    results = Results(blobs, reads)
    # Routes are tried in their order, at 0.8 µs each: next-step is asked most, then come checkpoints and transitions.
    for read in surface.READS:
        _route(app, "GET", read.path, gate.guard(reader.handlers[read.name], read.path))
    for write in reversed((*surface.WRITES, *surface.CLAIM_WRITES)):
        _route(app, write.method, write.path, gate.guard(writer.handler(write), write.path))
    _route(app, "POST", surface.BATCH_PATH, gate.guard(Batches(writer).handle, surface.BATCH_PATH))
    _route(app, "POST", surface.FLEET_PATH, gate.guard(fleet.handle, surface.FLEET_PATH))
    _route(app, "GET", surface.EXPORT_PATH, gate.guard(looking.handlers["export"], surface.EXPORT_PATH))
    _route(app, "POST", surface.RESULTS_PATH, gate.guard(results.store, surface.RESULTS_PATH))
    _route(app, "GET", surface.RESULT_PATH, gate.guard(results.give, surface.RESULT_PATH))
    _service_routes(app, meter, probes or {})
    _describing_routes(app)
    _other_answers(app, gate)
    return app


def _route(app: FastAPI, method: str, path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> None:
    app.add_route(path, endpoint, methods=[method])


def _service_routes(app: FastAPI, meter: Meter, probes: Mapping[str, Probe]) -> None:
    async def health(_: Request) -> Response:
        return Response(b'{"status":"ok"}', media_type=JSONResponse.media_type)

    async def ready(_: Request) -> Response:
        parts = {}
        for name, probe in probes.items():
            try:
                await probe()
                parts[name] = "ok"
            except ContinuityError as error:
                parts[name] = f"{error.detail} {error.fix}".strip()
        away = [name for name, state in parts.items() if state != "ok"]
        if away:
            detail = f"{' and '.join(away)} cannot be used now."
            return problems.answer(problems.document("unavailable", detail, "Wait, or look at `parts`.", parts=parts))
        return Response(orjson.dumps({"status": "ok", "parts": parts}), media_type=JSONResponse.media_type)

    async def metrics(_: Request) -> Response:
        return Response(meter.exposition(), headers={"content-type": EXPOSITION_TYPE})

    _route(app, "GET", surface.HEALTH_PATH, health)
    _route(app, "GET", surface.READY_PATH, ready)
    _route(app, "GET", surface.METRICS_PATH, metrics)
    _route(app, "GET", surface.SCHEMA_PATH, registry.schema)


def _describing_routes(app: FastAPI) -> None:
    described = openapi.document(app.version)
    app.openapi = lambda: described  # type: ignore[method-assign]  # FastAPI's documented way to give its own document
    as_json, as_page = orjson.dumps(described), docs.page(described)

    async def document(_: Request) -> Response:
        return Response(as_json, media_type=JSONResponse.media_type)

    async def page(_: Request) -> Response:
        return HTMLResponse(as_page)

    _route(app, "GET", surface.OPENAPI_PATH, document)
    _route(app, "GET", surface.DOCS_PATH, page)


def _allowed(app: FastAPI, request: Request) -> list[str]:
    """The methods of a path: it has a route for each, and the router's own refusal names those of the first alone."""
    routes = [each for each in app.routes if isinstance(each, Route) and each.matches(request.scope)[0] != Match.NONE]
    return sorted({method for each in routes for method in each.methods or ()})


def _other_answers(app: FastAPI, gate: Gate) -> None:
    async def http_exception(request: Request, error: Exception) -> Response:
        if request.url.path.startswith(V1):
            try:
                gate.authenticate(request)
            except problems.Problem as problem:
                return problems.response(problem)
        status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
        path = f"{request.method} {request.url.path:.200}"
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            answer = problems.answer(problems.document("method_not_allowed", f"{path}: not with this method."))
            answer.headers["Allow"] = ", ".join(_allowed(app, request))
            return answer
        if status == HTTPStatus.NOT_FOUND:
            return problems.answer(problems.document("not_found", f"{path}: there is no such path."))
        return problems.response(error)

    app.add_exception_handler(HTTPException, http_exception)
