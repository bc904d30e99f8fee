"""The way to the command log, for an application that lives longer than a broker's outage.

The command client connects when it is started, and cannot while the broker is away. This keeps trying in the
background, so that the API starts, answers reads, and says 503 to writes until the broker is there.
"""

import asyncio
import contextlib
import logging

from continuity.api.ports import CommandPort
from continuity.errors import ConfigError, Retryable
from continuity.producers import Outcome, Request, Wait

RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


class Intake:
    """A CommandPort whose `start` returns at once."""

    def __init__(self, commands: CommandPort) -> None:
        self._commands = commands
        self._connecting: asyncio.Task[None] | None = None
        self._connected = False
        self._away = Retryable("The command log has not been reached yet.", fix="Start the broker, or wait for it.")

    async def start(self) -> None:
        """Begin to connect, and give a broker that is there the time to answer."""
        self._connecting = asyncio.create_task(self._connect())
        await asyncio.wait({self._connecting}, timeout=RETRY_SECONDS)

    async def close(self) -> None:
        """Stop; commands that still wait get Retryable."""
        if self._connecting is not None:
            self._connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._connecting
        await self._commands.close()

    async def ready(self) -> None:
        """Raise Retryable, with the reason, while the command log cannot be reached."""
        self._check_connected()
        await self._commands.ready()

    async def send(self, request: Request, *, wait: Wait = "committed", deadline_seconds: float = 10.0) -> Outcome:
        """As the command client's."""
        self._check_connected()
        return await self._commands.send(request, wait=wait, deadline_seconds=deadline_seconds)

    async def _connect(self) -> None:
        while not self._connected:
            try:
                await self._commands.start()
                self._connected = True
            except (Retryable, ConfigError) as error:
                log.warning("The command log cannot be used: %s", error)
                self._away = Retryable(error.detail, fix=error.fix)
                await asyncio.sleep(RETRY_SECONDS)

    def _check_connected(self) -> None:
        if not self._connected:
            raise self._away
