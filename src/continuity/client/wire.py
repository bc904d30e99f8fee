"""The SDK's whole logic without any I/O: requests are built and answers read here, once, for both clients.

A call is a generator: it yields what is to be sent (`Send`) or waited for (`Pause`) and gets back what came (`Received`
or `Failed`). The synchronous and the asynchronous client only carry these out. Sending again after a failure is decided
here too: it is safe because a command keeps its `command_id`, and reads change nothing.
"""

import random
import threading
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from copy import copy
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Literal, NamedTuple, TypedDict, TypeVar, cast
from urllib.parse import urlencode

import orjson

from continuity.answers import (
    ActiveWorkState,
    CommandOutcome,
    EventPage,
    LateResultPage,
    NextStep,
    ProjectPage,
    StoredResult,
    WriteAnswer,
)
from continuity.client import paths
from continuity.client.errors import InvalidForm, Unavailable, of_problem
from continuity.errors import IntegrityError

T = TypeVar("T")

DEADLINE_SECONDS = 30.0
ATTEMPT_SECONDS_MAX = 15.0
"""Longer than the service's own deadline for a command, so that its answer wins."""
BACKOFF_FIRST_SECONDS = 0.05
BACKOFF_SECONDS_MAX = 2.0
PASSING_STATUSES = frozenset({429, 502, 503, 504})


class WriteOptions(TypedDict, total=False):
    """What every command may say besides its fields, as keywords.

    `command_id`: a UUID of your own, so that your repeat of the call is recognized. `expected_seq`: accept only while
    the project's head is that event (raises Conflict otherwise). `fencing_token`: the grant under which you work.
    `wait`: `committed` (default: the fact is confirmed), `durable` (recorded, not decided yet) or `materialized`
    (committed, and reads show it; the answer has the next step).
    """

    command_id: str
    expected_seq: int
    fencing_token: int
    wait: Literal["durable", "committed", "materialized"]


class Send(NamedTuple):
    """A request to carry out within `timeout_seconds`."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout_seconds: float


class Pause(NamedTuple):
    """A wait before the next attempt."""

    seconds: float


class Received(NamedTuple):
    """What the service answered."""

    status: int
    retry_after: str | None
    body: bytes
    media: str = ""


class Failed(NamedTuple):
    """No answer came; `reason` says why. What was sent may have been carried out, unless nobody was `connected`."""

    reason: str
    connected: bool = True


Steps = Generator[Send | Pause, Received | Failed | None, T]


class Wire:
    """Builds the calls of one client. Remembers, for each project, the newest event that the caller has seen."""

    def __init__(
        self,
        project: str,
        *,
        url: str,
        session_id: str | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
        connect_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if session_id is not None and not (session_id.isascii() and session_id.isprintable()):
            raise InvalidForm("session_id must be printable ASCII.", code="invalid_field")
        self.project = project
        self._url = url
        self._session_id = session_id
        self._deadline_seconds = deadline_seconds
        self._connect_seconds = deadline_seconds if connect_seconds is None else connect_seconds
        self._clock = clock
        self._seen: dict[str, int] = {}
        self._lock = threading.Lock()

    def of_project(self, project: str | None, *, deadline_seconds: float | None = None) -> "Wire":
        """The same for another project, or with another deadline. What was seen is shared."""
        other = copy(self)
        other.project = project or self.project
        other._deadline_seconds = deadline_seconds or self._deadline_seconds  # noqa: SLF001 - it is one of us
        return other

    def write(self, command_type: str, fields: Mapping[str, Any], options: WriteOptions) -> Steps[WriteAnswer]:
        """Send a command until its outcome is known or the deadline is over."""
        call = paths.of_command(self.project, command_type, fields, options.get("wait"))
        answer = yield from self._command(call, options)
        self._saw(self.project, answer.get("event_seq", 0))
        return answer

    def claim_anywhere(self, fields: Mapping[str, Any], options: WriteOptions) -> Steps[WriteAnswer]:
        """Claim in whichever project of the tenant there is something to do."""
        query = {"wait": options["wait"]} if "wait" in options else {}
        answer = yield from self._command(
            paths.Call("POST", paths.ANYWHERE + paths.queried(query), {**fields}), options
        )
        self._saw(answer.get("project", ""), answer.get("event_seq", 0))
        return answer

    def _command(self, call: paths.Call, options: WriteOptions) -> Steps[WriteAnswer]:
        command_id = options.get("command_id") or str(uuid.uuid4())
        headers = {"Idempotency-Key": command_id}
        if "expected_seq" in options:
            headers["If-Match"] = f'"seq-{options["expected_seq"]}"'
        if "fencing_token" in options:
            headers["Fencing-Token"] = str(options["fencing_token"])
        if self._session_id is not None:
            headers["Session-Id"] = self._session_id
        body = None
        if call.method != "DELETE":
            headers["Content-Type"] = "application/json"
            body = _encode(call.body)
        return cast("WriteAnswer", (yield from self._exchange(call.method, call.path, headers, body, command_id)))

    def store_result(self, content: bytes, media: str) -> Steps[StoredResult]:
        """Keep what a step resulted in."""
        path = f"{paths.of_project(self.project)}/results"
        answer = yield from self._exchange("POST", path, {"Content-Type": media}, content, None)
        return cast("StoredResult", answer)

    def result(self, result_ref: str, result_checksum: str | None) -> Steps[tuple[bytes, str]]:
        """What a step resulted in, and its media type; compared with its checksum, whoever stored it."""
        path = f"{paths.of_project(self.project)}/results/{paths.segment(result_ref)}"
        came = yield from self._received("GET", path, {}, None, None)
        if came.status != HTTPStatus.OK:
            raise of_problem(came.status, _document(came) or {})
        if result_checksum is not None and sha256(came.body).hexdigest() != result_checksum:
            detail = f"Result {result_ref} does not have the checksum of its step, {result_checksum}."
            fix = "Do not use it: restore the store of results, or do the work again under another step_id."
            raise IntegrityError(detail, workflow_id="", field="result_checksum", fix=fix)
        return came.body, came.media

    def late_results(self, task_id: str | None) -> Steps[LateResultPage]:
        """Ask for what came too late."""
        asked = {} if task_id is None else {"task_id": task_id}
        return cast("LateResultPage", (yield from self._read(self.project, "/late-results", asked)))

    def next_step(
        self, project: str | None, for_owner: str | None = None, at_seq: int | None = None
    ) -> Steps[NextStep]:
        """Ask what to do next, or what it was after an event."""
        asked = _given(for_owner=for_owner, at_seq=at_seq)
        return cast("NextStep", (yield from self._read(project or self.project, "/next-step", asked)))

    def state(self, project: str | None, at_seq: int | None = None) -> Steps[ActiveWorkState]:
        """Ask for the work as it stands, or stood after an event."""
        asked = _given(at_seq=at_seq)
        return cast("ActiveWorkState", (yield from self._read(project or self.project, "/state", asked)))

    def look(self, question: str, **asked: Any) -> Steps[dict[str, Any]]:
        """Ask about the past: `explain`, `diff`, `history`, `snapshots`, `verify`."""
        return (yield from self._read(self.project, f"/{question}", _given(**asked)))

    def export(self, at_seq: int | None) -> Steps[None]:
        """Ask for the incident file; whoever carries this out keeps the bytes of a good answer where they are to go."""
        query = _given(at_seq=at_seq, min_seq=self._seen.get(self.project) or None)
        path = f"{paths.of_project(self.project)}/export{paths.queried(query)}"
        came = yield from self._received("GET", path, {}, None, None)
        if came.status != HTTPStatus.OK:
            raise of_problem(came.status, _document(came) or {})

    def events(self, cursor: str | None, limit: int) -> Steps[EventPage]:
        """Ask for a page of events."""
        asked = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        return cast("EventPage", (yield from self._read(self.project, "/events", asked)))

    def projects(self, cursor: str | None) -> Steps[ProjectPage]:
        """Ask for a page of the tenant's projects."""
        query = f"?{urlencode({'cursor': cursor})}" if cursor else ""
        return cast("ProjectPage", (yield from self._exchange("GET", f"/v1/projects{query}", {}, None, None)))

    def outcome(self, command_id: str) -> Steps[CommandOutcome]:
        """Ask what became of a command: whoever was told that it is in the project's journal finds it there."""
        seen = self._seen.get(self.project, 0)
        query = {"project": self.project, "min_seq": seen} if seen else {}
        path = f"/v1/commands/{paths.segment(command_id)}{paths.queried(query)}"
        return cast("CommandOutcome", (yield from self._exchange("GET", path, {}, None, None)))

    def _read(self, project: str, below: str, asked: Mapping[str, Any] | None = None) -> Steps[dict[str, Any]]:
        seen = self._seen.get(project, 0)
        query = {**(asked or {}), **({"min_seq": seen} if seen else {})}
        path = f"{paths.of_project(project)}{below}{paths.queried(query)}"
        answer = yield from self._exchange("GET", path, {}, None, None)
        self._saw(project, answer.get("as_of_seq", 0))
        return answer

    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, command_id: str | None
    ) -> Steps[dict[str, Any]]:
        return _answer((yield from self._received(method, path, headers, body, command_id)))

    def _received(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, command_id: str | None
    ) -> Steps[Received]:
        began = self._clock()
        give_up_at = began + self._deadline_seconds
        backoff = BACKOFF_FIRST_SECONDS
        while True:
            timeout = min(ATTEMPT_SECONDS_MAX, max(give_up_at - self._clock(), 0.001))
            came = yield Send(method, path, headers, body, timeout)
            if isinstance(came, Received) and came.status not in PASSING_STATUSES:
                return came
            # Full jitter: clients that failed together do not come back together.
            pause = random.uniform(backoff / 2, backoff) + _retry_after_seconds(came)  # noqa: S311 - no secret
            alone = isinstance(came, Failed) and not came.connected
            if self._clock() + pause >= (min(give_up_at, began + self._connect_seconds) if alone else give_up_at):
                raise self._gave_up(came, command_id, self._clock() - began)
            yield Pause(pause)
            backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)

    def _gave_up(self, came: Received | Failed | None, command_id: str | None, seconds: float) -> Exception:
        if isinstance(came, Received):
            return of_problem(came.status, {"command_id": command_id, **(_document(came) or {})})
        reason = came.reason if came else "no answer"
        fix = "Start the stack with `continuity up`, or set CONTINUITY_API_URL to where it runs."
        detail = f"No answer from {self._url} within {seconds:.1f} seconds: {reason}."
        return Unavailable(detail, fix=fix, command_id=command_id)

    def _saw(self, project: str, seq: int) -> None:
        with self._lock:
            self._seen[project] = max(seq, self._seen.get(project, 0))


def _answer(came: Received) -> dict[str, Any]:
    document = _document(came)
    if not 200 <= came.status < 300:  # noqa: PLR2004 - HTTP's own border
        raise of_problem(came.status, document or {})
    if document is None:
        raise Unavailable(
            "The answer is no answer of continuity.", fix="Check CONTINUITY_API_URL.", code="foreign_answer"
        )
    return document


def _document(came: Received) -> dict[str, Any] | None:
    # A proxy in between may answer with a page of its own.
    try:
        value = orjson.loads(came.body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _given(**asked: Any) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if value is not None}


def _retry_after_seconds(came: Received | Failed | None) -> float:
    text = came.retry_after if isinstance(came, Received) else None
    return float(min(int(text), 60)) if text and text.isdigit() else 0.0


def _encode(body: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(body, default=_plain)
    except orjson.JSONEncodeError as error:
        fix = "Use strings without lone surrogates, integers below 2**53, lists and dicts."
        raise InvalidForm(f"The command is not JSON: {error}.", fix=fix, code="json_syntax") from None


def _plain(value: Any) -> Any:
    if isinstance(value, AbstractSet | Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
