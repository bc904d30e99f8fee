"""One workflow in Postgres, held against itself: journal, fold, head, rows and snapshots. Reads only.

The journal is audited from its first event on (`core.audit`); what it folds to is then what everything else must say.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import orjson

from continuity import late_results, restoring
from continuity.blobs import Blobs
from continuity.contract import AttemptRow, ClaimRow, CompletionRow, LateResultRow, LeaseRow, columns_of
from continuity.core import seal, snapshot
from continuity.core.audit import ROLLBACK, Audit
from continuity.core.grants import WORKFLOW
from continuity.core.ids import micros_of
from continuity.core.records import Event
from continuity.core.state import State
from continuity.errors import IntegrityError
from continuity.postgres import BoundedConnection
from continuity.review import expected, journal
from continuity.review.journal import HeadRow
from continuity.review_answers import ProblemTold, Where
from continuity.rows import CheckpointRow, EntityRow, GoalRow, TaskRow, checked, damaged

ROLLBACKS: Final = "SELECT payload::text FROM events WHERE workflow_id = %s AND event_type = %s"
CITED: Final = "SELECT event_hash, state_checksum FROM events WHERE workflow_id = %s AND event_seq = %s"
SNAPSHOT_SEQS: Final = "SELECT last_event_seq FROM snapshots WHERE workflow_id = %s ORDER BY last_event_seq"


class _Table(NamedTuple):
    """A table of rows that a state decides. `key` leads its columns after workflow_id, `apart` may differ."""

    name: str
    row: Any
    rows: Callable[[State], Iterable[Any]]
    key: int
    apart: tuple[str, ...] = ()

    def query(self) -> bytes:
        """All rows of a workflow."""
        return select(self.name, self.row)


def select(name: str, row: Any) -> bytes:
    """The select of a table's rows, by workflow."""
    return f"SELECT {columns_of(row)}, digest FROM {name} WHERE workflow_id = %s".encode()  # noqa: S608 - our own columns


TABLES: Final = (
    _Table("goals", GoalRow, expected.goals, 1),
    _Table("tasks", TaskRow, expected.tasks, 1),
    _Table("checkpoints", CheckpointRow, expected.checkpoints, 1),
    _Table("entities", EntityRow, expected.entities, 2),
    _Table("step_attempts", AttemptRow, expected.attempts, 2),
    _Table("completed_steps", CompletionRow, expected.completions, 1),
    _Table("task_claims", ClaimRow, expected.claims, 1, ("lease_expires_at", "heartbeat_at")),
)


class Workflow:
    """The check of one workflow, on a connection that sees one moment. `events` counts what was audited."""

    def __init__(self, connection: BoundedConnection, blobs: Blobs, row: HeadRow) -> None:
        self._connection = connection
        self._blobs = blobs
        self._row = row
        self._head = row.head
        self.events = 0

    def problems(self) -> Iterator[ProblemTold]:
        """What is wrong. After a problem in the journal nothing else is looked at: there is nothing to compare with."""
        head = self._head
        if head.stopped_reason is not None:
            yield self._problem(head.head_seq + 1, "chain", "journal", f"It is stopped: {head.stopped_reason}")
        try:
            state, found = self._folded()
        except IntegrityError as damage:
            state, found = None, self._of(damage, "journal")
        if found is not None or state is None:
            if found is not None:
                yield found
            return
        yield from self._of_head(state)
        for table in TABLES:
            yield from self._of_table(state, table)
        yield from self._of_lease(state)
        yield from self._of_late_results()
        yield from self._of_snapshots(state)

    def _folded(self) -> tuple[State | None, ProblemTold | None]:
        """The state after the last event, or what is wrong with the journal."""
        workflow_id = self._head.workflow_id
        audit: Audit | None = None
        for event in journal.stored(self._connection, workflow_id, 0, 2**62):
            if audit is None:
                try:
                    seal.verify(event)
                except seal.Damaged as damage:
                    return None, self._of(damaged(damage, workflow_id), "journal")
                if (lost := self._followed(event)) is not None:
                    return None, lost
                base = restoring.base_of(self._connection, None, event)  # from its origin, which is held against it
                audit = Audit(State(workflow_id) if base is None else base, self._rollbacks())
            problem = audit.add(event)
            self.events += 1
            if problem is not None:
                return None, self._problem(problem.event_seq, problem.field, "fold", problem.detail)
        return (State(workflow_id) if audit is None else audit.state), None

    def _followed(self, first: Event) -> ProblemTold | None:
        """A fork's first event cites an event of its origin: the origin has to have it."""
        cited = snapshot.base_of(first)
        if cited is None:
            return None
        found = self._connection.execute(CITED.encode(), (cited.workflow_id, cited.seq)).fetchone()
        if cited.seq == 0 or found == (cited.hash, cited.state_checksum):
            return None
        detail = f"It stands on event {cited.seq} of workflow {cited.workflow_id}, which is not the one that it cites."
        return self._problem(first["event_seq"], "payload", "journal", detail)

    def _rollbacks(self) -> list[int]:
        found = self._connection.execute(ROLLBACKS.encode(), (self._head.workflow_id, ROLLBACK)).fetchall()
        return [seq for (text,) in found if type(seq := _to_seq(text)) is int]

    def _of_head(self, state: State) -> Iterator[ProblemTold]:
        """The last event is the one that the head names, and so is all that it says of the state."""
        head = self._head
        try:
            self._row.checked()
        except IntegrityError as damage:
            yield self._of(damage, "rows", state.head_seq)
            return
        if head.stopped_reason is None:
            said: dict[str, Any] = {
                "head_seq": state.head_seq,
                "head_hash": state.head_hash,
                "head_timestamp": state.head_timestamp,
                "state_checksum": state.checksum,
                "token_counter": state.token_counter,
                **expected.next_of(state)._asdict(),
            }
            for name, value in said.items():
                if getattr(head, name) != value:
                    detail = f"The head says {name} {getattr(head, name)}, its events say {value}."
                    yield self._problem(state.head_seq, name, "rows", detail)
                    return

    def _of_table(self, state: State, table: _Table) -> Iterator[ProblemTold]:
        must = {_key(row, table.key): row for row in table.rows(state)}
        for columns in self._connection.execute(table.query(), (state.workflow_id,)):
            row = table.row(*columns[:-1])
            other = must.pop(_key(row, table.key), None)
            try:
                checked(row, columns[-1])
            except IntegrityError as damage:
                yield self._of(damage, "rows", state.head_seq)
                continue
            if other is None:
                yield self._problem(state.head_seq, row.name, "rows", f"The row of {row.name} is of no event.")
            elif (field := expected.difference(row, other, table.apart)) is not None:
                detail = f"The row of {row.name} does not say what its events say, in {field}."
                yield self._problem(state.head_seq, f"{row.name}: {field}", "rows", detail)
        for row in must.values():
            yield self._problem(state.head_seq, row.name, "rows", f"The row of {row.name} is missing.")

    def _of_lease(self, state: State) -> Iterator[ProblemTold]:
        """A lease that is held has a row that says so; one that has ended has a row that does not."""
        columns = self._connection.execute(select("workflow_leases", LeaseRow), (state.workflow_id,)).fetchone()
        grant = state.grants.get(WORKFLOW)
        if columns is None:
            if grant is not None:
                yield self._problem(state.head_seq, "lease", "rows", "The row of the lease is missing.")
            return
        row = LeaseRow(*columns[:-1])
        try:
            checked(row, columns[-1])
        except IntegrityError as damage:
            yield self._of(damage, "rows", state.head_seq)
            return
        said = None if row.ended_at is not None else (row.owner_id, row.fencing_token, row.acquired_at)
        held = None if grant is None else (grant["owner_id"], grant["token"], micros_of(grant["acquired_at"]))
        if said != held:
            detail = f"The row of the lease says {said}, its events say {held}."
            yield self._problem(state.head_seq, "lease", "rows", detail)

    def _of_late_results(self) -> Iterator[ProblemTold]:
        """Each has its digest, and there are as many as the head has counted; that of a stopped one may be at fault."""
        head, count = self._head, 0
        for columns in self._connection.execute(select(late_results.TABLE, LateResultRow), (head.workflow_id,)):
            count += 1
            try:
                checked(LateResultRow(*columns[:-1]), columns[-1])
            except IntegrityError as damage:
                yield self._of(damage, "rows")
        if count != head.late_results and head.stopped_reason is None:
            yield self._of(late_results.not_counted(head, count), "rows")

    def _of_snapshots(self, state: State) -> Iterator[ProblemTold]:
        """Each snapshot gives the state of its event; a restore that had to go round one says so."""
        workflow_id = self._head.workflow_id
        for (seq,) in self._connection.execute(SNAPSHOT_SEQS.encode(), (workflow_id,)).fetchall():
            if seq > state.head_seq:
                yield self._problem(seq, "last_event_seq", "snapshot", f"The snapshot at event {seq} is of no event.")
                continue
            try:
                restored = restoring.restore(self._connection, self._blobs, workflow_id, seq)
            except IntegrityError as damage:
                yield self._of(damage, "snapshot", seq)
                continue
            if restored.base_seq != seq or restored.healed:
                detail = restored.healed[0] if restored.healed else f"The snapshot at event {seq} was passed over."
                yield self._problem(seq, "snapshot", "snapshot", detail)

    def _of(self, damage: IntegrityError, where: Where, event_seq: int | None = None) -> ProblemTold:
        seq = damage.event_seq if damage.event_seq is not None else event_seq
        return self._problem(seq, damage.field, where, damage.detail)

    def _problem(self, event_seq: int | None, field: str | None, where: Where, detail: str) -> ProblemTold:
        return ProblemTold(
            workflow_id=self._head.workflow_id, event_seq=event_seq, field=field, where=where, detail=detail
        )


def _key(row: Any, width: int) -> tuple[Any, ...]:
    return tuple(row[1 : 1 + width])


def _to_seq(text: str) -> Any:
    try:
        return orjson.loads(text).get("to_seq")
    except (ValueError, AttributeError):
        return None
