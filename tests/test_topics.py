"""The five topics on the real broker: made once, and refused when a setting would break a guarantee."""

import subprocess
import sys

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from continuity import kafka, topics
from continuity.config import Settings
from continuity.errors import ConfigError, Retryable
from tests.eventually import eventually


def alter(settings: Settings, topic: str, key: str, value: str) -> None:
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(10)
    # The controller has it; the broker that is asked hears of it a moment later.
    eventually(lambda: actual(settings, topic)[key] == value, 10, "the broker knows the new setting")


def actual(settings: Settings, topic: str) -> dict[str, str]:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    (future,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    return {key: str(entry.value) for key, entry in future.result(10).items()}


def test_they_are_made_once_and_fit(settings):
    topics.check(settings)
    topics.create(settings)
    topics.check(settings)


def test_the_truth_is_kept_for_ever_and_an_acknowledgement_means_disk(settings):
    events, commands = actual(settings, settings.events_topic), actual(settings, settings.commands_topic)
    assert (events["retention.ms"], events["retention.bytes"], events["cleanup.policy"]) == ("-1", "-1", "delete")
    assert events["flush.messages"] == commands["flush.messages"] == "1"
    assert events["message.timestamp.type"] == commands["message.timestamp.type"] == "LogAppendTime"
    assert commands["retention.ms"] == str(7 * topics.DAY_MILLIS)
    assert actual(settings, settings.leases_topic)["cleanup.policy"] == "compact"
    assert actual(settings, settings.replies_topic)["retention.ms"] == str(topics.REPLY_RETENTION_MILLIS)


def test_another_number_of_partitions_is_refused_with_the_one_that_fits(settings):
    with pytest.raises(ConfigError, match=r"2 partitions, 3 are configured.*CONTINUITY_PARTITIONS=2"):
        topics.check(settings.with_values(partitions=3))


def test_replies_may_have_any_number_of_partitions(settings):
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    more = topics.REPLY_PARTITIONS + 1
    for future in admin.create_partitions([NewPartitions(settings.replies_topic, more)]).values():
        future.result(10)
    eventually(lambda: kafka.topic_id(settings, settings.replies_topic)[1] == more, 10, "the broker knows them")
    topics.check(settings)


def test_partitions_that_somebody_added_are_noticed(settings):
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    for future in admin.create_partitions([NewPartitions(settings.commands_topic, 4)]).values():
        future.result(10)

    def refusal() -> str:
        try:
            topics.check(settings)
        except ConfigError as error:
            return error.detail
        return ""

    assert "has 4 partitions" in eventually(refusal, 10, "the broker knows the new partitions")


@pytest.mark.parametrize(
    ("topic", "key", "value"),
    [
        ("commands", "message.timestamp.type", "CreateTime"),
        ("commands", "flush.messages", "1000"),
        ("events", "retention.ms", "604800000"),
        ("events", "cleanup.policy", "compact"),
        ("events", "max.message.bytes", "1048588"),
        ("events", "unclean.leader.election.enable", "true"),
        ("leases", "cleanup.policy", "delete"),
    ],
)
def test_a_setting_that_breaks_a_guarantee_is_refused_with_the_command_that_mends_it(settings, topic, key, value):
    alter(settings, settings.topic(topic), key, value)
    with pytest.raises(ConfigError, match=rf"{key}={value}") as refused:
        topics.check(settings)
    assert f"kafka-configs --alter --topic {settings.topic(topic)} --add-config {key}=" in refused.value.fix


def test_larger_batches_than_needed_are_no_fault(settings):
    alter(settings, settings.events_topic, "max.message.bytes", str(2 * topics.BATCH_BYTES_MAX))
    topics.check(settings)


def test_more_replicas_than_brokers_cannot_be_made(settings):
    wanted = settings.with_values(topic_prefix=f"{settings.topic_prefix}-safe", replication_factor=3)
    with pytest.raises(ConfigError, match="fewer brokers") as refused:
        topics.create(wanted)
    assert "CONTINUITY_REPLICATION_FACTOR" in refused.value.fix
    with pytest.raises(ConfigError, match="has 1 replicas, 3 are configured"):
        topics.check(settings.with_values(replication_factor=3))


def test_with_replicas_an_acknowledgement_takes_two():
    for topic in topics.specifications(Settings(replication_factor=3)):
        assert topic.required["min.insync.replicas"] == "2"
        assert topic.required["unclean.leader.election.enable"] == "false"


def test_topics_that_are_not_there_are_named(settings):
    with pytest.raises(ConfigError, match="does not exist"):
        topics.check(settings.with_values(topic_prefix="nobody-made-these"))


def test_a_broker_that_is_away_is_worth_a_repeat():
    away = Settings(kafka_bootstrap="127.0.0.1:1")
    with pytest.raises(Retryable, match=r"127.0.0.1:1"):
        topics.create(away, timeout_seconds=0.5)
    with pytest.raises(Retryable, match=r"127.0.0.1:1"):
        topics.check(away, timeout_seconds=0.5)


def test_the_module_makes_and_checks_them_as_a_program(settings):
    again = subprocess.run(
        [sys.executable, "-m", "continuity.topics"],
        env=settings.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (again.returncode, again.stderr) == (0, "")
    other = settings.with_values(partitions=5).environment()
    refused = subprocess.run(
        [sys.executable, "-m", "continuity.topics"], env=other, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "CONTINUITY_PARTITIONS=2" in refused.stderr
