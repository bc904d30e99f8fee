"""A step of the asynchronous client: `AsyncStep`, the same as `Step`, awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from continuity.client import executing
from continuity.client.errors import ContinuityError
from continuity.client.executing import Executing, Wanted

if TYPE_CHECKING:
    from continuity.client.async_grants import AsyncGrant

T = TypeVar("T")


class AsyncStep(Executing):
    """As `Step`, with `async with`; `run` takes a coroutine function.

    >>> async with claim.step("fetch-prices", type="idempotent") as step:
    ...     if step.is_new:
    ...         step.result = await fetch_prices()
    >>> prices = await claim.step("fetch-prices", type="idempotent").run(fetch_prices)
    """

    def __init__(self, grant: AsyncGrant, wanted: Wanted) -> None:
        super().__init__(wanted)
        self._grant = grant

    async def run(self, function: Callable[..., Awaitable[T]], *arguments: Any, **named: Any) -> T:
        """What the function returns, in the form that JSON has for it; on a repeat without calling it."""
        async with self:
            if self.is_new:
                self.result = await function(*arguments, **named)
        result: T = self.result
        return result

    async def __aenter__(self) -> Self:
        grant = self._grant
        self._begun = await grant._run(executing.begin(grant._wire, grant.token, self._wanted))  # noqa: SLF001
        self.result, self.result_ref = self._begun.result, self._begun.result_ref
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.is_new:
            return
        if error is None:
            await self._complete()
        elif isinstance(error, Exception):
            await self._fail(error)

    async def _complete(self) -> None:
        grant = self._grant
        try:
            content = executing.encoded(self.result)
        except ContinuityError as error:
            await self._fail(error)
            raise
        # Also when the grant seems lost: the service decides, and keeps what came too late.
        completing = executing.complete(grant._wire, grant.token, self.step_id, self.attempt_id, content)  # noqa: SLF001
        self.result_ref, self.result = await grant._run(completing, late=True)  # noqa: SLF001

    async def _fail(self, error: Exception) -> None:
        grant = self._grant
        failing = executing.fail(grant._wire, grant.token, self.step_id, self.attempt_id, error)  # noqa: SLF001
        # The body's own error goes on; an attempt that could not be closed stays open, and the next one is told of it.
        with suppress(ContinuityError):
            await grant._run(failing, late=True)  # noqa: SLF001
