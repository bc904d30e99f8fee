"""Heads and events as Postgres has them, in order, a bounded number at a time."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from continuity.core import seal
from continuity.core.records import Event
from continuity.core.state import State
from continuity.errors import ContinuityError, IntegrityError
from continuity.postgres import BoundedConnection, array
from continuity.restoring.snapshots import SnapshotRow
from continuity.restoring.wanted import Wanted
from continuity.rows import EVENT_COLUMNS, EVENT_SEQ, HEAD_COLUMNS, Head, checked, stored_event

FIRST_EVENTS: Final = 128
"""What is read of each journal at first: an event more than usually follows a snapshot, and the one at its head."""
CHUNK_EVENTS: Final = 2_000

HEADS: Final = f"SELECT {HEAD_COLUMNS}, digest FROM workflows WHERE workflow_id = ANY(%s::uuid[])"  # noqa: S608 - no input
FIRST: Final = f"""
SELECT {EVENT_COLUMNS} FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) AS wanted (wanted_id, from_seq, to_seq)
CROSS JOIN LATERAL (
    SELECT * FROM events WHERE workflow_id = wanted_id AND event_seq BETWEEN from_seq AND to_seq
    ORDER BY event_seq LIMIT {FIRST_EVENTS}
) AS journal
"""  # noqa: S608
NEXT: Final = f"""
SELECT {EVENT_COLUMNS} FROM events WHERE workflow_id = %s AND event_seq BETWEEN %s AND %s
ORDER BY event_seq LIMIT {CHUNK_EVENTS}
"""  # noqa: S608
ANY: Final = "SELECT 1 FROM events WHERE workflow_id = %s LIMIT 1"


def heads_of(
    connection: BoundedConnection, workflow_ids: Collection[str]
) -> tuple[dict[str, Head], dict[str, ContinuityError]]:
    """The heads of workflows, and why there is none of the others that are known."""
    heads: dict[str, Head] = {}
    failed: dict[str, ContinuityError] = {}
    for *columns, digest in connection.execute(HEADS.encode(), (array(workflow_ids),), prepare=True):
        head = Head(*columns)
        try:
            # The row of a stopped one may be what it was stopped for. What it says of the end is compared all the same.
            heads[head.workflow_id] = head if head.stopped_reason is not None else checked(head, digest)
        except IntegrityError as damage:
            failed[head.workflow_id] = damage
    return heads, failed


def has_events(connection: BoundedConnection, workflow_id: str) -> bool:
    """Whether there is any: a workflow that has one has a head."""
    return connection.execute(ANY.encode(), (workflow_id,), prepare=True).fetchone() is not None


def events_of(
    connection: BoundedConnection, wanted: Wanted, from_seq: int, first: Sequence[Sequence[Any]] | None
) -> Iterator[Event]:
    """The events from `from_seq` on, in order, a bounded number at a time. `first` is what was read already."""
    chunk, full = (first or (), FIRST_EVENTS) if first is not None else ((), 0)
    while True:
        for columns in chunk:
            yield stored_event(columns)
            from_seq = columns[EVENT_SEQ] + 1
        if len(chunk) < full:
            return
        parameters = (wanted.workflow_id, from_seq, wanted.to_seq)
        chunk, full = connection.execute(NEXT.encode(), parameters, prepare=True).fetchall(), CHUNK_EVENTS


def check_anchor(row: SnapshotRow, event: Event | None) -> None:
    """The event that a snapshot was taken after has to be there, whole, and to say the same of the state."""
    if event is None or event["event_seq"] != row.last_event_seq:
        raise IntegrityError(
            f"Event {row.last_event_seq} of workflow {row.workflow_id} is missing, and a snapshot was taken after it.",
            workflow_id=row.workflow_id,
            event_seq=row.last_event_seq,
            field="event_seq",
        )
    if event["workflow_id"] != row.workflow_id:
        raise seal.Damaged(event, "workflow_id", f"it does not belong to workflow {row.workflow_id}")
    seal.verify(event)
    for name, value in (
        ("event_hash", row.head_hash), ("state_checksum", row.state_checksum), ("timestamp", row.created_at)
    ):  # fmt: skip
        if event[name] != value:  # type: ignore[literal-required]
            raise seal.Damaged(event, name, "the snapshot that was taken after it has another one")


def check_end(wanted: Wanted, state: State) -> None:
    """The state has to be the one that was asked for, and at the head what the head says of it."""
    end = wanted.end
    if state.head_seq != end:
        raise IntegrityError(
            f"The journal of workflow {wanted.workflow_id} ends at event {state.head_seq}, and not at event {end}.",
            workflow_id=wanted.workflow_id,
            event_seq=min(state.head_seq, end) + 1,
            field="event_seq",
        )
    head = wanted.head
    if head is not None and (head.head_hash, head.state_checksum) != (state.head_hash, state.checksum):
        field = "head_hash" if head.head_hash != state.head_hash else "state_checksum"
        raise IntegrityError(
            f"Event {end} of workflow {wanted.workflow_id} and the workflow's head differ in {field}.",
            workflow_id=wanted.workflow_id,
            event_seq=end,
            field=field,
        )
