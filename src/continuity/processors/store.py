"""The sequencer's look at the projected work, over Postgres: journals, positions, and which workflows are stopped.

Reads only. Every call is bounded in time, and after any failure the connection is dropped: the next call makes a new
one. Not thread-safe.
"""

from collections.abc import Callable, Collection
from typing import Any, Final, TypeVar

from psycopg import IsolationLevel

from continuity import postgres
from continuity.core.acceptance import Acceptance
from continuity.core.records import Event
from continuity.errors import IntegrityError
from continuity.postgres import SCHEMA, BoundedConnection
from continuity.processors.ports import Fetched, StoredPosition
from continuity.rows import EVENT_COLUMNS, HEAD_COLUMNS, Head, checked, event_of

STATEMENT_SECONDS_MAX: Final = 5

# Every transaction that reads more than one table begins with this one: see `projections.rebuild`, which swaps them.
POSITION: Final = """
SELECT next_offset, epoch, sequencer_id, epoch_seq, closed, rules_version, commands_topic_id, source_generation,
       source_offset
FROM projection_offsets WHERE partition = %s
"""
HEADS: Final = f"SELECT {HEAD_COLUMNS}, digest FROM workflows WHERE workflow_id = ANY(%s::uuid[])"  # noqa: S608
JOURNALS: Final = f"""
SELECT {EVENT_COLUMNS} FROM events WHERE workflow_id = ANY(%s::uuid[]) ORDER BY workflow_id, event_seq
"""  # noqa: S608

Answer = TypeVar("Answer")


class Store:
    """Implements `ports.WorkStore`. Connects when it is first used; `close` when done."""

    def __init__(self, dsn: str, *, schema: str = SCHEMA) -> None:
        self._dsn = dsn
        self._schema = schema
        self._connection: BoundedConnection | None = None

    def position(self, partition: int) -> StoredPosition:
        """The projected position of a partition; the start of the log before the first batch. Raises Retryable."""
        return self._asked(lambda connection: _position(connection.execute(POSITION, (partition,)).fetchone()))

    def fetch(self, partition: int, workflow_ids: Collection[str]) -> Fetched:
        """Journals, stopped workflows and position in one snapshot, in one round trip. Raises Retryable.

        Each journal reaches from the first event to the projected head; whether each event is what was committed is
        for `core.restore` to check. A workflow whose head is damaged, or whose journal lacks its end, counts as
        stopped: it must not be decided on.
        """
        return self._asked(lambda connection: _fetch(connection, partition, workflow_ids))

    def close(self) -> None:
        """Drop the connection; a later call makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _asked(self, question: Callable[[BoundedConnection], Answer]) -> Answer:
        try:
            with postgres.translated():
                if self._connection is None:
                    self._connection = postgres.connect(
                        self._dsn, schema=self._schema, statement_seconds=STATEMENT_SECONDS_MAX
                    )
                    self._connection.isolation_level = IsolationLevel.REPEATABLE_READ
                    self._connection.read_only = True
                    postgres.check_version(postgres.schema_version(self._connection, self._schema))
                with self._connection.transaction():
                    return question(self._connection)
        except BaseException:
            self.close()
            raise


def _fetch(connection: BoundedConnection, partition: int, workflow_ids: Collection[str]) -> Fetched:
    wanted = "{" + ",".join(workflow_ids) + "}"
    with connection.pipeline():
        position = connection.execute(POSITION, (partition,))
        heads = connection.execute(HEADS.encode(), (wanted,), prepare=True)
        rows = connection.execute(JOURNALS.encode(), (wanted,), prepare=True)
    journals: dict[str, list[Event]] = {workflow_id: [] for workflow_id in workflow_ids}
    stopped: dict[str, str] = {}
    known: dict[str, Head] = {}
    for *columns, digest in heads.fetchall():
        head = Head(*columns)
        try:
            known[head.workflow_id] = head if head.stopped_reason else checked(head, digest)
        except IntegrityError as damage:
            stopped[head.workflow_id] = damage.detail
        if head.stopped_reason:
            stopped[head.workflow_id] = head.stopped_reason
    for columns in rows.fetchall():
        _add(journals, stopped, columns)
    for workflow_id, journal in journals.items():
        head_seq = known[workflow_id].head_seq if workflow_id in known else 0
        end = journal[-1]["event_seq"] if journal else 0
        if end != head_seq and workflow_id not in stopped:
            stopped[workflow_id] = f"The journal ends at event {end}, the head is event {head_seq}."
    return Fetched(_position(position.fetchone()), journals, stopped)


def _add(journals: dict[str, list[Event]], stopped: dict[str, str], columns: Any) -> None:
    try:
        event = event_of(columns)
    except ValueError as error:  # a payload that is no object of JSON's any more
        workflow_id, seq = columns[_WORKFLOW_ID], columns[_EVENT_SEQ]
        stopped.setdefault(workflow_id, f"Event {seq} of the journal cannot be read: {error}")
    else:
        journals[event["workflow_id"]].append(event)


_FIELDS = tuple(Event.__annotations__)
_WORKFLOW_ID, _EVENT_SEQ = _FIELDS.index("workflow_id"), _FIELDS.index("event_seq")


def _position(row: Any) -> StoredPosition:
    return StoredPosition(Acceptance(), 0) if row is None else StoredPosition(Acceptance(*row[1:]), row[0])
