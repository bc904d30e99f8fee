"""Memory and file handles of every process over ten minutes of load: flat, once everything that is kept is kept."""

import asyncio
import os
import time
from itertools import count
from statistics import median

import psutil
from rich.console import Console

from benchmarks import memory, stack
from benchmarks.curves.curve import Curve, Point
from benchmarks.effort import Effort
from benchmarks.rows import Row
from benchmarks.web import Web
from benchmarks.workload import Project, accepted, checkpoint, fill, planned, wait_until_answered
from continuity import embedded
from continuity.config import Settings
from continuity.keys import local_key
from continuity.producers import AsyncCommandClient

PROJECTS = 16
NATIVE_CALLERS = 8
HTTP_CALLERS = 8
CLIENT_SECONDS = 5
"""How long a native client lives: connections come and go all the time, as they do where agents do."""
SAMPLE_SECONDS = 2
FLAT_MAX = 1.1
OURS = ("sequencer", "projector", "api")


async def measure(stacked: Settings, effort: Effort, console: Console) -> list[Curve]:
    """What each process has, from the first to the last moment of the load."""
    seconds = 600.0 if effort.warm_workflows else 20.0
    with stack.corner(stacked) as own, stack.services(own, *OURS) as started:
        plans = [planned(f"soak-{number}") for number in range(PROJECTS)]
        total = fill(own, (each for _, requests in plans for each in requests))
        wait_until_answered(own, total)
        pids = {each.name: each.pid for each in started}
        pids["client"] = os.getpid()
        pids |= {each["name"]: each["pid"] for each in embedded.status(stacked)["parts"] if each["pid"] is not None}
        ended = asyncio.Event()
        done = asyncio.gather(*_load(own, [project for project, _ in plans], ended))
        try:
            megabytes, handles = await _sampled(pids, seconds)
        finally:
            ended.set()
            calls = sum(await done)
    console.print(f"  {calls:,} calls in {seconds:.0f} s")
    return [
        _curve("soak-memory", "Resident memory under load", "MB", megabytes),
        _curve("soak-handles", "Open file handles under load", "handles", handles),
    ]


def _load(own: Settings, projects: list[Project], ended: asyncio.Event) -> list[asyncio.Task[int]]:
    numbers = count()

    async def native() -> int:
        calls = 0
        while not ended.is_set():
            until = time.monotonic() + CLIENT_SECONDS
            async with AsyncCommandClient(own) as client:
                while time.monotonic() < until and not ended.is_set():
                    number = next(numbers)
                    await accepted(client, checkpoint(projects[number % PROJECTS], number // PROJECTS))
                    calls += 1
        return calls

    async def http() -> int:
        calls = 0
        key = local_key(own.data_dir)
        assert key is not None
        while not ended.is_set():
            until = time.monotonic() + CLIENT_SECONDS
            web = Web(own.api_url, key)
            await web.connect(1)
            try:
                while time.monotonic() < until and not ended.is_set():
                    number = next(numbers)
                    seq = await web.write(0, projects[number % PROJECTS], number // PROJECTS)
                    await web.next_step(0, projects[number % PROJECTS], seq)
                    calls += 2
            finally:
                web.close()
        return calls

    return [asyncio.create_task(native()) for _ in range(NATIVE_CALLERS)] + [
        asyncio.create_task(http()) for _ in range(HTTP_CALLERS)
    ]


async def _sampled(pids: dict[str, int], seconds: float) -> tuple[dict[str, list[Point]], dict[str, list[Point]]]:
    megabytes: dict[str, list[Point]] = {name: [] for name in pids}
    handles: dict[str, list[Point]] = {name: [] for name in pids}
    began = time.monotonic()
    while (at := time.monotonic() - began) < seconds:
        for name, pid in pids.items():
            process = psutil.Process(pid)
            megabytes[name].append((at, process.memory_info().rss / memory.MB))
            handles[name].append((at, process.num_fds()))
        await asyncio.sleep(SAMPLE_SECONDS)
    return megabytes, handles


def _curve(name: str, title: str, unit: str, seen: dict[str, list[Point]]) -> Curve:
    rows = [
        Row(f"{title}: {each}, last quarter to the second", _grown(line), "ratio", "<=", FLAT_MAX)
        for each, line in seen.items()
    ]
    lines = {each: seen[each] for each in OURS}
    return Curve(name, title, "seconds", unit, lines, is_x_logarithmic=False, more=rows)


def _grown(line: list[Point]) -> float:
    second, last = (
        median(value for _, value in line[number * len(line) // 4 : (number + 1) * len(line) // 4]) for number in (1, 3)
    )
    return last / second
