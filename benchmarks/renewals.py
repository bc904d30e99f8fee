"""Renewals beside commands, in one sequencer: what 5,000 of them a second add to the time of a command.

The commands come at half of the rate that a closed loop of 64 reaches, on a schedule; every round has a part with
renewals and one without, in turn, so that both meet the same machine.
"""

import asyncio
import time
from statistics import median
from typing import NamedTuple

from rich.console import Console

from benchmarks.effort import Effort
from benchmarks.rows import Latencies, Row, middle
from benchmarks.workload import Project, accepted, checkpoint, closed_loop, request
from continuity.producers import AsyncCommandClient

WANTED_PER_SECOND = 5_000
TTL_SECONDS = 600
TICK_SECONDS = 0.01


class Part(NamedTuple):
    """Some seconds of a schedule: the times of the commands, and how many renewals were acknowledged meanwhile."""

    commands: Latencies
    renewals_per_second: float


async def measure(
    client: AsyncCommandClient, projects: list[Project], *, effort: Effort, console: Console
) -> list[Row]:
    """Leases of all projects are renewed in turn; the commands go to the same projects, under their tokens."""
    tokens = [await _acquired(client, project) for project in projects]

    async def command(_: int, number: int) -> None:
        at = number % len(projects)
        change = checkpoint(projects[at], number // len(projects))._replace(fencing_token=tokens[at])
        await accepted(client, change)

    full = (await closed_loop(64, effort.seconds, command)).per_second
    alone: list[Latencies] = []
    beside: list[Part] = []
    for turn in range(effort.rounds):
        alone.append((await _scheduled(client, projects, tokens, full / 2, 0, effort.seconds)).commands)
        beside.append(await _scheduled(client, projects, tokens, full / 2, WANTED_PER_SECOND, effort.seconds))
        console.print(
            f"  {full / 2:,.0f} commands/s, round {turn + 1}: alone p50 {alone[-1].p50_ms:.2f} ms; beside"
            f" {beside[-1].renewals_per_second:,.0f} renewals/s p50 {beside[-1].commands.p50_ms:.2f} ms"
        )
    renewals = median(each.renewals_per_second for each in beside)
    seen = middle([part.commands for part in beside])
    for project, token in zip(projects, tokens, strict=True):
        await accepted(client, request(project.name, "release_lease")._replace(fencing_token=token))
    return [
        Row("renewals acknowledged beside commands", renewals, "1/s", ">=", WANTED_PER_SECOND),
        Row("commands beside renewals", seen.per_second, "1/s"),
        Row("command p50 with renewals to without", seen.p50_ms / middle(alone).p50_ms, "ratio", "<=", 1.1),
    ]


async def _acquired(client: AsyncCommandClient, project: Project) -> int:
    held = await accepted(client, request(project.name, "acquire_lease", owner_id="benchmark", ttl_seconds=TTL_SECONDS))
    assert held["fencing_token"] is not None
    return held["fencing_token"]


async def _scheduled(
    client: AsyncCommandClient,
    projects: list[Project],
    tokens: list[int],
    commands_per_second: float,
    renewals_per_second: float,
    seconds: float,
) -> Part:
    """Both kinds at fixed rates, whatever the answers take: a slow service does not slow the asking down."""
    durations: list[float] = []
    renewed = 0

    async def command(number: int) -> None:
        at = number % len(projects)
        began = time.perf_counter()
        change = checkpoint(projects[at], number // len(projects))._replace(fencing_token=tokens[at])
        await accepted(client, change)
        durations.append(time.perf_counter() - began)

    async def renewal(number: int) -> None:
        nonlocal renewed
        at = number % len(projects)
        outcome = await client.send(request(projects[at].name, "renew_lease")._replace(fencing_token=tokens[at]))
        renewed += outcome["status"] == "answered"

    began = time.perf_counter()
    asked: list[asyncio.Task[None]] = []
    sent = [0, 0]
    while (now := time.perf_counter() - began) < seconds:
        for kind, (call, rate) in enumerate(((command, commands_per_second), (renewal, renewals_per_second))):
            while sent[kind] < now * rate:
                asked.append(asyncio.create_task(call(sent[kind])))
                sent[kind] += 1
        await asyncio.sleep(TICK_SECONDS)
    await asyncio.gather(*asked)
    took = time.perf_counter() - began
    return Part(Latencies.of(sorted(durations), len(durations) / took), renewed / took)
