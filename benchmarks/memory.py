"""Resident memory with ten thousand warm workflows.

Postgres' processes share most of their pages, so for them the proportional share is added up; for all others what is
resident.
"""

import psutil
from rich.console import Console

from benchmarks.rows import Row
from benchmarks.workload import seed_many
from continuity import embedded
from continuity.config import Settings
from continuity.producers import AsyncCommandClient

MIB = 2**20
DATABASE = "postgres"


async def measure(client: AsyncCommandClient, settings: Settings, *, workflows: int, console: Console) -> list[Row]:
    """Seed them all, so that the sequencer has decided on each, and look."""
    step = 500
    for start in range(0, workflows, step):
        await seed_many(client, [f"warm-{number}" for number in range(start, min(start + step, workflows))])
        console.print(f"  warm workflows: {min(start + step, workflows):,}", end="\r")
    console.print()
    found = {part["name"]: _mebibytes(part["name"], part["pid"]) for part in embedded.status(settings)["parts"]}
    for name, size in found.items():
        console.print(f"  {name}: {size:,.0f} MiB")
    return [
        Row(f"memory, sequencer, {workflows:,} warm workflows", found["sequencer"], "MiB", "<=", 300),
        Row(f"memory, whole stack, {workflows:,} warm workflows", sum(found.values()), "MiB", "<=", 1_536),
    ]


def _mebibytes(name: str, pid: int | None) -> float:
    assert pid is not None, f"{name} does not run"
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    if name == DATABASE:
        return float(sum(each.memory_full_info().pss for each in family)) / MIB
    return float(sum(each.memory_info().rss for each in family)) / MIB
