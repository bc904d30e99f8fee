"""Waiting for the projection to have an event, so that whoever wrote can read it.

The projector notifies each commit with `workflow_id:head_seq` pairs; one connection of each API process listens.
Measured against polling: a notification arrives as soon as the commit is visible, and a thousand waiters cost nothing
while nothing happens. Where the listening connection is away, waiters look again every POLL_SECONDS.
"""

import asyncio
import contextlib
import logging
from typing import Any, Final

import psycopg

from continuity import postgres, roles

POLL_SECONDS: Final = 0.25
RECONNECT_SECONDS: Final = 0.5

log = logging.getLogger("continuity.api.arrivals")


class Arrivals:
    """What the projection has just reached. One event loop only."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._waiting: dict[str, set[tuple[int, asyncio.Future[None]]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen, in a task of its own."""
        self._task = asyncio.create_task(self._listen(), name="arrivals")

    async def close(self) -> None:
        """Stop listening; whoever waits looks again."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._wake_all()

    @contextlib.contextmanager
    def expected(self, workflow_id: str, seq: int) -> Any:
        """A future that is done when the projection has reached event `seq`. Register first, then look: no gap."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (seq, future)
        waiting = self._waiting.setdefault(workflow_id, set())
        waiting.add(entry)
        try:
            yield future
        finally:
            waiting.discard(entry)
            if not waiting and self._waiting.get(workflow_id) is waiting:
                del self._waiting[workflow_id]

    def arrived(self, payload: str) -> None:
        """Wake those who wait for what a notification tells."""
        for pair in payload.split():
            workflow_id, _, seq = pair.partition(":")
            for wanted, future in self._waiting.get(workflow_id, ()):
                if int(seq) >= wanted and not future.done():
                    future.set_result(None)

    async def _listen(self) -> None:
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    postgres.connection_string(self._dsn, role=roles.TENANT), autocommit=True
                )
                async with connection:
                    await connection.execute(f"LISTEN {postgres.CHANNEL}".encode())
                    self._wake_all()  # what was notified before is not told again
                    async for notification in connection.notifies():
                        self.arrived(notification.payload)
            except psycopg.Error as error:
                log.debug("not listening: %s", error)
            await asyncio.sleep(RECONNECT_SECONDS)

    def _wake_all(self) -> None:
        for waiting in self._waiting.values():
            for _, future in waiting:
                if not future.done():
                    future.set_result(None)
