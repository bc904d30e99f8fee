"""The native clients: commands straight to Kafka, without HTTP in between. For trusted services.

Who may write to the commands topic is the broker's access control; tenant and operator are whatever the caller says.
"""

import asyncio
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from continuity.config import Settings
from continuity.errors import ContinuityError
from continuity.producers.exchange import IN_FLIGHT_MAX, Exchange, settle_here
from continuity.producers.request import Outcome, Request, Wait, command_of

DEADLINE_SECONDS = 10.0


class CommandClient:
    """Send commands and wait for their outcomes; thread-safe. Use it as a context manager."""

    def __init__(self, settings: Settings, *, in_flight_max: int = IN_FLIGHT_MAX) -> None:
        self._exchange = Exchange(settings, in_flight_max=in_flight_max)

    def __enter__(self) -> Self:
        self._exchange.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._exchange.close()

    def send(
        self, request: Request, *, wait: Wait = "committed", deadline_seconds: float = DEADLINE_SECONDS
    ) -> Outcome:
        """Send one command and wait until its event is confirmed (`committed`) or the log has it (`durable`).

        A refusal is an outcome (`status` refused, with code, detail and fix). Raises FormError before anything is
        sent, and Retryable when the outcome is unknown at the deadline: repeat with the same command_id.
        """
        return self.submit(request, wait=wait, deadline_seconds=deadline_seconds).result()

    def submit(
        self, request: Request, *, wait: Wait = "committed", deadline_seconds: float = DEADLINE_SECONDS
    ) -> "Future[Outcome]":
        """The same without waiting: many commands may be on the way at once."""
        future: Future[Outcome] = Future()
        self._exchange.submit(command_of(request), wait, deadline_seconds, future)
        self._exchange.post()
        return future


class AsyncCommandClient:
    """The same for asyncio. All of it belongs to the event loop in which it was started."""

    def __init__(self, settings: Settings, *, in_flight_max: int = IN_FLIGHT_MAX) -> None:
        self._exchange = Exchange(settings, self._settle, in_flight_max=in_flight_max)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Connect. Raises Retryable while the broker is away, ConfigError when its topics are not as they must be."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._exchange.start)

    async def ready(self) -> None:
        """Raise Retryable while the broker does not answer."""
        await asyncio.to_thread(self._exchange.ready)

    async def close(self) -> None:
        """Stop; whatever still waits gets Retryable."""
        await asyncio.to_thread(self._exchange.close)

    async def send(
        self, request: Request, *, wait: Wait = "committed", deadline_seconds: float = DEADLINE_SECONDS
    ) -> Outcome:
        """As `CommandClient.send`."""
        command = command_of(request)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        if self._exchange.submit(command, wait, deadline_seconds, future):  # type: ignore[arg-type]  # settled here
            loop.call_soon(self._exchange.post)  # after all that the loop runs now: they leave together
        return await future

    def _settle(self, settled: "list[tuple[Future[Outcome], Outcome | ContinuityError]]") -> None:
        # One wake-up of the loop for all replies of a poll.
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(settle_here, settled)
