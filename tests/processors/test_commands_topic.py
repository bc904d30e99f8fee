"""The commands topic under the sequencer: made again, repartitioned, or shortened by retention."""

from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from continuity import topics
from continuity.config import Settings
from continuity.errors import ConfigError
from continuity.processors import Store, adopt
from continuity.producers import CommandClient
from tests.eventually import eventually
from tests.processors.asking import checkpoint, create_goal, project_at_home, task_in, write
from tests.processors.readback import Log, truth_of
from tests.processors.running import sequencer_process, sequencing

pytestmark = pytest.mark.stack


@pytest.fixture
def admin(settings: Settings) -> AdminClient:
    return AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 2})


def make_again(admin: AdminClient, settings: Settings) -> None:
    name = settings.commands_topic
    admin.delete_topics([name])[name].result(10)
    eventually(lambda: name not in admin.list_topics(timeout=5).topics, what="the topic is gone")
    topics.create(settings)


def test_a_topic_that_was_made_again_is_refused_until_an_operator_adopts_it(
    settings: Settings, projector: None, admin: AdminClient
) -> None:
    del projector
    with sequencing(settings), CommandClient(settings) as client:
        task = task_in(client, "apollo")
        before = client.send(checkpoint("apollo", task, "before"))
    make_again(admin, settings)
    store = Store(settings.postgres_dsn)
    try:
        with sequencing(settings, wait=False) as running:
            eventually(lambda: "continuity adopt" in running.health.detail, 20, "the fix is named")
            assert not running.health.ready
            assert "made again" in running.health.detail
            assert adopt(settings, store, "ada") == [0, 1]
            running.ready()
            with CommandClient(settings) as client:
                after = client.send(checkpoint("apollo", task, "after"))
        assert adopt(settings, store, "ada") == [], "there is nothing more to adopt"
    finally:
        store.close()
    assert after["event_seq"] == (before["event_seq"] or 0) + 1
    log = Log(settings)
    log.holds([before, after])
    truth = next(each for each in log.partitions if after["workflow_id"] in each.journals)
    assert truth.acceptance.generation == 2
    forced = [
        record.payload["forced_by"] for record in truth.accepted if record.event["event_type"] == "sequencer_epoch"
    ]
    assert forced.count("ada") == 1


def test_a_topic_that_is_made_again_under_a_running_sequencer_is_noticed(
    settings: Settings, projector: None, admin: AdminClient
) -> None:
    del projector
    project = project_at_home(0, 2)
    with sequencing(settings) as running:
        with CommandClient(settings) as client:
            task = task_in(client, project)
        make_again(admin, settings)
        eventually(lambda: "continuity adopt" in running.health.detail, 60, "the fix is named")
        with CommandClient(settings) as client:
            waiting = [client.send(checkpoint(project, task, f"{n}"), wait="durable") for n in range(20)]
        assert running.counts["accepted"] == 2, "nothing of another topic is decided"
        store = Store(settings.postgres_dsn)
        assert adopt(settings, store, "ada") == [0, 1]
        store.close()
        eventually(lambda: running.counts["accepted"] == 22, 60, "all that waited is decided")
    assert Log(settings).events.keys() >= {each["command_id"] for each in waiting}


def test_another_number_of_partitions_is_refused_by_everybody(
    settings: Settings, projector: None, admin: AdminClient, tmp_path: Path
) -> None:
    del projector
    with sequencing(settings) as running, CommandClient(settings) as client:
        task = task_in(client, project_at_home(0, 2))
        more = NewPartitions(settings.commands_topic, 3)
        admin.create_partitions([more])[settings.commands_topic].result(10)
        write(settings, settings.events_topic, 0, b"a stranger")
        client.submit(checkpoint(project_at_home(0, 2), task), wait="durable", deadline_seconds=10).result()
        eventually(lambda: "3 partitions" in running.health.detail, 20, "it opens again, and refuses")
        assert not running.health.ready
    with pytest.raises(ConfigError, match="3 partitions") as refused, CommandClient(settings):
        pass
    assert "CONTINUITY_PARTITIONS" in refused.value.fix
    with sequencer_process(settings, tmp_path / "log") as process:
        assert process.process.wait(30) == 78
        assert "CONTINUITY_PARTITIONS" in process.log.read_text()


def test_commands_that_retention_took_are_named_in_the_log(
    settings: Settings, projector: None, admin: AdminClient
) -> None:
    del projector
    project = project_at_home(0, 2)
    with CommandClient(settings) as client:
        with sequencing(settings):
            task = task_in(client, project)
        lost = [client.send(checkpoint(project, task, f"{n}"), wait="durable") for n in range(5)]
        last = lost[3]["offset"]
        taken = TopicPartition(settings.commands_topic, 0, last + 1)
        admin.delete_records([taken])[taken].result(10)
        with sequencing(settings) as running:
            assert running.counts["commands_lost"] == 4
            goal = client.send(create_goal(project))
        repeated = [
            client.send(create_goal(project, command_id=each["command_id"]), wait="durable") for each in lost[:1]
        ]
    assert goal["event_seq"] == 4, "the fifth was still there"
    truth = truth_of(settings, 0)
    named = [record.payload["lost"] for record in truth.accepted if record.event["event_type"] == "sequencer_epoch"]
    assert [each for each in named if each] == [[lost[0]["offset"], last]]
    log = Log(settings)
    assert log.events.keys().isdisjoint({each["command_id"] for each in lost[:4]})
    assert repeated[0]["status"] == "durable"
    log.holds([goal])
