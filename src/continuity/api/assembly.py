"""Answers made of projected rows, after everything that they are made of has been checked. Pure.

A row that does not have its digest, a task whose checkpoint is gone, a head that names a task that is not there, a
page with a hole: each is an IntegrityError that names the workflow and the thing, and never an answer.
"""

from collections.abc import Sequence
from typing import Any, cast

import orjson

from continuity.answers import ActiveWorkState, CommandOutcome, ProjectSummary
from continuity.core import seal
from continuity.core.ids import ZERO_HASH, instant
from continuity.core.next_step import Action, Choice, NextStep, Rank, answer
from continuity.core.records import Checkpoint, Event, Goal, Task
from continuity.errors import IntegrityError
from continuity.rows import CheckpointRow, GoalRow, Head, TaskRow, checked, checksum_of, event_of, missing

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
        raise IntegrityError(
            f"Project {head.project} is stopped: {head.stopped_reason}",
            workflow_id=head.workflow_id,
            event_seq=head.head_seq + 1,
            field="chain",
        )
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


def state_of(head: Head, goals: list[Columns], tasks: list[Columns], checkpoints: list[Columns]) -> ActiveWorkState:
    """The whole work state. Besides each row the state's own checksum is compared, so that none can be missing."""
    goal_rows = [checked(GoalRow(*row[:-1]), row[-1]) for row in goals]
    task_rows = [checked(TaskRow(*row[:-1]), row[-1]) for row in tasks]
    checkpoint_rows = [checked(CheckpointRow(*row[:-1]), row[-1]) for row in checkpoints]
    leaves = [(f"goals/{row.goal_id}", row.leaf()) for row in goal_rows]
    leaves += [(f"tasks/{row.task_id}", row.leaf()) for row in task_rows]
    leaves += [(f"checkpoints/{row.task_id}", row.leaf()) for row in checkpoint_rows]
    if checksum_of(leaves) != head.state_checksum:
        raise IntegrityError(
            f"The rows of project {head.project} do not make up its state at event {head.head_seq}: one is missing.",
            workflow_id=head.workflow_id,
            event_seq=head.head_seq,
            field="state_checksum",
        )
    latest = {row.task_id: cast("Checkpoint", orjson.loads(row.doc)) for row in checkpoint_rows}
    work = sorted((cast("Task", orjson.loads(row.doc)) for row in task_rows), key=lambda task: task["created_seq"])
    doing = [task for task in work if task["status"] == "doing"]
    active = max(doing, key=lambda task: task["changed_seq"]) if doing else None
    return ActiveWorkState(
        project=head.project,
        workflow_id=head.workflow_id,
        as_of_seq=head.head_seq,
        state_checksum=head.state_checksum,
        goals=sorted((cast("Goal", orjson.loads(row.doc)) for row in goal_rows), key=lambda goal: goal["created_seq"]),
        tasks=work,
        checkpoints=sorted(latest.values(), key=lambda checkpoint: checkpoint["seq"]),
        active_task=active,
        latest_checkpoint=latest.get(active["task_id"]) if active else None,
        unresolved_blockers=[blocker for task in work for blocker in task.get("blockers", [])],
    )


def events_of(head: Head, rows: Sequence[Columns], after_seq: int, limit: int) -> list[Event]:
    """A page of the journal, each event by its digests and its place in the chain."""
    events: list[Event] = []
    seq, previous = after_seq, ZERO_HASH if after_seq == 0 else None
    for columns in rows:
        event = event_in(head.workflow_id, columns)
        if event["event_seq"] != seq + 1 or previous not in (None, event["prev_hash"]):
            raise _hole(head, seq + 1)
        seq, previous = event["event_seq"], event["event_hash"]
        events.append(event)
    at_end = seq >= head.head_seq
    if (not at_end and len(events) < limit) or (seq == head.head_seq and previous not in (None, head.head_hash)):
        raise _hole(head, seq + 1 if not at_end else seq)
    return events


def event_in(workflow_id: str, columns: Columns) -> Event:
    """One event of the journal that agrees with its own digests."""
    seq = columns[EVENT_SEQ]
    try:
        event = event_of(columns)
        seal.verify(event)
    except ValueError as damage:
        field = damage.field if isinstance(damage, seal.Damaged) else "payload"
        said = str(damage) if isinstance(damage, seal.Damaged) else f"Event {seq} cannot be read: {damage}."
        raise IntegrityError(said, workflow_id=workflow_id, event_seq=seq, field=field) from None
    return event


EVENT_SEQ = list(Event.__annotations__).index("event_seq")
WORKFLOW_ID = list(Event.__annotations__).index("workflow_id")


def _hole(head: Head, seq: int) -> IntegrityError:
    return IntegrityError(
        f"Event {seq} of workflow {head.workflow_id} is missing, or does not follow the one before.",
        workflow_id=head.workflow_id,
        event_seq=seq,
        field="event_seq",
    )


def project_of(columns: Columns) -> ProjectSummary:
    """One line of the list of projects. A stopped one is listed: asking it anything says why."""
    head = Head(*columns[:HEAD_WIDTH])
    if head.stopped_reason is None:
        checked(head, columns[HEAD_WIDTH])
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
    return cast("CommandOutcome", {"command_id": event["command_id"], "status": "accepted", **given})


def refused_outcome(command_id: str, columns: Columns) -> CommandOutcome:
    """What became of a refused command."""
    names = ("project", "workflow_id", "code", "detail", "fix")
    given = {name: value for name, value in zip(names, columns, strict=True) if value is not None}
    return cast("CommandOutcome", {"command_id": command_id, "status": "refused", **given})
