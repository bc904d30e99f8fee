"""Full topics, drained by one process: commands by a sequencer, then the events that it made by a projector."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
from confluent_kafka import Consumer
from rich.console import Console

from benchmarks.rows import Row
from benchmarks.workload import CHECKPOINT, TASKS, TENANT, request
from continuity import codec, kafka, topics
from continuity.config import Settings
from continuity.core.ids import entity_id, workflow_id
from continuity.producers import Request
from continuity.producers.request import command_of

WAIT_SECONDS_MAX = 180.0
POLL_SECONDS = 0.05
WARM_UP = 2_000
"""Records at the beginning that do not count: processes start, and cold workflows are restored."""


def measure(settings: Settings, *, workflows: int, commands: int, console: Console) -> list[Row]:
    """On topics of its own, with the broker and the database of `settings` and nobody else at work."""
    own = settings.with_values(topic_prefix=f"drain-{uuid4().hex[:8]}")
    topics.create(own)
    try:
        with _service(own, "continuity.projections"):
            _wait(lambda: _projected(own) is not None, "the projector has made its tables")
        total = _fill(own, workflows, commands)
        console.print(
            f"  {total:,} commands of {workflows} workflows in {own.partitions} partitions, each awaits a reply"
        )
        with _service(own, "continuity.processors"):
            _wait(lambda: _ends(own) >= total + own.partitions, "every command is decided")
        decided = _rate(_log_times(own)[WARM_UP:])
        replies = sum(_end(own, own.replies_topic, number) for number in range(own.partitions))
        console.print(f"  sequencer: {decided:,.0f} commands/s; {replies:,} replies")
        with _service(own, "continuity.projections"):
            projected = _projector_rate(own, _ends(own))
        console.print(f"  projector: {projected:,.0f} events/s")
    finally:
        topics.delete(own)
    return [
        Row("sequencer draining, one process", decided, "1/s", ">=", 12_000),
        Row("projector draining", projected, "1/s", ">=", 8_000),
    ]


def _fill(settings: Settings, workflows: int, commands: int) -> int:
    producer = kafka.command_producer(settings, kafka.TIMEOUT_SECONDS)
    sent = 0

    def put(command: Request) -> None:
        nonlocal sent
        record = command_of(command)
        value = codec.encode_command(record, codec.ReplyTo(sent % settings.partitions, f"drain-{sent}"))
        sent += 1
        while True:
            try:
                producer.produce(settings.commands_topic, value, key=record.workflow_id)
            except BufferError:
                producer.poll(POLL_SECONDS)
            else:
                return

    made: list[tuple[str, list[str]]] = []
    for number in range(workflows):
        name = f"drain-{number}"
        goal = request(name, "create_goal", text="Read the archive")
        put(goal)
        goal_id = entity_id(workflow_id(TENANT, name), goal.command_id)
        tasks = [request(name, "add_task", goal_id=goal_id, title=f"Read folder {each}") for each in range(TASKS)]
        for task in tasks:
            put(task)
        made.append((name, [entity_id(workflow_id(TENANT, name), task.command_id) for task in tasks]))
    for number in range(commands):
        name, ids = made[number % workflows]
        put(request(name, "update_checkpoint", task_id=ids[number // workflows % TASKS], **CHECKPOINT))
    if producer.flush(60):
        raise RuntimeError("The broker did not take all commands.")
    return sent


def _log_times(settings: Settings) -> list[int]:
    """When the broker wrote each record of the events topic, in milliseconds, in order."""
    return sorted(
        message.timestamp()[1]
        for number in range(settings.partitions)
        for message in kafka.read_range(
            settings, settings.events_topic, number, 0, _end(settings, settings.events_topic, number)
        )
    )


def _rate(times: list[int]) -> float:
    return len(times) / max(times[-1] - times[0], 1) * 1_000


def _projector_rate(settings: Settings, total: int) -> float:
    _wait(lambda: (_projected(settings) or 0) >= WARM_UP, "the projector has begun")
    first, began = _projected(settings) or 0, time.perf_counter()
    _wait(lambda: (_projected(settings) or 0) >= total, "everything is projected")
    return (total - first) / (time.perf_counter() - began)


def _projected(settings: Settings) -> int | None:
    """Records that the projection has passed; None before it has made its tables."""
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('continuity.projection_offsets')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT coalesce(sum(next_offset), 0)::bigint FROM continuity.projection_offsets")
        return int(row.fetchone()[0])  # type: ignore[index]


def _ends(settings: Settings) -> int:
    return sum(_end(settings, settings.events_topic, number) for number in range(settings.partitions))


def _end(settings: Settings, topic: str, number: int) -> int:
    consumer: Consumer = kafka.reader(settings, "bench")
    try:
        return kafka.watermarks(consumer, topic, number)[1]
    finally:
        consumer.close()


@contextmanager
def _service(settings: Settings, module: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", module], env=settings.environment() | _path(), stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _path() -> dict[str, str]:
    import os  # noqa: PLC0415

    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"Waited {WAIT_SECONDS_MAX:.0f} s until {what}.")
        time.sleep(POLL_SECONDS)
