"""The shapes that travel and rest: events as one flat record, and the documents that make up the state. Pure.

They are plain dicts, typed here, because a dict is what Avro, JSON and the state's checksum all take as it is.
"""

from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

GoalStatus = Literal["active", "paused", "done"]
TaskStatus = Literal["todo", "doing", "blocked", "done"]
Collection = Literal["goals", "tasks", "checkpoints", "grants", "steps", "silent_deaths"]
StepType = Literal["pure", "idempotent", "non_idempotent"]
StepStatus = Literal["open", "failed", "completed"]
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


class Grant(TypedDict):
    """The right to work: on one task (a claim), or on the whole workflow (its lease, `task_id` null).

    `expires_at` is the expiry of the granting event `seq`; renewals move it in the sequencer's memory only. `acted`
    says whether a checkpoint, a transition or a step of the task came from its holder.
    """

    grant_id: str
    token: int
    owner_id: str
    task_id: str | None
    ttl_seconds: int
    acquired_at: str
    expires_at: str
    seq: int
    acted: bool


class Attempt(TypedDict):
    """One try of a step, begun by event `seq` under `token`. `error` only where it failed with one."""

    attempt_id: int
    token: int
    seq: int
    started_at: str
    status: StepStatus
    ended_at: NotRequired[str]
    error: NotRequired[str]


class Step(TypedDict):
    """A step and its attempts. Its status is that of its last attempt; a result only where there is one."""

    step_id: str
    step_type: StepType
    task_id: str | None
    external_key: str | None
    status: StepStatus
    attempts: list[Attempt]
    result_ref: NotRequired[str]
    result_checksum: NotRequired[str]


class Voided(TypedDict):
    """A grant that an event has ended, in its payload. `expires_at` is the expiry that counted, renewals included."""

    token: int
    owner_id: str
    task_id: str | None
    expires_at: str
    reason: Literal["expired", "replaced"]


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
    """One entity of the state as it becomes; `document` None removes it.

    A silent death's document is a number, and so is that of the token counter, which has no key.
    """

    collection: Collection | Literal["token_counter"]
    key: str
    document: Any
