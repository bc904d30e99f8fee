"""What it costs to read a state back: from its newest snapshot, at the limits, and from all of its journal.

Also a program of its own, as a million events take minutes to make: `python -m benchmarks.restore [--events N]`.
"""

import argparse
import tempfile
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median

from rich.console import Console

from benchmarks import rows
from benchmarks.effort import FULL, Effort
from benchmarks.rows import Row
from benchmarks.stack import corner, running
from benchmarks.workload import CHECKPOINT, request
from continuity import blobs, codec, postgres, restoring, roles
from continuity.blobs import Folder
from continuity.config import Settings
from continuity.core import Accepted, Event, State, decide
from continuity.core.ids import workflow_id
from continuity.core.restore import restore
from continuity.postgres import BoundedConnection
from continuity.producers import Request
from continuity.producers.request import command_of
from continuity.projections import schema as tables
from continuity.projections.batch import Batch, Position
from continuity.projections.record import decoded
from continuity.projections.snapshots import Snapshots
from continuity.projections.writer import Writer, read_positions

NOW = 1_700_000_000_000_000
SECOND = 1_000_000
ENTITIES = 1_000
BATCH = 2_000
TELL_EVERY = 100_000
STATEMENT_SECONDS = 120
STATE_BYTES = 15_700_000
LARGE_TASKS = 9_500
RESTORES = 40
LARGE_RESTORES = 5
FOLD_EVENTS = 30_000


class History:
    """One project as the sequencer would write it, event by event."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = State(workflow_id(request(name, "create_goal").tenant, name))
        self.now = NOW

    def add(self, asked: Request) -> Event:
        """The event of a command that is accepted."""
        self.now += SECOND
        outcome = decide(self.state, command_of(asked), self.now)
        assert isinstance(outcome, Accepted), outcome
        self.state = outcome.state
        return outcome.event

    def working(self, tasks: int) -> Iterator[Event]:
        """A goal and tasks, then work on one after the other: started, noted down, paused; without an end."""
        goal = self.add(request(self.name, "create_goal", text="Read the archive", priority=1))
        yield goal
        ids = []
        for number in range(tasks):
            added = self.add(request(self.name, "add_task", goal_id=goal["goal_id"], title=f"Read folder {number}"))
            ids.append(added["task_id"])
            yield added
        while True:
            for task_id in ids:
                yield self.add(request(self.name, "start_task", task_id=task_id))
                yield self.add(request(self.name, "update_checkpoint", task_id=task_id, **CHECKPOINT))
                yield self.add(request(self.name, "pause_task", task_id=task_id))

    def filling(self, size_bytes: int, tasks: int) -> Iterator[Event]:
        """Tasks with so much text that the state is as large as that."""
        goal = self.add(request(self.name, "create_goal", text="Read the archive", priority=1))
        yield goal
        criterion = "x" * 990
        while self.state.size_bytes < size_bytes:
            left = max(1, tasks - len(self.state.tasks))
            count = min(50, max(1, round((size_bytes - self.state.size_bytes) / left / 1_000)))
            criteria = [f"{number} {criterion}" for number in range(count)]
            body = {"goal_id": goal["goal_id"], "title": "Read a folder", "acceptance_criteria": criteria}
            yield self.add(request(self.name, "add_task", **body))


def measure(stack: Settings, *, effort: Effort, console: Console) -> list[Row]:
    """All rows, in a database of their own."""
    found = [Row("fold of events in memory, all verified", _fold_per_second(effort.rounds), "1/s", ">=", 50_000)]
    with corner(stack) as own, tempfile.TemporaryDirectory() as folder:
        connection = postgres.connect(own.postgres_dsn, statement_seconds=STATEMENT_SECONDS, synchronous_commit="off")
        try:
            tables.ensure(connection)
            roles.become(connection, roles.PROJECTOR)
            found += _stored(connection, blobs.Folder(Path(folder)), effort, console)
        finally:
            connection.close()
    return found


def _stored(connection: BoundedConnection, store: Folder, effort: Effort, console: Console) -> list[Row]:
    long, large = History("restore-long"), History("restore-large")
    events = effort.restore_events
    filled = fill_journal(connection, store, islice(long.working(ENTITIES // 2), events), console)
    newest = restores(connection, store, long.state, RESTORES)
    megabytes = _memory(connection, store, long.state)
    began = time.perf_counter()
    replayed = _from_journal(connection, long.state)
    read_per_second = replayed / (time.perf_counter() - began)
    fill_journal(connection, store, large.filling(STATE_BYTES, LARGE_TASKS), console)
    largest = restores(connection, store, large.state, LARGE_RESTORES)
    size = large.state.size_bytes / 2**20
    return [
        Row(f"restore, {ENTITIES:,} entities after {events:,} events, p50", newest, "ms", "<=", 20),
        Row(f"restore, {ENTITIES:,} entities, memory on the way", megabytes, "MB"),
        Row(f"restore, {size:.0f} MiB of state, p50", largest, "ms", "<=", 500),
        Row("restore from the journal alone, in Postgres", read_per_second, "1/s"),
        Row(f"projection with snapshots, one project of {ENTITIES:,} entities", filled, "1/s"),
    ]


def fill_journal(connection: BoundedConnection, store: Folder, events: Iterable[Event], console: Console) -> float:
    """Project events by the projector's own writer, in this process; how many a second, without making them."""
    stored = read_positions(connection, [0], "bench")
    position = stored.by_partition[0]
    writer = Writer(connection, stored.generation, notify=False, snapshots=Snapshots(connection, store))
    source, count, spent = iter(events), 0, 0.0
    while values := [codec.encode_event(event) for event in islice(source, BATCH)]:
        began = time.perf_counter()
        records = [decoded(0, position.next_offset + at, value) for at, value in enumerate(values)]
        after = Position(position.next_offset + len(values), position.acceptance)
        written = writer.write(Batch({0: position}, {0: after}, records, {}), {})
        assert not written.stopped, written.stopped
        position = after
        count += len(values)
        spent += time.perf_counter() - began
        if count % TELL_EVERY == 0:
            console.print(f"  {count:,} events projected, {count / spent:,.0f}/s")
    return count / spent


def restores(connection: BoundedConnection, store: Folder, state: State, times: int) -> float:
    """The median of restores of the head and of the 99 events before it, which are all a head's costs."""
    found = []
    for number in range(times):
        seq = state.head_seq - number * 99 // max(1, times - 1)
        began = time.perf_counter()
        restored = restoring.restore(connection, store, state.workflow_id, seq)
        found.append((time.perf_counter() - began) * 1_000)
        assert restored.state.head_seq == seq
    return median(found)


def _memory(connection: BoundedConnection, store: Folder, state: State) -> float:
    """What one restore takes at most, besides what was there: the state itself included."""
    tracemalloc.start()
    try:
        restored = restoring.restore(connection, store, state.workflow_id)
        assert restored.state.head_seq == state.head_seq
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def _from_journal(connection: BoundedConnection, state: State) -> int:
    """Restore without snapshots; how many events were read."""
    with connection.transaction(force_rollback=True):
        connection.execute(b"DELETE FROM snapshots WHERE workflow_id = %s", (state.workflow_id,))
        restored = restoring.restore(connection, blobs.Folder(Path("/nonexistent")), state.workflow_id)
    assert restored.state == state
    return restored.replayed


def _fold_per_second(rounds: int) -> float:
    history = History("restore-fold")
    events = list(islice(history.working(ENTITIES // 2), FOLD_EVENTS))
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        state = restore(history.state.workflow_id, events)
        found.append(len(events) / (time.perf_counter() - began))
        assert state == history.state
    return median(found)


def main() -> None:
    """Measure on a broker and database of one's own, and show."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restore", description=__doc__)
    parser.add_argument("--events", type=int, default=FULL.restore_events)
    arguments = parser.parse_args()
    console = Console(stderr=True)
    with running(1) as settings:
        effort = FULL._replace(restore_events=arguments.events)
        rows.show(measure(settings, effort=effort, console=console), console)


if __name__ == "__main__":
    main()
