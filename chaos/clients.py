"""The load: planners, executors and holders of leases in projects of two tenants, each a task with one command at once.

A command without an outcome is repeated with the same id, through another door each time, until an answer comes or
`PATIENCE_SECONDS` are over. With the last try that is less than a project takes here for the 256 events within which a
repeat is known: beyond those the product promises no more than that nothing is created or completed twice.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from chaos.doors import Door, Http
from chaos.record import ACKNOWLEDGED, Record, Told, Wish
from continuity.client.errors import ContinuityError
from continuity.core.ids import entity_id, workflow_id

PATIENCE_SECONDS = 20.0
RETRY_SECONDS = 0.2
TTL_SECONDS = 4
TASKS_OPEN_MIN = 4


class Place(NamedTuple):
    """A project of a tenant."""

    tenant: str
    project: str

    @property
    def workflow_id(self) -> str:
        """Its workflow."""
        return workflow_id(self.tenant, self.project)


class Client:
    """One of many. `pause_seconds` between its commands bound the rate; its seed makes it ask the same again."""

    def __init__(
        self, name: str, place: Place, doors: Sequence[Door], record: Record, *, seed: str, pause_seconds: float
    ) -> None:
        self.name = name
        self.place = place
        self.random = random.Random(seed)
        self._doors = doors
        self._record = record
        self._pause_seconds = pause_seconds

    async def ask(self, command_type: str, token: int | None = None, **body: Any) -> Told:
        """One command, until there is an answer or no patience left; `unclear` then."""
        wish = Wish(
            str(UUID(int=self.random.getrandbits(128), version=4)), command_type, body, self.place.tenant,
            self.place.project, self.place.workflow_id, token,
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PATIENCE_SECONDS
        turn = self.random.randrange(len(self._doors))
        while True:
            door = self._doors[turn % len(self._doors)]
            self._record.sent(wish, door.name)
            told = await door.send(wish)
            self._record.told(wish, told)
            if told.status != "unclear" or loop.time() > give_up_at:
                break
            turn += 1
            await asyncio.sleep(RETRY_SECONDS)
        await asyncio.sleep(self.random.uniform(0.5, 1.5) * self._pause_seconds)
        return told

    async def store(self, content: bytes) -> tuple[str, str] | None:
        """Put a step's result where the API keeps results; None where this client has no API, or none answers."""
        for door in self._doors:
            if isinstance(door, Http):
                try:
                    return await door.store(self.place.tenant, self.place.project, content)
                except ContinuityError:
                    continue
        return None


async def plan(client: Client, stop: Callable[[], bool]) -> None:
    """A planner: a goal, tasks below it, each started, checkpointed and completed, some blocked or paused between."""
    goal: str | None = None
    while not stop():
        while goal is None and not stop():
            goal = (await client.ask("create_goal", text=f"Chart the coast of {client.place.project}")).goal_id
        added = await client.ask("add_task", goal_id=goal, title=f"Sound bay {client.random.randrange(10**6)}")
        task = added.task_id
        if task is None:
            continue
        await client.ask("start_task", task_id=task)
        for number in range(client.random.randrange(1, 4)):
            await client.ask("update_checkpoint", task_id=task, **_checkpoint(number))
        if client.random.random() < 0.2:  # noqa: PLR2004 - one in five
            await client.ask("block_task", task_id=task, blocker={"text": "The tide is in."})
            await client.ask("start_task", task_id=task)
        if client.random.random() < 0.1:  # noqa: PLR2004
            await client.ask("set_goal_priority", goal_id=goal, priority=client.random.randrange(10))
        await client.ask("complete_task", task_id=task, evidence=f"By {client.name}.")


async def execute(client: Client, stop: Callable[[], bool]) -> None:
    """An executor among several: claims what is next, works in steps under its token, completes, or vanishes."""
    while not stop():
        claimed = await client.ask("claim_task", owner_id=client.name, ttl_seconds=TTL_SECONDS)
        task, token = claimed.result.get("task_id") or claimed.task_id, claimed.token or claimed.result.get("token")
        if claimed.status not in ACKNOWLEDGED or token is None or task is None:
            await _add(client)
            continue
        if client.random.random() < 0.1:  # noqa: PLR2004 - it dies here, and its claim runs out
            continue
        await client.ask("update_checkpoint", token, task_id=task, **_checkpoint(token))
        if client.random.random() < 0.5:  # noqa: PLR2004
            await client.ask("renew_lease", token, task_id=task)
        await _step(client, task, token)
        if client.random.random() < 0.8:  # noqa: PLR2004
            await client.ask("complete_task", token, task_id=task)
        else:
            await client.ask("release_lease", token, task_id=task)


async def hold(client: Client, stop: Callable[[], bool]) -> None:
    """One of several who want the whole project: takes the lease, does steps under it, gives it back, or vanishes."""
    number = 0
    while not stop():
        got = await client.ask("acquire_lease", owner_id=client.name, ttl_seconds=TTL_SECONDS)
        token = got.token or got.result.get("token")
        if got.status not in ACKNOWLEDGED or token is None:
            continue
        for _ in range(client.random.randrange(1, 4)):
            number += 1
            # The same few names for all who hold it: the first completion counts, for ever.
            await _step(client, None, token, f"passage-{number // 2}")
        await client.ask("renew_lease", token)
        if client.random.random() < 0.85:  # noqa: PLR2004
            await client.ask("release_lease", token)


async def _add(client: Client) -> None:
    goal = (await client.ask("create_goal", text=f"Survey for {client.name}")).goal_id
    for _ in range(TASKS_OPEN_MIN * 2) if goal else ():
        await client.ask("add_task", goal_id=goal, title=f"Survey bay {client.random.randrange(10**6)}")


async def _step(client: Client, task: str | None, token: int, name: str | None = None) -> None:
    step = name or f"sound:{task}"
    begun = await client.ask("begin_step", token, step_id=step, step_type="idempotent", task_id=task)
    attempt = begun.result.get("attempt_id")
    if begun.status not in ACKNOWLEDGED or attempt is None:
        return
    # Unique to this try, so that whose result counts is seen in what is stored.
    result = f"{client.name} {token} {step} {attempt}".encode()
    stored = await client.store(result)
    ref, checksum = stored or (f"chaos:{client.name}:{token}:{attempt}", sha256(result).hexdigest())
    if client.random.random() < 0.1:  # noqa: PLR2004
        await client.ask("fail_step", token, step_id=step, attempt_id=attempt, error="The line parted.")
        return
    await client.ask("complete_step", token, step_id=step, attempt_id=attempt, result_ref=ref, result_checksum=checksum)


def _checkpoint(number: int) -> dict[str, Any]:
    return {
        "where_left_off": f"Sounded up to mark {number}.",
        "next_step": f"Sound from mark {number + 1}",
        "context_refs": [f"chart:{number}"],
    }


def fixed_id(project: str, number: object) -> str:
    """A command id that follows from a project and a number."""
    return str(UUID(bytes=sha256(f"{project}/{number}".encode()).digest()[:16], version=4))


def goal_of(place: Place, command_id: str) -> str:
    """The goal that a command creates."""
    return entity_id(place.workflow_id, command_id)
