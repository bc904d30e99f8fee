"""The asynchronous client: `AsyncContinuity`, the same calls as `Continuity`, awaited.

It carries out what `client.wire` decides, and holds the connections. What a call takes, answers and raises is written
once, at `Continuity`; `help()` shows it here, too.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import IO, Any, Self, TypeVar, Unpack

import httpx

from continuity.answers import CommandOutcome, ProjectSummary, WriteAnswer
from continuity.client import transport, wire
from continuity.client.access import access
from continuity.client.async_calls import AsyncCommands, AsyncQuestions
from continuity.client.async_grants import AsyncGrant
from continuity.client.async_looking import AsyncPast
from continuity.client.sync import CONNECTIONS_MAX, Continuity
from continuity.client.tenure import TTL_SECONDS
from continuity.client.wire import WriteOptions

T = TypeVar("T")


class AsyncContinuity(AsyncCommands, AsyncQuestions, AsyncPast):
    """A project's unfinished work, over HTTP: `Continuity` with every call awaited. For one event loop.

    >>> async with AsyncContinuity("my-project") as work:
    ...     goal = await work.create_goal("Release 1.0", priority=10)
    ...     async for event in work.events():
    ...         print(event["event_type"])
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
        self._http = httpx.AsyncClient(
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

    def lease(self, owner_id: str, ttl_seconds: int = TTL_SECONDS, *, command_id: str | None = None) -> AsyncGrant:
        """As `Continuity.lease`."""
        fields = {"owner_id": owner_id, "ttl_seconds": ttl_seconds}

        def ask(options: WriteOptions) -> wire.Steps[WriteAnswer]:
            return self._wire.write("acquire_lease", fields, options)

        return AsyncGrant(self, ask, command_id=command_id, named=True)

    def claim(
        self,
        owner_id: str,
        ttl_seconds: int = TTL_SECONDS,
        task_id: str | None = None,
        *,
        command_id: str | None = None,
    ) -> AsyncGrant:
        """As `Continuity.claim`."""
        fields = {"owner_id": owner_id, "ttl_seconds": ttl_seconds, "task_id": task_id}

        def ask(options: WriteOptions) -> wire.Steps[WriteAnswer]:
            return self._wire.write("claim_task", fields, options)

        return AsyncGrant(self, ask, command_id=command_id, named=task_id is not None)

    def claim_anywhere(
        self, owner_id: str, ttl_seconds: int = TTL_SECONDS, *, command_id: str | None = None
    ) -> AsyncGrant:
        """As `Continuity.claim_anywhere`."""
        fields = {"owner_id": owner_id, "ttl_seconds": ttl_seconds}

        def ask(options: WriteOptions) -> wire.Steps[WriteAnswer]:
            return self._wire.claim_anywhere(fields, options)

        return AsyncGrant(self, ask, command_id=command_id, named=False)

    async def claim_task_anywhere(
        self, owner_id: str, ttl_seconds: int, **options: Unpack[WriteOptions]
    ) -> WriteAnswer:
        """As `Continuity.claim_task_anywhere`."""
        fields = {"owner_id": owner_id, "ttl_seconds": ttl_seconds}
        return await self._run(self._wire.claim_anywhere(fields, options))

    async def projects(self) -> AsyncIterator[ProjectSummary]:
        """As `Continuity.projects`."""
        cursor: str | None = None
        while True:
            page = await self._run(self._wire.projects(cursor))
            for project in page["projects"]:
                yield project
            cursor = page.get("next_cursor")
            if cursor is None:
                return

    async def command_outcome(self, command_id: str) -> CommandOutcome:
        """As `Continuity.command_outcome`."""
        return await self._run(self._wire.outcome(command_id))

    async def close(self) -> None:
        """As `Continuity.close`."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, command_type: str, fields: Mapping[str, Any], options: WriteOptions) -> WriteAnswer:
        return await self._run(self._wire.write(command_type, fields, options))

    async def _run(self, steps: wire.Steps[T]) -> T:
        return await self._carried(steps, self._carry_out)

    async def _download(self, steps: wire.Steps[None], file: IO[bytes]) -> None:
        await self._carried(steps, lambda send: self._save(send, file))

    async def _carried(
        self, steps: wire.Steps[T], carry_out: Callable[[wire.Send], Awaitable[wire.Received | wire.Failed]]
    ) -> T:
        came: wire.Received | wire.Failed | None = None
        try:
            while True:
                step = steps.send(came)
                if isinstance(step, wire.Pause):
                    await asyncio.sleep(step.seconds)
                    came = None
                else:
                    came = await carry_out(step)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _save(self, send: wire.Send, file: IO[bytes]) -> wire.Received | wire.Failed:
        """Carry it out, and keep what comes with a good answer in the file, from its beginning."""
        file.seek(0)
        file.truncate()
        try:
            async with self._http.stream(
                send.method, send.path, headers=send.headers, timeout=send.timeout_seconds
            ) as response:
                told = response.status_code, response.headers.get("retry-after")
                if response.status_code != HTTPStatus.OK:
                    return wire.Received(*told, await response.aread())
                async for chunk in response.aiter_bytes():
                    file.write(chunk)
        except httpx.RequestError as error:
            return transport.failed(error)
        return wire.Received(*told, b"")

    async def _carry_out(self, send: wire.Send) -> wire.Received | wire.Failed:
        try:
            response = await self._http.request(
                send.method, send.path, headers=send.headers, content=send.body, timeout=send.timeout_seconds
            )
        except httpx.RequestError as error:
            return transport.failed(error)
        return transport.received(response)


for _kind in (AsyncCommands, AsyncQuestions, AsyncPast, AsyncContinuity):
    for _name, _method in vars(_kind).items():
        if not _name.startswith("_") and callable(_method):
            _method.__doc__ = getattr(Continuity, _name).__doc__
