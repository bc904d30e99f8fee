"""One sequencer on the real broker: what it is asked, what it writes, what it answers, and how it comes back."""

from uuid import uuid4

import pytest

from continuity.config import Settings
from continuity.core import ids
from continuity.producers import CommandClient
from continuity.producers.request import Outcome
from tests.eventually import eventually
from tests.processors.asking import (
    TENANT,
    add_task,
    checkpoint,
    command_record,
    create_goal,
    project_at_home,
    request,
    task_in,
    write,
)  # fmt: skip
from tests.processors.readback import Log, is_projected, rejections
from tests.processors.running import Sequencing, projecting, sequencing

pytestmark = pytest.mark.stack


def test_an_acknowledged_command_is_one_event_and_the_answer_says_which(
    settings: Settings, client: CommandClient
) -> None:
    goal = client.send(create_goal("apollo"))
    task = client.send(add_task("apollo", goal["goal_id"], session_id="s-1", expected_seq=1))
    refused = client.send(request("complete_task", "apollo", {"task_id": task["task_id"]}))
    assert (goal["status"], goal["event_seq"], task["event_seq"]) == ("accepted", 1, 2)
    assert (refused["status"], refused["code"]) == ("refused", "illegal_transition")
    assert refused["detail"]
    assert refused["fix"]
    log = Log(settings)
    log.holds([goal, task, refused])
    event = log.events[task["command_id"]]
    assert (event["operator_id"], event["session_id"]) == ("ada", "s-1")
    assert (event["tenant"], event["project"]) == (TENANT, "apollo")
    assert event["source_offset"] == task["offset"]


def test_a_repeat_gets_the_ids_of_the_original_and_adds_nothing(settings: Settings, client: CommandClient) -> None:
    asked = create_goal("apollo")
    first, second = client.send(asked), client.send(asked)
    assert (first["status"], second["status"]) == ("accepted", "duplicate")
    same = ("command_id", "workflow_id", "event_seq", "event_id", "event_type", "goal_id", "task_id")
    assert {name: first[name] for name in same} == {name: second[name] for name in same}  # type: ignore[literal-required]
    assert second["offset"] > first["offset"]
    reused = client.send(create_goal("apollo", "another", command_id=asked.command_id))
    assert (reused["status"], reused["code"]) == ("refused", "idempotency_key_reused")
    Log(settings).holds([first, second])


def test_poison_stops_nothing_and_is_kept_for_audit(settings: Settings, client: CommandClient) -> None:
    home, away = project_at_home(0, 2), project_at_home(1, 2)
    elsewhere = create_goal(away)
    stranger = create_goal(home)
    good = command_record(create_goal(home))
    poison = [
        b"",
        None,
        b"\x00",
        b"no avro at all",
        b"\x00\x00\x00\x00\x63" + good[5:],  # another schema's id
        good[:-3],
        good + b"!",
        command_record(elsewhere),
        command_record(stranger, workflow_id=ids.workflow_id(TENANT, away)),
        command_record(create_goal(home), body="{}"),
    ]
    write(settings, settings.commands_topic, 0, *poison)
    outcome = client.send(create_goal(home))
    assert outcome["status"] == "accepted"
    eventually(lambda: len(rejections(settings)) == len(poison), what="every poisonous record is a rejection")
    codes = [each["code"] for each in sorted(rejections(settings), key=lambda each: each["source_offset"])]
    assert codes == ["poison"] * 7 + ["wrong_partition", "invalid_field", "missing_field"]
    raw = {each["source_offset"]: each["raw"] for each in rejections(settings)}
    assert raw[3] == b"no avro at all"
    assert raw[7] is None, "what could be read is named by its ids"
    log = Log(settings)
    log.holds([outcome])
    assert len(log.events) == 1


def test_a_restart_goes_on_after_what_the_log_speaks_for(settings: Settings, projector: None) -> None:
    del projector
    with CommandClient(settings) as client:
        with sequencing(settings):
            task = task_in(client, "apollo")
            refused = client.send(request("complete_task", "apollo", {"task_id": task}))
        waiting = [client.send(checkpoint("apollo", task, f"{n}"), wait="durable") for n in range(20)]
        assert {each["status"] for each in waiting} == {"durable"}
        before = Log(settings)
        with sequencing(settings) as again:
            eventually(lambda: again.counts["accepted"] == 20, what="all that waited is decided, and nothing else")
            assert again.counts["refused"] == again.counts["duplicate"] == 0
            last = client.send(checkpoint("apollo", task, "last"))
    log = Log(settings)
    log.holds([last])
    assert last["event_seq"] == 23
    assert log.events.keys() >= before.events.keys() | {each["command_id"] for each in waiting}
    assert refused["command_id"] not in log.events


def test_cold_workflows_are_restored_from_the_database_and_from_the_tail(settings: Settings) -> None:
    small = settings.with_values(cache_workflows_max=1)
    projects = [project_at_home(0, 2, prefix) for prefix in ("a", "b", "c")]
    outcomes: list[Outcome] = []
    with sequencing(small, wait=False) as running, CommandClient(settings) as client:
        with projecting(settings):
            running.ready()
            tasks = [task_in(client, name) for name in projects]
            eventually(lambda: is_projected(settings), what="all of it is projected")
            work = list(zip(projects, tasks, strict=True))
            outcomes += [client.send(checkpoint(*each, f"{n}")) for n in range(3) for each in work]
        # From here on nothing is projected.
        outcomes += [client.send(checkpoint(*each, f"late {n}")) for n in range(3) for each in work]
        assert running.counts["restores"] >= 20
        assert running.loop.warm_workflows <= 1
    assert {each["status"] for each in outcomes} == {"accepted"}
    assert [each["event_seq"] for each in outcomes[::3]] == list(range(3, 9))
    Log(settings).holds(outcomes)


def test_many_clients_at_once_lose_and_double_nothing(
    settings: Settings, client: CommandClient, sequencer: Sequencing
) -> None:
    tasks = {name: task_in(client, name) for name in ("apollo", "gemini", "mercury", "vostok")}
    futures = [client.submit(checkpoint(name, task, f"{n}")) for n in range(100) for name, task in tasks.items()]
    outcomes = [future.result(30) for future in futures]
    assert {each["status"] for each in outcomes} == {"accepted"}
    for name in tasks:
        seqs = [each["event_seq"] for each in outcomes if each["workflow_id"] == ids.workflow_id(TENANT, name)]
        assert seqs == list(range(3, 103)), "in the order in which they were sent"
    Log(settings).holds(outcomes)
    assert sequencer.counts["reopened"] == 0


def test_a_pipeline_breaks_off_where_one_is_refused(client: CommandClient) -> None:
    predecessor = str(uuid4())
    refused = client.submit(request("start_task", "apollo", {"task_id": str(uuid4())}, command_id=predecessor))
    follower = client.submit(create_goal("apollo", after=predecessor))
    assert refused.result(10)["code"] == "unknown_task"
    assert follower.result(10)["code"] == "predecessor_missing"
