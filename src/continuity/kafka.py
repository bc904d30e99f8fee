"""Kafka as the product uses it: configured producers and consumers, and a partition read from one offset to another.

A flat adapter over `confluent-kafka`. It decides nothing; errors of the library become `errors.Retryable`.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from continuity.config import Settings
from continuity.errors import ConfigError, Retryable

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT_SECONDS = 10.0
LEADER_SECONDS = 0.05
READ_BATCH = 1_000
MESSAGE_BYTES_MAX = 2 * 1024 * 1024
IN_QUEUE_MAX = 200_000
BY_KEY = -1
"""Instead of a partition: the producer's partitioner goes by the key."""


def _common(settings: Settings, name: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": settings.kafka_bootstrap,
        "client.id": f"continuity-{name}",
        # No "broker.address.family": without a network, "v4" cannot resolve even 127.0.0.1 (librdkafka: AI_ADDRCONFIG).
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "log_level": 3,
        "socket.keepalive.enable": True,
        "message.max.bytes": MESSAGE_BYTES_MAX,
    }


def event_producer(settings: Settings) -> Producer:
    """For one ownership of event partitions: acknowledged by all, in order, and never given up by a time-out.

    One request is in flight at a time: records that arrive meanwhile leave together in the next one, which is as large
    as the disk is slow, and after a refused record there are no later ones already on their way.
    """
    return Producer(
        _common(settings, "sequencer")
        | {
            "acks": "all",
            "enable.idempotence": True,
            "max.in.flight.requests.per.connection": 1,
            "linger.ms": 0,
            "message.timeout.ms": 0,
            "retry.backoff.ms": 20,
            "retry.backoff.max.ms": 500,
            "queue.buffering.max.messages": IN_QUEUE_MAX,
        }
    )


def command_producer(settings: Settings, timeout_seconds: float) -> Producer:
    """For commands: an acknowledgement means that the broker has it (and its disk, where so configured)."""
    return Producer(
        _common(settings, "producer")
        | {
            "acks": "all",
            "enable.idempotence": True,
            "max.in.flight.requests.per.connection": 1,
            "linger.ms": 0,
            "partitioner": "murmur2",
            "message.timeout.ms": int(timeout_seconds * 1000),
            "retry.backoff.ms": 20,
            "retry.backoff.max.ms": 500,
            "queue.buffering.max.messages": IN_QUEUE_MAX,
        }
    )


def answer_producer(settings: Settings) -> Producer:
    """For replies and rejections: a lost one makes its client ask again."""
    return Producer(
        _common(settings, "answers")
        | {
            "acks": 1,
            "linger.ms": 0,
            "partitioner": "murmur2",
            "message.timeout.ms": 10_000,
            "queue.buffering.max.messages": IN_QUEUE_MAX,
        }
    )


def group_consumer(settings: Settings, group: str) -> Consumer:
    """A member of a group, cooperative; it commits nothing, because positions live in the log itself."""
    return Consumer(
        _common(settings, group)
        | {
            "group.id": f"{settings.topic_prefix}.{group}",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 6_000,
            # Members learn of a change in the group from a heartbeat: the partitions of one that leaves in order wait
            # for the slowest member's. At 1.5 s between them nobody answered for 1.0 s (median of 10), once for 1.5 s.
            "heartbeat.interval.ms": 300,
            "max.poll.interval.ms": 120_000,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_uncommitted",
            "fetch.wait.max.ms": 500,
            "queued.max.messages.kbytes": 16_384,
            "fetch.queue.backoff.ms": 5,
            "topic.metadata.refresh.interval.ms": 10_000,
        }
    )


def reader(settings: Settings, name: str, **overrides: Any) -> Consumer:
    """A consumer outside every group, to be assigned by hand."""
    return Consumer(
        _common(settings, name)
        | {
            "group.id": f"{settings.topic_prefix}.{name}",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": False,
            "queued.max.messages.kbytes": 16_384,
            "fetch.queue.backoff.ms": 5,
            "allow.auto.create.topics": False,
        }
        | overrides
    )


def produce(producer: Producer, topic: str, messages: list[dict[str, Any]], partition: int) -> KafkaError | None:
    """Queue messages in one step, so that they leave together; the first error, or None.

    A message is a dict of `value`, `key` and `callback`; one that was not queued gets `_error`. The partition is that
    of all (`produce_batch` of confluent-kafka 2.16 ignores the one that its documentation offers each message).
    """
    producer.produce_batch(topic, messages, partition=partition)
    return next((message["_error"] for message in messages if "_error" in message), None)


def watermarks(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """The first offset that a partition still holds, and the one that the next record gets."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            low, high = consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=TIMEOUT_SECONDS, cached=False
            )
        except KafkaException as error:
            # A broker that was just made the leader, of a new topic say, does not know it at once.
            if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION or time.monotonic() > deadline:
                raise _retryable(error.args[0]) from error
            time.sleep(LEADER_SECONDS)
        else:
            return low, high


def read_range(settings: Settings, topic: str, partition: int, start: int, end: int) -> Iterator[Message]:
    """Every record of a partition from `start` up to `end`, uncommitted ones included; ends at the end of the log."""
    if start >= end:
        return
    consumer = reader(settings, "reader", **{"enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(topic, partition, start if start > 0 else OFFSET_BEGINNING)])
        while True:
            # `consume` with a time-out waits all of it unless the batch is full; `poll` returns with the first message.
            first = translated(consumer.poll, TIMEOUT_SECONDS)
            if first is None:
                raise Retryable(
                    f"The broker sent nothing of {topic}[{partition}] from {start} for {TIMEOUT_SECONDS} s."
                )
            for message in (first, *translated(consumer.consume, READ_BATCH - 1, 0)):
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name
                    return
                if error is not None:
                    raise _retryable(error)
                offset = offset_of(message)
                if offset < end:
                    yield message
                if offset >= end - 1:
                    return
    finally:
        consumer.close()


def offset_of(message: Message) -> int:
    """The offset of a message that came from, or reached, a partition; -1 if the broker did not say.

    It does not say for a record that it had already, from an attempt whose acknowledgement was lost.
    """
    offset = message.offset()
    return -1 if offset is None else offset


def place_of(message: Message) -> tuple[int, int]:
    """The partition and the offset of a message that was read."""
    partition = message.partition()
    assert partition is not None
    return partition, offset_of(message)


def partitions_of(client: Consumer, topic: str) -> int:
    """How many partitions a topic has, asked over a connection that is there."""
    return len(translated(client.list_topics, topic, timeout=TIMEOUT_SECONDS).topics[topic].partitions)


def admin_client(settings: Settings) -> AdminClient:
    """For questions about topics. Whoever asks often keeps one: it takes a connection to make it."""
    # It says nothing of a broker that is away: who asks gets the error.
    return AdminClient(_common(settings, "admin") | {"log_level": 2})


def topic_id(settings: Settings, topic: str, admin: AdminClient | None = None) -> tuple[str, int]:
    """The id that the broker gave a topic when it was made (another one if it is made again), and its partitions."""
    admin = admin or admin_client(settings)
    described = admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_SECONDS)[topic]
    description = translated(described.result, TIMEOUT_SECONDS)
    if not description.partitions:
        raise ConfigError(f"The topic {topic} does not exist.", fix="Run `continuity up`, or create the topics.")
    return str(description.topic_id), len(description.partitions)


def translated(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call into the library; what it raises becomes Retryable."""
    try:
        return call(*args, **kwargs)
    except KafkaException as error:
        raise _retryable(error.args[0]) from error
    except TimeoutError as error:  # of a future of the admin client, whose own time-out comes later
        raise Retryable("Kafka did not answer in time.", code="unavailable") from error


def _retryable(error: KafkaError) -> Retryable:
    return Retryable(f"Kafka: {error.str()} ({error.name()}).", code="unavailable")
