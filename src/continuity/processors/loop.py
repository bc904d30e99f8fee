"""The sequencer over Kafka: membership, one producer for each try, batches in, records and replies out.

It owns the I/O and the clock of retries; what is decided and when an answer may leave is `processors.sequencer`'s.
One thread: a message is polled, decided, appended, confirmed and answered in turn.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from threading import Event as StopEvent
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from continuity import codec, kafka
from continuity.config import Settings
from continuity.errors import ConfigError, ContinuityError, Retryable
from continuity.processors.answering import Answer, CommandRecord
from continuity.processors.cache import Cache
from continuity.processors.opening import Outdated, read_log
from continuity.processors.ports import SourceFacts, WorkStore
from continuity.processors.sequencer import Dislodged, Outgoing, Sequencer
from continuity.service import Health

BATCH_MAX = 1_000
IN_FLIGHT_MAX = 5_000
IDLE_POLL_SECONDS = 0.1
DELIVERY_POLL_SECONDS = 0.001
DRAIN_SECONDS = 5.0
BACKOFF_SECONDS_MIN = 0.05
BACKOFF_SECONDS_MAX = 5.0
APART_SECONDS_MAX = 60.0
"""A group comes to rest in a few seconds. Whom it has not taken in by then, while the broker answers, it never does."""

log = logging.getLogger("sequencer")


class Apart(Exception):
    """The group does not take this process back, and a new one it would: end, and be started again."""


class KafkaPartitionLog:
    """`ports.PartitionLog` over a real broker."""

    def __init__(
        self, settings: Settings, consumer: Consumer, partition: int, admin: AdminClient | None = None
    ) -> None:
        self._settings, self._consumer, self._partition, self._admin = settings, consumer, partition, admin

    def source(self) -> SourceFacts:
        """The commands partition as it is now."""
        topic_id, partitions = kafka.topic_id(self._settings, self._settings.commands_topic, self._admin)
        if partitions != self._settings.partitions:
            raise ConfigError(
                f"The topic {self._settings.commands_topic} has {partitions} partitions now, and had"
                f" {self._settings.partitions}: workflows would move to others, and have two histories.",
                fix="Make the topics anew with the former number, and run `continuity adopt`.",
            )
        low, end = kafka.watermarks(self._consumer, self._settings.commands_topic, self._partition)
        return SourceFacts(self._partition, partitions, topic_id, low, end)

    def end(self) -> int:
        """The events partition's end."""
        return kafka.watermarks(self._consumer, self._settings.events_topic, self._partition)[1]

    def read(self, start: int, end: int) -> Iterable[tuple[int, bytes]]:
        """The events partition's records."""
        for message in kafka.read_range(self._settings, self._settings.events_topic, self._partition, start, end):
            yield kafka.offset_of(message), message.value() or b""


class _Ownership:
    """A partition that the group gave us: waiting to be opened, opening, or open."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.sequencer: Sequencer | None = None
        self.is_fetching = False
        self.attempts = 0
        self.due = 0.0


class Loop:
    """One sequencer process. `run` returns after a clean stop; it raises what a restart cannot mend, and `Apart`."""

    def __init__(self, settings: Settings, store: WorkStore, health: Health) -> None:
        self._settings = settings
        self._store = store
        self._health = health
        self._owned: dict[int, _Ownership] = {}
        self._consumer = kafka.group_consumer(settings, "sequencer")
        # For offsets: on the consumer that fetches, such a question would stand behind a fetch that waits.
        self._questions = kafka.reader(settings, "questions")
        self._admin = kafka.admin_client(settings)  # kept: a partition that changes hands waits for its answers
        self._answers = kafka.answer_producer(settings)
        # Before it is needed: its first record would wait for half a second, until it has its number from the broker.
        self._producer = kafka.event_producer(settings)
        self._failure: str | None = None
        self._leaving: list[Answer] = []
        self._apart_since: float | None = time.monotonic()
        self.counts: Counter[str] = Counter()

    @property
    def warm_workflows(self) -> int:
        """States in memory."""
        return sum(len(owned.cache) for owned in list(self._owned.values()))

    @property
    def in_flight(self) -> int:
        """Records on their way to the log."""
        return self._in_flight(list(self._owned))

    def run(self, stop: StopEvent) -> None:
        """Sequence whatever partitions the group assigns, until `stop` is set; then drain and leave in order."""
        self._consumer.subscribe(
            [self._settings.commands_topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        try:
            while not stop.is_set():
                self._check_membership()
                self._open_due()
                self._decide(self._receive())
                self._serve_deliveries()
        except Apart:
            raise  # without leaving: to close what is stuck may take for ever, and there is nothing to give back
        except BaseException:
            self._leave()
            raise
        self._leave()

    def _leave(self) -> None:
        self._drain(list(self._owned))
        self._answers.flush(DRAIN_SECONDS)
        self._discard_producer()
        self._consumer.close()
        self._questions.close()

    # Membership

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Nothing is fetched yet: a partition is given to the fetcher once its epoch is open, at the offset to resume.
        consumer.incremental_assign([])
        self._apart_since = None
        for each in partitions:
            self._owned.setdefault(each.partition, _Ownership(Cache(self._settings.cache_workflows_max)))
        log.info("assigned partitions %s", sorted(self._owned))

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drain([each.partition for each in partitions])
        self._drop(consumer, partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._apart_since = time.monotonic()
        self._health.set(ready=False, detail="the group does not hear from this process: waiting for the broker")
        self._drop(consumer, partitions)

    def _drop(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        owned = {each.partition: self._owned.pop(each.partition, None) for each in partitions}
        fetching = [each for each in partitions if (known := owned[each.partition]) and known.is_fetching]
        consumer.incremental_unassign(fetching)
        log.info("gave up partitions %s", sorted(owned))

    def _check_membership(self) -> None:
        """Raise Apart when the group leaves this process out for no reason that would pass.

        Seen once, after a broker had been stopped for six seconds: the library asked to join no more, for 18 minutes.
        """
        if self._apart_since is None or time.monotonic() - self._apart_since < APART_SECONDS_MAX:
            return
        self._apart_since = time.monotonic()
        try:
            kafka.partitions_of(self._questions, self._settings.commands_topic)
        except Retryable:
            return  # the broker is away
        raise Apart(f"The group has not taken this process in for {APART_SECONDS_MAX:.0f} s, while the broker answers.")

    def _drain(self, partitions: Iterable[int]) -> None:
        """Wait, bounded, until what these partitions have on the way is confirmed and answered."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._in_flight(partitions) and not self._failure and time.monotonic() < deadline:
            self._poll_producer(DELIVERY_POLL_SECONDS * 10)

    # Opening

    def _open_due(self) -> None:
        if self._failure is not None:
            self._reopen(self._failure)
        now = time.monotonic()
        for number, owned in self._owned.items():
            if owned.sequencer is None and owned.due <= now:
                self._open(number, owned)
        opened = all(owned.sequencer and owned.sequencer.is_open for owned in self._owned.values())
        if self._apart_since is None and opened:
            self._health.set(ready=True, detail=f"partitions {sorted(self._owned)}")

    def _open(self, number: int, owned: _Ownership) -> None:
        log_of_it = KafkaPartitionLog(self._settings, self._questions, number, self._admin)
        try:
            opened = read_log(log_of_it, self._store, owned.cache)
        except (Retryable, ConfigError) as error:
            self._postpone(number, owned, error)
            return
        except Outdated as error:
            log.error("%s", error)  # noqa: TRY400 - the reason is the message
            raise ConfigError(str(error), fix="Upgrade this process.") from error
        sequencer = Sequencer(opened, str(uuid4()), owned.cache, self.counts)
        if sequencer.lost:
            log.error("partition %d: commands %d to %d were deleted before they were decided", number, *sequencer.lost)
            self.counts["commands_lost"] += sequencer.lost[1] - sequencer.lost[0] + 1
        log.info(
            "partition %d: opening epoch %d at %d, resuming at command %d",
            number, sequencer.epoch, sequencer.expected_offset, sequencer.next_source_offset,
        )  # fmt: skip
        owned.sequencer = sequencer
        self._append(sequencer, [sequencer.opening])

    def _postpone(self, number: int, owned: _Ownership, error: ContinuityError) -> None:
        owned.due = time.monotonic() + self._backoff(owned)
        self._health.set(ready=False, detail=f"partition {number}: {error}")

    def _reopen(self, reason: str) -> None:
        """Throw the producer away, never flushed: what it still holds belongs to epochs that have ended."""
        log.warning("%s", reason)
        self.counts["reopened"] += 1
        self._discard_producer()
        self._producer = kafka.event_producer(self._settings)
        self._failure = None
        for number, owned in self._owned.items():
            if owned.is_fetching:
                self._consumer.incremental_unassign([TopicPartition(self._settings.commands_topic, number)])
            owned.sequencer, owned.is_fetching = None, False
            owned.due = time.monotonic() + self._backoff(owned)
        self._health.set(ready=False, detail=reason)

    def _discard_producer(self) -> None:
        self._producer.purge(in_queue=True, in_flight=True, blocking=False)
        self._producer.poll(0)  # hands back what was purged: its callbacks hold on to the producer

    def _backoff(self, owned: _Ownership) -> float:
        owned.attempts += 1
        longest = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_MIN * 2 ** min(owned.attempts, 10))
        return random.uniform(longest / 2, longest)  # noqa: S311 - jitter, not a secret

    # Commands in

    def _receive(self) -> list[Message]:
        waiting = self._in_flight(self._owned)
        if waiting > IN_FLIGHT_MAX:
            return []
        if waiting:
            return self._consumer.consume(BATCH_MAX, 0)
        # `consume` with a time-out waits all of it; `poll` returns with the first message.
        first = self._consumer.poll(IDLE_POLL_SECONDS)
        return [] if first is None else [first, *self._consumer.consume(BATCH_MAX - 1, 0)]

    def _decide(self, messages: list[Message]) -> None:
        batches: dict[int, list[CommandRecord]] = {}
        for message in messages:
            error = message.error()
            number = message.partition()
            if error is not None:
                self._consumer_error(error, number)
            elif number is not None:
                record = CommandRecord(kafka.offset_of(message), message.timestamp()[1] * 1000, message.value())
                batches.setdefault(number, []).append(record)
        for number, records in batches.items():
            owned = self._owned.get(number)
            if self._failure is not None or owned is None or owned.sequencer is None:
                continue
            try:
                self._append(owned.sequencer, owned.sequencer.decide(records, self._store))
            except Dislodged as error:
                self._fail(str(error))

    def _consumer_error(self, error: KafkaError, number: int | None) -> None:
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):  # noqa: SLF001
            self._fail(f"partition {number}: the offset to resume at does not exist: {error.str()}")
        else:
            log.warning("consumer: %s", error.str())

    # Records out

    def _append(self, sequencer: Sequencer, outgoing: Sequence[Outgoing]) -> None:
        """Hand a batch to the producer at once: one by one, the first would leave alone and the others wait for it."""
        if self._failure is not None or not outgoing:
            return  # after a failure nothing more is sent: its place in the log is gone
        delivered = partial(self._delivered, self._producer, sequencer)
        messages = [{"value": each.value, "callback": partial(delivered, each.epoch_seq)} for each in outgoing]
        error = kafka.produce(self._producer, self._settings.events_topic, messages, sequencer.partition)
        if error is not None:
            self._fail(f"append: {error.str()}")

    def _delivered(
        self, producer: Producer, sequencer: Sequencer, epoch_seq: int, error: KafkaError | None, message: Message
    ) -> None:
        if producer is not self._producer or self._failure is not None:
            return  # of an ownership that has ended
        if error is not None:
            self._fail(f"partition {sequencer.partition}: record {epoch_seq} was not appended: {error.str()}")
            return
        try:
            answers = sequencer.confirm(epoch_seq, kafka.offset_of(message))
        except Dislodged as dislodged:
            self._fail(str(dislodged))
            return
        if epoch_seq == 0:
            self._begin(sequencer)
        self._leaving += answers

    def _begin(self, sequencer: Sequencer) -> None:
        """The epoch is open: fetch commands from where the log says."""
        owned = self._owned.get(sequencer.partition)
        if owned is None or owned.sequencer is not sequencer:
            return
        self._consumer.incremental_assign(
            [TopicPartition(self._settings.commands_topic, sequencer.partition, sequencer.next_source_offset)]
        )
        owned.is_fetching, owned.attempts = True, 0
        log.info("partition %d: epoch %d is open", sequencer.partition, sequencer.epoch)

    def _serve_deliveries(self) -> None:
        self._answers.poll(0)
        self._poll_producer(DELIVERY_POLL_SECONDS if self._in_flight(self._owned) else 0)

    def _poll_producer(self, seconds: float) -> None:
        self._producer.poll(seconds)
        if self._leaving:
            leaving, self._leaving = self._leaving, []
            self._publish(leaving)

    def _publish(self, answers: list[Answer]) -> None:
        """Send what was confirmed together, together. A lost answer makes its client ask again."""
        leaving: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for each in answers:
            if each.reply is not None and each.reply_to is not None:
                message = {"value": codec.encode_reply(each.reply), "key": each.reply_to.correlation}
                leaving.setdefault((self._settings.replies_topic, each.reply_to.partition), []).append(message)
            if each.rejection is not None:
                message = {"value": codec.encode_rejection(each.rejection), "key": each.rejection["workflow_id"] or ""}
                leaving.setdefault((self._settings.rejections_topic, kafka.BY_KEY), []).append(message)
            if each.lease is not None:
                key = f"{each.lease['workflow_id']}/{each.lease['fencing_token']}"
                message = {"value": codec.encode_lease(each.lease), "key": key}
                leaving.setdefault((self._settings.leases_topic, kafka.BY_KEY), []).append(message)
        for (topic, partition), messages in leaving.items():
            if kafka.produce(self._answers, topic, messages, partition) is not None:
                self.counts["answers_dropped"] += sum("_error" in message for message in messages)

    def _fail(self, reason: str) -> None:
        self._failure = self._failure or reason

    def _in_flight(self, partitions: Iterable[int]) -> int:
        owned = (self._owned.get(number) for number in partitions)
        return sum(each.sequencer.in_flight for each in owned if each and each.sequencer)
