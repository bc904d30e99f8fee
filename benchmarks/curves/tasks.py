"""What an event, a commit and a next step cost in projects of ten to ten thousand tasks."""

from collections.abc import Sequence

from rich.console import Console

from benchmarks import growth, stack
from benchmarks.curves.curve import Curve, Point
from benchmarks.effort import Effort
from benchmarks.rows import Latencies, middle
from benchmarks.web import READERS, Web
from benchmarks.workload import Project, closed_loop, fill, planned, wait_until_answered
from continuity.config import Settings
from continuity.keys import local_key
from continuity.producers import AsyncCommandClient

SIZES = (10, 100, 1_000, 10_000)
DECISIONS = 2_000


def decisions(effort: Effort) -> Curve:
    """In one process, without a broker."""
    costs = growth.decision_costs(SIZES, rounds=effort.rounds, commands=DECISIONS)
    return Curve(
        "decide-by-tasks", "Cost of an event in the sequencer", "tasks of the project", "µs",
        {"decode, decide, evolve, encode": list(costs.items())}, flat=["decode, decide, evolve, encode"],
    )  # fmt: skip


async def live(stacked: Settings, effort: Effort, console: Console) -> list[Curve]:
    """Through the whole stack."""
    with stack.corner(stacked) as own, stack.services(own, "sequencer", "projector", "api"):
        plans = [planned(f"tasks-{size}", size) for size in SIZES]
        total = fill(own, (each for _, requests in plans for each in requests))
        wait_until_answered(own, total)
        projects = [project for project, _ in plans]
        async with AsyncCommandClient(own) as client:
            await growth.commit_rates(client, projects, effort=effort._replace(rounds=1), console=console)  # warm-up
            rates = await growth.commit_rates(client, projects, effort=effort, console=console)
        steps = await next_steps(own, projects, effort)
    commits = list(zip(SIZES, (each.per_second for each in rates), strict=True))
    reads = list(zip(SIZES, (each.p50_ms for each in steps), strict=True))
    return [
        Curve(
            "commit-by-tasks", "Commits of one project, 64 callers", "tasks of the project", "commands/s",
            {"committed": commits}, flat_rates=["committed"],
        ),
        next_step_curve("tasks", reads),
    ]  # fmt: skip


def next_step_curve(grown_by: str, points: Sequence[Point]) -> Curve:
    """p50 by the project's number of tasks, or of events."""
    return Curve(
        f"next-step-by-{grown_by}", f"Next step over HTTP, {READERS} callers, p50", f"{grown_by} of the project", "ms",
        {"next step": points}, flat=["next step"],
    )  # fmt: skip


async def next_steps(own: Settings, projects: list[Project], effort: Effort) -> list[Latencies]:
    """`GET next-step` of each project, c=8, rounds of all in turn."""
    key = local_key(own.data_dir)
    assert key is not None
    web = Web(own.api_url, key)
    await web.connect(READERS)
    seen: list[list[Latencies]] = [[] for _ in projects]
    try:
        for _ in range(effort.rounds + 1):
            for project, found in zip(projects, seen, strict=True):

                async def call(caller: int, _: int, project: Project = project) -> None:
                    await web.next_step(caller, project)

                found.append(await closed_loop(READERS, effort.seconds, call))
    finally:
        web.close()
    return [middle(found[1:]) for found in seen]  # the first round warms up
