"""The synchronous client: `Continuity`. It carries out what `client.wire` decides, and holds the connections."""

import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import IO, Any, Self, TypeVar, Unpack

import httpx

from continuity.answers import CommandOutcome, ProjectSummary, WriteAnswer
from continuity.client import transport, wire
from continuity.client.access import access
from continuity.client.calls import Commands, Questions
from continuity.client.grants import Grant
from continuity.client.looking import Past
from continuity.client.tenure import TTL_SECONDS
from continuity.client.wire import WriteOptions

T = TypeVar("T")

CONNECTIONS_MAX = 64


class Continuity(Commands, Questions, Past):
    """A project's unfinished work, over HTTP.

    Bound to one project; a project begins with its first goal. `url` and `key` default to CONTINUITY_API_URL and
    CONTINUITY_KEY, else to the stack on this machine. The key decides tenant and operator; `session_id` names this
    run of yours in the events. A call is repeated by itself, with the same `command_id`, while the service is away or
    overloaded, for at most `deadline_seconds`; `connect_seconds` ends it sooner where nobody listens at all. Reads
    show what this object has written. Safe to share among threads.

    Every command raises `InvalidForm` (a field is wrong), `Unauthorized`, `Conflict` (`expected_seq` is not the head),
    `KeyReused`, `Fenced` and `Unavailable` (outcome unknown, repeat with the error's `command_id`), besides what its
    own text names; all are `ContinuityError` with `code`, `detail` and `fix`. It answers a `WriteAnswer`: a dict with
    `command_id`, `status`, `event_seq`, `event_id`, `event_type`, the ids of what it concerns, and `state_checksum`.

    >>> with Continuity("my-project") as work:
    ...     goal = work.create_goal("Release 1.0", priority=10)
    ...     task = work.add_task(goal["goal_id"], "Write the changelog")
    ...     work.start_task(task["task_id"])
    ...     step = work.get_next_step()

    Several executors take turns with `lease()` (the whole project) or share with `claim()` (a task each):

    >>> with Continuity("my-project") as work, work.claim("worker-7") as claim:
    ...     with claim.step("fetch-prices", type="idempotent") as step:
    ...         if step.is_new:
    ...             step.result = fetch_prices()
    ...     claim.complete_task(claim.task_id, evidence=f"{len(step.result)} prices")
    """

    def __init__(
        self,
        project: str,
        url: str | None = None,
        key: str | None = None,
        *,
        session_id: str | None = None,
        deadline_seconds: float = wire.DEADLINE_SECONDS,
        connect_seconds: float | None = None,
    ) -> None:
        found = access(url, key)
        self._wire = wire.Wire(
            project,
            url=found.url,
            session_id=session_id,
            deadline_seconds=deadline_seconds,
            connect_seconds=connect_seconds,
        )
        self._http = httpx.Client(
            base_url=found.url,
            headers={"Authorization": f"Bearer {found.key}"},
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX),
            trust_env=not found.is_local,
            verify=found.is_secure,  # loading certificates costs 30 ms, and plain HTTP uses none
        )

    @property
    def project(self) -> str:
        """The project that this object is bound to."""
        return self._wire.project

    def lease(self, owner_id: str, ttl_seconds: int = TTL_SECONDS, *, command_id: str | None = None) -> Grant:
        """The whole project, alone, for as long as a `with` block lasts; renewed meanwhile, given back at its end.

        Calls on what the block is given carry its token. Entering raises LeaseHeld. `command_id` names the request, so
        that the same one again, from another process, is given the same lease.
        """
        fields = {"owner_id": owner_id, "ttl_seconds": ttl_seconds}

        def ask(options: WriteOptions) -> wire.Steps[WriteAnswer]:
            return self._wire.write("acquire_lease", fields, options)

        return Grant(self, ask, command_id=command_id, named=True)

    def claim(
        self,
        owner_id: str,
        ttl_seconds: int = TTL_SECONDS,
        task_id: str | None = None,
        *,
        command_id: str | None = None,
    ) -> Grant:
        """One task, named or the next that is ready and free, for as long as a `with` block lasts. As `lease`.

        Entering raises NothingToClaim, LeaseHeld, and for a named task TaskBlocked and what `claim_task` raises.
        """
        fields = {"owner_id": owner_id, "ttl_seconds": ttl_seconds, "task_id": task_id}

        def ask(options: WriteOptions) -> wire.Steps[WriteAnswer]:
            return self._wire.write("claim_task", fields, options)

        return Grant(self, ask, command_id=command_id, named=task_id is not None)

    def claim_anywhere(self, owner_id: str, ttl_seconds: int = TTL_SECONDS, *, command_id: str | None = None) -> Grant:
        """The next task of any project of the tenant; the block is given a grant on that `project`. As `claim`."""
        fields = {"owner_id": owner_id, "ttl_seconds": ttl_seconds}

        def ask(options: WriteOptions) -> wire.Steps[WriteAnswer]:
            return self._wire.claim_anywhere(fields, options)

        return Grant(self, ask, command_id=command_id, named=False)

    def claim_task_anywhere(self, owner_id: str, ttl_seconds: int, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `claim_task`, in whichever project of the tenant there is something to do: the answer's `project`.

        Raises NothingToClaim.
        """
        fields = {"owner_id": owner_id, "ttl_seconds": ttl_seconds}
        return self._run(self._wire.claim_anywhere(fields, options))

    def projects(self) -> Iterator[ProjectSummary]:
        """The projects of the key's tenant, by name."""
        cursor: str | None = None
        while True:
            page = self._run(self._wire.projects(cursor))
            yield from page["projects"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return

    def command_outcome(self, command_id: str) -> CommandOutcome:
        """What became of a command whose answer was lost, or that was sent with `wait="durable"`.

        Raises UnknownCommand while nothing is known of it.
        """
        return self._run(self._wire.outcome(command_id))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, command_type: str, fields: Mapping[str, Any], options: WriteOptions) -> WriteAnswer:
        return self._run(self._wire.write(command_type, fields, options))

    def _run(self, steps: wire.Steps[T]) -> T:
        return self._carried(steps, self._carry_out)

    def _download(self, steps: wire.Steps[None], file: IO[bytes]) -> None:
        self._carried(steps, lambda send: self._save(send, file))

    def _carried(self, steps: wire.Steps[T], carry_out: Callable[[wire.Send], wire.Received | wire.Failed]) -> T:
        came: wire.Received | wire.Failed | None = None
        try:
            while True:
                step = steps.send(came)
                if isinstance(step, wire.Pause):
                    time.sleep(step.seconds)
                    came = None
                else:
                    came = carry_out(step)
        except StopIteration as end:
            result: T = end.value
            return result

    def _save(self, send: wire.Send, file: IO[bytes]) -> wire.Received | wire.Failed:
        """Carry it out, and keep what comes with a good answer in the file, from its beginning."""
        file.seek(0)
        file.truncate()
        try:
            with self._http.stream(
                send.method, send.path, headers=send.headers, timeout=send.timeout_seconds
            ) as response:
                told = response.status_code, response.headers.get("retry-after")
                if response.status_code != HTTPStatus.OK:
                    return wire.Received(*told, response.read())
                for chunk in response.iter_bytes():
                    file.write(chunk)
        except httpx.RequestError as error:
            return transport.failed(error)
        return wire.Received(*told, b"")

    def _carry_out(self, send: wire.Send) -> wire.Received | wire.Failed:
        try:
            response = self._http.request(
                send.method, send.path, headers=send.headers, content=send.body, timeout=send.timeout_seconds
            )
        except httpx.RequestError as error:
            return transport.failed(error)
        return transport.received(response)
