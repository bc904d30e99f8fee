"""Many commands in one round trip: NDJSON in, NDJSON out, answers streamed in the order of the lines.

Commands are sent as their lines arrive, without waiting for one another. So that their order means something, each one
says `after` the previous line of the same project: when one is refused or lost, those behind it are refused with
`predecessor_missing` instead of being applied out of order. A line with `"after": null` stands for itself. A renewal
is nobody's predecessor, because it is answered and makes no event; the line behind it follows the one before it.

Answers are kept, not held back: a client that sends its whole body before it reads must not wait for itself. That is
why the number of lines is bounded.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from uuid import uuid4

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from continuity.api import incoming, problems
from continuity.api.problems import Problem
from continuity.api.surface import WRITE_PARAMETERS
from continuity.api.writing import Writer, document, status_of
from continuity.core import canonical
from continuity.core.limits import COMMAND_BYTES_MAX
from continuity.errors import Retryable
from continuity.keys import Caller
from continuity.producers import Request as CommandRequest

LINES_MAX = 5_000
LINE_BYTES_MAX = COMMAND_BYTES_MAX + 4_096
"""A command and the members around it."""
BATCHES_MAX = 8
PIPELINED_MAX = 256
"""Commands of all batches that are on their way at once; the rest waits in its sender's socket."""
MEDIA_TYPE = "application/x-ndjson"

ANSWERED = frozenset({"renew_lease"})
"""Commands that are answered and never accepted: nobody's predecessor."""

LINE_FIELDS = frozenset(
    {"project", "command_type", "body", "command_id", "expected_seq", "fencing_token", "session_id", "after"}
)


class Line(NamedTuple):
    """A line as it was understood: either a command to send or the problem with it."""

    number: int
    command_id: str | None
    command: CommandRequest | None = None
    error: Exception | None = None


class Batches:
    """Takes batches, several at once, with one bound over all of them."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._room = asyncio.Semaphore(PIPELINED_MAX)
        self._open = 0

    async def handle(self, request: Request, caller: Caller) -> Response:
        """The handler of `POST /v1/commands`."""
        wait = incoming.wait_of(incoming.parameters(request, WRITE_PARAMETERS))
        if self._open >= BATCHES_MAX:
            raise Retryable("Too many batches are open.", code="overloaded", fix="Repeat after Retry-After.")
        return _Stream(self._answers(request, caller, wait))

    async def _answers(self, request: Request, caller: Caller, wait: incoming.Wait) -> AsyncIterator[bytes]:
        answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()
        self._open += 1
        reader = asyncio.create_task(self._read(request, caller, wait, answers))
        try:
            while (task := await answers.get()) is not None:
                yield await task
            await reader
        finally:
            self._open -= 1
            reader.cancel()

    async def _read(
        self, request: Request, caller: Caller, wait: incoming.Wait, answers: asyncio.Queue[asyncio.Task[bytes] | None]
    ) -> None:
        previous: dict[str, str] = {}
        number = 0
        try:
            async for raw in incoming.lines(request, LINE_BYTES_MAX):
                number += 1
                line = _parse(number, raw, caller, previous)
                await self._room.acquire()
                task = asyncio.create_task(self._send(line, wait))
                task.add_done_callback(lambda _: self._room.release())
                answers.put_nowait(task)
                if number > LINES_MAX:
                    break
        except ClientDisconnect:
            pass
        except TimeoutError:
            silent = Problem("json_syntax", f"No line came for {incoming.SILENCE_SECONDS_MAX:.0f} seconds.")
            answers.put_nowait(asyncio.create_task(self._send(Line(number + 1, None, error=silent), wait)))
        finally:
            answers.put_nowait(None)

    async def _send(self, line: Line, wait: incoming.Wait) -> bytes:
        if line.command is None:
            return _told(line, problems.of_exception(line.error, line.command_id))
        try:
            outcome = await self._writer.send(line.command, wait)
            if wait == "materialized":
                await self._writer.shown(line.command, outcome)
        except Exception as error:  # noqa: BLE001 - one line's failure is that line's answer
            return _told(line, problems.of_exception(error, line.command_id))
        http_status = None if outcome["status"] == "refused" else status_of(outcome)
        return _told(line, document(line.command.command_type, outcome), http_status)


class _Stream(Response):
    """A body that is made while the request is still being read, which StreamingResponse cannot: it listens itself."""

    media_type = MEDIA_TYPE

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _told(line: Line, body: dict[str, Any], http_status: int | None = None) -> bytes:
    # In a stream each line carries its own HTTP status; `status` is the outcome's word, as everywhere else.
    body.pop("title", None)
    status = body["status"]
    if isinstance(status, int):
        word = "unavailable" if status >= 500 else "refused"  # noqa: PLR2004 - HTTP's own border
        body |= {"status": word, "http_status": status}
    else:
        body["http_status"] = http_status
    return orjson.dumps({"line": line.number, **body}, option=orjson.OPT_APPEND_NEWLINE)


def _parse(number: int, raw: bytes | None, caller: Caller, previous: dict[str, str]) -> Line:
    command_id = None
    try:
        value = _object(number, raw)
        command_id = _text_id("command_id", value["command_id"]) if value.get("command_id") else str(uuid4())
        project = _project(value)
        behind = previous.get(project)
        # A line whose type is not even a word has successors, too: they are refused with it.
        if str(value.get("command_type")) not in ANSWERED:
            previous[project] = command_id
        return Line(number, command_id, _command(value, command_id, behind, caller))
    except Exception as error:  # noqa: BLE001 - answered in its place
        return Line(number, command_id, error=error)


def _object(number: int, raw: bytes | None) -> dict[str, Any]:
    if number > LINES_MAX:
        raise Problem(
            "command_too_large", f"A batch has at most {LINES_MAX} lines.", fix="Send the rest in another one."
        )
    if raw is None:
        raise Problem("command_too_large", f"A line has at most {LINE_BYTES_MAX} bytes.")
    value = canonical.loads(raw)
    if not isinstance(value, dict):
        raise Problem("json_syntax", "A line must be a JSON object.")
    return value


def _project(value: dict[str, Any]) -> str:
    if not isinstance(value.get("project"), str):
        raise Problem("missing_field", "project is missing.")
    return incoming.project_name(value["project"])


def _command(value: dict[str, Any], command_id: str, behind: str | None, caller: Caller) -> CommandRequest:
    if unknown := value.keys() - LINE_FIELDS:
        raise Problem("unknown_field", f"A line has no field {min(unknown)!r:.80}.")
    if not isinstance(value.get("command_type"), str):
        raise Problem("missing_field", "command_type is missing.")
    body = value.get("body", {})
    if not isinstance(body, dict):
        problems.refuse("body", "must be a JSON object.")
    after = value.get("after", behind)
    return CommandRequest(
        command_type=value["command_type"],
        body=body,
        command_id=command_id,
        tenant=caller.tenant,
        project=value["project"],
        operator_id=caller.operator_id,
        operator_kind=caller.operator_kind,
        session_id=incoming.session(value.get("session_id")),
        expected_seq=_count("expected_seq", value.get("expected_seq")),
        fencing_token=_count("fencing_token", value.get("fencing_token")),
        after=None if after is None else _text_id("after", after),
    )


def _text_id(name: str, value: Any) -> str:
    return incoming.identifier(name, value if isinstance(value, str) else "")


def _count(name: str, value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 0):
        problems.refuse(name, "must be an integer, 0 or more.")
    return value
