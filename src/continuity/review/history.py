"""The history of one task: its events, attempts, takeovers and late results, in order, from the verified journal.

The journal is read from the task's beginning, event by event and link by link: an event that a rotten column would hide
from a search by task is a hole in the chain here.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from continuity import late_results
from continuity.contract import LateResultRow, columns_of
from continuity.core.canonical import loads_canonical
from continuity.core.ids import instant
from continuity.core.records import Event, Step
from continuity.core.state import State
from continuity.postgres import BoundedConnection
from continuity.review import journal, wording
from continuity.review_answers import HistoryEntry, Kind, TaskHistory
from continuity.rows import Head

LATE: Final = f"""
SELECT {columns_of(LateResultRow)}, digest
FROM late_results WHERE workflow_id = %s ORDER BY refused_at, command_id
"""  # noqa: S608 - our own columns
STEP_EVENTS: Final = frozenset({"step_begun", "step_completed", "step_failed"})


def of_task(
    connection: BoundedConnection, head: Head, state: State, task_id: str, after_seq: int, limit: int
) -> TaskHistory | None:
    """At most `limit` events of the task after `after_seq`, with late results; None if there are none."""
    task = state.tasks.get(task_id)
    # A task that a rollback has taken away may have begun anywhere.
    begin = max(after_seq, task["created_seq"] - 1 if task is not None else 0)
    found: list[Event] = []
    has_more = False
    since = 0
    # From the event that the page before ended with: late results belong to the page of the event that they follow.
    for event in journal.verified(connection, head, max(begin - 1, 0)):
        if event["event_seq"] == after_seq:
            since = event["timestamp"]
        elif event["event_seq"] > begin and concerns(event, task_id):
            if len(found) == limit:
                has_more = True
                break
            found.append(event)
    if task is None and not found and after_seq == 0:
        return None
    last = found[-1] if found else None
    late = _late(connection, head, task_id, since, last["timestamp"] if last is not None and has_more else None)
    entries = sorted([*map(_entry, found), *map(_late_entry, late)], key=lambda entry: entry["at"])
    steps = [step for step in state.steps.values() if step["task_id"] == task_id]
    return TaskHistory(
        project=head.project,
        workflow_id=head.workflow_id,
        task_id=task_id,
        as_of_seq=state.head_seq,
        task=task,
        checkpoint=state.checkpoints.get(task_id),
        steps=cast("list[Step]", sorted(steps, key=lambda step: step["attempts"][0]["seq"])),
        entries=entries,
        has_more=has_more,
        next_after_seq=last["event_seq"] if last is not None else max(after_seq, begin),
    )


def concerns(event: Event, task_id: str) -> bool:
    """Whether an event is about a task: by its name, or because its delta touches what is kept of the task."""
    return event["task_id"] == task_id or f"/{task_id}" in event["delta"]


def _late(
    connection: BoundedConnection, head: Head, task_id: str, since: int, until: int | None
) -> Iterator[LateResultRow]:
    """The late results of a page, by when they were refused: in microseconds, `until` not included."""
    rows: Sequence[Any] = connection.execute(LATE.encode(), (head.workflow_id,)).fetchall()
    for row in late_results.whole(head, rows):
        if row.task_id == task_id and since <= row.refused_at and (until is None or row.refused_at < until):
            yield row


def _entry(event: Event) -> HistoryEntry:
    payload = loads_canonical(event["payload"])
    entry = HistoryEntry(
        kind=_kind(event, payload),
        at=instant(event["timestamp"]),
        event_seq=event["event_seq"],
        event_type=event["event_type"],
        operator_id=event["operator_id"],
        fencing_token=event["fencing_token"],
        text=wording.told(event["event_type"], payload),
    )
    names = ("step_id", "attempt_id", "result_ref")
    more = {name: payload[name] for name in names if event["event_type"] in STEP_EVENTS and name in payload}
    return cast("HistoryEntry", entry | more)


def _kind(event: Event, payload: dict[str, Any]) -> Kind:
    if any(gone["reason"] == "expired" for gone in payload.get("voided", ())):
        return "takeover"
    return "attempt" if event["event_type"] in STEP_EVENTS else "event"


def _late_entry(row: LateResultRow) -> HistoryEntry:
    attempt = f"attempt {row.attempt_id} of step {row.step_id}"
    return HistoryEntry(
        kind="late_result",
        at=instant(row.refused_at),
        event_seq=None,
        event_type=None,
        operator_id=row.operator_id,
        fencing_token=row.fencing_token,
        text=f"the result of {attempt} came too late and was not applied: {row.result_ref}",
        step_id=row.step_id,
        attempt_id=row.attempt_id,
        result_ref=row.result_ref,
    )
