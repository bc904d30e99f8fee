"""Questions about the past over HTTP: the work at an earlier event, differences, histories, proofs, exports.

They are asked seldom and cost more than others: each runs in a thread on a connection of its own, a few at a time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from continuity.api import incoming
from continuity.api.gate import Handler
from continuity.api.ports import PastPort, ReadPort
from continuity.api.problems import Problem
from continuity.core import canonical
from continuity.core.refusals import REFUSALS
from continuity.errors import ContinuityError, Retryable
from continuity.keys import Caller

AT_ONCE_MAX: Final = 4
"""Each may hold a state of 16 MiB, twice for a difference."""
WAITING_MAX: Final = 32
EXPORTS_MAX: Final = 4
EXPORT_TYPE: Final = "application/zstd"

T = TypeVar("T")


class Looking:
    """The handlers of the questions about the past, by name."""

    def __init__(self, past: PastPort, reads: ReadPort) -> None:
        self._past = past
        self._reads = reads
        self._room = asyncio.Semaphore(AT_ONCE_MAX)
        self._inside = self._exports = 0
        self.handlers: dict[str, Handler] = {
            "explain": self.explain,
            "diff": self.diff,
            "history": self.history,
            "snapshots": self.snapshots,
            "verify": self.verify,
            "export": self.export,
        }

    async def state(self, request: Request, caller: Caller, given: Mapping[str, str]) -> Response:
        """The ActiveWorkState after an event."""
        project, at_seq = await self._place(request, caller, given), _seq(given, "at_seq", 1)
        return _told(await self._asked(project, lambda: self._past.state(caller.tenant, project, at_seq or 0)))

    async def next_step(self, request: Request, caller: Caller, given: Mapping[str, str]) -> Response:
        """The next step after an event."""
        project, at_seq = await self._place(request, caller, given), _seq(given, "at_seq", 1)
        owner = incoming.owner(dict(given), "for_owner")
        return _told(
            await self._asked(project, lambda: self._past.next_step(caller.tenant, project, at_seq or 0, owner))
        )

    async def explain(self, request: Request, caller: Caller) -> Response:
        """Why the next step is what it is, or was."""
        given = incoming.parameters(request, ("at_seq", "for_owner", "min_seq"))
        project, at_seq = await self._place(request, caller, given), _seq(given, "at_seq", 1)
        owner = incoming.owner(given, "for_owner")
        return _told(await self._asked(project, lambda: self._past.explain(caller.tenant, project, at_seq, owner)))

    async def diff(self, request: Request, caller: Caller) -> Response:
        """What changed between two events."""
        given = incoming.parameters(request, ("from_seq", "to_seq", "min_seq"))
        project = await self._place(request, caller, given)
        begin, end = _seq(given, "from_seq", 0), _seq(given, "to_seq", 0)
        if begin is None:
            raise Problem("missing_field", "from_seq is missing: the event to begin with, 0 for before the first.")
        return _told(await self._asked(project, lambda: self._past.diff(caller.tenant, project, begin, end)))

    async def history(self, request: Request, caller: Caller) -> Response:
        """What happened to a task."""
        given = incoming.parameters(request, ("task_id", "after_seq", "limit", "min_seq"))
        project = await self._place(request, caller, given)
        if "task_id" not in given:
            raise Problem("missing_field", "task_id is missing: the task whose history is asked for.")
        task_id = incoming.identifier("task_id", given["task_id"])
        after = incoming.number(given, "after_seq", 0)
        limit = incoming.number(given, "limit", incoming.PAGE_DEFAULT, minimum=1, maximum=incoming.PAGE_MAX)
        look = lambda: self._past.history(caller.tenant, project, task_id, after_seq=after, limit=limit)  # noqa: E731
        return _told(await self._asked(project, look))

    async def snapshots(self, request: Request, caller: Caller) -> Response:
        """The stored states."""
        given = incoming.parameters(request, ("limit", "min_seq"))
        project = await self._place(request, caller, given)
        limit = incoming.number(given, "limit", incoming.PAGE_DEFAULT, minimum=1, maximum=incoming.PAGE_MAX)
        return _told(await self._asked(project, lambda: self._past.snapshots(caller.tenant, project, limit=limit)))

    async def verify(self, request: Request, caller: Caller) -> Response:
        """Whether the project is as it was written. A verdict, good or bad, is an answer."""
        given = incoming.parameters(request, ("min_seq",))
        project = await self._place(request, caller, given)
        return _told(await self._asked(project, lambda: self._past.verify(caller.tenant, project)))

    async def export(self, request: Request, caller: Caller) -> Response:
        """The incident file, as it is written."""
        given = incoming.parameters(request, ("at_seq", "min_seq"))
        project, at_seq = await self._place(request, caller, given), _seq(given, "at_seq", 0)
        if self._exports >= EXPORTS_MAX:
            raise _busy()
        pieces = await self._asked(project, lambda: self._past.export(caller.tenant, project, at_seq))
        # What is wrong at once is a refusal; what is wrong later can only end the file.
        first = await asyncio.to_thread(next, pieces, b"")
        headers = {"Content-Disposition": f'attachment; filename="{project}.jsonl.zst"'}
        return StreamingResponse(self._streamed(first, pieces), headers=headers, media_type=EXPORT_TYPE)

    async def _streamed(self, first: bytes, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        self._exports += 1
        try:
            yield first
            while piece := await asyncio.to_thread(next, pieces, b""):
                yield piece
        finally:
            self._exports -= 1
            await asyncio.to_thread(getattr(pieces, "close", lambda: None))

    async def _place(self, request: Request, caller: Caller, given: Mapping[str, str]) -> str:
        """The project's name, once what the caller has seen of it is projected."""
        project = incoming.project_name(request.path_params["project"])
        min_seq = incoming.number(dict(given), "min_seq", 0)
        if min_seq and await self._reads.head_seq(caller.tenant, project, min_seq=min_seq) is None:
            raise _unknown(project)
        return project

    async def _asked(self, project: str, look: Callable[[], T | None]) -> T:
        try:
            async with self._entered():
                found = await asyncio.to_thread(look)
        except ContinuityError as error:
            # A refusal that only the past can tell: there is no such event, or no such task.
            if isinstance(error, Retryable) or error.code not in REFUSALS or error.code in ("integrity", "fenced"):
                raise
            raise Problem(error.code, error.detail, fix=error.fix) from None
        if found is None:
            raise _unknown(project)
        return found

    @asynccontextmanager
    async def _entered(self) -> AsyncIterator[None]:
        if self._inside >= AT_ONCE_MAX + WAITING_MAX:
            raise _busy()
        self._inside += 1
        try:
            async with self._room:
                yield
        finally:
            self._inside -= 1


def _seq(given: Mapping[str, str], name: str, minimum: int) -> int | None:
    return incoming.number(dict(given), name, 0, minimum=minimum) if name in given else None


def _told(answer: Any) -> Response:
    # In canonical JSON, so that answers about one event can be compared as bytes.
    headers = {"ETag": f'"seq-{answer["as_of_seq"]}"'} if "as_of_seq" in answer else {}
    return Response(canonical.dumps(answer), headers=headers, media_type=JSONResponse.media_type)


def _unknown(project: str) -> Problem:
    return Problem("unknown_project", f"There is no project {project!r}.")


def _busy() -> Retryable:
    return Retryable("Too many looks back are under way.", code="overloaded", fix="Repeat after Retry-After.")
