"""What a sequencer keeps in memory for workflows that it holds ready."""

import psutil
from rich.console import Console

from benchmarks import memory, stack
from benchmarks.curves.curve import Curve, Point
from benchmarks.effort import Effort
from benchmarks.rows import Row
from benchmarks.workload import fill, planned, wait_until_answered
from continuity.config import Settings

SIZES = (0, 1_000, 2_500, 5_000, 10_000)


async def measure(stacked: Settings, effort: Effort, console: Console) -> list[Curve]:
    """Workflows of ten tasks with checkpoints, one after the other; the process is a fresh one."""
    points: list[Point] = []
    with stack.corner(stacked) as own, stack.services(own, "sequencer", "projector") as (sequencer, _):
        total = 0
        for before, size in zip((0, *SIZES), SIZES, strict=False):
            if size > (effort.warm_workflows or SIZES[1]):
                break
            total += fill(own, (each for number in range(before, size) for each in planned(f"warm-{number}")[1]))
            wait_until_answered(own, total)
            if memory.gauge(own.sequencer_port, "continuity_warm_workflows") != size:
                raise RuntimeError(f"{size:,} workflows were meant to be warm.")
            points.append((size, psutil.Process(sequencer.pid).memory_info().rss / memory.MB))
            console.print(f"  {size:,} warm workflows: {points[-1][1]:,.0f} MB")
    (first_size, first), (last_size, last) = points[0], points[-1]
    each = (last - first) / (last_size - first_size) * 1_000
    return [
        Curve(
            "memory-by-workflows", "Resident memory of a sequencer", "warm workflows of ten tasks", "MB",
            {"sequencer": points}, is_x_logarithmic=False, more=[Row("memory of a warm workflow", each, "kB")],
        )
    ]  # fmt: skip
