"""Commands by the native client, committed: an acknowledgement means that the event is on the broker's disk."""

from rich.console import Console

from benchmarks.effort import Effort
from benchmarks.rows import Latencies, Row, middle
from benchmarks.workload import Project, accepted, checkpoint, closed_loop
from continuity.producers import AsyncCommandClient


async def measure(
    client: AsyncCommandClient, projects: list[Project], *, effort: Effort, console: Console
) -> list[Row]:
    """c=1, 64 and 256, in turn, several rounds; each request on the way carries one command."""
    seen: dict[int, list[Latencies]] = {1: [], 64: [], 256: []}

    async def call(_: int, number: int) -> None:
        project = projects[number % len(projects)]
        await accepted(client, checkpoint(project, number // len(projects)))

    # The broker compiles what it does often: a cold one takes up to four times the processor time of a warm one.
    cold = await closed_loop(64, effort.warm_up_seconds, call)
    console.print(
        f"  warm-up of {effort.warm_up_seconds:.0f} s, native c=64: {cold.per_second:,.0f}/s (does not count)"
    )
    for turn in range(effort.rounds):
        for callers, found in seen.items():
            found.append(await closed_loop(callers, effort.seconds, call))
            console.print(f"  native c={callers}, round {turn + 1}: {found[-1]}")
    one, many, most = (middle(found) for found in seen.values())
    return [
        Row("native client, c=1, p50", one.p50_ms, "ms", "<=", 3),
        Row("native client, c=1", one.per_second, "1/s"),
        Row("native client, c=64", many.per_second, "1/s", ">=", 2_500),
        Row("native client, c=64, p50", many.p50_ms, "ms"),
        Row("native client, c=256", most.per_second, "1/s", ">=", 6_000),
        Row("native client, c=256, p50", most.p50_ms, "ms"),
    ]
