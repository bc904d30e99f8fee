"""The work that is measured: projects of ten tasks with checkpoints; the change is a checkpoint of about 250 bytes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import NamedTuple
from uuid import uuid4

from benchmarks.rows import Latencies
from continuity.keys import LOCAL_TENANT
from continuity.producers import AsyncCommandClient, Outcome, Request

TENANT = LOCAL_TENANT
TASKS = 10
SEEDING_AT_ONCE = 128
SEED_SECONDS = 60.0

CHECKPOINT = {
    "where_left_off": "Half of it is done: the reader takes all files of the first folder, the second is open.",
    "next_step": "Write the test for the second folder's reader",
    "context_refs": ["src/reader.py", "notes/second-folder.md"],
}


class Project(NamedTuple):
    """A seeded project, and its tasks in the order in which they were added."""

    name: str
    tasks: list[str]


def request(project: str, command_type: str, **body: object) -> Request:
    """A new command of the benchmark's operator."""
    return Request(command_type, body, str(uuid4()), TENANT, project, "benchmark", "automation")


def checkpoint(project: Project, number: int) -> Request:
    """The change that is measured, on one task after another."""
    return request(project.name, "update_checkpoint", task_id=project.tasks[number % len(project.tasks)], **CHECKPOINT)


async def accepted(client: AsyncCommandClient, command: Request) -> Outcome:
    """Send a command that has to be accepted."""
    outcome = await client.send(command, deadline_seconds=SEED_SECONDS)
    if outcome["status"] != "accepted":
        raise RuntimeError(f"{command.command_type} was {outcome['status']}: {outcome['detail']}")
    return outcome


async def seed(client: AsyncCommandClient, name: str, tasks: int = TASKS, checkpoints: int = TASKS) -> Project:
    """A goal, its tasks, and a checkpoint for the first ones; the first task is being done."""
    goal = await accepted(client, request(name, "create_goal", text="Read every folder of the archive", priority=3))
    gate = asyncio.Semaphore(SEEDING_AT_ONCE)

    async def add(number: int) -> str:
        async with gate:
            title = f"Read folder {number} of the archive"
            outcome = await accepted(client, request(name, "add_task", goal_id=goal["goal_id"], title=title))
            assert outcome["task_id"] is not None
            return outcome["task_id"]

    made = Project(name, list(await asyncio.gather(*map(add, range(tasks)))))
    for number in range(checkpoints):
        await accepted(client, checkpoint(made, number))
    await accepted(client, request(name, "start_task", task_id=made.tasks[0]))
    return made


async def seed_many(client: AsyncCommandClient, names: list[str]) -> list[Project]:
    """Many projects, so many at a time that the broker is busy and nobody waits for long."""
    gate = asyncio.Semaphore(SEEDING_AT_ONCE)

    async def one(name: str) -> Project:
        async with gate:
            return await seed(client, name)

    return list(await asyncio.gather(*map(one, names)))


async def closed_loop(callers: int, seconds: float, call: Callable[[int, int], Awaitable[None]]) -> Latencies:
    """`callers` at once, each with one call on the way: `call(caller, number)`. What they saw in so many seconds."""
    durations: list[float] = []
    numbers = count()
    began = time.perf_counter()
    end = began + seconds

    async def caller(index: int) -> None:
        while (now := time.perf_counter()) < end:
            await call(index, next(numbers))
            durations.append(time.perf_counter() - now)

    await asyncio.gather(*map(caller, range(callers)))
    return Latencies.of(durations, time.perf_counter() - began)
