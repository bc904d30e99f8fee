"""Requests as a trusted service would make them: by name of the project, ids drawn."""

import uuid
from typing import Any

from confluent_kafka import Producer

from continuity import codec, kafka
from continuity.config import Settings
from continuity.core import ids
from continuity.core.records import Command
from continuity.producers import CommandClient, Request
from continuity.producers.request import command_of

TENANT = "acme"


def request(command_type: str, project: str, body: dict[str, Any], **fields: Any) -> Request:
    command_id = fields.pop("command_id", None) or str(uuid.uuid4())
    return Request(command_type, body, command_id, TENANT, project, operator_id="ada", operator_kind="human", **fields)


def create_goal(project: str, text: str = "a goal", **fields: Any) -> Request:
    return request("create_goal", project, {"text": text}, **fields)


def add_task(project: str, goal_id: str | None, title: str = "a task", **fields: Any) -> Request:
    return request("add_task", project, {"goal_id": goal_id, "title": title}, **fields)


def checkpoint(project: str, task_id: str | None, left_off: str = "here") -> Request:
    body: dict[str, Any] = {"task_id": task_id, "where_left_off": left_off, "next_step": "go on", "context_refs": []}
    return request("update_checkpoint", project, body)


def task_in(client: CommandClient, project: str) -> str:
    """A new task, and the goal it belongs to."""
    goal = client.send(create_goal(project))
    task = client.send(add_task(project, goal["goal_id"]))
    assert task["status"] == "accepted"
    assert task["task_id"] is not None
    return task["task_id"]


def project_at_home(partition: int, partitions: int, prefix: str = "p") -> str:
    """The name of a project whose workflow belongs to that partition."""
    names = (f"{prefix}{number}" for number in range(1_000))
    return next(name for name in names if ids.partition_of(ids.workflow_id(TENANT, name), partitions) == partition)


def write(settings: Settings, topic: str, partition: int, *values: bytes | None) -> None:
    """Append raw records, as a stranger with access to the broker could."""
    producer: Producer = kafka.command_producer(settings, 10)
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(10) == 0


def command_record(asked: Request, **fields: Any) -> bytes:
    """The record of a request, nobody being told of its outcome."""
    command: Command = command_of(asked)._replace(**fields)
    return codec.encode_command(command, None)
