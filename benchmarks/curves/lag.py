"""How far the projection is behind while commands are written, and after its process was stopped for a while."""

import asyncio
import signal
import time
from itertools import count
from statistics import median

import psutil
from rich.console import Console

from benchmarks import stack
from benchmarks.curves.curve import Curve, Point
from benchmarks.effort import Effort
from benchmarks.rows import Row
from benchmarks.workload import accepted, checkpoint, fill, planned, unprojected, wait_until_answered
from continuity.config import Settings
from continuity.producers import AsyncCommandClient

CALLERS = 64
PROJECTS = 64
SAMPLE_SECONDS = 0.5
CAUGHT_UP_RECORDS = 200
AFTER_SECONDS_MAX = 240


async def measure(stacked: Settings, effort: Effort, console: Console) -> list[Curve]:
    """64 callers all the time. The pause is of a minute, or shorter where the effort is."""
    calm, pause = (20.0, 60.0) if effort.warm_workflows else (5.0, 10.0)
    with stack.corner(stacked) as own, stack.services(own, "sequencer", "projector") as (_, projector):
        plans = [planned(f"lag-{number}") for number in range(PROJECTS)]
        total = fill(own, (each for _, requests in plans for each in requests))
        wait_until_answered(own, total)
        async with AsyncCommandClient(own) as client:
            ended = asyncio.Event()
            numbers = count()

            async def caller() -> None:
                while not ended.is_set():
                    number = next(numbers)
                    await accepted(client, checkpoint(plans[number % PROJECTS][0], number // PROJECTS))

            callers = asyncio.gather(*(caller() for _ in range(CALLERS)))
            try:
                samples, caught_up = await _observed(own, projector.pid, calm, pause)
            finally:
                ended.set()
                await callers
    under_load = [records for at, records in samples if at < calm]
    console.print(f"  {median(under_load):,.0f} records behind under load, caught up after {caught_up:.0f} s")
    return [
        Curve(
            "projection-lag", "Records that are in the log and not yet projected", "seconds", "records",
            {f"64 callers; the projector stops at {calm:.0f} s for {pause:.0f} s": samples}, is_x_logarithmic=False,
            more=[
                Row("projection lag under load, median", median(under_load), "records"),
                Row(f"caught up after a pause of {pause:.0f} s, under load", caught_up, "s"),
            ],
        )
    ]  # fmt: skip


async def _observed(own: Settings, pid: int, calm: float, pause: float) -> tuple[list[Point], float]:
    """Samples of the lag from the beginning to its end, and the seconds from the pause's end until then."""
    process = psutil.Process(pid)
    began = time.monotonic()
    samples: list[Point] = []

    async def watch(until: float) -> None:
        while time.monotonic() - began < until and (
            time.monotonic() - began < calm + pause or not _is_caught_up(samples)
        ):
            at = time.monotonic() - began
            samples.append((at, await asyncio.to_thread(unprojected, own)))
            await asyncio.sleep(SAMPLE_SECONDS)

    await watch(calm)
    process.send_signal(signal.SIGSTOP)
    try:
        await watch(calm + pause)
    finally:
        process.send_signal(signal.SIGCONT)
    await watch(calm + pause + AFTER_SECONDS_MAX)
    return samples, samples[-1][0] - calm - pause


def _is_caught_up(samples: list[Point]) -> bool:
    return samples[-1][1] <= CAUGHT_UP_RECORDS
