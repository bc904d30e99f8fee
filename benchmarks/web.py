"""The API over HTTP, with a load client that costs next to nothing: one keep-alive socket a caller, no library.

A general HTTP client takes about as long for a request as the API does, on cores that both have to share.
"""

import asyncio
import json
import time
from statistics import median
from typing import Any, Self
from urllib.parse import urlsplit

from rich.console import Console

from benchmarks.effort import Effort
from benchmarks.rows import Latencies, Row, middle
from benchmarks.workload import CHECKPOINT, Project, closed_loop

MULTIPLE = 300
READERS = 8


class Connection:
    """One HTTP/1.1 connection; one request at a time."""

    def __init__(self, url: str, key: str) -> None:
        self._address = urlsplit(url)
        self._head = f"Host: {self._address.netloc}\r\nAuthorization: Bearer {key}\r\n"

    async def open(self) -> Self:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        return self

    def close(self) -> None:
        """Disconnect."""
        self._writer.close()

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """The body of an answer that has to be a success."""
        sent = b"" if body is None else json.dumps(body).encode()
        self._writer.write(
            f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        answer = await self._reader.readexactly(int(length))
        if status >= MULTIPLE:
            raise RuntimeError(f"{method} {path} was answered {status}: {answer[:300]!r}")
        return answer


class Web:
    """The API, and connections for as many callers as are needed."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key
        self._connections: list[Connection] = []

    async def connect(self, callers: int) -> None:
        """Have at least so many connections open."""
        while len(self._connections) < callers:
            self._connections.append(await Connection(self._url, self._key).open())

    def close(self) -> None:
        """Disconnect all."""
        for connection in self._connections:
            connection.close()

    async def write(self, caller: int, project: Project, number: int) -> int:
        """Commit a checkpoint; its `event_seq`."""
        task = project.tasks[number % len(project.tasks)]
        path = f"/v1/projects/{project.name}/tasks/{task}/checkpoint"
        answer = json.loads(await self._connections[caller].call("PUT", path, CHECKPOINT))
        return int(answer["event_seq"])

    async def next_step(self, caller: int, project: Project, min_seq: int = 0) -> None:
        """Ask for the next step, as of `min_seq` at least."""
        path = f"/v1/projects/{project.name}/next-step" + (f"?min_seq={min_seq}" if min_seq else "")
        await self._connections[caller].call("GET", path)


async def measure_writes(web: Web, projects: list[Project], *, effort: Effort, console: Console) -> list[Row]:
    """Committed writes, c=1 and 64 in turn."""
    seen: dict[int, list[Latencies]] = {1: [], 64: []}
    await web.connect(64)

    async def call(caller: int, number: int) -> None:
        await web.write(caller, projects[number % len(projects)], number // len(projects))

    await closed_loop(64, effort.warm_up_seconds / 3, call)  # warm-up
    for turn in range(effort.rounds):
        for callers, found in seen.items():
            found.append(await closed_loop(callers, effort.seconds, call))
            console.print(f"  HTTP c={callers}, round {turn + 1}: {found[-1]}")
    one, many = (middle(found) for found in seen.values())
    return [
        Row("HTTP, committed, c=1, p50", one.p50_ms, "ms", "<=", 4),
        Row("HTTP, committed, c=64", many.per_second, "1/s", ">=", 1_000),
        Row("HTTP, committed, c=64, p50", many.p50_ms, "ms"),
    ]


async def measure_reads(web: Web, small: Project, large: Project, *, effort: Effort, console: Console) -> list[Row]:
    """`GET next-step` at c=8 with ten tasks and with ten thousand, then with writes between; all in turn."""
    seen: dict[str, list[Latencies]] = {"10 tasks": [], "10,000 tasks": [], "a writer beside": [], "own writes": []}
    after_write: list[float] = []
    await web.connect(9)

    async def read_small(caller: int, _: int) -> None:
        await web.next_step(caller, small)

    async def read_large(caller: int, _: int) -> None:
        await web.next_step(caller, large)

    async def read_and_write(caller: int, number: int) -> None:
        # One caller writes, as fast as it is answered: the others see the state change between their reads.
        if caller == READERS:
            await web.write(caller, small, number)
        else:
            await web.next_step(caller, small)

    async def read_own_write(caller: int, number: int) -> None:
        # Every read has to show the caller's own write of just before, so it waits for the projection.
        seq = await web.write(caller, small, number)
        began = time.perf_counter()
        await web.next_step(caller, small, seq)
        after_write.append(time.perf_counter() - began)

    loops = ((READERS, read_small), (READERS, read_large), (READERS + 1, read_and_write), (READERS, read_own_write))
    await closed_loop(READERS, effort.warm_up_seconds / 3, read_small)  # warm-up
    for turn in range(effort.rounds):
        for (callers, call), found in zip(loops, seen.values(), strict=True):
            found.append(await closed_loop(callers, effort.seconds, call))
        figures = ", ".join(f"{name} {found[-1].per_second:,.0f}/s" for name, found in seen.items())
        console.print(f"  next-step, round {turn + 1}: {figures}")
    few, lots, between, _ = (middle(found) for found in seen.values())
    return [
        Row("next-step, c=8, 10 tasks", few.per_second, "1/s", ">=", 2_000),
        Row("next-step, c=8, 10 tasks, p50", few.p50_ms, "ms", "<=", 4),
        Row("next-step, c=8, 10,000 tasks", lots.per_second, "1/s", ">=", 2_000),
        Row("next-step, c=8, 10,000 tasks, p50", lots.p50_ms, "ms", "<=", 4),
        Row("next-step, p50, 10,000 to 10 tasks", lots.p50_ms / few.p50_ms, "ratio", "<=", 1.5),
        Row("next-step, c=8, a writer beside", between.per_second, "1/s", ">=", 2_000),
        Row("next-step, c=8, a writer beside, p50", between.p50_ms, "ms", "<=", 4),
        Row("next-step that shows the write before it, c=8, p50", median(after_write) * 1e3, "ms"),
    ]
