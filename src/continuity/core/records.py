"""The shapes that travel and rest: events as one flat record, and the documents that make up the state. Pure.

They are plain dicts, typed here, because a dict is what Avro, JSON and the state's checksum all take as it is.
"""

from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

GoalStatus = Literal["active", "paused", "done"]
TaskStatus = Literal["todo", "doing", "blocked", "done"]
Collection = Literal["goals", "tasks", "checkpoints"]
OperatorKind = Literal["human", "agent", "automation", "device"]

SCHEMA_VERSION = "1.0"
SEQUENCER_PREFIX = "sequencer_"
SEQUENCER_EPOCH = "sequencer_epoch"
SEQUENCER_MARK = "sequencer_mark"

LOG_FIELDS = ("epoch", "sequencer_id", "epoch_seq", "source_generation", "source_offset")
"""Of the log, not of the fact: they are no part of `event_hash`."""


class Blocker(TypedDict):
    """What keeps a task from going on; unresolved until the task leaves `blocked`."""

    text: str
    clears_when: NotRequired[str]


class Goal(TypedDict):
    """An outcome that tasks serve. A larger `priority` comes first."""

    goal_id: str
    text: str
    priority: int
    status: GoalStatus
    created_at: str
    created_seq: int


class Task(TypedDict):
    """A piece of work. `changed_seq` is the event of its last change, checkpoints included."""

    task_id: str
    goal_id: str
    title: str
    status: TaskStatus
    acceptance_criteria: list[str]
    depends_on: list[str]
    created_at: str
    updated_at: str
    created_seq: int
    changed_seq: int
    blockers: NotRequired[list[Blocker]]
    evidence: NotRequired[str]


class Checkpoint(TypedDict):
    """Where a task was left: the latest one of each task."""

    task_id: str
    where_we_left_off: str
    next_step: str
    needed_context_refs: list[str]
    blockers: list[Blocker]
    timestamp: str
    seq: int


class Event(TypedDict):
    """One record of `continuity.events`. `timestamp` in microseconds since 1970; `payload`, `delta` canonical JSON."""

    event_id: str
    tenant: str
    project: str
    workflow_id: str
    event_seq: int
    event_type: str
    payload: str
    timestamp: int
    schema_version: str
    producer_version: str
    checksum: str
    command_id: str
    command_digest: str
    operator_id: str
    operator_kind: str
    session_id: str | None
    goal_id: str | None
    task_id: str | None
    step_id: str | None
    from_status: str | None
    to_status: str | None
    fencing_token: int | None
    delta: str
    state_checksum: str
    prev_hash: str
    event_hash: str
    epoch: int
    sequencer_id: str
    epoch_seq: int
    source_generation: int
    source_offset: int


class Command(NamedTuple):
    """A request as it stands in the log: `body` is the canonical JSON of one of `core.commands`."""

    command_id: str
    command_type: str
    body: str
    tenant: str
    project: str
    workflow_id: str
    operator_id: str
    operator_kind: str
    session_id: str | None = None
    expected_seq: int | None = None
    fencing_token: int | None = None
    after: str | None = None


class Change(NamedTuple):
    """One entity of the state as it becomes; `document` None removes it."""

    collection: Collection
    key: str
    document: dict[str, Any] | None
