"""What the API answers and the SDK returns, as types: declared once for handlers, the OpenAPI document and callers.

Plain dicts on the wire and in Python alike; times are RFC 3339 in UTC, ids lower-case UUIDs, digests lower-case hex.
"""

from typing import Any, Literal, NotRequired, TypedDict

from continuity.core.next_step import NextStep
from continuity.core.records import Attempt, Blocker, Checkpoint, Goal, StepType, Task

__all__ = [
    "ActiveWorkState", "Attempt", "BatchAnswer", "Blocker", "Checkpoint", "CommandOutcome", "EventDocument",
    "EventPage", "Goal", "Handover", "LateResult", "LateResultPage", "Lease", "NextStep", "OpenAttempt",
    "Predecessor", "ProblemDocument", "ProjectPage", "ProjectSummary", "StepAnswer", "StoredResult", "Task",
    "WriteAnswer",
]  # fmt: skip


class Predecessor(TypedDict):
    """Whose lease or claim has ended with this grant. `replaced`: it was the same owner's own."""

    token: int
    owner_id: str
    task_id: str | None
    expires_at: str
    reason: Literal["expired", "replaced"]


class OpenAttempt(TypedDict):
    """A step that somebody began and neither completed nor failed: the world may have felt it."""

    step_id: str
    step_type: StepType
    attempt_id: int


class LateResult(TypedDict):
    """A result that came when its sender was fenced already: refused, never applied, and kept for a successor."""

    task_id: str | None
    step_id: str
    attempt_id: int
    result_ref: str
    result_checksum: str
    fencing_token: int | None
    operator_id: str
    command_id: str
    refused_at: str


class Handover(TypedDict):
    """What a new holder takes over: who was there, where the work was left, and what may have been half done.

    `late_results` is absent when they could not be asked for in time: `GET …/late-results` has them.
    """

    predecessor: Predecessor | None
    checkpoint: Checkpoint | None
    open_attempts: list[OpenAttempt]
    late_results: NotRequired[list[LateResult]]


class Lease(TypedDict):
    """A lease on the project, or with a `task_id` a claim on that task. Work under it sends `token`.

    `expires_at` is that of this answer; each renewal, and each accepted command under the token, moves it.
    """

    token: int
    owner_id: str
    task_id: str | None
    ttl_seconds: int
    expires_at: str
    handover: NotRequired[Handover]


class StepAnswer(TypedDict):
    """What became of a step. `begun`: go ahead, as `attempt_id`. `already_completed`: here is its result.

    `ambiguous`: earlier attempts of a non_idempotent step may have taken effect; ask the other side by `external_key`.
    """

    status: Literal["begun", "already_completed", "completed", "failed", "open"]
    step_id: NotRequired[str]
    step_type: NotRequired[StepType]
    external_key: NotRequired[str | None]
    attempt_id: NotRequired[int]
    ambiguous: NotRequired[bool]
    earlier_attempts: NotRequired[list[Attempt]]
    completed_at: NotRequired[str]
    result_ref: NotRequired[str | None]
    result_checksum: NotRequired[str | None]


class WriteAnswer(TypedDict):
    """What became of a command. `duplicate`: it was accepted before, and these are the values of that time.

    `answered`: no event was needed (a renewal, a step that is completed already). `durable`: it is recorded and will be
    decided; ask for its outcome by `command_id`. `lease` is null when there is none to hold: a claim found that
    executors keep failing and blocked its task, or a repeat came when the grant had ended. `project` is named where the
    service chose it.
    """

    command_id: str
    status: Literal["accepted", "duplicate", "answered", "durable"]
    workflow_id: str
    project: NotRequired[str]
    event_seq: NotRequired[int]
    event_id: NotRequired[str]
    event_type: NotRequired[str]
    goal_id: NotRequired[str]
    task_id: NotRequired[str]
    fencing_token: NotRequired[int]
    lease: NotRequired[Lease | None]
    step: NotRequired[StepAnswer]
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
    lease: NotRequired[Lease | None]
    step: NotRequired[StepAnswer]
    state_checksum: NotRequired[str]
    code: NotRequired[str]
    detail: NotRequired[str]
    fix: NotRequired[str]


class BatchAnswer(TypedDict):
    """The answer to one line of a batch, in the order of the lines (numbered from 1)."""

    line: int
    status: Literal["accepted", "duplicate", "answered", "durable", "refused", "unavailable"]
    http_status: int
    command_id: NotRequired[str]
    workflow_id: NotRequired[str]
    event_seq: NotRequired[int]
    event_id: NotRequired[str]
    event_type: NotRequired[str]
    goal_id: NotRequired[str]
    task_id: NotRequired[str]
    fencing_token: NotRequired[int]
    lease: NotRequired[Lease | None]
    step: NotRequired[StepAnswer]
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


def active_work(
    project: str,
    workflow_id: str,
    as_of_seq: int,
    state_checksum: str,
    *,
    goals: list[Goal],
    tasks: list[Task],
    checkpoints: list[Checkpoint],
) -> ActiveWorkState:
    """The work state of these entities, in any order."""
    tasks = sorted(tasks, key=lambda task: task["created_seq"])
    active = max(
        (task for task in tasks if task["status"] == "doing"), key=lambda task: task["changed_seq"], default=None
    )
    latest = {checkpoint["task_id"]: checkpoint for checkpoint in checkpoints}
    return ActiveWorkState(
        project=project,
        workflow_id=workflow_id,
        as_of_seq=as_of_seq,
        state_checksum=state_checksum,
        goals=sorted(goals, key=lambda goal: goal["created_seq"]),
        tasks=tasks,
        checkpoints=sorted(checkpoints, key=lambda checkpoint: checkpoint["seq"]),
        active_task=active,
        latest_checkpoint=latest.get(active["task_id"]) if active else None,
        unresolved_blockers=[blocker for task in tasks for blocker in task.get("blockers", [])],
    )


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


class StoredResult(TypedDict):
    """Where a step's result lies, and what it must hash to: both go into `complete_step`."""

    result_ref: str
    result_checksum: str
    size_bytes: int


class LateResultPage(TypedDict):
    """Results that came too late, the newest first."""

    late_results: list[LateResult]


class ProblemDocument(TypedDict):
    """RFC 9457. `code` is stable and for programs, `detail` says what happened to which thing, `fix` what to do."""

    title: str
    status: int
    code: str
    detail: str
    fix: str
    command_id: NotRequired[str]
