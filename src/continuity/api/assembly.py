"""Answers made of projected rows, after everything that they are made of has been checked. Pure.

A row that does not have its digest, a task whose checkpoint is gone, a head that names a task that is not there, a
page with a hole: each is an IntegrityError that names the workflow and the thing, and never an answer.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import orjson

from continuity import late_results
from continuity.answers import ActiveWorkState, CommandOutcome, LateResult, ProjectSummary, active_work
from continuity.core import seal
from continuity.core.documents import EMPTY, Documents
from continuity.core.ids import ZERO_HASH, instant
from continuity.core.next_step import Action, Choice, NextStep, Rank, answer, choose
from continuity.core.records import Checkpoint, Event, Task
from continuity.core.state import State
from continuity.errors import IntegrityError
from continuity.rows import (
    EVENT_SEQ,
    CheckpointRow,
    EntityRow,
    GoalRow,
    Head,
    TaskRow,
    checked,
    checksum_of,
    damaged,
    event_of,
    hole,
    missing,
    stopped,
)

Columns = Sequence[Any]
Document = dict[str, Any]

HEAD_WIDTH, TASK_WIDTH = len(Head._fields), len(TaskRow._fields)
TASK_AT = HEAD_WIDTH + 1
CHECKPOINT_AT = TASK_AT + TASK_WIDTH + 1

RULES: dict[int, tuple[Action, str, str]] = {
    # rule: action, name, the status of the task that it may choose
    1: ("continue", "doing", "doing"),
    2: ("unblock", "blocked", "blocked"),
    3: ("start", "ready", "todo"),
    4: ("propose_tasks", "none", ""),
}


def head_of(columns: Columns) -> Head:
    """The head of a workflow that is not stopped."""
    head = Head(*columns[:HEAD_WIDTH])
    if head.stopped_reason is not None:
        raise stopped(head)
    return checked(head, columns[HEAD_WIDTH])


def next_step_of(columns: Columns) -> NextStep:
    """The answer from one row of `sql/next_step.sql`: equal to `core.next_step` of the state at that head."""
    head = head_of(columns)
    action, name, status = RULES[head.next_rule]
    rank = cast("Rank", {"rule": head.next_rule, "name": name, "key": head.next_key})
    if head.next_task_id is None:
        return answer(Choice(action, None, rank), None, head.head_seq, head.state_checksum)
    if columns[TASK_AT] is None:
        raise missing(head.workflow_id, f"task {head.next_task_id}")
    row = checked(TaskRow(*columns[TASK_AT : TASK_AT + TASK_WIDTH]), columns[TASK_AT + TASK_WIDTH])
    if row.status != status:
        raise IntegrityError(
            f"The next step of workflow {head.workflow_id} is task {row.task_id}, which is {row.status}.",
            workflow_id=head.workflow_id,
            field=f"{row.name}: status",
        )
    checkpoint = None
    if row.checkpoint_seq is not None:
        checkpoint = cast("Checkpoint", orjson.loads(_checkpoint(row, columns[CHECKPOINT_AT:]).doc))
    choice = Choice(action, cast("Task", orjson.loads(row.doc)), rank)
    return answer(choice, checkpoint, head.head_seq, head.state_checksum)


def _checkpoint(task: TaskRow, columns: Columns) -> CheckpointRow:
    if columns[0] is None:
        raise missing(task.workflow_id, f"the checkpoint of task {task.task_id}")
    row = checked(CheckpointRow(*columns[:-1]), columns[-1])
    if row.seq != task.checkpoint_seq:
        raise IntegrityError(
            f"Task {task.task_id} has checkpoint {task.checkpoint_seq}, and the one that is stored is {row.seq}.",
            workflow_id=task.workflow_id,
            field=f"{row.name}: seq",
        )
    return row


class _Rows(NamedTuple):
    """All rows of a project's state."""

    goals: list[GoalRow]
    tasks: list[TaskRow]
    checkpoints: list[CheckpointRow]
    entities: list[EntityRow]


def _whole(
    head: Head, goals: list[Columns], tasks: list[Columns], checkpoints: list[Columns], entities: list[Columns]
) -> _Rows:
    """All rows, checked. Besides each row the state's own checksum is compared, so that none can be missing."""
    rows = _Rows(
        [checked(GoalRow(*row[:-1]), row[-1]) for row in goals],
        [checked(TaskRow(*row[:-1]), row[-1]) for row in tasks],
        [checked(CheckpointRow(*row[:-1]), row[-1]) for row in checkpoints],
        [checked(EntityRow(*row[:-1]), row[-1]) for row in entities],
    )
    leaves = [(f"goals/{row.goal_id}", row.leaf()) for row in rows.goals]
    leaves += [(f"tasks/{row.task_id}", row.leaf()) for row in rows.tasks]
    leaves += [(f"checkpoints/{row.task_id}", row.leaf()) for row in rows.checkpoints]
    leaves += [(f"{row.collection}/{row.key}", row.leaf()) for row in rows.entities]
    if checksum_of(leaves, head.token_counter) != head.state_checksum:
        raise IntegrityError(
            f"The rows of project {head.project} do not make up its state at event {head.head_seq}: one is missing.",
            workflow_id=head.workflow_id,
            event_seq=head.head_seq,
            field="state_checksum",
        )
    return rows


def next_step_for(owner_id: str, head: Head, *tables: list[Columns]) -> NextStep:
    """What one executor among several has to do next: `core.next_step` over the whole state."""
    rows = _whole(head, *tables)
    state = State(
        head.workflow_id,
        goals=_documents((row.goal_id, row.doc) for row in rows.goals),
        tasks=_documents((row.task_id, row.doc) for row in rows.tasks),
        grants=_documents((row.key, row.doc) for row in rows.entities if row.collection == "grants"),
    )
    choice = choose(state, owner_id)
    chosen = choice.task["task_id"] if choice.task else None
    doc = next((row.doc for row in rows.checkpoints if row.task_id == chosen), None)
    checkpoint = None if doc is None else cast("Checkpoint", orjson.loads(doc))
    return answer(choice, checkpoint, head.head_seq, head.state_checksum)


def _documents(pairs: Iterable[tuple[str, str]]) -> Documents:
    documents = EMPTY
    for key, doc in pairs:
        documents = documents.replaced(key, doc.encode())
    return documents


def state_of(head: Head, *tables: list[Columns]) -> ActiveWorkState:
    """The whole work state."""
    goal_rows, task_rows, checkpoint_rows, _ = _whole(head, *tables)
    goals, tasks, checkpoints = (
        [orjson.loads(row.doc) for row in rows] for rows in (goal_rows, task_rows, checkpoint_rows)
    )
    return active_work(
        head.project, head.workflow_id, head.head_seq, head.state_checksum,
        goals=goals, tasks=tasks, checkpoints=checkpoints,
    )  # fmt: skip


def events_of(head: Head, rows: Sequence[Columns], after_seq: int, limit: int) -> list[Event]:
    """A page of the journal, each event by its digests and its place in the chain."""
    events: list[Event] = []
    seq, previous = after_seq, ZERO_HASH if after_seq == 0 else None
    for columns in rows:
        event = event_in(head.workflow_id, columns)
        if event["event_seq"] != seq + 1 or previous not in (None, event["prev_hash"]):
            raise hole(head, seq + 1)
        seq, previous = event["event_seq"], event["event_hash"]
        events.append(event)
    at_end = seq >= head.head_seq
    if (not at_end and len(events) < limit) or (seq == head.head_seq and previous not in (None, head.head_hash)):
        raise hole(head, seq + 1 if not at_end else seq)
    return events


def event_in(workflow_id: str, columns: Columns) -> Event:
    """One event of the journal that agrees with its own digests."""
    seq = columns[EVENT_SEQ]
    try:
        event = event_of(columns)
        seal.verify(event)
    except seal.Damaged as damage:
        raise damaged(damage, workflow_id) from None
    except ValueError as error:
        detail = f"Event {seq} cannot be read: {error}."
        raise IntegrityError(detail, workflow_id=workflow_id, event_seq=seq, field="payload") from None
    return event


def late_results_of(head: Head, rows: Sequence[Columns], task_id: str | None, limit: int) -> list[LateResult]:
    """At most `limit` results that came too late, of one task or of all, from all rows of the workflow."""
    names = LateResult.__annotations__
    asked = [row for row in late_results.whole(head, rows) if task_id in (None, row.task_id)]
    return [
        cast(
            "LateResult",
            {name: value for name, value in row._asdict().items() if name in names}
            | {"refused_at": instant(row.refused_at)},
        )
        for row in asked[:limit]
    ]


def projects_of(rows: Sequence[Columns], begun: Sequence[Columns], limit: int) -> list[ProjectSummary]:
    """A page of the list of projects, from its heads, held against the same page of first events (workflow, project).

    A row that is lost, or that has rotted out of its page, is missed by none of the others; here it is by its first
    event, and the event by its head. Raises IntegrityError, naming the workflow.
    """
    heads = {(head.project, head.workflow_id): head for head in map(_listed, rows)}
    pages = list(heads), [(project, workflow_id) for workflow_id, project in begun]
    # Of two pages a full one may end before the other does: nothing is known beyond.
    ends = [page[-1][0] for page in pages if len(page) == limit]
    listed, known = ({place for place in page if all(place[0] <= end for end in ends)} for page in pages)
    for place in sorted(listed - known):
        if heads[place].head_seq > 0:  # what was stopped by its first event has none
            raise hole(heads[place], 1)
    for _, workflow_id in sorted(known - listed):
        raise missing(workflow_id, "the head")
    return [_summary(head) for head in heads.values()]


def _listed(columns: Columns) -> Head:
    """A stopped one is listed: asking it anything says why."""
    head = Head(*columns[:HEAD_WIDTH])
    return head if head.stopped_reason is not None else checked(head, columns[HEAD_WIDTH])


def _summary(head: Head) -> ProjectSummary:
    return ProjectSummary(
        project=head.project,
        workflow_id=head.workflow_id,
        head_seq=head.head_seq,
        updated_at=instant(head.head_timestamp),
    )


def accepted_outcome(event: Event) -> CommandOutcome:
    """What became of an accepted command."""
    names = ("project", "workflow_id", "event_seq", "event_id", "event_type", "goal_id", "task_id", "fencing_token")
    given: Document = {name: value for name, value in event.items() if name in names and value is not None}
    given["state_checksum"] = event["state_checksum"]
    given |= _told(event["event_type"], orjson.loads(event["payload"]))
    return cast("CommandOutcome", {"command_id": event["command_id"], "status": "accepted", **given})


def _told(event_type: str, payload: Document) -> Document:
    """What the answer had besides, as far as it stands in the event: no handover, no earlier attempts."""
    names = TOLD_OF_STEP.get(event_type)
    if names is not None:
        step = {name: payload[name] for name in names if name in payload}
        return {"step": {"status": event_type.removeprefix("step_"), **step}}
    if event_type in ("lease_acquired", "task_claimed"):
        return {"lease": {name: payload[name] for name in TOLD_OF_LEASE}}
    return {}


TOLD_OF_LEASE = ("token", "owner_id", "task_id", "ttl_seconds", "expires_at")
TOLD_OF_STEP = {
    "step_begun": ("step_id", "step_type", "external_key", "attempt_id"),
    "step_completed": ("step_id", "attempt_id", "result_ref", "result_checksum"),
    "step_failed": ("step_id", "attempt_id"),
}


def refused_outcome(command_id: str, columns: Columns) -> CommandOutcome:
    """What became of a refused command."""
    names = ("project", "workflow_id", "code", "detail", "fix")
    given = {name: value for name, value in zip(names, columns, strict=True) if value is not None}
    return cast("CommandOutcome", {"command_id": command_id, "status": "refused", **given})
