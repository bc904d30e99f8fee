"""What questions about the past answer, as types: declared once for handlers, the OpenAPI document and callers.

The counterpart of `continuity.answers`, and like it plain dicts on the wire and in Python.
"""

from typing import Literal, NotRequired, TypedDict

from continuity.core.explain import Candidate, Explanation, PassedOver, RuleExplained
from continuity.core.records import Checkpoint, Step, Task

__all__ = [
    "Candidate", "Explanation", "HistoryEntry", "PassedOver", "ProblemTold", "RuleExplained",
    "SnapshotPage", "SnapshotTold", "StateDiff", "TaskHistory", "Verdict",
]  # fmt: skip

Kind = Literal["event", "takeover", "attempt", "late_result"]
Where = Literal["topic", "journal", "fold", "snapshot", "rows"]


class StateDiff(TypedDict):
    """What changed between two events: `delta` is a JSON Patch (RFC 6902) of the state, `changes` says it in words."""

    project: str
    workflow_id: str
    from_seq: int
    to_seq: int
    from_checksum: str
    to_checksum: str
    delta: list[dict[str, object]]
    changes: list[str]


class HistoryEntry(TypedDict):
    """One thing that happened to a task. `takeover`: a grant ended without its holder. `text` is for people."""

    kind: Kind
    at: str
    event_seq: int | None
    event_type: str | None
    operator_id: str
    fencing_token: int | None
    text: str
    step_id: NotRequired[str]
    attempt_id: NotRequired[int]
    result_ref: NotRequired[str]


class TaskHistory(TypedDict):
    """A task from its beginning, in order. `task` is null when a rollback has taken it away; it has a history still."""

    project: str
    workflow_id: str
    task_id: str
    as_of_seq: int
    task: Task | None
    checkpoint: Checkpoint | None
    steps: list[Step]
    entries: list[HistoryEntry]
    has_more: bool
    next_after_seq: int


class SnapshotTold(TypedDict):
    """A stored state of the work: in its row, or as a blob of that name."""

    snapshot_id: str
    last_event_seq: int
    step_number: int
    state_checksum: str
    created_at: str
    size_bytes: int
    stored: Literal["inline", "blob"]
    blob: NotRequired[str]


class SnapshotPage(TypedDict):
    """A project's snapshots, the newest first."""

    snapshots: list[SnapshotTold]


class ProblemTold(TypedDict):
    """What is wrong: with which event, in which field, and in what it was found."""

    workflow_id: str
    event_seq: int | None
    field: str | None
    where: Where
    detail: str


class Verdict(TypedDict):
    """Whether all is as it was written: every event held against the rules, and what is made of them against events."""

    ok: bool
    workflows: int
    events: int
    problems: list[ProblemTold]
