"""A lease or claim of the asynchronous client, held for as long as an `async with` block lasts: `AsyncGrant`.

As `client.grants`, with a task in the place of the thread. When the grant is lost, the task that works under it is
cancelled, too, and the end of the block turns that into LeaseLost: the work stops at its next `await`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from continuity.answers import WriteAnswer
from continuity.client import executing, tenure, wire
from continuity.client.async_calls import AsyncCommands, AsyncQuestions
from continuity.client.async_steps import AsyncStep
from continuity.client.errors import ContinuityError, Fenced, LeaseLost, Unavailable
from continuity.client.holding import Holding
from continuity.client.tenure import Ask
from continuity.client.wire import WriteOptions

if TYPE_CHECKING:
    from continuity.client.asynchronous import AsyncContinuity

T = TypeVar("T")
log = logging.getLogger("continuity.client")


class AsyncGrant(Holding["AsyncContinuity"], AsyncCommands, AsyncQuestions):
    """As `Grant`, entered with `async with`, and every call awaited. For one event loop."""

    def __init__(self, client: AsyncContinuity, ask: Ask, *, command_id: str | None, named: bool) -> None:
        super().__init__(client, ask, command_id=command_id, named=named)
        self._worker: asyncio.Task[Any] | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._cancelled = False

    def step(
        self,
        step_id: str,
        type: str,  # noqa: A002 - the published name
        *,
        task_id: str | None = None,
        external_key: str | None = None,
    ) -> AsyncStep:
        """A step of the work, completed at most once, for ever; see `Step`.

        `type`: `pure` (no effect outside), `idempotent` (doing it twice does no harm) or `non_idempotent`: then the
        other side gets `step.external_key` with each attempt, made of project and `step_id` unless you give one.
        """
        return AsyncStep(self, executing.wanted(self._workflow_id, step_id, type, task_id, external_key))

    async def release(self) -> None:
        """As `Grant.release`."""
        await self.release_lease(self.task_id)

    async def __aenter__(self) -> Self:
        got = await self._client._run(self._asking())  # noqa: SLF001 - a grant is the client's other half
        self._begin(got)
        self._worker = asyncio.current_task()
        self._renewal = asyncio.create_task(self._renew(), name=f"renewal of token {got.lease['token']}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end_renewal()
        state = self._tenure.state
        if state == "held":
            state = await self._give_back()
        if state != "lost":
            return
        loss = self._tenure.loss()
        if error is None or self._is_our_cancellation(error):
            raise loss from error
        if not isinstance(error, LeaseLost):
            error.add_note(f"Besides: {loss.detail}")

    async def _run(self, steps: wire.Steps[T], *, late: bool = False) -> T:
        """Carry a call out while the grant is not lost; `late` for what has to be told even so."""
        if not late:
            self.check()
        try:
            return await self._client._run(steps)  # noqa: SLF001
        except Fenced as error:
            await self._doubt(error)
            raise

    async def _send(self, command_type: str, fields: Mapping[str, Any], options: WriteOptions) -> WriteAnswer:
        held = self._tenure
        held.check()
        if held.state == "ended":
            return await self._run(self._wire.write(command_type, fields, options))
        sent_at = time.monotonic()
        under: WriteOptions = {"fencing_token": self.token, **options}
        try:
            with held.ending(command_type):
                answer = await self._client._run(self._wire.write(command_type, fields, under))  # noqa: SLF001
                held.answered(command_type, fields, under, answer, sent_at)
        except Fenced as error:
            await self._doubt(error)
            raise
        return answer

    async def _doubt(self, error: Fenced) -> None:
        """A token can be refused for one attempt only: a renewal knows whether the grant itself is gone."""
        if self._tenure.state == "held":
            await self._renew_once()
        if self.lost:
            raise self._tenure.loss() from error

    async def _renew(self) -> None:
        held = self._tenure
        pause = held.seconds_to_renewal
        while True:
            await asyncio.sleep(min(pause, held.seconds_left))
            if held.state != "held":
                break
            went_through = await self._renew_once()
            pause = held.seconds_to_renewal if went_through else tenure.RETRY_SECONDS
        if held.state == "lost" and self._worker is not None:
            self._cancelled = True
            self._worker.cancel()

    async def _end_renewal(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait({self._renewal})

    def _is_our_cancellation(self, error: BaseException) -> bool:
        """Whether it was us, and only us, who cancelled the work."""
        if not self._cancelled or not isinstance(error, asyncio.CancelledError) or self._worker is None:
            return False
        return self._worker.uncancel() == 0

    async def _renew_once(self) -> bool:
        held = self._tenure
        sent_at = time.monotonic()
        renewing = self._wire.of_project(None, deadline_seconds=max(held.seconds_left / 2, 0.1))
        try:
            await self._client._run(tenure.renewal_of(renewing, held.lease))  # noqa: SLF001
        except Fenced as error:
            held.lose(error.detail)
            return False
        except ContinuityError as error:
            log.warning("%s was not renewed: %s", held.what, error)
            return False
        held.renewed(sent_at)
        return True

    async def _give_back(self) -> tenure.State:
        held = self._tenure
        releasing = self._wire.of_project(None, deadline_seconds=max(held.seconds_left, 0.1))
        fields = {"task_id": self.task_id}
        try:
            await self._client._run(releasing.write("release_lease", fields, {"fencing_token": self.token}))  # noqa: SLF001
            held.end()
        except Fenced as error:
            held.lose(error.detail)
        except Unavailable as error:
            log.warning("%s was not released, and runs out by itself: %s", held.what, error)
            held.end()
        return held.state
