"""What FORMAT.md says of topics, keys, partitions and framing, looked up in the topics of a running product.

The services are processes of their own; the reader is the one that knows only the page.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, Message, Producer, TopicPartition

from continuity import kafka
from continuity.config import Settings
from continuity.errors import Retryable
from continuity.producers import CommandClient, Outcome, Request
from tests.eventually import eventually
from tests.format import independent_reader as reader

ROOT = Path(__file__).parents[2]
SCHEMAS = {
    int(number): json.loads((ROOT / "schemas" / name).read_text())
    for number, name in json.loads((ROOT / "schemas" / "ids.json").read_text()).items()
}
PROJECTS = ("atlas", "zebra", "quartz", "ibis")
BRANCH = "atlas-fork"
"""In the other of the two partitions: what it stands on is not before it."""
DIGEST = "4f" * 32
ACCEPTED = ("accepted", "duplicate")
"""A duplicate where the answer was lost, as to the stranger's record, and the client asked again."""

POISON, STRANGER = b"no avro at all", b"nor is this"

pytestmark = pytest.mark.stack


@contextmanager
def services(settings: Settings) -> Iterator[None]:
    environment = {**os.environ, **settings.environment()}
    modules = ("continuity.projections", "continuity.processors")
    running = [subprocess.Popen([sys.executable, "-m", module], env=environment) for module in modules]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)


def request(project, command_type, command_id=None, **body):
    identity = command_id or str(uuid4())
    return Request(command_type, body, identity, "acme", project, "ada", "human", session_id="s-1")


def send(client: CommandClient, asked: Request) -> Outcome:
    return client.send(asked, deadline_seconds=60)


def play(settings: Settings) -> dict[str, str]:
    """Some work in each project, a refusal, a duplicate, poison and a stranger's record; goals by project."""
    goals = {}
    eventually(lambda: is_led(settings, settings.replies_topic), 60, "the new topics have their leaders")
    with CommandClient(settings) as client:
        for project in PROJECTS:
            asked = request(project, "create_goal", text=f"Chart {project} \u2014 \u6e2f")
            goals[project] = str(send(client, asked)["goal_id"])
            assert send(client, asked)["status"] == "duplicate"
            refused = request(project, "start_task", task_id=str(uuid4()))
            assert send(client, refused)["code"] == "unknown_task"
        producer = Producer({"bootstrap.servers": settings.kafka_bootstrap})
        for partition in range(settings.partitions):
            producer.produce(settings.commands_topic, POISON, partition=partition)
            producer.produce(settings.events_topic, STRANGER, partition=partition)
        producer.flush()
        for project, goal_id in goals.items():
            added = send(client, request(project, "add_task", goal_id=goal_id, title="Survey"))
            assert added["status"] in ACCEPTED
        execute(client, "atlas")
        assert send(client, request("atlas", "rollback", to_seq=1))["event_type"] == "rolled_back"
        assert send(client, request(BRANCH, "fork_project", from_project="atlas", at_seq=2))["event_seq"] == 1
        send(client, request(BRANCH, "set_goal_priority", goal_id=goals["atlas"], priority=3))
    return goals


def execute(client: CommandClient, project: str) -> None:
    """A lease, taken over while a step is open; the late result of one executor and the result of the other."""

    def begin(token: int) -> Outcome:
        asked = request(project, "begin_step", step_id="print", step_type="pure")
        return send(client, asked._replace(fencing_token=token))

    def complete(token: int, attempt_id: int) -> Outcome:
        result = {"result_ref": f"blob:{token}", "result_checksum": DIGEST}
        asked = request(project, "complete_step", step_id="print", attempt_id=attempt_id, **result)
        return send(client, asked._replace(fencing_token=token))

    for token in (1, 2):
        granted = send(client, request(project, "acquire_lease", owner_id="press", ttl_seconds=60))
        assert granted["fencing_token"] == token
        assert begin(token)["status"] in ACCEPTED
    assert send(client, request(project, "renew_lease")._replace(fencing_token=2))["status"] == "answered"
    assert complete(1, 1)["code"] == "fenced"
    assert complete(2, 2)["status"] in ACCEPTED
    assert begin(2)["status"] == "answered"
    send(client, request(project, "release_lease")._replace(fencing_token=2))


def is_led(settings: Settings, topic: str) -> bool:
    consumer = kafka.reader(settings, "test")
    try:
        return all(kafka.watermarks(consumer, topic, each) for each in range(settings.partitions))
    except Retryable:
        return False
    finally:
        consumer.close()


def everything(settings: Settings, topic: str) -> list[Message]:
    consumer = kafka.reader(settings, "test", **{"enable.partition.eof": True})
    partitions = kafka.partitions_of(consumer, topic)
    consumer.assign([TopicPartition(topic, each, 0) for each in range(partitions)])
    messages: list[Message] = []
    ends = 0
    while ends < partitions:
        message = consumer.poll(30)
        assert message is not None, f"nothing came from {topic}"
        error = message.error()
        if error is None:
            messages.append(message)
        else:
            assert error.code() == KafkaError._PARTITION_EOF
            ends += 1
    consumer.close()
    return messages


def unframed(message: Message) -> dict[str, Any]:
    assert message.timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME
    assert message.headers() is None
    return reader.unframe(message.value(), SCHEMAS)


def test_the_topics_of_a_session_are_as_the_page_says(settings):
    with services(settings):
        goals = play(settings)
    check_commands(settings, everything(settings, settings.commands_topic))
    check_events(settings, everything(settings, settings.events_topic), goals)
    check_replies(everything(settings, settings.replies_topic))
    check_rejections(everything(settings, settings.rejections_topic))
    check_leases(everything(settings, settings.leases_topic))


def check_commands(settings: Settings, messages: list[Message]) -> None:
    commands = [(message, unframed(message)) for message in messages if message.value() != POISON]
    assert {command["project"] for _, command in commands} == {*PROJECTS, BRANCH}
    assert {message.partition() for message in messages} == set(range(settings.partitions))
    for message, command in commands:
        assert message.key() == command["workflow_id"].encode()
        assert message.partition() == reader.partition(command["workflow_id"], settings.partitions)
        assert command["workflow_id"] == reader.workflow_id(command["tenant"], command["project"])
        assert reader.canonical(json.loads(command["body"])).decode() == command["body"]


def check_events(settings: Settings, messages: list[Message], goals: dict[str, str]) -> None:
    memories = [reader.Memory() for _ in range(settings.partitions)]
    facts, late = [], []
    verdicts = set()
    for message in messages:
        assert message.key() is None
        if message.value() == STRANGER:
            continue
        record = unframed(message)
        verdict = memories[message.partition() or 0].judge(record)
        verdicts.add(verdict)
        if verdict == "event":
            assert message.partition() == reader.partition(record["workflow_id"], settings.partitions)
            facts.append(record)
        elif verdict in ("mark", "epoch"):
            assert (record["workflow_id"], record["tenant"], record["event_seq"]) == (reader.NIL, "", 0)
            assert (record["event_hash"], record["delta"]) == ("0" * 64, "[]")
            assert record["checksum"] == sha256(record["payload"].encode()).hexdigest()
            late += reader.parse_canonical(record["payload"]).get("late_results", [])
    assert {"epoch", "event", "mark"} <= verdicts
    assert {memory.generation for memory in memories} == {1}
    assert [(each["project"], each["result_ref"]) for each in late] == [("atlas", "blob:1")]
    check_histories(facts, goals)


def check_histories(facts: list[dict[str, Any]], goals: dict[str, str]) -> None:
    verified: dict[str, reader.Workflow] = {}
    folded: dict[str, reader.Workflow] = {}
    # Another partition holds what the fork stands on: it is read last.
    for record in sorted(facts, key=lambda each: each["project"] == BRANCH):
        reader.workflow_of(record, verified).verify(record)
        reader.workflow_of(record, folded).fold(record)
    assert {key: each.past for key, each in folded.items()} == {key: each.past for key, each in verified.items()}
    states = {project: verified[reader.workflow_id("acme", project)].state for project in (*PROJECTS, BRANCH)}
    assert {project: set(state["goals"]) for project, state in states.items()} == {
        project: {goals[project.removesuffix("-fork")]} for project in states
    }
    # The rollback took the task of `atlas` away, and nothing of what was done in the world; the fork still has it.
    counts = {project: (len(state["tasks"]), len(state["steps"])) for project, state in states.items()}
    assert counts == dict.fromkeys(PROJECTS, (1, 0)) | {"atlas": (0, 1), BRANCH: (1, 0)}


def check_replies(messages: list[Message]) -> None:
    replies = [(message, unframed(message)) for message in messages]
    assert {reply["status"] for _, reply in replies} >= {"accepted", "duplicate", "refused", "answered"}
    assert len({message.partition() for message, _ in replies}) == 1  # one client listens to one partition
    for message, reply in replies:
        assert re.fullmatch(rb"[0-9a-f]{12}-[0-9]+", message.key() or b"")
        assert (reply["code"] is None) == (reply["status"] in ("accepted", "duplicate", "answered"))
        assert (reply["event_seq"] is None) == (reply["status"] in ("refused", "unavailable", "answered"))
        assert reply["state_checksum"] is None or reply["status"] == "accepted"
        if reply["status"] == "answered":
            assert {"token", "step_id"} & set(reader.parse_canonical(reply["result"]))


def check_rejections(messages: list[Message]) -> None:
    found = [(message, unframed(message)) for message in messages]
    assert {rejection["project"] for _, rejection in found if rejection["code"] == "unknown_task"} == set(PROJECTS)
    for message, rejection in found:
        assert (message.key() or b"").decode() == (rejection["workflow_id"] or "")
        if rejection["code"] == "poison":
            assert (rejection["raw"], rejection["command_id"]) == (POISON, None)


def check_leases(messages: list[Message]) -> None:
    found = [(message.key(), unframed(message)) for message in messages]
    workflow_id = reader.workflow_id("acme", "atlas")
    assert {key for key, _ in found} == {f"{workflow_id}/{token}".encode() for token in (1, 2)}
    for _, lease in found:
        assert (lease["workflow_id"], lease["owner_id"], lease["task_id"]) == (workflow_id, "press", None)
        assert lease["lease_expires_at"] == lease["heartbeat_at"] + 60_000_000
