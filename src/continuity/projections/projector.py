"""The projector: reads the events topic from where Postgres stands, and writes what it means into Postgres.

It owns all partitions, and needs no consumer group: its offsets live in Postgres, in the same transactions as the
rows. Two of them at once do no harm: the one whose compare-and-set fails ends with `Fenced`. A rebuild that swaps the
schema under a running projector is noticed in the same way, and the projector goes on from the swapped positions.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from continuity import blobs, kafka, postgres, roles, topics
from continuity.config import Settings
from continuity.core.snapshot import Policy
from continuity.errors import ConfigError, Fenced, IntegrityError, Retryable
from continuity.logged import Logged
from continuity.postgres import SCHEMA
from continuity.projections import schema as tables
from continuity.projections.batch import Batch, Position, judged
from continuity.projections.metrics import METRICS
from continuity.projections.record import Record, decoded
from continuity.projections.running import keep_going
from continuity.projections.snapshots import Patience, Snapshots
from continuity.projections.writer import Moved, Positions, Unwritable, Writer, read_positions
from continuity.service import Health

BATCH_RECORDS_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
POLL_SECONDS: Final = 0.2
PACE_SECONDS: Final = 0.05
BURST: Final = 10
"""A transaction of one event costs as much as one of ten. Where many come one by one, this leaves the processor to
those who write them; a reader that waits for its own write waits so much longer, and only then."""
STATEMENT_SECONDS_MAX: Final = 30

log = logging.getLogger("projector")


class Projector:
    """Projects into one schema: the live one, or that of a rebuild. Not thread-safe; `run` may live in a thread.

    Open it (`open`), then call `step` until nothing is left, or `run`, which also reconnects. `counts` has what was
    read by verdict (`core.acceptance`), and the events that were `projected` or, of stopped workflows, `ignored`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        schema: str = SCHEMA,
        batch_records_max: int = BATCH_RECORDS_MAX,
        health: Health | None = None,
    ) -> None:
        self._settings = settings
        self._schema = schema
        self._batch_records_max = batch_records_max
        self._health = health or Health("projector")
        self._connection: postgres.BoundedConnection | None = None
        self._consumer: Consumer | None = None
        self._writer: Writer | None = None
        self._patience = Patience()
        self._generation: str | None = None
        self._fetched: deque[Message] = deque()
        self._decoded: list[Record] = []
        self.positions: dict[int, Position] = {}
        self.counts: Counter[str] = Counter()

    @property
    def is_open(self) -> bool:
        """Whether `step` can be called."""
        return self._consumer is not None

    def open(self) -> None:
        """Connect, and start from the positions in the database. Raises Retryable, ConfigError or Fenced."""
        self.close()
        topics.check(self._settings)
        topic_id, partitions = kafka.topic_id(self._settings, self._settings.events_topic)
        # Nothing is lost with an unsynced commit: after a crash of the machine the positions are the older ones, too,
        # and the log is read again from there. The disk belongs to the log.
        self._connection = postgres.connect(
            self._settings.postgres_dsn,
            schema=self._schema,
            statement_seconds=STATEMENT_SECONDS_MAX,
            synchronous_commit="off",
        )
        self._connection.meanwhile = self._decode_next
        with postgres.translated():
            if self._schema == SCHEMA:
                tables.ensure(self._connection)
            roles.become(self._connection, roles.PROJECTOR)
            stored = read_positions(self._connection, range(partitions), topic_id)
        self._check_topic(stored, topic_id)
        self.positions = dict(stored.by_partition)
        self._generation = stored.generation
        policy = Policy(keep=self._settings.snapshots_kept)
        self._writer = Writer(
            self._connection,
            stored.generation,
            notify=self._schema == SCHEMA,
            snapshots=Snapshots(
                self._connection,
                blobs.opened(self._settings),
                policy,
                workflows_max=self._settings.cache_workflows_max,
                log_reader=Logged(self._settings),
                patience=self._patience,
            ),
        )
        self._consumer = kafka.reader(self._settings, "projector")
        self._assign()

    def close(self) -> None:
        """Leave the broker and the database. What was not committed is as if it had not been read."""
        if self._consumer is not None:
            self._consumer.close()
        if self._connection is not None:
            self._connection.close()
        self._consumer = self._connection = self._writer = None
        self._fetched.clear()
        self._decoded.clear()

    def step(self, timeout_seconds: float = POLL_SECONDS) -> int:
        """Project what there is, at most a batch, after waiting for it at most so long; the number of records read."""
        if not self._decoded and not self._fetched:
            self._fetch(timeout_seconds)
        while self._decode_next():
            pass
        records, self._decoded = self._decoded, []
        if records:
            self._fetch(0)  # the next batch, to be decoded while Postgres works on this one
            self.project(records)
        return len(records)

    def project(self, records: Sequence[Record]) -> None:
        """Project records that follow the positions, each partition's in offset order."""
        try:
            with postgres.translated():
                for chunk in _chunks(records):
                    self._project(chunk)
        except Moved as moved:
            self._explain(moved)

    def run(self, stop: threading.Event) -> None:
        """Project until `stop` is set: a started batch is finished. Raises ConfigError or Fenced, retries the rest."""
        keep_going(
            self,
            stop,
            on_step=self._report,
            on_pause=lambda error: self._health.set(ready=False, detail=error.detail),
            pace_seconds=PACE_SECONDS,
            burst=BURST,
        )

    # One batch.

    def _project(self, records: Sequence[Record]) -> None:
        batch = judged(self.positions, records)
        if not batch.after:
            return
        try:
            self._write(batch)
        except Unwritable as error:
            # Only one record is at fault, as a rule, and only its workflow shall stop: look for it.
            if len(records) > 1:
                middle = len(records) // 2
                self._project(records[:middle])
                self._project(records[middle:])
            else:
                self._pass_over(batch, error)

    def _pass_over(self, batch: Batch, error: Unwritable) -> None:
        if not batch.facts:
            log.error("late results in a mark cannot be kept: %s", error)
            self._write(batch._replace(late_results=()))
            self.counts["unwritable"] += 1
            return
        (record,) = batch.facts
        assert record.event is not None
        workflow_id = record.event["workflow_id"]
        reason = f"Event {record.event['event_seq']} cannot be written: {error}"
        log.error("workflow %s is stopped: %s", workflow_id, reason)
        try:
            self._write(batch, {workflow_id: reason})
        except Unwritable:  # not even its workflow has a name that can be written
            self._write(batch._replace(facts=()))
            self.counts["unwritable"] += 1

    def _write(self, batch: Batch, condemned: dict[str, str] | None = None) -> None:
        assert self._writer is not None
        try:
            with METRICS.batch_seconds.time():
                written = self._writer.write(batch, condemned or {})
        except IntegrityError as damage:
            if damage.workflow_id in (condemned or {}):
                raise
            self._write(batch, {**(condemned or {}), damage.workflow_id: damage.detail})
            return
        self.positions.update(batch.after)
        for workflow_id, reason in written.stopped.items():
            log.error("workflow %s is stopped: %s", workflow_id, reason)
        counts = Counter(batch.verdicts)
        counts.update(projected=written.events, ignored=written.ignored, stopped=len(written.stopped))
        self.counts.update(counts)
        METRICS.add(counts)

    # Where it reads.

    def _fetch(self, timeout_seconds: float) -> None:
        assert self._consumer is not None, "open() comes first"
        # consume(n, t) would wait the whole of t for n messages.
        first = self._consumer.poll(timeout_seconds) if timeout_seconds else None
        if first is not None:
            self._fetched.append(first)
        if first is not None or not timeout_seconds:
            wanted = self._batch_records_max - len(self._fetched)
            self._fetched.extend(kafka.translated(self._consumer.consume, wanted, 0))

    def _decode_next(self) -> bool:
        """Decode one more message; whether there are others."""
        if self._fetched:
            self._decoded.append(self._record(self._fetched.popleft()))
        return bool(self._fetched)

    def _check_topic(self, stored: Positions, topic_id: str) -> None:
        for partition, known in stored.topic_ids.items():
            if known != topic_id:
                raise ConfigError(
                    f"The topic {self._settings.events_topic} is not the one that partition {partition} was "
                    f"projected from: its id is {topic_id}, not {known}.",
                    fix="Point CONTINUITY_KAFKA_BOOTSTRAP to the right cluster, or run `continuity rebuild`.",
                )

    def _assign(self) -> None:
        """Read on from the positions, if the log still has them: a later record in their place would be another one."""
        assert self._consumer is not None
        topic = self._settings.events_topic
        for partition, position in self.positions.items():
            low, high = kafka.watermarks(self._consumer, topic, partition)
            if not low <= position.next_offset <= high:
                raise ConfigError(
                    f"Postgres stands at offset {position.next_offset} of {topic}[{partition}], which holds {low} to"
                    f" {high}: the log was cut, or belongs to another installation.",
                    fix="Restore the log, or point the settings to the right one; then run `continuity rebuild`.",
                )
        self._consumer.assign(
            [TopicPartition(topic, partition, at.next_offset) for partition, at in self.positions.items()]
        )

    def _record(self, message: Message) -> Record:
        error = message.error()
        if error is None:
            return decoded(*kafka.place_of(message), message.value())
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):  # noqa: SLF001
            raise ConfigError(
                f"The events topic does not have the offset that Postgres stands at: {error.str()}.",
                fix="The log was cut or replaced: restore it, then run `continuity rebuild`.",
            )
        raise Retryable(f"Kafka: {error.str()}.")

    def _explain(self, moved: Moved) -> None:
        """Go on in the schema that a rebuild has put in place; otherwise somebody else is projecting."""
        generation = self._generation
        log.info("%s Looking why.", moved)
        self.open()
        if self._generation == generation:
            self.close()
            raise Fenced(
                "Another projector writes to the same database.", fix="Stop one of the two: one is all it takes."
            ) from moved
        log.info("a rebuild has replaced the tables: going on from its positions")

    def _report(self) -> None:
        lag = self.lag()
        METRICS.lag_records.set(lag)
        self._health.set(ready=True, detail="projecting")

    def lag(self) -> int:
        """How many records are in the log and not yet projected, as far as the broker has told us."""
        if self._consumer is None:
            return 0
        lag = 0
        for partition, position in self.positions.items():
            at = TopicPartition(self._settings.events_topic, partition)
            _, high = self._consumer.get_watermark_offsets(at, cached=True)
            lag += max(0, high - position.next_offset)
        return lag


def _chunks(records: Sequence[Record]) -> Iterable[Sequence[Record]]:
    """Pieces that fit into memory several times over, whatever the size of their events."""
    starts, size = [0], 0
    for index, record in enumerate(records):
        if size + record.size_bytes > BATCH_BYTES_MAX and size:
            starts.append(index)
            size = 0
        size += record.size_bytes
    return (records[start:end] for start, end in pairwise([*starts, len(records)]))
