"""The journal of one workflow as Postgres has it: its head, and its events in order, each verified as it is read."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from psycopg import IsolationLevel

from continuity import postgres, roles
from continuity.core import seal
from continuity.core.acceptance import chain_fits
from continuity.core.ids import ZERO_HASH
from continuity.core.records import Event
from continuity.postgres import SCHEMA, BoundedConnection
from continuity.rows import (
    EVENT_COLUMNS,
    EVENT_SEQ,
    HEAD_COLUMNS,
    Head,
    checked,
    damaged,
    hole,
    missing,
    stopped,
    stored_event,
)  # fmt: skip

STATEMENT_SECONDS_MAX: Final = 30
CHUNK_EVENTS: Final = 1_000

HEAD: Final = f"SELECT {HEAD_COLUMNS}, digest FROM workflows WHERE workflow_id = %s AND tenant = %s"  # noqa: S608
ANY_EVENT: Final = "SELECT 1 FROM events WHERE workflow_id = %s AND tenant = %s LIMIT 1"
CHUNK: Final = f"""
SELECT {EVENT_COLUMNS} FROM events WHERE workflow_id = %s AND event_seq > %s AND event_seq <= %s
ORDER BY event_seq LIMIT {CHUNK_EVENTS}
"""  # noqa: S608 - a list of our own columns


def connect(dsn: str, schema: str = SCHEMA, *, tenant: str | None = None) -> BoundedConnection:
    """A connection that reads only, and sees one moment of the database in each transaction.

    It sees the rows of one tenant for all of its life, or without one those of all: for checks of the whole system.
    """
    role = {"role": roles.READER} if tenant is None else {"role": roles.TENANT, roles.TENANT_SETTING: tenant}
    connection = postgres.connect(dsn, schema=schema, statement_seconds=STATEMENT_SECONDS_MAX, **role)
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return connection


class HeadRow(NamedTuple):
    """A workflow's head as it is stored."""

    head: Head
    digest: bytes

    def checked(self) -> Head:
        """The head, if it has its digest. The row of a stopped one may be what it was stopped for."""
        return self.head if self.head.stopped_reason is not None else checked(self.head, self.digest)


def row_of(connection: BoundedConnection, workflow_id: str, tenant: str) -> HeadRow | None:
    """The row of a workflow that is the tenant's, or None. Raises IntegrityError where there are events and no row."""
    row = connection.execute(HEAD.encode(), (workflow_id, tenant)).fetchone()
    if row is None and connection.execute(ANY_EVENT.encode(), (workflow_id, tenant)).fetchone() is not None:
        raise missing(workflow_id, "the head")
    return None if row is None else HeadRow(Head(*row[:-1]), row[-1])


def head_of(connection: BoundedConnection, workflow_id: str, tenant: str) -> Head | None:
    """The same, checked."""
    row = row_of(connection, workflow_id, tenant)
    return None if row is None else row.checked()


def check_running(head: Head) -> Head:
    """The head of a workflow that is not stopped: its last events are not what it says."""
    if head.stopped_reason is not None:
        raise stopped(head)
    return head


def stored(connection: BoundedConnection, workflow_id: str, after_seq: int, to_seq: int) -> Iterator[Event]:
    """The events after `after_seq` up to `to_seq` as they are stored, in order, a bounded number at a time."""
    while after_seq < to_seq:
        rows = connection.execute(CHUNK.encode(), (workflow_id, after_seq, to_seq), prepare=True).fetchall()
        for columns in rows:
            after_seq = columns[EVENT_SEQ]
            yield stored_event(columns)
        if len(rows) < CHUNK_EVENTS:
            return


def verified(
    connection: BoundedConnection, head: Head, after_seq: int = 0, to_seq: int | None = None
) -> Iterator[Event]:
    """The same, each event held against its digests and the one before, and the last one against the head."""
    end = head.head_seq if to_seq is None else to_seq
    seq, previous = after_seq, ZERO_HASH if after_seq == 0 else None
    for event in stored(connection, head.workflow_id, after_seq, end):
        try:
            seal.verify(event)
        except seal.Damaged as damage:
            raise damaged(damage, head.workflow_id) from None
        if event["workflow_id"] != head.workflow_id or not chain_fits(seq, previous or event["prev_hash"], event):
            raise hole(head, seq + 1)
        seq, previous = event["event_seq"], event["event_hash"]
        yield event
    if seq != max(end, after_seq) or (seq == head.head_seq and previous not in (None, head.head_hash)):
        raise hole(head, seq + 1 if seq != end else seq)
