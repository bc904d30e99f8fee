"""Throughput with one workflow and with a hundred thousand, and with one sequencer and with four."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count

from rich.console import Console

from benchmarks import stack
from benchmarks.curves.curve import Curve, Point
from benchmarks.effort import Effort
from benchmarks.peers.programs import free_ports
from benchmarks.rows import Latencies, Row, middle
from benchmarks.workload import (
    Project,
    accepted,
    checkpoint,
    closed_loop,
    fill,
    planned,
    wait_until_answered,
    wait_until_projected,
)
from continuity.config import Settings
from continuity.producers import AsyncCommandClient

SIZES = (1, 10, 100, 1_000, 10_000, 100_000)
SEQUENCERS = (1, 2, 3, 4)
CALLERS = PROJECTS = 256
SEEDED_TOGETHER = 10_000
STRIDE = 7_919
"""A prime: one command after another goes to projects that are far apart, and comes by all of them."""


def _made(own: Settings, wanted: int) -> list[Project]:
    plans = [planned(f"many-{number}", 1) for number in range(wanted)]
    total = 0
    for first in range(0, wanted, SEEDED_TOGETHER):
        part = plans[first : first + SEEDED_TOGETHER]
        total += fill(own, (each for _, requests in part for each in requests[:2]))  # a goal and its task
        wait_until_answered(own, total)
        wait_until_projected(own)
    return [project for project, _ in plans]


async def _committed(
    client: AsyncCommandClient, projects: Sequence[Project], numbers: Iterator[int], seconds: float
) -> Latencies:
    async def call(_: int, __: int) -> None:
        await accepted(client, checkpoint(projects[next(numbers) * STRIDE % len(projects)], 0))

    return await closed_loop(CALLERS, seconds, call)


async def by_workflows(stacked: Settings, effort: Effort, console: Console) -> list[Curve]:
    """All are there from the beginning: what differs is among how many the callers' commands are spread."""
    sizes = [size for size in SIZES if size <= 10 * (effort.warm_workflows or 100)]
    seen = await _spread(stacked, sizes, effort, console)
    all_warm = await _spread(stacked.with_values(cache_workflows_max=sizes[-1]), sizes[-1:], effort, console)
    points = [(float(size), found.per_second) for size, found in seen.items()]
    name = "committed, 256 callers"
    kept = Row(f"among {sizes[-1]:,} workflows, all kept warm", all_warm[sizes[-1]].per_second, "commands/s")
    return [
        Curve(
            "rate-by-workflows", "Commits", "workflows at work", "commands/s", {name: points},
            flat_rates=[name], more=[kept],
        )
    ]  # fmt: skip


async def _spread(stacked: Settings, sizes: Sequence[int], effort: Effort, console: Console) -> Mapping[int, Latencies]:
    with stack.corner(stacked) as own, stack.services(own, "sequencer", "projector"):
        projects = _made(own, sizes[-1])
        numbers = count()
        async with AsyncCommandClient(own) as client:
            await _committed(client, projects[:100], numbers, effort.warm_up_seconds)
            seen: dict[int, list[Latencies]] = {size: [] for size in sizes}
            for _ in range(effort.rounds):
                for size, found in seen.items():
                    wait_until_projected(own)  # a round begins with what it needs, and not with what others left
                    found.append(await _committed(client, projects[:size], numbers, effort.seconds))
                console.print("  " + ", ".join(f"{size:,}: {found[-1]}" for size, found in seen.items()))
    return {size: middle(found) for size, found in seen.items()}


async def by_sequencers(stacked: Settings, effort: Effort, console: Console) -> list[Curve]:
    """Four partitions, shared out among one to four processes."""
    points: list[Point] = []
    projects: list[Project] = []
    with stack.corner(stacked.with_values(partitions=max(SEQUENCERS))) as own, stack.services(own, "projector"):
        for processes in SEQUENCERS:
            with ExitStack() as started:
                for port in free_ports(processes):
                    started.enter_context(stack.services(own.with_values(sequencer_port=port), "sequencer"))
                projects = projects or _made(own, PROJECTS)
                async with AsyncCommandClient(own) as client:
                    numbers = count()
                    await _committed(client, projects, numbers, effort.warm_up_seconds / 2)
                    rounds = [await _committed(client, projects, numbers, effort.seconds) for _ in range(effort.rounds)]
            seen = middle(rounds)
            points.append((processes, seen.per_second))
            console.print(f"  {processes} sequencers: {seen}")
    return [
        Curve(
            "rate-by-sequencers", "Commits, four partitions", "sequencer processes", "commands/s",
            {"committed, 256 callers": points}, is_x_logarithmic=False,
        )
    ]  # fmt: skip
