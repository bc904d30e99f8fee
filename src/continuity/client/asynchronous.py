"""The asynchronous client: `AsyncContinuity`, the same calls as `Continuity`, awaited.

It carries out what `client.wire` decides, and holds the connections. What a call takes, answers and raises is written
once, at `Continuity`; `help()` shows it here, too.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx

from continuity.answers import (
    ActiveWorkState,
    Blocker,
    CommandOutcome,
    EventDocument,
    NextStep,
    ProjectSummary,
    WriteAnswer,
)
from continuity.client import wire
from continuity.client.access import access
from continuity.client.sync import CONNECTIONS_MAX, FOLLOW_SECONDS, PAGE, Continuity
from continuity.client.wire import WriteOptions

T = TypeVar("T")


class AsyncContinuity:
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

    async def create_goal(self, text: str, priority: int = 0, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.create_goal`."""
        return await self._run(self._wire.write("create_goal", {"text": text, "priority": priority}, options))

    async def set_goal_status(self, goal_id: str, status: str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.set_goal_status`."""
        return await self._run(self._wire.write("set_goal_status", {"goal_id": goal_id, "status": status}, options))

    async def set_goal_priority(self, goal_id: str, priority: int, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.set_goal_priority`."""
        return await self._run(
            self._wire.write("set_goal_priority", {"goal_id": goal_id, "priority": priority}, options)
        )

    async def add_task(
        self,
        goal_id: str,
        title: str,
        acceptance_criteria: Sequence[str] | None = None,
        *,
        depends_on: Sequence[str] | None = None,
        **options: Unpack[WriteOptions],
    ) -> WriteAnswer:
        """As `Continuity.add_task`."""
        fields = {
            "goal_id": goal_id,
            "title": title,
            "acceptance_criteria": acceptance_criteria,
            "depends_on": depends_on,
        }
        return await self._run(self._wire.write("add_task", fields, options))

    async def amend_task(
        self,
        task_id: str,
        title: str | None = None,
        acceptance_criteria: Sequence[str] | None = None,
        *,
        depends_on: Sequence[str] | None = None,
        **options: Unpack[WriteOptions],
    ) -> WriteAnswer:
        """As `Continuity.amend_task`."""
        fields = {
            "task_id": task_id,
            "title": title,
            "acceptance_criteria": acceptance_criteria,
            "depends_on": depends_on,
        }
        return await self._run(self._wire.write("amend_task", fields, options))

    async def start_task(self, task_id: str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.start_task`."""
        return await self._run(self._wire.write("start_task", {"task_id": task_id}, options))

    async def pause_task(self, task_id: str, reason: str | None = None, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.pause_task`."""
        return await self._run(self._wire.write("pause_task", {"task_id": task_id, "reason": reason}, options))

    async def block_task(self, task_id: str, blocker: Blocker | str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.block_task`."""
        fields = {"task_id": task_id, "blocker": blocker}
        return await self._run(self._wire.write("block_task", fields, options))

    async def complete_task(
        self, task_id: str, evidence: str | None = None, **options: Unpack[WriteOptions]
    ) -> WriteAnswer:
        """As `Continuity.complete_task`."""
        return await self._run(self._wire.write("complete_task", {"task_id": task_id, "evidence": evidence}, options))

    async def reopen_task(self, task_id: str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.reopen_task`."""
        return await self._run(self._wire.write("reopen_task", {"task_id": task_id}, options))

    async def update_checkpoint(
        self,
        task_id: str,
        where_left_off: str,
        next_step: str,
        context_refs: Sequence[str],
        **options: Unpack[WriteOptions],
    ) -> WriteAnswer:
        """As `Continuity.update_checkpoint`."""
        fields = {
            "task_id": task_id,
            "where_left_off": where_left_off,
            "next_step": next_step,
            "context_refs": context_refs,
        }
        return await self._run(self._wire.write("update_checkpoint", fields, options))

    async def get_next_step(self, project_id: str | None = None) -> NextStep:
        """As `Continuity.get_next_step`."""
        return await self._run(self._wire.next_step(project_id))

    async def state(self, project_id: str | None = None) -> ActiveWorkState:
        """As `Continuity.state`."""
        return await self._run(self._wire.state(project_id))

    async def rehydrate(self, project_id: str | None = None) -> ActiveWorkState:
        """As `Continuity.rehydrate`."""
        return await self.state(project_id)

    async def events(self, *, cursor: str | None = None, follow: bool = False) -> AsyncIterator[EventDocument]:
        """As `Continuity.events`."""
        while True:
            page = await self._run(self._wire.events(cursor, PAGE))
            for event in page["events"]:
                yield event
            cursor = page["next_cursor"]
            if not page["has_more"]:
                if not follow:
                    return
                await asyncio.sleep(FOLLOW_SECONDS)

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

    async def _run(self, steps: wire.Steps[T]) -> T:
        came: wire.Received | wire.Failed | None = None
        try:
            while True:
                step = steps.send(came)
                if isinstance(step, wire.Pause):
                    await asyncio.sleep(step.seconds)
                    came = None
                else:
                    came = await self._carry_out(step)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _carry_out(self, send: wire.Send) -> wire.Received | wire.Failed:
        try:
            response = await self._http.request(
                send.method, send.path, headers=send.headers, content=send.body, timeout=send.timeout_seconds
            )
        except httpx.ConnectError as error:
            return wire.Failed(str(error) or "no connection", connected=False)
        except httpx.RequestError as error:
            return wire.Failed(str(error) or type(error).__name__)
        return wire.Received(response.status_code, response.headers.get("retry-after"), response.content)


for _name, _method in vars(AsyncContinuity).items():
    if not _name.startswith("_") and callable(_method):
        _method.__doc__ = getattr(Continuity, _name).__doc__
