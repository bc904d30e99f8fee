"""A projection with snapshots and a folder of blobs, and one long history that many tests read back."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel, sql
from psycopg.conninfo import make_conninfo

from continuity import postgres, restoring
from continuity.blobs import Folder
from continuity.config import Settings
from continuity.core.records import Event
from continuity.core.snapshot import Policy
from continuity.core.state import State
from continuity.postgres import SCHEMA, BoundedConnection
from continuity.projections import schema as tables
from continuity.projections.batch import judged
from continuity.projections.record import Record
from continuity.projections.snapshots import Patience, Snapshots
from continuity.projections.writer import Writer, Written, read_positions
from continuity.restoring import Restored
from tests.projections.histories import Log, Project


class Counting(Folder):
    """A folder of blobs that can be away."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.is_away: Exception | None = None
        self.written = self.read = 0

    def put(self, content: bytes) -> str:
        self.written += 1
        if self.is_away:
            raise self.is_away
        return super().put(content)

    def get(self, ref: str) -> bytes:
        self.read += 1
        if self.is_away:
            raise self.is_away
        return super().get(ref)


class Kept:
    """Projects events with snapshots, and reads states back."""

    def __init__(self, dsn: str, blobs: Counting, policy: Policy, workflows_max: int) -> None:
        self.dsn = dsn
        self.blobs = blobs
        self.policy = policy
        self.workflows_max = workflows_max
        self.now = 1_000.0
        self.patience = Patience(lambda: self.now)
        self.log = Log()
        self.connection: BoundedConnection = postgres.connect(dsn, synchronous_commit="off")
        tables.ensure(self.connection)
        self.reopen()
        self.reader: BoundedConnection = postgres.connect(dsn)
        self.reader.isolation_level = IsolationLevel.REPEATABLE_READ

    def reopen(self) -> None:
        """As after a restart: no state is warm."""
        stored = read_positions(self.connection, range(2), "events-1")
        self.positions = dict(stored.by_partition)
        self.snapshots = Snapshots(
            self.connection,
            self.blobs,
            self.policy,
            workflows_max=self.workflows_max,
            patience=self.patience,
            clock=lambda: self.now,
        )
        self.writer = Writer(self.connection, stored.generation, snapshots=self.snapshots)

    def project(self, events: list[Event], batch: int = 1_000) -> list[Written]:
        """What these events became, in batches of so many records."""
        first = len(self.log.values.get(0, []))
        for event in events:
            self.log.add(event)
        return [self.write(self.log.records(at)[:batch]) for at in range(first, len(self.log.values[0]), batch)]

    def write(self, records: list[Record]) -> Written:
        judgement = judged(self.positions, records)
        written = self.writer.write(judgement, {})
        self.positions.update(judgement.after)
        return written

    def restored(self, workflow_id: str, at_seq: int | None = None, **options: Any) -> Restored:
        return restoring.restore(self.reader, self.blobs, workflow_id, at_seq, **options)

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.reader.execute(query.encode(), parameters).fetchall()

    def seqs(self) -> list[int]:
        """The events that snapshots were taken after."""
        return [row[0] for row in self.rows("SELECT last_event_seq FROM snapshots ORDER BY last_event_seq")]

    def change(self, statement: str, *parameters: Any) -> None:
        """Rot."""
        assert self.connection.execute(statement.encode(), parameters).rowcount > 0, statement


Keeping = Callable[..., Kept]


@pytest.fixture
def keeping(restore_database: str, tmp_path: Path) -> Iterator[Keeping]:
    """Makes an empty projection with the policy that it is given."""
    made: list[Kept] = []

    def make(*, workflows_max: int = Settings.cache_workflows_max, **policy: int) -> Kept:
        made.append(Kept(restore_database, Counting(tmp_path / "blobs"), Policy(**policy), workflows_max))
        return made[-1]

    with psycopg.connect(restore_database, autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE".encode())
    yield make
    for each in made:
        each.connection.close()
        each.reader.close()


@pytest.fixture(scope="session")
def restore_database(stack: Any) -> Iterator[str]:
    database = f"restoring_{secrets.token_hex(4)}"  # the tests that look back have another one
    name = sql.Identifier(database)
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    yield make_conninfo(stack.postgres_dsn, dbname=database)
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def long_history(name: str = "long", events: int = 330, tasks_count: int = 10) -> Project:
    """A project of so many events: tasks that are started, noted down and paused, again and again."""
    project = Project(name)
    goal = project.do("create_goal", text="ship it", priority=1)
    assert goal is not None
    tasks: list[str] = []
    for number in range(tasks_count):
        added = project.do("add_task", goal_id=goal["goal_id"], title=f"task {number}")
        assert added is not None
        assert added["task_id"] is not None
        tasks.append(added["task_id"])
    while len(project.events) < events:
        task = tasks[len(project.events) // 3 % tasks_count]
        project.do("start_task", task_id=task)
        project.do("update_checkpoint", task_id=task, where_left_off="half", next_step="go on", context_refs=["a:1"])
        project.do("pause_task", task_id=task)
    del project.events[events:]
    del project.states[events + 1 :]
    project.state = project.states[-1]
    return project


def same(found: State, expected: State) -> bool:
    """Whether a state is another one's equal in all that it has, indices included."""
    return found == expected and found.checksum == expected.checksum


@pytest.fixture(scope="session")
def history() -> Project:
    return long_history()
