"""What reading back, and asking for the next step, cost after a thousand to a million events of one project."""

import tempfile
from itertools import islice
from pathlib import Path

from rich.console import Console

from benchmarks import restore, stack
from benchmarks.curves import tasks
from benchmarks.curves.curve import Curve, Point
from benchmarks.effort import Effort
from benchmarks.workload import Project
from continuity import blobs, postgres, roles
from continuity.config import Settings
from continuity.projections import schema as tables

SIZES = (1_000, 10_000, 100_000, 1_000_000)
TASKS = 250


async def measure(stacked: Settings, effort: Effort, console: Console) -> list[Curve]:
    """One project that grows: at each size both are measured, with 500 tasks and checkpoints all the time."""
    restores: list[Point] = []
    reads: list[Point] = []
    history = restore.History("events")
    source = history.working(TASKS)
    with stack.corner(stacked) as own, tempfile.TemporaryDirectory() as folder:
        connection = postgres.connect(own.postgres_dsn, statement_seconds=120, synchronous_commit="off")
        try:
            tables.ensure(connection)
            roles.become(connection, roles.PROJECTOR)
            store = blobs.Folder(Path(folder))
            with stack.services(own, "api"):
                for size in (each for each in SIZES if each <= effort.restore_events):
                    restore.fill_journal(connection, store, islice(source, size - history.state.head_seq), console)
                    restores.append((size, restore.restores(connection, store, history.state, restore.RESTORES)))
                    (seen,) = await tasks.next_steps(own, [Project(history.name, [])], effort)
                    reads.append((size, seen.p50_ms))
                    console.print(f"  {size:,} events: restore {restores[-1][1]:.1f} ms, next step {seen}")
        finally:
            connection.close()
    return [
        Curve(
            "restore-by-events", "Reading a state of 500 entities back, p50", "events of the project", "ms",
            {"verified restore": restores}, flat=["verified restore"],
        ),
        tasks.next_step_curve("events", reads),
    ]  # fmt: skip
