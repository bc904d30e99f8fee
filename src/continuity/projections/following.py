"""A reader of a topic that stands beside the projector: its offsets lie in Postgres, in the transactions of its rows.

Nothing of the work depends on what it reads, and reading a record twice does no harm.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from confluent_kafka import Consumer, Message, TopicPartition
from psycopg import Cursor

from continuity import kafka, postgres, roles
from continuity.config import Settings
from continuity.errors import Retryable
from continuity.postgres import SCHEMA, BoundedConnection
from continuity.projections import schema as tables
from continuity.projections.schema import statement

BATCH_RECORDS_MAX: Final = 1_000
POLL_SECONDS: Final = 0.2
QUIET_SECONDS: Final = 1.0
"""When the broker has sent nothing for so long, there is nothing more."""


class Following(ABC):
    """A `running.Reading`. `read` counts the records of the topic, decodable or not."""

    name: ClassVar[str]
    """Of the table NAME_offsets, and of the statement that writes it."""
    lock: ClassVar[str]
    """On `projection_offsets`, held by each transaction: it keeps a rebuild from swapping the tables in between."""

    def __init__(self, settings: Settings, *, schema: str = SCHEMA) -> None:
        self._settings = settings
        self._schema = schema
        self._connection: BoundedConnection | None = None
        self._consumer: Consumer | None = None
        self._generation = ""
        self._topic_id = ""
        self._stored: dict[int, int] = {}
        self.next_offsets: dict[int, int] = {}
        self.read = 0

    @property
    @abstractmethod
    def topic(self) -> str:
        """The topic that it reads."""

    @abstractmethod
    def _take(self, partition: int, offset: int, value: bytes | None) -> None:
        """Note a record, to be written with the others of its batch."""

    @abstractmethod
    def _write(self, cursor: "Cursor[Any]") -> None:
        """Write what was noted."""

    @abstractmethod
    def _forget(self) -> None:
        """Drop what was noted and is not written."""

    @property
    def is_open(self) -> bool:
        """Whether `step` can be called."""
        return self._consumer is not None

    def open(self) -> None:
        """Connect, and go on where the table ends. Raises Retryable and ConfigError."""
        self.close()
        self._topic_id, partitions = kafka.topic_id(self._settings, self.topic)
        self._connection = postgres.connect(self._settings.postgres_dsn, schema=self._schema, synchronous_commit="off")
        with postgres.translated():
            if self._schema == SCHEMA:
                tables.ensure(self._connection)
            roles.become(self._connection, roles.PROJECTOR)
            self._generation = self._connection.execute("SELECT generation FROM schema_version").fetchone()[0]  # type: ignore[index]
            found = self._connection.execute(
                f"SELECT partition, next_offset FROM {self.name}_offsets WHERE topic_id = %s".encode(),  # noqa: S608 - ours
                (self._topic_id,),
            ).fetchall()
        self._stored = dict.fromkeys(range(partitions), 0) | dict(found)
        self.next_offsets = dict(self._stored)
        # The topic forgets: what has gone from its beginning is not waited for.
        self._consumer = kafka.reader(self._settings, self.name, **{"auto.offset.reset": "earliest"})
        self._consumer.assign([TopicPartition(self.topic, *place) for place in self.next_offsets.items()])

    def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            self._consumer.close()
        if self._connection is not None:
            self._connection.close()
        self._consumer = self._connection = None
        self._forget()

    def step(self, timeout_seconds: float = POLL_SECONDS) -> int:
        """Take what there is, at most a batch, after waiting for it at most so long; the number of records read."""
        messages = self._fetched(timeout_seconds)
        for message in messages:
            partition, offset = _place(message)
            self._take(partition, offset, message.value())
            self.next_offsets[partition] = offset + 1
        if self._is_due(len(messages)):
            self._commit()
        self.read += len(messages)
        return len(messages)

    def follow(self) -> None:
        """Read to the end of the topic as it is now, and write all of it."""
        assert self._consumer is not None, "open() comes first"
        ends = {
            partition: kafka.watermarks(self._consumer, self.topic, partition)[1] for partition in self.next_offsets
        }
        while any(self.next_offsets[partition] < end for partition, end in ends.items()) and self.step(QUIET_SECONDS):
            pass
        self._commit()

    def _is_due(self, records: int) -> bool:
        """Whether to write now, after so many records have come."""
        return records > 0

    def _resume_at(self) -> Mapping[int, int]:
        """The offsets to go on from after a restart."""
        return self.next_offsets

    def _fetched(self, timeout_seconds: float) -> Sequence[Message]:
        assert self._consumer is not None, "open() comes first"
        first = self._consumer.poll(timeout_seconds)
        return [] if first is None else [first, *kafka.translated(self._consumer.consume, BATCH_RECORDS_MAX - 1, 0)]

    def _commit(self) -> None:
        assert self._connection is not None
        with postgres.translated(), self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE projection_offsets IN {self.lock} MODE".encode())
            same = cursor.execute("SELECT FROM schema_version WHERE generation = %s", (self._generation,)).fetchone()
            if same is None:
                raise Retryable("A rebuild has replaced the tables.", fix="Go on from its positions.")
            self._write(cursor)
            moved = {place for place in self._resume_at().items() if place not in self._stored.items()}
            rows = [(*place, self._topic_id) for place in sorted(moved)]
            cursor.executemany(statement(f"move_{self.name}_offsets"), rows)
        self._stored.update(moved)


def _place(message: Message) -> tuple[int, int]:
    error = message.error()
    if error is not None:
        raise Retryable(f"Kafka: {error.str()}.")
    return kafka.place_of(message)
