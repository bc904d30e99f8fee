"""The sequencer's look at the projected work, over Postgres: states, positions, and which workflows are stopped.

States are read back as everybody reads them (`continuity.restoring`). Reads only. Every call is bounded in time, and
after any failure the connection is dropped: the next call makes a new one. Not thread-safe.
"""

from collections.abc import Callable, Collection
from typing import Any, Final, TypeVar

from psycopg import IsolationLevel

from continuity import postgres, restoring, roles
from continuity.blobs import Blobs
from continuity.core import snapshot
from continuity.core.acceptance import Acceptance
from continuity.core.records import Event
from continuity.core.state import State
from continuity.postgres import SCHEMA, BoundedConnection
from continuity.processors.ports import Fetched, StoredPosition

STATEMENT_SECONDS_MAX: Final = 5

# Every transaction that reads more than one table begins with this one: see `projections.rebuild`, which swaps them.
POSITION: Final = """
SELECT next_offset, epoch, sequencer_id, epoch_seq, closed, rules_version, commands_topic_id, source_generation,
       source_offset
FROM projection_offsets WHERE partition = %s
"""

Answer = TypeVar("Answer")


class Store:
    """Implements `ports.WorkStore`. Connects when it is first used; `close` when done.

    Without `blobs`, snapshots that lie there are passed over, and more of the journal is read.
    """

    def __init__(self, dsn: str, blobs: Blobs | None = None, *, schema: str = SCHEMA) -> None:
        self._dsn = dsn
        self._blobs = blobs
        self._schema = schema
        self._connection: BoundedConnection | None = None

    def position(self, partition: int) -> StoredPosition:
        """The projected position of a partition; the start of the log before the first batch. Raises Retryable."""
        return self._asked(lambda connection: _position(connection.execute(POSITION, (partition,)).fetchone()))

    def fetch(self, partition: int, workflow_ids: Collection[str]) -> Fetched:
        """States, stopped workflows and position in one snapshot. Raises Retryable.

        Of a workflow whose state cannot be read back as it was committed there is none, and the reason.
        """
        return self._asked(lambda connection: _fetch(connection, self._blobs, partition, workflow_ids))

    def past(self, workflow_id: str, at_seq: int) -> State:
        """The state after an older event. Raises Retryable also while that is not projected; IntegrityError."""
        return self._asked(lambda connection: restoring.restore(connection, self._blobs, workflow_id, at_seq).state)

    def keep_base(self, state: State) -> None:
        """Store what a fork stands on, under its digest. Raises Retryable. Without blobs, its origin has to do."""
        if self._blobs is not None:
            self._blobs.put(snapshot.document(state))

    def base_of(self, first: Event) -> State | None:
        """As `ports.WorkStore.base_of`: from its blob, else from its origin's history."""
        if snapshot.base_of(first) is None:
            return None
        return self._asked(lambda connection: restoring.base_of(connection, self._blobs, first))

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
                        self._dsn, schema=self._schema, statement_seconds=STATEMENT_SECONDS_MAX, role=roles.READER
                    )
                    self._connection.isolation_level = IsolationLevel.REPEATABLE_READ
                    self._connection.read_only = True
                    postgres.check_version(postgres.schema_version(self._connection, self._schema))
                with self._connection.transaction():
                    return question(self._connection)
        except BaseException:
            self.close()
            raise


def _fetch(
    connection: BoundedConnection, blobs: Blobs | None, partition: int, workflow_ids: Collection[str]
) -> Fetched:
    position = connection.execute(POSITION, (partition,)).fetchone()
    look = restoring.restore_all(connection, blobs, workflow_ids)
    return Fetched(
        _position(position),
        {key: found.state for key, found in look.restored.items()},
        look.stopped,
        {key: error.detail for key, error in look.failed.items()},
        sum(found.replayed for found in look.restored.values()),
    )


def _position(row: Any) -> StoredPosition:
    return StoredPosition(Acceptance(), 0) if row is None else StoredPosition(Acceptance(*row[1:]), row[0])
