"""The calls of the asynchronous client and of its grants: those of `client.calls`, awaited. Documented there."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar, Unpack

from continuity.answers import (
    ActiveWorkState,
    Blocker,
    EventDocument,
    LateResult,
    NextStep,
    StoredResult,
    WriteAnswer,
)
from continuity.client import wire
from continuity.client.calls import FOLLOW_SECONDS, PAGE
from continuity.client.wire import WriteOptions

T = TypeVar("T")


class AsyncCommands(ABC):
    """One method for each command. What all of them take, answer and raise stands at `Continuity`."""

    @abstractmethod
    async def _send(self, command_type: str, fields: Mapping[str, Any], options: WriteOptions) -> WriteAnswer: ...

    async def create_goal(self, text: str, priority: int = 0, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.create_goal`."""
        return await self._send("create_goal", {"text": text, "priority": priority}, options)

    async def set_goal_status(self, goal_id: str, status: str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.set_goal_status`."""
        return await self._send("set_goal_status", {"goal_id": goal_id, "status": status}, options)

    async def set_goal_priority(self, goal_id: str, priority: int, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.set_goal_priority`."""
        return await self._send("set_goal_priority", {"goal_id": goal_id, "priority": priority}, options)

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
        return await self._send("add_task", fields, options)

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
        return await self._send("amend_task", fields, options)

    async def start_task(self, task_id: str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.start_task`."""
        return await self._send("start_task", {"task_id": task_id}, options)

    async def pause_task(self, task_id: str, reason: str | None = None, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.pause_task`."""
        return await self._send("pause_task", {"task_id": task_id, "reason": reason}, options)

    async def block_task(self, task_id: str, blocker: Blocker | str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.block_task`."""
        fields = {"task_id": task_id, "blocker": blocker}
        return await self._send("block_task", fields, options)

    async def complete_task(
        self, task_id: str, evidence: str | None = None, **options: Unpack[WriteOptions]
    ) -> WriteAnswer:
        """As `Continuity.complete_task`."""
        return await self._send("complete_task", {"task_id": task_id, "evidence": evidence}, options)

    async def reopen_task(self, task_id: str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.reopen_task`."""
        return await self._send("reopen_task", {"task_id": task_id}, options)

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
        return await self._send("update_checkpoint", fields, options)

    async def acquire_lease(self, owner_id: str, ttl_seconds: int, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.acquire_lease`."""
        fields = {"owner_id": owner_id, "ttl_seconds": ttl_seconds}
        return await self._send("acquire_lease", fields, options)

    async def renew_lease(self, task_id: str | None = None, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.renew_lease`."""
        return await self._send("renew_lease", {"task_id": task_id}, options)

    async def release_lease(
        self, task_id: str | None = None, *, force: bool = False, **options: Unpack[WriteOptions]
    ) -> WriteAnswer:
        """As `Continuity.release_lease`."""
        return await self._send("release_lease", {"task_id": task_id, "force": force}, options)

    async def claim_task(
        self, owner_id: str, ttl_seconds: int, task_id: str | None = None, **options: Unpack[WriteOptions]
    ) -> WriteAnswer:
        """As `Continuity.claim_task`."""
        fields = {"owner_id": owner_id, "ttl_seconds": ttl_seconds, "task_id": task_id}
        return await self._send("claim_task", fields, options)

    async def begin_step(
        self,
        step_id: str,
        step_type: str,
        task_id: str | None = None,
        external_key: str | None = None,
        **options: Unpack[WriteOptions],
    ) -> WriteAnswer:
        """As `Continuity.begin_step`."""
        fields = {"step_id": step_id, "step_type": step_type, "task_id": task_id, "external_key": external_key}
        return await self._send("begin_step", fields, options)

    async def complete_step(
        self,
        step_id: str,
        attempt_id: int,
        result_ref: str | None = None,
        result_checksum: str | None = None,
        **options: Unpack[WriteOptions],
    ) -> WriteAnswer:
        """As `Continuity.complete_step`."""
        fields = {
            "step_id": step_id,
            "attempt_id": attempt_id,
            "result_ref": result_ref,
            "result_checksum": result_checksum,
        }
        return await self._send("complete_step", fields, options)

    async def fail_step(
        self, step_id: str, attempt_id: int, error: str | None = None, **options: Unpack[WriteOptions]
    ) -> WriteAnswer:
        """As `Continuity.fail_step`."""
        return await self._send("fail_step", {"step_id": step_id, "attempt_id": attempt_id, "error": error}, options)

    async def rollback(self, to_seq: int, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.rollback`."""
        return await self._send("rollback", {"to_seq": to_seq}, options)

    async def fork_project(self, from_project: str, at_seq: int, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """As `Continuity.fork_project`."""
        return await self._send("fork_project", {"from_project": from_project, "at_seq": at_seq}, options)


class AsyncQuestions(ABC):
    """What can be asked about a project."""

    _wire: wire.Wire

    @abstractmethod
    async def _run(self, steps: wire.Steps[T]) -> T: ...

    async def get_next_step(
        self, project_id: str | None = None, *, for_owner: str | None = None, at_seq: int | None = None
    ) -> NextStep:
        """As `Continuity.get_next_step`."""
        return await self._run(self._wire.next_step(project_id, for_owner, at_seq))

    async def state(self, project_id: str | None = None, *, at_seq: int | None = None) -> ActiveWorkState:
        """As `Continuity.state`."""
        return await self._run(self._wire.state(project_id, at_seq))

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

    async def late_results(self, task_id: str | None = None) -> list[LateResult]:
        """As `Continuity.late_results`."""
        return (await self._run(self._wire.late_results(task_id)))["late_results"]

    async def store_result(self, content: bytes, media: str = "application/octet-stream") -> StoredResult:
        """Keep what a step resulted in, up to 8 MiB; the reference and checksum go into `complete_step`."""
        return await self._run(self._wire.store_result(content, media))

    async def result(self, result_ref: str, result_checksum: str | None = None) -> bytes:
        """As `Continuity.result`."""
        return (await self._run(self._wire.result(result_ref, result_checksum)))[0]
