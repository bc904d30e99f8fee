"""The work that a batch touches, folded: rows as they were in, rows as they become out. Pure.

Documents become what the events' deltas make of them, never what a payload suggests. Beside them stand the derived
columns by which an index finds the next step: they are worked out from what changed, at a cost that does not grow
with the project.

A workflow whose event does not fit (chain, digests, delta) is stopped there, with the reason; the others go on.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, NamedTuple, cast

import orjson

from continuity.contract import LeaseRow
from continuity.core import canonical, ids
from continuity.core.acceptance import chain_fits
from continuity.core.delta import DeltaMismatch, patched
from continuity.core.grants import WORKFLOW
from continuity.core.records import Event
from continuity.core.state import COLLECTIONS, TOKEN_COUNTER, State
from continuity.projections.holdings import ONE_WAY, Changed, lease_after
from continuity.projections.record import Entity, Record
from continuity.rows import CheckpointRow, EntityRow, GoalRow, Head, TaskRow

Key = tuple[str, str]
"""(workflow_id, id) of a goal or task."""

Document = Any
"""An object, the number that a count of silent deaths and the token counter are, or None where there is none."""

Pointers = tuple[int | None, int | None, int | None]
REASON_CHARACTERS_MAX = 500
TABLES = ("tasks", "checkpoints", "goals")
"""The collections with a table of their own; the others share `entities`."""
ENTITIES = ("grants", "steps", "silent_deaths")


class Edges(NamedTuple):
    """Dependencies that came and went, each as (workflow_id, depends_on, task_id)."""

    added: list[tuple[str, str, str]]
    removed: list[tuple[str, str, str]]


class Work:
    """One batch. First `touched` is loaded into `rows`, then each event is applied, then the results are read off."""

    def __init__(self, heads: Mapping[str, Head], condemned: Mapping[str, str]) -> None:
        self.heads = dict(heads)
        self.stopped = {key: head.stopped_reason for key, head in heads.items() if head.stopped_reason is not None}
        self.condemned = {key: condemned[key] for key in condemned.keys() - self.stopped.keys()}
        self.newly_stopped: dict[str, Head] = {}
        self.facts: list[Record] = []
        self.ignored = 0
        self.late_results: Counter[str] = Counter()
        """By workflow: how many more its head has to count. What was there before its head was is among them."""
        self.goals: dict[Key, GoalRow] = {}
        self.tasks: dict[Key, TaskRow] = {}
        self.checkpoints: dict[Key, CheckpointRow] = {}
        self.entities: dict[str, dict[Key, EntityRow]] = {name: {} for name in ENTITIES}
        self.leases: dict[str, LeaseRow] = {}
        self.new_leases: dict[str, LeaseRow] = {}
        self.rows: Mapping[str, Mapping[Any, GoalRow | TaskRow | CheckpointRow | EntityRow]] = {
            "goals": self.goals,
            "tasks": self.tasks,
            "checkpoints": self.checkpoints,
            **self.entities,
        }
        self._before: dict[Entity, Document] = {}
        self._after: dict[Entity, Document] = {}

    # Events.

    def is_stopped(self, workflow_id: str) -> bool:
        """Whether nothing more of a workflow is to be projected."""
        return workflow_id in self.stopped or workflow_id in self.condemned

    def apply(self, record: Record) -> None:
        """Take the next event of the log."""
        workflow_id = record.workflow_id
        if workflow_id in self.stopped:
            self.ignored += 1
            return
        if workflow_id in self.condemned:
            self.stop(record, self.condemned[workflow_id])
            return
        event = cast("Event", record.event)
        head = self.heads.get(workflow_id) or _no_head(record)
        if record.flaw is not None:
            self.stop(record, record.flaw)
        elif not chain_fits(head.head_seq, head.head_hash, event):
            self.stop(record, f"Event {event['event_seq']} does not follow event {head.head_seq} of the chain.")
        elif (reason := self._patch(record)) is not None:
            self.stop(record, f"Event {event['event_seq']} has a delta of another state: {reason}")
        else:
            moved = (event["event_seq"], event["event_hash"], event["timestamp"], event["state_checksum"])
            token_counter: int = self._after.get((TOKEN_COUNTER, workflow_id, ""), head.token_counter)
            self.heads[workflow_id] = Head(*head[:4], *moved, token_counter, head.late_results, *head[10:])
            self.facts.append(record)

    def stop(self, record: Record, reason: str) -> None:
        """Project nothing more of this record's workflow until it is repaired."""
        self.stopped[record.workflow_id] = reason.replace("\0", "")[:REASON_CHARACTERS_MAX]
        self.newly_stopped[record.workflow_id] = self.heads.get(record.workflow_id) or _no_head(record)
        self.ignored += 1

    def _patch(self, record: Record) -> str | None:
        changed: dict[Entity, Document] = {}
        for entity, field, operation in record.patches:
            before = changed[entity] if entity in changed else self._document(entity)
            try:
                changed[entity] = patched(before, operation, field)
            except (DeltaMismatch, ValueError, KeyError, TypeError) as error:
                return str(error)
        for entity, after in changed.items():
            if entity[0] in ONE_WAY and (reason := ONE_WAY[entity[0]](self._document(entity), after)) is not None:
                return reason
        lease = ("grants", record.workflow_id, WORKFLOW)
        if lease in changed:
            self._follow_lease(record, self._document(lease), changed[lease])
        self._after.update(changed)
        return None

    def _follow_lease(self, record: Record, before: Document, after: Document) -> None:
        known = self.new_leases.get(record.workflow_id) or self.leases.get(record.workflow_id)
        row = lease_after(cast("Event", record.event), known, before, after)
        if row is not None:
            self.new_leases[record.workflow_id] = row

    def _document(self, entity: Entity) -> Document:
        """An entity as the events so far have left it."""
        if entity in self._after:
            return self._after[entity]
        if entity not in self._before:
            self._before[entity] = self._stored(entity)
        return self._before[entity]

    def _stored(self, entity: Entity) -> Document:
        """An entity as it was before the batch."""
        if entity[0] == TOKEN_COUNTER:
            head = self.heads.get(entity[1])
            return 0 if head is None else head.token_counter
        row = self.rows[entity[0]].get(entity[1:])
        return None if row is None else orjson.loads(row.doc)

    # What is to be written.

    @property
    def workflows(self) -> set[str]:
        """The workflows whose head has moved."""
        return {record.workflow_id for record in self.facts}

    def counted(self, head: Head) -> Head:
        """A head with the late results that are new to it."""
        count = self.late_results[head.workflow_id]
        return head._replace(late_results=head.late_results + count) if count else head

    def finished(self) -> dict[Key, int]:
        """Tasks that became done (1) or are done no more (-1): what other tasks' `unmet_count` depends on."""
        changes: dict[Key, int] = {}
        for key, document in self._changed("tasks"):
            row = self.tasks.get(key)
            was_done = row is not None and row.status == "done"
            change = int(document is not None and document["status"] == "done") - int(was_done)
            if change:
                changes[key] = change
        return changes

    def unknown_dependencies(self) -> set[Key]:
        """Tasks whose status is needed to count what a new or amended task waits for, and that are not loaded yet."""
        return {
            needed
            for key, document in self._changed("tasks")
            if document is not None and self._depends_on(key) != (now := _dependencies(key, document))
            for needed in now
            if needed not in self.tasks and ("tasks", *needed) not in self._after
        }

    def edges(self) -> Edges:
        """Which dependencies came and went."""
        edges = Edges([], [])
        for key, document in self._changed("tasks"):
            was, now = self._depends_on(key), _dependencies(key, document)
            edges.added.extend((key[0], needed[1], key[1]) for needed in now - was)
            edges.removed.extend((key[0], needed[1], key[1]) for needed in was - now)
        return edges

    def task_rows(self, dependents: Iterable[Key], finished: Mapping[Key, int]) -> list[TaskRow]:
        """The tasks that changed, and the dependents whose count of unmet dependencies did."""
        # A task's row names its checkpoint: one whose checkpoint alone changed is written, too.
        keys = dict.fromkeys(key for name in ("tasks", "checkpoints") for key, _ in self._changed(name))
        documents = [(key, self._document(("tasks", *key))) for key in keys]
        rows = [self._task_row(key, document, finished) for key, document in documents if document is not None]
        for key in dependents:
            if ("tasks", *key) not in self._after and key not in keys:
                row = self.tasks[key]
                needed = _dependencies(key, orjson.loads(row.doc))
                rows.append(row._replace(unmet_count=row.unmet_count - sum(finished.get(each, 0) for each in needed)))
        return rows

    def _task_row(self, key: Key, document: Document, finished: Mapping[Key, int]) -> TaskRow:
        row = self.tasks.get(key)
        needed = _dependencies(key, document)
        if row is None or needed != self._depends_on(key):
            unmet = sum(not self._is_done(each) for each in needed)
        else:
            unmet = row.unmet_count - sum(finished.get(each, 0) for each in needed)
        checkpoint_seq = None if row is None else row.checkpoint_seq
        if ("checkpoints", *key) in self._after:
            checkpoint = self._after["checkpoints", *key]
            checkpoint_seq = None if checkpoint is None else checkpoint["seq"]
        return TaskRow(
            *key,
            document["goal_id"],
            document["status"],
            document["created_seq"],
            document["changed_seq"],
            unmet,
            checkpoint_seq,
            canonical.text(document),
        )

    def checkpoint_rows(self) -> list[CheckpointRow]:
        """The checkpoints that changed."""
        return [
            CheckpointRow(*key, document["seq"], canonical.text(document))
            for key, document in self._changed("checkpoints")
            if document is not None
        ]

    def goals_of(self, rows: Iterable[TaskRow]) -> set[Key]:
        """The goals that changed, and those of tasks that did, or that are no more."""
        keys = {key for key, _ in self._changed("goals")}
        keys.update((row.workflow_id, row.goal_id) for row in rows)
        keys.update((key[0], self.tasks[key].goal_id) for key in self.removed("tasks") if key in self.tasks)
        return keys.difference(self.removed("goals"))

    def goal_rows(self, pointers: Mapping[Key, Pointers]) -> list[GoalRow]:
        """Goals with their best tasks as looked up after the tasks were written."""
        rows = []
        for key, best in pointers.items():
            document = self._document(("goals", *key))
            if document is None:
                raise DeltaMismatch(f"A task of workflow {key[0]} belongs to goal {key[1]}, which is not there.")
            row = GoalRow(*key, document["status"], document["priority"], *best, canonical.text(document))
            if row != self.goals.get(key):
                rows.append(row)
        return rows

    def holdings(self) -> dict[str, list[Changed]]:
        """The grants, steps and silent deaths that changed, by collection."""
        found: dict[str, list[Changed]] = {name: [] for name in ENTITIES}
        for entity, after in self._after.items():
            if entity[0] in found:
                found[entity[0]].append(((entity[1], entity[2]), self._before[entity], after))
        return found

    def removed(self, collection: str) -> list[Key]:
        """Entities of a collection that are no more."""
        return [key for key, document in self._changed(collection) if document is None]

    def _changed(self, collection: str) -> Iterator[tuple[Key, Document]]:
        return ((entity[1:], document) for entity, document in self._after.items() if entity[0] == collection)

    def _depends_on(self, key: Key) -> set[Key]:
        """What a task depended on before the batch."""
        before = self._before.get(("tasks", *key))
        return _dependencies(key, before)

    def _is_done(self, key: Key) -> bool:
        document = self._after.get(("tasks", *key))
        if document is not None:
            return bool(document["status"] == "done")
        row = self.tasks.get(key)
        return row is not None and row.status == "done"


def touched(records: Iterable[Record]) -> dict[str, set[Key]]:
    """The rows to load before the records are applied, by collection."""
    keys: dict[str, set[Key]] = {name: set() for name in (*COLLECTIONS, TOKEN_COUNTER)}
    for record in records:
        for (collection, workflow_id, key), _, _ in record.patches:
            keys[collection].add((workflow_id, key))
    keys["tasks"] |= keys["checkpoints"]  # a task's row names its checkpoint
    return keys


def _dependencies(key: Key, document: Document) -> set[Key]:
    return {(key[0], needed) for needed in document["depends_on"]} if document else set()


_place = itemgetter("workflow_id", "tenant", "project")


def _no_head(record: Record) -> Head:
    """The head of a workflow before its first event."""
    event = cast("Any", record.event)
    workflow_id, tenant, project = _place(event)
    at_start = (0, ids.ZERO_HASH, event["timestamp"], State(workflow_id).checksum, 0)
    return Head(workflow_id, tenant, project, record.partition, *at_start, 0, None, 4, None, [])
