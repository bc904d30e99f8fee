"""A loopback TCP proxy whose line can be cut, go silent, lose its answers, or be slow. One asyncio loop; no content."""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from typing import Literal

HOST = "127.0.0.1"
CHUNK_BYTES = 64 * 1024
CLOSE_SECONDS_MAX = 2.0
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: the connection ends with a reset, as a router's that forgot it does."""

Mode = Literal["pass", "cut", "silent", "mute", "slow"]


class Proxy:
    """From `port` to `upstream_port`. `seen` counts what became of connections and of pieces of data.

    `cut`: connections reset; `refused`: new ones, while it is cut; `held`: pieces that had to wait; `slowed`.
    """

    def __init__(self, name: str, upstream_port: int) -> None:
        self.name = name
        self.port = 0
        self.seen: Counter[str] = Counter()
        self._upstream_port = upstream_port
        self._mode: Mode = "pass"
        self._delay_seconds = 0.0
        self._passing = asyncio.Event()
        self._passing.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def mode(self) -> Mode:
        """How the line is now."""
        return self._mode

    @property
    def connections(self) -> int:
        """The connections that are open, each counted once."""
        return len(self._open) // 2

    async def start(self, port: int = 0) -> None:
        """Listen, on that port or on any free one."""
        self._server = await asyncio.start_server(self._accept, HOST, port, limit=CHUNK_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more, and end what is open."""
        if self._server is not None:
            self._server.close()
        self._reset()
        self._passing.set()
        if self._tasks:  # both pumps end with the connection
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS_MAX)

    def heal(self) -> None:
        """Let everything through again. What was held goes on, but answers that were lost do not come back."""
        was, self._mode, self._delay_seconds = self._mode, "pass", 0.0
        if was == "mute":
            self._reset()
        self._passing.set()

    def cut(self) -> None:
        """Reset every connection, and new ones at once, until `heal`."""
        self._mode = "cut"
        self._passing.set()
        self.seen["cut"] += self.connections
        self._reset()

    def silence(self) -> None:
        """Take everything and pass on nothing, as a network that is partitioned does, until `heal`."""
        self._mode = "silent"
        self._passing.clear()

    def mute(self) -> None:
        """Pass on what is asked and hold back what is answered, until `heal`, which resets the connections."""
        self._mode = "mute"
        self._passing.clear()

    def slow(self, delay_seconds: float) -> None:
        """Let each piece of data wait, until `heal`."""
        self._mode, self._delay_seconds = "slow", delay_seconds
        self._passing.set()

    def _reset(self) -> None:
        for writer in list(self._open):
            _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == "cut":
            self.seen["refused"] += 1
            _reset(writer)
            return
        try:
            above, to_above = await asyncio.open_connection(HOST, self._upstream_port, limit=CHUNK_BYTES)
        except OSError:
            _reset(writer)
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open |= {writer, to_above}
        try:
            pumps = self._pump(reader, to_above, answers=False), self._pump(above, writer, answers=True)
            await asyncio.gather(*pumps)
        finally:
            self._open -= {writer, to_above}
            self._tasks.discard(task)
            for each in (writer, to_above):
                each.close()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK_BYTES):
                if self._mode == "silent" or (self._mode == "mute" and answers):
                    self.seen["held"] += 1
                    await self._passing.wait()
                elif self._mode == "slow":
                    self.seen["slowed"] += 1
                    await asyncio.sleep(self._delay_seconds)
                if target.is_closing():
                    break
                target.write(data)
                await target.drain()
        # Both ways end together: none of our protocols goes on with half a connection.
        target.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:  # it is None once the connection has ended
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
