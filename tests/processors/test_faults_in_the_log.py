"""What goes wrong with the events topic of a real broker: records refused, lost in the middle, or written by others."""

from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from continuity import codec, kafka
from continuity.config import Settings
from continuity.core import canonical
from continuity.core.records import SEQUENCER_EPOCH
from continuity.core.seal import own_record
from continuity.producers import CommandClient
from tests.eventually import eventually
from tests.processors.asking import add_task, checkpoint, create_goal, project_at_home, task_in, write
from tests.processors.losing import LosingFactory
from tests.processors.readback import Log, is_projected, truth_of
from tests.processors.running import Sequencing, sequencing

pytestmark = pytest.mark.stack


def limit_events(settings: Settings, size_bytes: int) -> None:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 2})
    entry = ConfigEntry("max.message.bytes", str(size_bytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, settings.events_topic, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(10)


def test_a_record_that_the_broker_refuses_holds_up_its_partition_and_loses_nothing(
    settings: Settings, client: CommandClient, sequencer: Sequencing
) -> None:
    task = task_in(client, "apollo")
    limit_events(settings, 4_000)
    small = [client.submit(checkpoint("apollo", task, f"{n}"), deadline_seconds=60) for n in range(3)]
    large = client.submit(checkpoint("apollo", task, "w" * 8_000), deadline_seconds=60)
    after = [client.submit(checkpoint("apollo", task, f"after {n}"), deadline_seconds=60) for n in range(3)]
    eventually(lambda: sequencer.counts["reopened"] >= 2, 30, "it was refused, and refused again")
    assert not large.done(), "told before it was in the log"
    assert not any(each.done() for each in after), "told out of order"
    assert not sequencer.health.ready or sequencer.counts["reopened"] >= 2
    limit_events(settings, 2 * 1024 * 1024)
    outcomes = [future.result(60) for future in (*small, large, *after)]
    assert {each["status"] for each in outcomes} <= {"accepted", "duplicate"}
    assert [each["event_seq"] for each in outcomes] == list(range(3, 10))
    Log(settings).holds(outcomes)


@pytest.mark.parametrize(("number", "later"), [(0, 0), (1, 3), (5, 3), (11, 1)])
def test_a_record_lost_in_the_middle_of_a_stream(
    settings: Settings, projector: None, monkeypatch: pytest.MonkeyPatch, number: int, later: int
) -> None:
    """The later ones are in the log, and nobody may believe them."""
    del projector
    project = project_at_home(0, settings.partitions)
    with CommandClient(settings) as client:
        with sequencing(settings):
            task = task_in(client, project)
        losing = LosingFactory(number, later)
        monkeypatch.setattr(kafka, "event_producer", losing)
        with sequencing(settings, wait=False) as running:
            futures = [client.submit(checkpoint(project, task, f"{n}"), deadline_seconds=30) for n in range(12)]
            outcomes = [future.result(30) for future in futures]
            assert running.counts["reopened"] >= 1
            assert losing.made >= 2, "the producer that lost it was used again"
    assert [each["event_seq"] for each in outcomes] == list(range(3, 15))
    log = Log(settings)
    log.holds(outcomes)
    assert not log.stopped
    assert (log.verdicts["gap"] > 0) == (later > 0), "the fault was not there"


def test_foreign_records_are_ignored_and_the_sequencer_opens_again(
    settings: Settings, client: CommandClient, sequencer: Sequencing
) -> None:
    project = project_at_home(0, settings.partitions)
    task = task_in(client, project)
    log = Log(settings)
    echo = next(codec.encode_event(event) for event in log.events.values())
    acceptance = truth_of(settings, 0).acceptance
    wrong_epoch: Any = own_record(
        SEQUENCER_EPOCH, canonical.text({"rules_version": "1", "topic_id": 7, "forced_by": None})
    )
    wrong_epoch |= {"epoch": acceptance.epoch + 1}
    write(settings, settings.events_topic, 0, b"", None, b"garbage", echo, codec.encode_event(wrong_epoch))
    outcomes = [client.send(checkpoint(project, task, f"{n}")) for n in range(3)]
    assert sequencer.counts["reopened"] == 1
    assert [each["event_seq"] for each in outcomes] == [3, 4, 5]
    log = Log(settings)
    log.holds(outcomes)
    assert log.verdicts["undecodable"] == 3
    eventually(lambda: is_projected(settings), what="the projection has passed over them, too")


def test_a_forged_event_stops_its_workflow_and_no_other(
    settings: Settings, client: CommandClient, sequencer: Sequencing
) -> None:
    """It passes for the owner's next record; that its chain does not fit is damage which an operator has to look at."""
    damaged, other = (project_at_home(0, settings.partitions, prefix) for prefix in ("d", "o"))
    task = task_in(client, damaged)
    goal = client.send(create_goal(other))
    truth = truth_of(settings, 0)
    last: Any = truth.journals[goal["workflow_id"]][-1].event
    template: Any = next(fact.event for fact in truth.facts.values() if fact.event["project"] == damaged)
    forged = dict(template) | {
        "epoch": truth.acceptance.epoch,
        "sequencer_id": last["sequencer_id"],
        "epoch_seq": truth.acceptance.epoch_seq + 1,
        "source_generation": truth.acceptance.generation,
        "source_offset": truth.acceptance.source_offset + 1,
        "event_seq": 3,
    }
    write(settings, settings.events_topic, 0, codec.encode_event(forged))  # type: ignore[arg-type]  # as an event has it
    # The forgery took the number of the next command's record: that command is asked again.
    assert client.send(add_task(other, goal["goal_id"]), deadline_seconds=20)["status"] in ("accepted", "duplicate")
    eventually(lambda: is_projected(settings), what="the damage is projected")
    refused = client.send(checkpoint(damaged, task))
    assert (refused["status"], refused["code"]) == ("refused", "workflow_stopped")
    assert client.send(add_task(other, goal["goal_id"]))["status"] == "accepted"
    assert sequencer.counts["reopened"] >= 1


def test_a_sequencer_that_opens_again_and_again_leaves_nothing_behind(
    settings: Settings, client: CommandClient, sequencer: Sequencing
) -> None:
    """Each producer that is thrown away ends its threads, although nobody polls it any more."""
    project = project_at_home(0, settings.partitions)
    task = task_in(client, project)
    limit_events(settings, 4_000)
    threads = os_threads()
    stuck = [client.submit(checkpoint(project, task, "w" * (8_000 - n)), deadline_seconds=90) for n in range(200)]
    eventually(lambda: sequencer.counts["reopened"] >= 8, 60, "it opened again eight times")
    assert os_threads() <= threads + 12, "producers are left over"
    limit_events(settings, 2 * 1024 * 1024)
    assert {each.result(60)["status"] for each in stuck} <= {"accepted", "duplicate"}


def os_threads() -> int:
    """Of this process, librdkafka's included."""
    with open("/proc/self/status") as status:  # noqa: PTH123 - not a file of anybody's
        return next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
