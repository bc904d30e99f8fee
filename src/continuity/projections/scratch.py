"""A schema of its own for the events of one workflow, filled as far as somebody wants and thrown away at the end.

It answers what the tables said at a past event: by the very code that fills and reads the live ones. Nothing of it is
seen by a reader of the live schema, and nobody is notified.
"""

from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self

from continuity import postgres, roles
from continuity.errors import IntegrityError, Retryable
from continuity.postgres import SCHEMA
from continuity.projections import schema as tables
from continuity.projections.batch import Batch, Position
from continuity.projections.record import decoded
from continuity.projections.writer import Unwritable, Writer, read_positions

STATEMENT_SECONDS_MAX: Final = 60
SCRATCH_LOCK: Final = 0x73637261
PARTITION: Final = 0


class Scratch:
    """Use it as a context manager; one at a time in a database. Raises Retryable while another one is in use."""

    schema: Final = f"{SCHEMA}_scratch"

    def __init__(self, dsn: str) -> None:
        # What is lost with the server is of no use without it.
        self._connection = postgres.connect(
            dsn, schema=self.schema, statement_seconds=STATEMENT_SECONDS_MAX, synchronous_commit="off"
        )
        self._position = Position()

    def __enter__(self) -> Self:
        try:
            with postgres.translated():
                self._install()
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            with postgres.translated():
                self._connection.execute("RESET ROLE")
                tables.drop(self._connection, self.schema)
        finally:
            self._connection.close()

    def project(self, workflow_id: str, values: Iterable[bytes]) -> None:
        """Add the next events of the workflow, as bytes from the log. Raises IntegrityError when they do not follow."""
        first = self._position.next_offset
        records = [decoded(PARTITION, offset, value) for offset, value in enumerate(values, first)]
        after = self._position._replace(next_offset=first + len(records))
        batch = Batch({PARTITION: self._position}, {PARTITION: after}, records, {})
        try:
            with postgres.translated():
                written = self._writer.write(batch, {})
        except Unwritable as error:
            raise IntegrityError(f"The events cannot become rows: {error}", workflow_id=workflow_id) from error
        if reason := written.stopped.get(workflow_id):
            raise IntegrityError(reason, workflow_id=workflow_id, event_seq=None)
        self._position = after

    def _install(self) -> None:
        connection = self._connection
        if not connection.execute("SELECT pg_try_advisory_lock(%s)", (SCRATCH_LOCK,)).fetchone()[0]:  # type: ignore[index]
            raise Retryable("Another check is using the scratch tables.", fix="Wait until it has ended.")
        with connection.transaction():
            tables.drop(connection, self.schema)  # left by one that was interrupted
            tables.install(connection, self.schema)
        roles.become(connection, roles.PROJECTOR)
        positions = read_positions(connection, [PARTITION], "")
        self._writer = Writer(connection, positions.generation, notify=False)
