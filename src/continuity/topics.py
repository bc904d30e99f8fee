"""The five topics: their settings, made once and checked at every start. A flat adapter over Kafka's admin client.

What a guarantee rests on is a setting of a topic, so every service calls `check` before its first record: a cluster
that was prepared by hand, or changed behind our back, is refused with the setting and the fix. (Design, section 3.)
"""

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import NamedTuple, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType, TopicDescription

from continuity.config import Settings, variable
from continuity.errors import ConfigError, ContinuityError, Retryable

DAY_MILLIS = 24 * 60 * 60 * 1000
REPLY_RETENTION_MILLIS = 10 * 60 * 1000

BATCH_BYTES_MAX = 2 * 1024 * 1024
"""Largest batch that a topic takes. A command is at most 64 KiB and an event under 1 MiB (a delta is at most 512 KiB);
librdkafka fills a batch up to 1,000,000 bytes, and the broker's limit is on the whole batch."""

REPLY_PARTITIONS = 16
"""Each client listens in one of them, and skips what in it is for others: with two, half of all that is answered."""

ADMIN_TIMEOUT_SECONDS = 10.0
LEADER_POLL_SECONDS = 0.05
COMMON = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(BATCH_BYTES_MAX)}
FLUSH_EVERY_MESSAGE = {"flush.messages": "1"}
KEPT_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}

Answer = TypeVar("Answer")


class TopicSpecification(NamedTuple):
    """One topic as it has to be. `required` are the settings that a guarantee rests on: `check` compares them.

    `partitions` is the number that it is made with, and unless `is_any_number` the one that it has to have.
    """

    name: str
    partitions: int
    replication_factor: int
    required: Mapping[str, str]
    preferred: Mapping[str, str]
    is_any_number: bool = False


def specifications(settings: Settings) -> tuple[TopicSpecification, ...]:
    """The five topics of these settings.

    All but the replies have the same number of partitions, so that a workflow's records stand in the same one
    everywhere, and a sequencer that owns a partition of the commands owns that number of the others.
    """
    flush = FLUSH_EVERY_MESSAGE if settings.flush_every_message else {}
    # With one replica there is nobody to wait for; with more, an acknowledgement means two disks or none at all.
    safety = {"unclean.leader.election.enable": "false", **COMMON}
    safety["min.insync.replicas"] = "1" if settings.replication_factor == 1 else "2"

    def topic(name: str, required: Mapping[str, str], preferred: Mapping[str, str]) -> TopicSpecification:
        full = settings.topic(name)
        return TopicSpecification(
            full, settings.partitions, settings.replication_factor, {**safety, **required}, preferred
        )

    week = {"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MILLIS)}
    short = {"cleanup.policy": "delete", "retention.ms": str(REPLY_RETENTION_MILLIS)}
    return (
        topic("commands", {"cleanup.policy": "delete", **flush}, week),
        topic("events", {**KEPT_FOR_EVER, **flush}, {}),
        topic("leases", {"cleanup.policy": "compact"}, {}),
        topic("replies", {}, {**short, "segment.ms": str(REPLY_RETENTION_MILLIS)})._replace(
            partitions=REPLY_PARTITIONS, is_any_number=True
        ),
        topic("rejections", {"cleanup.policy": "delete"}, week),
    )


def create(settings: Settings, *, timeout_seconds: float = ADMIN_TIMEOUT_SECONDS) -> None:
    """Make the topics that are missing and leave the others as they are. Safe to call from several processes at once.

    Returns when every partition has a leader. Raises Retryable when the broker does not answer in time, ConfigError
    when it refuses (too few brokers for `replication_factor`, no right to create).
    """
    admin = _admin(settings)
    wanted = specifications(settings)
    existing = set(_ask(settings, lambda: admin.list_topics(timeout=timeout_seconds)).topics)
    missing = [
        NewTopic(
            each.name,
            num_partitions=each.partitions,
            replication_factor=each.replication_factor,
            config={**each.preferred, **each.required},
        )
        for each in wanted
        if each.name not in existing
    ]
    if missing:
        futures = admin.create_topics(missing, operation_timeout=timeout_seconds, request_timeout=timeout_seconds)
        for name, future in futures.items():
            _created(settings, name, future, timeout_seconds)
    deadline = time.monotonic() + timeout_seconds
    while not _are_led(_describe(settings, admin, [each.name for each in wanted], timeout_seconds)):
        if time.monotonic() > deadline:
            raise Retryable("The broker has made the topics, but a partition has no leader yet.", fix="Try again.")
        time.sleep(LEADER_POLL_SECONDS)


def check(settings: Settings, *, timeout_seconds: float = ADMIN_TIMEOUT_SECONDS) -> None:
    """Raise ConfigError, with the fix, when a topic is missing or one of its settings would break a guarantee.

    Compared are the partition count, the number of replicas, `min.insync.replicas`, unclean election, the kind of
    timestamp, size limits, retention of the truth, and `flush.messages` where it was asked for.
    """
    admin = _admin(settings)
    wanted = {each.name: each for each in specifications(settings)}
    described = _describe(settings, admin, list(wanted), timeout_seconds)
    for name, topic in described.items():
        if topic is None:
            fix = "Run `continuity up`, or create the topics with `continuity.topics.create`."
            raise ConfigError(f"The topic {name} does not exist on {settings.kafka_bootstrap}.", fix=fix)
        _check_shape(wanted[name], topic)
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in wanted]
    answers = _ask(settings, lambda: admin.describe_configs(resources, request_timeout=timeout_seconds))
    for resource, future in answers.items():
        entries = _result(settings, future, timeout_seconds)
        actual = {key: str(entry.value) for key, entry in entries.items()}
        _check_settings(wanted[str(resource.name)], actual)


def delete(settings: Settings, *, timeout_seconds: float = ADMIN_TIMEOUT_SECONDS) -> None:
    """Delete the five topics **and all that is in them**. For tests and for taking an installation away."""
    admin = _admin(settings)
    names = [each.name for each in specifications(settings)]
    for future in admin.delete_topics(names, request_timeout=timeout_seconds).values():
        try:
            future.result(timeout_seconds)
        except KafkaException as error:
            if _code(error) != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise _translated(settings, error) from error


def _are_led(described: Mapping[str, TopicDescription | None]) -> bool:
    return all(
        topic is not None and all(partition.leader is not None for partition in topic.partitions)
        for topic in described.values()
    )


def _check_shape(wanted: TopicSpecification, topic: TopicDescription) -> None:
    count = len(topic.partitions)
    if count != wanted.partitions and not wanted.is_any_number:
        # Keys would move to other partitions, and a workflow would have two histories.
        raise ConfigError(
            f"The topic {wanted.name} has {count} partitions, {wanted.partitions} are configured: the number is "
            "settled when the topics are made, because it decides which partition a workflow belongs to.",
            fix=f"Set {variable('partitions')}={count}.",
        )
    replicas = min(len(partition.replicas) for partition in topic.partitions)
    if replicas < wanted.replication_factor:
        raise ConfigError(
            f"The topic {wanted.name} has {replicas} replicas, {wanted.replication_factor} are configured.",
            fix=f"Add replicas with kafka-reassign-partitions, or set {variable('replication_factor')}={replicas}.",
        )


def _check_settings(wanted: TopicSpecification, actual: Mapping[str, str]) -> None:
    for key, value in wanted.required.items():
        found = actual.get(key, "unset")
        at_least = key in {"max.message.bytes", "min.insync.replicas"}
        if found == value or (at_least and found.isdigit() and int(found) >= int(value)):
            continue
        raise ConfigError(
            f"The topic {wanted.name} has {key}={found}; it has to be {value}{' or more' if at_least else ''}.",
            fix=f"kafka-configs --alter --topic {wanted.name} --add-config {key}={value}",
        )


def _describe(
    settings: Settings, admin: AdminClient, names: list[str], timeout_seconds: float
) -> dict[str, TopicDescription | None]:
    answers = _ask(settings, lambda: admin.describe_topics(TopicCollection(names), request_timeout=timeout_seconds))
    described: dict[str, TopicDescription | None] = {}
    for name, future in answers.items():
        try:
            described[name] = future.result(timeout_seconds)
        except KafkaException as error:
            if _code(error) != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise _translated(settings, error) from error
            described[name] = None
        except TimeoutError as error:
            raise _silent(settings) from error
    return described


def _created(settings: Settings, name: str, future: "Future[None]", timeout_seconds: float) -> None:
    try:
        future.result(timeout_seconds)
    except KafkaException as error:
        code = _code(error)
        if code == KafkaError.TOPIC_ALREADY_EXISTS:
            return
        if code == KafkaError.INVALID_REPLICATION_FACTOR:
            raise ConfigError(
                f"{name} cannot have {settings.replication_factor} replicas: the cluster has fewer brokers.",
                fix=f"Start more brokers, or set {variable('replication_factor')} to their number.",
            ) from error
        raise _translated(settings, error) from error
    except TimeoutError as error:
        raise _silent(settings) from error


def _admin(settings: Settings) -> AdminClient:
    # Without a log level of its own librdkafka reports every refused connection of a broker that is just starting.
    return AdminClient(
        {"bootstrap.servers": settings.kafka_bootstrap, "log_level": 2, "client.id": "continuity-topics"}
    )


def _ask(settings: Settings, question: Callable[[], Answer]) -> Answer:
    try:
        return question()
    except KafkaException as error:
        raise _translated(settings, error) from error


def _result(settings: Settings, future: "Future[Answer]", timeout_seconds: float) -> Answer:
    try:
        return _ask(settings, lambda: future.result(timeout_seconds))
    except TimeoutError as error:
        raise _silent(settings) from error


def _code(error: KafkaException) -> int:
    return int(error.args[0].code()) if error.args and isinstance(error.args[0], KafkaError) else 0


_REFUSED: Iterable[int] = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.INVALID_CONFIG,
        KafkaError.POLICY_VIOLATION,
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - the library's public name for its own errors
    }
)


def _translated(settings: Settings, error: KafkaException) -> ContinuityError:
    what = error.args[0].str() if error.args and isinstance(error.args[0], KafkaError) else str(error)
    if _code(error) in _REFUSED:
        fix = "Give this client the right to create and describe the topics, or create them by hand."
        return ConfigError(f"The broker at {settings.kafka_bootstrap} refuses: {what}.", fix=fix)
    return Retryable(f"The broker at {settings.kafka_bootstrap} does not answer: {what}.", fix="Is it running?")


def _silent(settings: Settings) -> Retryable:
    return Retryable(f"The broker at {settings.kafka_bootstrap} does not answer in time.", fix="Is it running?")


def main() -> int:
    """`python -m continuity.topics`: make and check the topics of this environment's settings. Exit code 0 or 1."""
    try:
        settings = Settings.load()
        create(settings)
        check(settings)
    except ContinuityError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
