"""`./dev bench [--quick] [--json]`: every figure of docs/measurements.md, on a stack of its own, beside its target.

The stack lives in a temporary folder, listens on loopback, is bounded in time, and is gone at the end however it ends.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import uvloop
from rich.console import Console

from benchmarks import drain, growth, memory, native, rows, web
from benchmarks.rows import Row
from benchmarks.workload import seed, seed_many
from continuity import embedded
from continuity.config import Settings
from continuity.keys import local_key
from continuity.producers import AsyncCommandClient


class Effort(NamedTuple):
    """How long to look."""

    rounds: int
    seconds: float
    projects: int
    large_tasks: int
    drain_commands: int
    warm_workflows: int


FULL = Effort(rounds=5, seconds=4.0, projects=64, large_tasks=10_000, drain_commands=80_000, warm_workflows=10_000)
QUICK = Effort(rounds=2, seconds=1.5, projects=32, large_tasks=10_000, drain_commands=25_000, warm_workflows=0)


@contextmanager
def running(**services: object) -> Iterator[Settings]:
    """A stack in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="continuity-bench-"))
    folder.chmod(0o711)
    settings = Settings(data_dir=folder / "home", log_level="warning")
    try:
        yield embedded.up(settings, owner_pid=os.getpid(), **services)  # type: ignore[arg-type]
    finally:
        embedded.down(settings)
        shutil.rmtree(folder, ignore_errors=True)


async def live(settings: Settings, effort: Effort, console: Console) -> list[Row]:
    """What is measured with all services running."""
    key = local_key(settings.data_dir)
    assert key is not None
    found: list[Row] = []
    api = web.Web(settings.api_url, key)
    how = {"rounds": effort.rounds, "seconds": effort.seconds, "console": console}
    async with AsyncCommandClient(settings) as client:
        console.print(f"[bold]Live[/]: {settings.partitions} partitions, {effort.projects} workflows of 10 tasks")
        projects = await seed_many(client, [f"bench-{number}" for number in range(effort.projects)])
        large = await seed(client, "large", tasks=effort.large_tasks)
        try:
            await api.connect(1)
            found += await native.measure(client, projects, **how)  # type: ignore[arg-type]
            found += await web.measure_writes(api, projects, **how)  # type: ignore[arg-type]
            await _projected(api, client, large.name)
            found += await web.measure_reads(api, projects[0], large, **how)  # type: ignore[arg-type]
            found += await growth.measure_end_to_end(client, projects[0], large, **how)  # type: ignore[arg-type]
        finally:
            api.close()
        if effort.warm_workflows:
            found += await memory.measure(client, settings, workflows=effort.warm_workflows, console=console)
    return found


async def _projected(api: web.Web, client: AsyncCommandClient, project: str) -> None:
    """Wait until reads show all that was written: the figures of reads are those of a projection at rest."""
    from benchmarks.workload import Project, accepted, request  # noqa: PLC0415

    last = await accepted(client, request(project, "create_goal", text="The end of what was seeded"))
    assert last["event_seq"] is not None
    for attempt in range(60):
        try:
            await api.seen(Project(project, []), last["event_seq"])
        except RuntimeError:
            if attempt == 59:  # noqa: PLR2004 - the last one
                raise
        else:
            return


def measure(effort: Effort, console: Console) -> list[Row]:
    """All rows."""
    console.print("[bold]Decide path[/], in process")
    found = growth.measure_decision(rounds=effort.rounds, commands=2_000)
    with running() as settings:
        found += uvloop.run(live(settings, effort, console))
    with running(services=()) as settings:
        console.print("[bold]Drains[/]")
        found += drain.measure(settings, workflows=effort.projects, commands=effort.drain_commands, console=console)
    return found


def main() -> int:
    """Measure and show. The exit code says whether measuring worked: a missed target is a row, not a failure."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter rounds, without the memory of 10,000 workflows")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line of stdout")
    arguments = parser.parse_args()
    console = Console(stderr=arguments.json, highlight=False)
    console.print(rows.machine())
    found = measure(QUICK if arguments.quick else FULL, console)
    rows.show(found, console)
    if arguments.json:
        print(json.dumps({"rows": [row.to_json() for row in found]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
