"""One batch, one transaction: the positions compared and set, then the journal, the work tables and the heads.

A crash between any two statements leaves what was there before the batch, positions included, so nothing is repeated
and nothing is lost. Touches Postgres and nothing else.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import orjson
import psycopg
from psycopg import Connection

from continuity.contract import LateResultRow, LeaseRow
from continuity.core.acceptance import Acceptance
from continuity.core.grants import WORKFLOW
from continuity.core.ids import instant
from continuity.postgres import CHANNEL, array
from continuity.projections import holdings
from continuity.projections.batch import Batch, Position
from continuity.projections.parameters import arrays, as_json
from continuity.projections.record import Record
from continuity.projections.schema import statement
from continuity.projections.snapshots import Snapshots
from continuity.projections.work import ENTITIES, TABLES, Key, Work, touched
from continuity.rows import (
    HEAD_COLUMNS,
    CheckpointRow,
    EntityRow,
    GoalRow,
    Head,
    TaskRow,
    checked,
    journal_row,
)

PAIRS_PER_NOTIFICATION = 120
"""A notification holds less than 8,000 bytes."""

HEADS = f"SELECT {HEAD_COLUMNS}, digest FROM workflows WHERE workflow_id = ANY(%s::uuid[])"  # noqa: S608 - our own columns

AnyRow = TypeVar("AnyRow", GoalRow, TaskRow, CheckpointRow)


class Moved(Exception):
    """The positions are not as this writer left them: another projector wrote, or a rebuild took the place."""


class Unwritable(Exception):
    """Something in this batch cannot become rows. Nothing of it was written."""


class Positions(NamedTuple):
    """Where the projection stands, and in which installation of the schema. `topic_ids` by partition."""

    generation: str
    by_partition: Mapping[int, Position]
    topic_ids: Mapping[int, str]


class Written(NamedTuple):
    """What a batch became."""

    events: int
    ignored: int
    stopped: Mapping[str, str]


def read_positions(connection: "Connection[Any]", partitions: Iterable[int], topic_id: str) -> Positions:
    """The positions as committed; partitions that have none start at the beginning of the topic."""
    with connection.transaction():
        generation = connection.execute("SELECT generation FROM schema_version").fetchone()[0]  # type: ignore[index]
        for partition in partitions:
            connection.execute(statement("first_position"), (partition, topic_id))
        found = connection.execute(statement("positions").encode()).fetchall()
    return Positions(
        generation,
        {row[0]: Position(row[1], Acceptance(*row[3:])) for row in found},
        {row[0]: row[2] for row in found},
    )


class Writer:
    """Writes batches over one connection. `notify` is off where nobody reads, as in a rebuild."""

    def __init__(
        self,
        connection: "Connection[Any]",
        generation: str,
        *,
        notify: bool = True,
        snapshots: Snapshots | None = None,
    ) -> None:
        self._connection = connection
        self._generation = generation
        self._notify = notify
        self._snapshots = snapshots

    def write(self, batch: Batch, condemned: Mapping[str, str]) -> Written:
        """Project a batch. `condemned` names workflows of which nothing more is written, with the reason.

        Raises Moved, Unwritable, or IntegrityError (a damaged row, naming its workflow); nothing is written then.
        """
        try:
            with self._connection.transaction():
                self._move(batch)
                work = self._loaded(batch.facts, condemned)
                self._write_rows(work)
                self._write_holdings(work)
                self._write_late_results(batch.late_results, work)
                self._write_heads(work)
                self._write_journal(work.facts)
                if self._snapshots is not None:
                    self._snapshots.write(work)
                self._announce(work)
            if self._snapshots is not None:
                self._snapshots.commit()
        except (psycopg.DataError, psycopg.IntegrityError, ValueError, KeyError, TypeError) as error:
            raise Unwritable(f"{type(error).__name__}: {error}") from error
        new = {key: work.stopped[key] for key in work.newly_stopped}
        return Written(len(work.facts), work.ignored, new)

    def _move(self, batch: Batch) -> None:
        for partition, after in batch.after.items():
            before = batch.before[partition]
            values: dict[str, Any] = {f"was_{name}": value for name, value in before.acceptance._asdict().items()}
            values |= after.acceptance._asdict()
            values |= {"was_next_offset": before.next_offset, "next_offset": after.next_offset}
            values |= {"partition": partition, "schema_generation": self._generation}
            if self._connection.execute(statement("move_position"), values).rowcount != 1:
                raise Moved(f"The position of partition {partition} is not the one that this projector left.")

    def _loaded(self, facts: Sequence[Record], condemned: Mapping[str, str]) -> Work:
        """The rows that the batch touches, and the events applied to them."""
        wanted = {record.workflow_id for record in facts}
        work = Work(self._load_heads(wanted, condemned), {key: condemned[key] for key in wanted & condemned.keys()})
        new = wanted - work.heads.keys()
        if new:  # a late result comes after its workflow's events; but nothing keeps a mark from telling of one before
            work.late_results.update(dict(self._connection.execute(statement("count_late_results"), (array(new),))))
        if self._snapshots is not None:
            facts = self._snapshots.examined(facts, work)
        # Of a stopped workflow nothing is read: its rows may be what it was stopped for.
        keys = touched(record for record in facts if not work.is_stopped(record.workflow_id))
        work.tasks.update(self._load("load_tasks", TaskRow, keys["tasks"]))
        work.goals.update(self._load("load_goals", GoalRow, keys["goals"]))
        work.checkpoints.update(self._load("load_checkpoints", CheckpointRow, keys["checkpoints"]))
        self._load_holdings(work, keys)
        for record in facts:
            work.apply(record)
        return work

    def _load_heads(self, wanted: Collection[str], condemned: Mapping[str, str]) -> dict[str, Head]:
        heads: dict[str, Head] = {}
        for head, digest in self._stored_heads(wanted):
            # Of a stopped workflow nothing is read but that it is stopped.
            is_stopped = head.stopped_reason is not None or head.workflow_id in condemned
            heads[head.workflow_id] = head if is_stopped else checked(head, digest)
        return heads

    def _stored_heads(self, wanted: Collection[str]) -> Iterator[tuple[Head, bytes]]:
        """The heads of workflows as they are stored, each with the digest that it should have."""
        if wanted:
            for *columns, digest in self._connection.execute(HEADS.encode(), (array(wanted),)):
                yield Head(*columns), digest

    def _load(self, name: str, kind: type[AnyRow], keys: Collection[Key]) -> dict[Key, AnyRow]:
        rows: dict[Key, AnyRow] = {}
        if keys:
            for *columns, digest in self._connection.execute(statement(name), arrays(keys)):
                rows[columns[0], columns[1]] = checked(kind(*columns), digest)
        return rows

    def _load_holdings(self, work: Work, keys: Mapping[str, Collection[Key]]) -> None:
        """Grants, steps and silent deaths, and the rows of leases, which outlive their grants."""
        wanted = [(workflow_id, name, key) for name in ENTITIES for workflow_id, key in keys[name]]
        if not wanted:
            return
        for *columns, digest in self._connection.execute(statement("load_entities"), arrays(wanted)):
            row = checked(EntityRow(*columns), digest)
            work.entities[row.collection][row.workflow_id, row.key] = row
        leased = [workflow_id for workflow_id, key in keys["grants"] if key == WORKFLOW]
        if leased:
            for *columns, digest in self._connection.execute(statement("load_leases"), (array(leased),)):
                work.leases[columns[0]] = checked(LeaseRow(*columns), digest)

    def _write_rows(self, work: Work) -> None:
        """Tasks and checkpoints first: the goals' best tasks are looked up among them."""
        finished = work.finished()
        dependents: set[Key] = set()
        if finished:
            found = self._connection.execute(statement("load_dependents"), arrays(finished)).fetchall()
            dependents = {(row[0], row[1]) for row in found}
            work.tasks.update(self._load("load_tasks", TaskRow, dependents - work.tasks.keys()))
        work.tasks.update(self._load("load_tasks", TaskRow, work.unknown_dependencies()))
        edges = work.edges()
        self._execute_arrays("write_edges", edges.added)
        self._execute_arrays("remove_edges", edges.removed)
        tasks = work.task_rows(dependents, finished)
        self._write("write_tasks", tasks)
        self._write("write_checkpoints", work.checkpoint_rows())
        for collection in TABLES:
            self._execute_arrays(f"remove_{collection}", work.removed(collection))
        goals = work.goals_of(tasks)
        work.goals.update(self._load("load_goals", GoalRow, goals - work.goals.keys()))
        if goals:
            best = self._connection.execute(statement("best_tasks"), arrays(goals)).fetchall()
            self._write("write_goals", work.goal_rows({(row[0], row[1]): row[2:] for row in best}))

    def _write_holdings(self, work: Work) -> None:
        """Grants, steps and silent deaths, and the published tables that tell them in columns."""
        changed = work.holdings()
        self._write("write_entities", holdings.entity_rows(changed))
        self._execute_arrays("remove_entities", holdings.removed(changed))
        self._write("write_leases", list(work.new_leases.values()))
        self._execute_arrays("remove_claims", holdings.ended_claims(changed["grants"]))
        self._write("write_claims", holdings.claim_rows(changed["grants"]))
        self._write("write_attempts", list(holdings.attempt_rows(changed["steps"])))
        self._write("write_completions", list(holdings.completion_rows(changed["steps"])))

    def _write_late_results(self, rows: Sequence[LateResultRow], work: Work) -> None:
        if rows:
            added = self._connection.execute(statement("write_late_results"), (as_json(rows),))
            work.late_results.update(workflow_id for (workflow_id,) in added)

    def _write_heads(self, work: Work) -> None:
        moved = work.workflows
        heads = []
        if moved:
            for workflow_id, *best in self._connection.execute(statement("next_steps"), (array(moved),)):
                rule, task_id, key = best
                reason = work.stopped.get(workflow_id)
                heads.append(
                    work.heads[workflow_id]._replace(
                        next_rule=rule, next_task_id=task_id, next_key=key, stopped_reason=reason
                    )
                )
        for workflow_id, head in work.newly_stopped.items():
            if workflow_id in work.condemned and workflow_id in work.heads:
                # Its digest stays as it is: what is damaged must not get a digest that fits.
                self._connection.execute(statement("condemn"), (work.condemned[workflow_id], workflow_id))
            elif workflow_id not in moved:
                heads.append(head._replace(stopped_reason=work.stopped[workflow_id]))
        # Those of which nothing came but late results. What is damaged must not get a digest that fits here, either.
        beside = work.late_results.keys() - {head.workflow_id for head in heads}
        heads.extend(head for head, digest in self._stored_heads(beside) if head.digest() == digest)
        self._write("write_heads", [work.counted(head) for head in heads])

    def _write_journal(self, facts: Sequence[Record]) -> None:
        if not facts:
            return
        seen: dict[tuple[str, str, str], list[int]] = {}
        rows = []
        for record in facts:
            event = cast("Any", record.event)
            rows.append(journal_row(event, record.partition, record.offset))
            operator = (event["tenant"], event["operator_id"], event["operator_kind"])
            seen.setdefault(operator, []).append(event["timestamp"])
        self._connection.execute(statement("write_journal"), (orjson.dumps(rows).decode(),))
        operators = [
            {
                **dict(zip(("tenant", "operator_id", "operator_kind"), operator, strict=True)),
                "first_event_at": instant(min(times)),
                "last_event_at": instant(max(times)),
                "events": len(times),
            }
            for operator, times in sorted(seen.items())
        ]
        self._connection.execute(statement("write_operators"), (orjson.dumps(operators).decode(),))

    def _announce(self, work: Work) -> None:
        if not self._notify:
            return
        pairs = [f"{workflow_id}:{work.heads[workflow_id].head_seq}" for workflow_id in work.workflows]
        for start in range(0, len(pairs), PAIRS_PER_NOTIFICATION):
            text = " ".join(pairs[start : start + PAIRS_PER_NOTIFICATION])
            self._connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, text))

    def _write(self, name: str, rows: Sequence[Any]) -> None:
        """Rows as one JSON parameter: measured at 17 µs a row, where arrays of parameters cost 57."""
        if rows:
            self._connection.execute(statement(name), (as_json(rows),))

    def _execute_arrays(self, name: str, keys: Sequence[tuple[str, ...]]) -> None:
        if keys:
            self._connection.execute(statement(name), arrays(keys))
