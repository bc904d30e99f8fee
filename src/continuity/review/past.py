"""Questions about one project's past, over Postgres: blocking, each in one moment of the database. Reads only.

`Past` is what the API asks, in a thread. None means: the tenant has no such project. What is not exactly as it was
committed is never an answer: IntegrityError names the workflow, the event and the field.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from continuity import blobs, postgres, restoring
from continuity.answers import ActiveWorkState, active_work
from continuity.config import Settings
from continuity.core.delta import compute_delta
from continuity.core.explain import Explanation, explain
from continuity.core.ids import instant
from continuity.core.ids import workflow_id as workflow_of
from continuity.core.next_step import NextStep, next_step
from continuity.core.state import State
from continuity.errors import ContinuityError
from continuity.postgres import SCHEMA, BoundedConnection
from continuity.restoring import COLUMNS, SnapshotRow
from continuity.review import checking, export, history, journal, wording
from continuity.review_answers import SnapshotPage, SnapshotTold, StateDiff, TaskHistory, Verdict
from continuity.rows import Head, checked

SNAPSHOTS = f"""
SELECT {COLUMNS}, digest FROM snapshots WHERE workflow_id = %s ORDER BY last_event_seq DESC LIMIT %s
"""  # noqa: S608 - a list of our own columns


class NoSuchSeq(ContinuityError):
    """The project has no event of that number (yet)."""

    code = "no_such_seq"

    def __init__(self, seq: int, head_seq: int) -> None:
        fix = "Use the number of an event: `continuity events` lists them."
        super().__init__(f"There is no event {seq}: the last one is {head_seq}.", fix=fix)


class UnknownTask(ContinuityError):
    """The project never had that task."""

    code = "unknown_task"

    def __init__(self, task_id: str) -> None:
        super().__init__(f"The project has no task {task_id}.", fix="Check the task_id: list the tasks of the project.")


class Place(NamedTuple):
    """A connection in the middle of a transaction, and the head of the workflow that is asked about."""

    connection: BoundedConnection
    head: Head


class Past:
    """Looks back at the projects of one installation. Every call opens a connection of its own: safe to share."""

    def __init__(self, settings: Settings, *, schema: str = SCHEMA) -> None:
        self._dsn = settings.postgres_dsn
        self._schema = schema
        self._blobs = blobs.opened(settings)

    def state(self, tenant: str, project: str, at_seq: int) -> ActiveWorkState | None:
        """The work after event `at_seq`: what `GET …/state` answered then, byte for byte in canonical JSON."""
        with self._at(tenant, project) as place:
            return None if place is None else _work(project, self._state(place, at_seq))

    def next_step(self, tenant: str, project: str, at_seq: int, for_owner: str | None = None) -> NextStep | None:
        """What to do next, as it was answered after event `at_seq`."""
        with self._at(tenant, project) as place:
            return None if place is None else next_step(self._state(place, at_seq), for_owner)

    def explain(
        self, tenant: str, project: str, at_seq: int | None = None, for_owner: str | None = None
    ) -> Explanation | None:
        """Why the next step is, or was after event `at_seq`, what it is."""
        with self._at(tenant, project) as place:
            return None if place is None else explain(self._state(place, at_seq), for_owner)

    def diff(self, tenant: str, project: str, from_seq: int, to_seq: int | None = None) -> StateDiff | None:
        """What changed from one event to another, in either direction; 0 is before the first, None the last one."""
        with self._at(tenant, project) as place:
            if place is None:
                return None
            before, after = self._state(place, from_seq), self._state(place, to_seq)
        operations = compute_delta(before, after)
        return StateDiff(
            project=project,
            workflow_id=after.workflow_id,
            from_seq=before.head_seq,
            to_seq=after.head_seq,
            from_checksum=before.checksum,
            to_checksum=after.checksum,
            delta=operations,
            changes=list(wording.changes(before, after, operations)),
        )

    def history(
        self, tenant: str, project: str, task_id: str, *, after_seq: int = 0, limit: int = 100
    ) -> TaskHistory | None:
        """What happened to a task: its events, attempts, takeovers and late results, at most `limit` at a time."""
        with self._at(tenant, project) as place:
            if place is None:
                return None
            told = history.of_task(place.connection, place.head, self._state(place, None), task_id, after_seq, limit)
        if told is None:
            raise UnknownTask(task_id)
        return told

    def snapshots(self, tenant: str, project: str, *, limit: int) -> SnapshotPage | None:
        """The newest snapshots, each by its row's digest."""
        with self._at(tenant, project) as place:
            if place is None:
                return None
            rows = place.connection.execute(SNAPSHOTS.encode(), (place.head.workflow_id, limit)).fetchall()
        return SnapshotPage(snapshots=[_snapshot(*columns) for columns in rows])

    def verify(self, tenant: str, project: str) -> Verdict | None:
        """The project's journal, what it folds to, its snapshots and its rows, held against one another."""
        workflow_id = workflow_of(tenant, project)
        with self._connected(workflow_id, tenant) as connection:
            row = journal.row_of(connection, workflow_id, tenant)
            if row is None:
                return None
            found = checking.Workflow(connection, self._blobs, row)
            problems = list(found.problems())
        return Verdict(ok=not problems, workflows=1, events=found.events, problems=problems)

    def export(self, tenant: str, project: str, at_seq: int | None = None) -> Iterator[bytes] | None:
        """The incident file of a project, up to an event or the last one, in pieces. Close it when you stop reading."""
        pieces = self._export(tenant, project, at_seq)
        return None if next(pieces) is None else (piece for piece in pieces if piece is not None)

    def _export(self, tenant: str, project: str, at_seq: int | None) -> Iterator[bytes | None]:
        """First whether there is such a project (None or nothing), then the file."""
        with self._at(tenant, project) as place:
            if place is None:
                yield None
                return
            self._check_seq(place.head, at_seq)
            yield b""
            yield from export.file(place.connection, self._blobs, place.head, at_seq)

    @contextmanager
    def _at(self, tenant: str, project: str) -> Iterator[Place | None]:
        workflow_id = workflow_of(tenant, project)
        with self._connected(workflow_id, tenant) as connection:
            head = journal.head_of(connection, workflow_id, tenant)
            yield None if head is None else Place(connection, head)

    @contextmanager
    def _connected(self, workflow_id: str, tenant: str) -> Iterator[BoundedConnection]:
        connection = journal.connect(self._dsn, self._schema, tenant=tenant)
        try:
            with postgres.translated(workflow_id), connection.transaction():
                yield connection
        finally:
            connection.close()

    def _state(self, place: Place, at_seq: int | None) -> State:
        if at_seq is None:
            journal.check_running(place.head)
        self._check_seq(place.head, at_seq)
        return restoring.restore(place.connection, self._blobs, place.head.workflow_id, at_seq).state

    def _check_seq(self, head: Head, at_seq: int | None) -> None:
        if at_seq is not None and at_seq > head.head_seq:
            raise NoSuchSeq(at_seq, head.head_seq)


def _work(project: str, state: State) -> ActiveWorkState:
    goals, tasks, checkpoints = (list(getattr(state, name).values()) for name in ("goals", "tasks", "checkpoints"))
    return active_work(
        project, state.workflow_id, state.head_seq, state.checksum, goals=goals, tasks=tasks, checkpoints=checkpoints
    )


def _snapshot(*columns: object) -> SnapshotTold:
    row = SnapshotRow(*columns[:-1])  # type: ignore[arg-type]  # as COLUMNS selects them
    checked(row, columns[-1])  # type: ignore[type-var, arg-type]
    told = SnapshotTold(
        snapshot_id=row.snapshot_id,
        last_event_seq=row.last_event_seq,
        step_number=row.step_number,
        state_checksum=row.state_checksum,
        created_at=instant(row.created_at),
        size_bytes=row.size_bytes,
        stored="blob" if row.state_s3_key is not None else "inline",
    )
    return told if row.state_s3_key is None else told | {"blob": row.state_s3_key}
