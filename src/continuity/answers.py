"""What the API answers and the SDK returns, as types: declared once for handlers, the OpenAPI document and callers.

Plain dicts on the wire and in Python alike; times are RFC 3339 in UTC, ids lower-case UUIDs, digests lower-case hex.
"""

from typing import Any, Literal, NotRequired, TypedDict

from continuity.core.next_step import NextStep
from continuity.core.records import Blocker, Checkpoint, Goal, Task

__all__ = [
    "ActiveWorkState", "BatchAnswer", "Blocker", "Checkpoint", "CommandOutcome", "EventDocument", "EventPage", "Goal",
    "NextStep", "ProblemDocument", "ProjectPage", "ProjectSummary", "Task", "WriteAnswer",
]  # fmt: skip


class WriteAnswer(TypedDict):
    """What became of a command. `duplicate`: it was accepted before, and these are the values of that time.

    `durable`: it is recorded and will be decided; ask for its outcome by `command_id`.
    """

    command_id: str
    status: Literal["accepted", "duplicate", "durable"]
    workflow_id: str
    event_seq: NotRequired[int]
    event_id: NotRequired[str]
    event_type: NotRequired[str]
    goal_id: NotRequired[str]
    task_id: NotRequired[str]
    fencing_token: NotRequired[int]
    state_checksum: NotRequired[str]
    next_step: NotRequired[NextStep]


class CommandOutcome(TypedDict):
    """What became of a command, asked later. A refused one has `code`, `detail` and `fix` instead of an event."""

    command_id: str
    status: Literal["accepted", "refused"]
    project: NotRequired[str]
    workflow_id: NotRequired[str]
    event_seq: NotRequired[int]
    event_id: NotRequired[str]
    event_type: NotRequired[str]
    goal_id: NotRequired[str]
    task_id: NotRequired[str]
    fencing_token: NotRequired[int]
    state_checksum: NotRequired[str]
    code: NotRequired[str]
    detail: NotRequired[str]
    fix: NotRequired[str]


class BatchAnswer(TypedDict):
    """The answer to one line of a batch, in the order of the lines (numbered from 1)."""

    line: int
    status: Literal["accepted", "duplicate", "durable", "refused", "unavailable"]
    http_status: int
    command_id: NotRequired[str]
    workflow_id: NotRequired[str]
    event_seq: NotRequired[int]
    event_id: NotRequired[str]
    event_type: NotRequired[str]
    goal_id: NotRequired[str]
    task_id: NotRequired[str]
    fencing_token: NotRequired[int]
    state_checksum: NotRequired[str]
    code: NotRequired[str]
    detail: NotRequired[str]
    fix: NotRequired[str]


class ActiveWorkState(TypedDict):
    """The work as it stands, rebuilt from the events: what `rehydrate` gives.

    `active_task` is the task that is doing and was changed last, `latest_checkpoint` its latest one, and
    `unresolved_blockers` those of all blocked tasks. Lists are in the order of creation.
    """

    project: str
    workflow_id: str
    as_of_seq: int
    state_checksum: str
    goals: list[Goal]
    tasks: list[Task]
    checkpoints: list[Checkpoint]
    active_task: Task | None
    latest_checkpoint: Checkpoint | None
    unresolved_blockers: list[Blocker]


class EventDocument(TypedDict):
    """One fact of the journal. `payload` is what the command said, `delta` the RFC 6902 patch of the state."""

    event_id: str
    tenant: str
    project: str
    workflow_id: str
    event_seq: int
    event_type: str
    payload: dict[str, Any]
    timestamp: str
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
    delta: list[dict[str, Any]]
    state_checksum: str
    prev_hash: str
    event_hash: str


class EventPage(TypedDict):
    """A page of events. `next_cursor` goes on after it, also when there is nothing more yet."""

    events: list[EventDocument]
    next_cursor: str
    has_more: bool


class ProjectSummary(TypedDict):
    """A project of the tenant and how far it has come."""

    project: str
    workflow_id: str
    head_seq: int
    updated_at: str


class ProjectPage(TypedDict):
    """A page of projects by name; `next_cursor` while there are more."""

    projects: list[ProjectSummary]
    has_more: bool
    next_cursor: NotRequired[str]


class ProblemDocument(TypedDict):
    """RFC 9457. `code` is stable and for programs, `detail` says what happened to which thing, `fix` what to do."""

    title: str
    status: int
    code: str
    detail: str
    fix: str
    command_id: NotRequired[str]
