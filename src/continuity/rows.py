"""What a projected row consists of, and the digest that shows that it is still what was written. Pure.

Shared by the projector, which writes these rows, and by all that read them. An entity's `doc` is its canonical JSON,
the other columns are derived from it or from its neighbours so that an index can find it; `digest` covers all of
them. Whoever reads a row for an answer builds it with `checked`, which never returns a row that does not agree.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import orjson

from continuity.core import canonical, seal, tree
from continuity.core.grants import WORKFLOW
from continuity.core.ids import instant
from continuity.core.records import Event
from continuity.errors import IntegrityError


class Head(NamedTuple):
    """A workflow's head, and its next step: the rule that chose, the task, and the tuple that won (`core.next_step`).

    `late_results` is how many rows the workflow has in the table of that name. `stopped_reason` is set when the chain
    did not fit: nothing after the head is projected. Times in microseconds.
    """

    workflow_id: str
    tenant: str
    project: str
    partition: int
    head_seq: int
    head_hash: str
    head_timestamp: int
    state_checksum: str
    token_counter: int
    late_results: int
    stopped_reason: str | None
    next_rule: int
    next_task_id: str | None
    next_key: list[int]

    @property
    def name(self) -> str:
        """How an error names it."""
        return f"project {self.project}"

    def digest(self) -> bytes:
        """SHA-256 over all columns."""
        return sha256(canonical.dumps(list(self))).digest()

    def differs_in(self) -> str:
        """The column at fault, once the digest has shown that there is one."""
        return "digest"


class GoalRow(NamedTuple):
    """A goal, and its best task by each rule: changed last among doing, among blocked, and created first of ready."""

    workflow_id: str
    goal_id: str
    status: str
    priority: int
    doing_seq: int | None
    blocked_seq: int | None
    ready_seq: int | None
    doc: str

    @property
    def name(self) -> str:
        """How an error names it."""
        return f"goal {self.goal_id}"

    def leaf(self) -> bytes:
        """Its leaf in the state's checksum."""
        return tree.leaf("goals", self.goal_id, self.doc.encode())

    def digest(self) -> bytes:
        """SHA-256 over all columns."""
        return _digest(self, self.leaf())

    def differs_in(self) -> str:
        """The column at fault, once the digest has shown that there is one."""
        return _differs_in(self, self.doc, ("goal_id", "status", "priority"))


class TaskRow(NamedTuple):
    """A task; `unmet_count` of its dependencies are not done, `checkpoint_seq` is its latest checkpoint's event."""

    workflow_id: str
    task_id: str
    goal_id: str
    status: str
    created_seq: int
    changed_seq: int
    unmet_count: int
    checkpoint_seq: int | None
    doc: str

    @property
    def name(self) -> str:
        """How an error names it."""
        return f"task {self.task_id}"

    def leaf(self) -> bytes:
        """Its leaf in the state's checksum."""
        return tree.leaf("tasks", self.task_id, self.doc.encode())

    def digest(self) -> bytes:
        """SHA-256 over all columns."""
        return _digest(self, self.leaf())

    def differs_in(self) -> str:
        """The column at fault, once the digest has shown that there is one."""
        return _differs_in(self, self.doc, ("task_id", "goal_id", "status", "created_seq", "changed_seq"))


class CheckpointRow(NamedTuple):
    """The latest checkpoint of a task."""

    workflow_id: str
    task_id: str
    seq: int
    doc: str

    @property
    def name(self) -> str:
        """How an error names it."""
        return f"checkpoint of task {self.task_id}"

    def leaf(self) -> bytes:
        """Its leaf in the state's checksum."""
        return tree.leaf("checkpoints", self.task_id, self.doc.encode())

    def digest(self) -> bytes:
        """SHA-256 over all columns."""
        return _digest(self, self.leaf())

    def differs_in(self) -> str:
        """The column at fault, once the digest has shown that there is one."""
        return _differs_in(self, self.doc, ("task_id", "seq"))


class EntityRow(NamedTuple):
    """A grant, a step or a count of silent deaths: what of the state has no table of its own, by its key there."""

    workflow_id: str
    collection: str
    key: str
    doc: str

    @property
    def name(self) -> str:
        """How an error names it."""
        return f"{ENTITY_NAMES.get(self.collection, self.collection)} {self.key}"

    def leaf(self) -> bytes:
        """Its leaf in the state's checksum."""
        return tree.leaf(self.collection, self.key, self.doc.encode())

    def digest(self) -> bytes:
        """SHA-256 over all columns."""
        return _digest(self, self.leaf())

    def differs_in(self) -> str:
        """The column at fault, once the digest has shown that there is one."""
        if self.collection not in ENTITY_NAMES:
            return "collection"
        try:
            document = canonical.loads_canonical(self.doc)
        except canonical.InvalidJson:
            return "doc"
        keys = {"steps": "step_id", "grants": "task_id"}
        if self.collection in keys and isinstance(document, dict):
            key = document.get(keys[self.collection]) or WORKFLOW
            return "key" if key != self.key else "digest"
        return "digest"


ENTITY_NAMES = {"grants": "the grant of", "steps": "step", "silent_deaths": "the silent deaths of task"}


class Row(Protocol):
    """What every row can say of itself."""

    @property
    def workflow_id(self) -> str:
        """Whose it is."""
        ...

    @property
    def name(self) -> str:
        """How an error names it."""
        ...

    def digest(self) -> bytes:
        """SHA-256 over all columns."""
        ...

    def differs_in(self) -> str:
        """The column at fault, once the digest has shown that there is one."""
        ...


AnyRow = TypeVar("AnyRow", bound=Row)

HEAD_COLUMNS = """workflow_id, tenant, project, partition, head_seq, head_hash,
    (extract(epoch FROM head_timestamp) * 1000000)::bigint, state_checksum, token_counter, late_results,
    stopped_reason, next_rule, next_task_id, next_key"""
"""The select list that `Head` is made of; those of the other rows are their own field names."""


def checked(row: AnyRow, digest: bytes) -> AnyRow:
    """`row`, if it has this digest. Raises IntegrityError, naming workflow, entity and field."""
    if row.digest() == digest:
        return row
    field = row.differs_in()
    raise IntegrityError(
        f"The row of {row.name} in workflow {row.workflow_id} is damaged in {field}: it does not have its digest.",
        workflow_id=row.workflow_id,
        field=f"{row.name}: {field}",
    )


def missing(workflow_id: str, name: str) -> IntegrityError:
    """A row that must be there is not."""
    detail = f"The row of {name} in workflow {workflow_id} is missing."
    return IntegrityError(detail, workflow_id=workflow_id, field=name)


def hole(head: Head, seq: int) -> IntegrityError:
    """An event of the journal is not in its place."""
    return IntegrityError(
        f"Event {seq} of workflow {head.workflow_id} is missing, or does not follow the one before.",
        workflow_id=head.workflow_id,
        event_seq=seq,
        field="event_seq",
    )


def stopped(head: Head) -> IntegrityError:
    """The workflow is stopped: its last events are not what its head says."""
    return IntegrityError(
        f"Project {head.project} is stopped: {head.stopped_reason}",
        workflow_id=head.workflow_id,
        event_seq=head.head_seq + 1,
        field="chain",
    )


def damaged(damage: seal.Damaged, workflow_id: str) -> IntegrityError:
    """What the core found in an event, as an error of the workflow that was asked for."""
    return IntegrityError(damage.detail, workflow_id=workflow_id, event_seq=damage.event_seq, field=damage.field)


def checksum_of(leaves: Iterable[tuple[str, bytes]], token_counter: int = 0) -> str:
    """The state's checksum from all its leaves, each as (`collection/key`, digest), in any order."""
    buckets: list[list[bytes]] = [[] for _ in range(tree.BUCKETS)]
    for path, leaf in leaves:
        buckets[tree.bucket(path)[0]].append(leaf)
    digests = b"".join(sha256(b"".join(sorted(bucket))).digest() for bucket in buckets)
    return tree.Tree((), digests).checksum(token_counter)


def _digest(row: Sequence[Any], leaf: bytes) -> bytes:
    # The document is in the leaf: serialising it again would cost as much as all the rest.
    return sha256(leaf + canonical.dumps(row[:-1])).digest()


def _differs_in(row: Any, doc: str, names: tuple[str, ...]) -> str:
    """Which column shows that the row is damaged; the digest itself when the columns agree with the document."""
    try:
        document = canonical.loads_canonical(doc)
    except canonical.InvalidJson:
        return "doc"
    return next((name for name in names if document.get(name) != getattr(row, name)), "digest")


# The journal.

_EVENT_FIELDS = tuple(Event.__annotations__)
_PAYLOAD = _EVENT_FIELDS.index("payload")
EVENT_SEQ = _EVENT_FIELDS.index("event_seq")
WORKFLOW_ID = _EVENT_FIELDS.index("workflow_id")
"""Where these stand in a row that was selected by EVENT_COLUMNS."""

EVENT_COLUMNS = ", ".join(
    {"payload": "payload::text", "timestamp": "(extract(epoch FROM timestamp) * 1000000)::bigint"}.get(name, name)
    for name in _EVENT_FIELDS
)
"""The select list that `event_of` takes."""


def journal_row(event: Event, partition: int, offset: int) -> dict[str, Any]:
    """An event as a row of the journal, by column, with its place in the events topic."""
    return {**event, "timestamp": instant(event["timestamp"]), "log_partition": partition, "log_offset": offset}


def event_of(columns: Sequence[Any]) -> Event:
    """The event of a row that was selected by EVENT_COLUMNS: what `journal_row` was given, byte for byte.

    JSONB keeps another order of keys and other spaces, so the payload is made canonical again. What a damaged row
    turns into does not have its checksum or hash any more (`core.seal.verify`).
    """
    event = dict(zip(_EVENT_FIELDS, columns, strict=True))
    event["payload"] = canonical.text(orjson.loads(columns[_PAYLOAD]))
    return cast("Event", event)


def stored_event(columns: Sequence[Any]) -> Event:
    """The same. Raises IntegrityError, naming the event, where the payload is no object of JSON's any more."""
    try:
        return event_of(columns)
    except ValueError as error:
        seq, workflow_id = columns[EVENT_SEQ], columns[WORKFLOW_ID]
        detail = f"Event {seq} of workflow {workflow_id} is damaged in payload: it is unreadable: {error}."
        raise IntegrityError(detail, workflow_id=workflow_id, event_seq=seq, field="payload") from None
