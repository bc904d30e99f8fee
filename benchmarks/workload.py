"""The work that is measured: projects of ten tasks with checkpoints; the change is a checkpoint of about 250 bytes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import count
from typing import NamedTuple
from uuid import uuid4

import psycopg

from benchmarks.peers.drivers.loop import Watch
from benchmarks.rows import Latencies
from continuity import codec, kafka
from continuity.config import Settings
from continuity.core.ids import entity_id, workflow_id
from continuity.keys import LOCAL_TENANT
from continuity.producers import AsyncCommandClient, Outcome, Request
from continuity.producers.request import command_of

TENANT = LOCAL_TENANT
TASKS = 10
WAIT_SECONDS_MAX = 300.0
POLL_SECONDS = 0.05
LEAD_SECONDS = 0.25
"""The callers are at it for so long before what they do counts."""

CHECKPOINT = {
    "where_left_off": "Half of it is done: the reader takes all files of the first folder, the second is open.",
    "next_step": "Write the test for the second folder's reader",
    "context_refs": ["src/reader.py", "notes/second-folder.md"],
}


class Project(NamedTuple):
    """A project, and its tasks in the order in which they were added."""

    name: str
    tasks: list[str]


def request(project: str, command_type: str, **body: object) -> Request:
    """A new command of the benchmark's operator."""
    return Request(command_type, body, str(uuid4()), TENANT, project, "benchmark", "automation")


def checkpoint(project: Project, number: int) -> Request:
    """The change that is measured, on one task after another."""
    return request(project.name, "update_checkpoint", task_id=project.tasks[number % len(project.tasks)], **CHECKPOINT)


def planned(name: str, tasks: int = TASKS) -> tuple[Project, list[Request]]:
    """A project, and the commands that make it: a goal, its tasks, a checkpoint of each; the first task is begun."""
    workflow = workflow_id(TENANT, name)
    goal = request(name, "create_goal", text="Read every folder of the archive", priority=3)
    goal_id = entity_id(workflow, goal.command_id)
    added = [
        request(name, "add_task", goal_id=goal_id, title=f"Read folder {number} of the archive")
        for number in range(tasks)
    ]
    project = Project(name, [entity_id(workflow, each.command_id) for each in added])
    checkpoints = [checkpoint(project, number) for number in range(tasks)]
    return project, [goal, *added, *checkpoints, request(name, "start_task", task_id=project.tasks[0])]


def fill(settings: Settings, requests: Iterable[Request]) -> int:
    """Put commands into their topic, durably, each asking for a reply that nobody waits for. How many they were."""
    producer = kafka.command_producer(settings, kafka.TIMEOUT_SECONDS)
    sent = 0
    for each in requests:
        command = command_of(each)
        reply_to = codec.ReplyTo(sent % settings.partitions, f"{'0' * 12}-{sent}")
        while True:
            try:
                producer.produce(
                    settings.commands_topic, codec.encode_command(command, reply_to), key=command.workflow_id
                )
            except BufferError:
                producer.poll(POLL_SECONDS)
            else:
                break
        sent += 1
        if sent % 1_000 == 0:
            producer.poll(0)
    if producer.flush(60):
        raise RuntimeError("The broker did not take all commands.")
    return sent


def log_end(settings: Settings, topic: str) -> int:
    """The number of records that were ever written to a topic."""
    consumer = kafka.reader(settings, "bench")
    try:
        partitions = range(kafka.partitions_of(consumer, topic))
        return sum(kafka.watermarks(consumer, topic, number)[1] for number in partitions)
    finally:
        consumer.close()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again, for a bounded time."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"Waited {WAIT_SECONDS_MAX:.0f} s until {what}.")
        time.sleep(POLL_SECONDS)


def wait_until_answered(settings: Settings, total: int) -> None:
    """Until as many replies were ever written, which `fill` has asked for and nobody else."""
    wait_until(lambda: log_end(settings, settings.replies_topic) >= total, "everything that was sent is answered")


def projected(connection: psycopg.Connection) -> int:
    """How many records of the events topic the database has."""
    row = connection.execute("SELECT coalesce(sum(next_offset), 0)::bigint FROM continuity.projection_offsets")
    return int(row.fetchone()[0])  # type: ignore[index]


def unprojected(settings: Settings) -> int:
    """The records of the events topic that the database does not have yet."""
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        return max(0, log_end(settings, settings.events_topic) - projected(connection))


def wait_until_projected(settings: Settings) -> None:
    """Until the database has all that is in the log now."""
    end = log_end(settings, settings.events_topic)
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        wait_until(lambda: projected(connection) >= end, "everything is projected")


async def accepted(client: AsyncCommandClient, command: Request) -> Outcome:
    """Send a command that has to be accepted; a duplicate is one whose first answer the client did not wait for."""
    outcome = await client.send(command, deadline_seconds=30)
    if outcome["status"] not in ("accepted", "duplicate"):
        raise RuntimeError(f"{command.command_type} was {outcome['status']}: {outcome['detail']}")
    return outcome


async def closed_loop(callers: int, seconds: float, call: Callable[[int, int], Awaitable[None]]) -> Latencies:
    """`callers` at once, each with one call on the way: `call(caller, number)`. What they saw in so many seconds."""
    numbers: Iterator[int] = count()
    watch = Watch(LEAD_SECONDS, seconds)

    async def caller(index: int) -> None:
        while watch.is_open():
            began = time.perf_counter()
            await call(index, next(numbers))
            watch.ended(began)

    await asyncio.gather(*map(caller, range(callers)))
    return Latencies.of(watch.durations(), watch.count() / seconds)
