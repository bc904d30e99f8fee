"""Refusals, kept for seven days so that the outcome of a command can be asked for by its id.

Read from `continuity.rejections`, which holds each refusal at least once: the table's key makes a repeat harmless, so
two of these readers would do no harm. Beside the projector because it needs the same connections; nothing of the work
depends on it.
"""

import time
from typing import Any, Final

from confluent_kafka import Consumer, Message, TopicPartition

from continuity import kafka, postgres
from continuity.codec import Rejection, Undecodable, decode_rejection
from continuity.config import Settings
from continuity.core.ids import instant
from continuity.errors import Retryable
from continuity.postgres import SCHEMA, BoundedConnection
from continuity.projections import schema as tables
from continuity.projections.metrics import METRICS
from continuity.projections.schema import statement

BATCH_RECORDS_MAX: Final = 1_000
POLL_SECONDS: Final = 0.2
PRUNE_SECONDS: Final = 3_600.0
COLUMNS: Final = (
    "partition", "source_generation", "source_offset", "epoch", "command_id", "command_type", "tenant", "project",
    "workflow_id", "operator_id", "operator_kind", "session_id", "code", "detail", "fix", "timestamp", "raw",
)  # fmt: skip


class Rejections:
    """A `running.Reading`. `read` counts the records of the topic, decodable or not."""

    def __init__(self, settings: Settings, *, schema: str = SCHEMA) -> None:
        self._settings = settings
        self._schema = schema
        self._connection: BoundedConnection | None = None
        self._consumer: Consumer | None = None
        self._generation = ""
        self._topic_id = ""
        self._pruned_at: float | None = None
        self.next_offsets: dict[int, int] = {}
        self.read = 0

    @property
    def is_open(self) -> bool:
        """Whether `step` can be called."""
        return self._consumer is not None

    def open(self) -> None:
        """Connect, and go on where the table ends. Raises Retryable and ConfigError."""
        self.close()
        topic = self._settings.rejections_topic
        self._topic_id, partitions = kafka.topic_id(self._settings, topic)
        self._connection = postgres.connect(self._settings.postgres_dsn, schema=self._schema, synchronous_commit="off")
        with postgres.translated():
            if self._schema == SCHEMA:
                tables.ensure(self._connection)
            self._generation = self._connection.execute("SELECT generation FROM schema_version").fetchone()[0]  # type: ignore[index]
            found = self._connection.execute(
                "SELECT partition, next_offset FROM rejection_offsets WHERE topic_id = %s", (self._topic_id,)
            ).fetchall()
        self.next_offsets = dict.fromkeys(range(partitions), 0) | dict(found)
        # The topic forgets: what has gone from its beginning is not waited for.
        self._consumer = kafka.reader(self._settings, "rejections", **{"auto.offset.reset": "earliest"})
        self._consumer.assign([TopicPartition(topic, *place) for place in self.next_offsets.items()])

    def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            self._consumer.close()
        if self._connection is not None:
            self._connection.close()
        self._consumer = self._connection = self._pruned_at = None

    def step(self, timeout_seconds: float = POLL_SECONDS) -> int:
        """Write what there is, at most a batch, after waiting for it at most so long; the number of records read."""
        assert self._consumer is not None, "open() comes first"
        self._prune()
        first = self._consumer.poll(timeout_seconds)
        if first is None:
            return 0
        messages = [first, *kafka.translated(self._consumer.consume, BATCH_RECORDS_MAX - 1, 0)]
        rows, offsets = [], {}
        for message in messages:
            partition, offset = _place(message)
            offsets[partition] = offset + 1
            try:
                rows.append(_row(decode_rejection(message.value())))
            except Undecodable:
                continue
        with postgres.translated():
            self._write(rows, offsets)
        self.next_offsets.update(offsets)
        self.read += len(messages)
        METRICS.rejections.inc(len(messages))
        return len(messages)

    def _write(self, rows: list[list[Any]], offsets: dict[int, int]) -> None:
        assert self._connection is not None
        with self._connection.transaction(), self._connection.cursor() as cursor:
            # Held until the commit, it keeps a rebuild from swapping the tables in between.
            cursor.execute("LOCK TABLE projection_offsets IN ROW SHARE MODE")
            same = cursor.execute("SELECT FROM schema_version WHERE generation = %s", (self._generation,)).fetchone()
            if same is None:
                raise Retryable("A rebuild has replaced the tables.", fix="Go on from its positions.")
            cursor.executemany(statement("write_rejection"), rows)
            for partition, next_offset in offsets.items():
                cursor.execute(statement("move_rejections"), (partition, next_offset, self._topic_id))

    def _prune(self) -> None:
        if self._pruned_at is not None and time.monotonic() - self._pruned_at < PRUNE_SECONDS:
            return
        assert self._connection is not None
        with postgres.translated():
            self._connection.execute("DELETE FROM rejections WHERE timestamp < now() - interval '7 days'")
        self._pruned_at = time.monotonic()


def _place(message: Message) -> tuple[int, int]:
    error = message.error()
    if error is not None:
        raise Retryable(f"Kafka: {error.str()}.")
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return partition, offset


def _row(rejection: Rejection) -> list[Any]:
    values: dict[str, Any] = {**rejection, "timestamp": instant(rejection["timestamp"])}
    return [_storable(values[name]) for name in COLUMNS]


def _storable(value: Any) -> Any:
    # What a stranger sent may hold U+0000, which Postgres cannot.
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
