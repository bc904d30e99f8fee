"""Refusals, kept for seven days so that the outcome of a command can be asked for by its id.

Read from `continuity.rejections`, which holds each refusal at least once: the table's key makes a repeat harmless, so
two of these readers would do no harm.
"""

import time
from typing import Any, Final

from psycopg import Cursor

from continuity import postgres
from continuity.codec import Rejection, Undecodable, decode_rejection
from continuity.core.ids import instant
from continuity.projections.following import POLL_SECONDS, Following
from continuity.projections.metrics import METRICS
from continuity.projections.schema import statement

PRUNE_SECONDS: Final = 3_600.0
COLUMNS: Final = (
    "partition", "source_generation", "source_offset", "epoch", "command_id", "command_type", "tenant", "project",
    "workflow_id", "operator_id", "operator_kind", "session_id", "code", "detail", "fix", "timestamp", "raw",
)  # fmt: skip


class Rejections(Following):
    """One for each projector."""

    name = "rejection"
    lock = "ROW SHARE"
    _rows: list[list[Any]]
    _pruned_at: float | None

    @property
    def topic(self) -> str:
        """The topic that it reads."""
        return self._settings.rejections_topic

    def step(self, timeout_seconds: float = POLL_SECONDS) -> int:
        """Write what there is, at most a batch, after waiting for it at most so long; the number of records read."""
        self._prune()
        return super().step(timeout_seconds)

    def _take(self, partition: int, offset: int, value: bytes | None) -> None:  # noqa: ARG002 - one shape for all
        METRICS.rejections.inc()
        try:
            self._rows.append(_row(decode_rejection(value)))
        except Undecodable:
            return

    def _write(self, cursor: "Cursor[Any]") -> None:
        cursor.executemany(statement("write_rejection"), self._rows)
        self._rows = []

    def _forget(self) -> None:
        self._rows = []
        self._pruned_at = None

    def _prune(self) -> None:
        if self._pruned_at is not None and time.monotonic() - self._pruned_at < PRUNE_SECONDS:
            return
        assert self._connection is not None, "open() comes first"
        with postgres.translated():
            self._connection.execute("DELETE FROM rejections WHERE timestamp < now() - interval '7 days'")
            # The API's own memory: its role sees one tenant at a time, and may remove nothing.
            self._connection.execute(
                "DELETE FROM continuity_intake.assignments WHERE created_at < now() - interval '7 days'"
            )
        self._pruned_at = time.monotonic()


def _row(rejection: Rejection) -> list[Any]:
    values: dict[str, Any] = {**rejection, "timestamp": instant(rejection["timestamp"])}
    return [_storable(values[name]) for name in COLUMNS]


def _storable(value: Any) -> Any:
    # What a stranger sent may hold U+0000, which Postgres cannot.
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
