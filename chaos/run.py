"""One whole run: the stack, the load and the probes, the campaign, and afterwards the checks from the outside."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from chaos import checks, clients, evidence, world
from chaos.campaign import Campaign, kinds_of
from chaos.clients import Client, Place
from chaos.doors import Door, Http, Native
from chaos.probes import Line
from chaos.record import ACKNOWLEDGED, Record, Told, Wish
from chaos.report import Result
from chaos.strike import Field
from chaos.world import APIS, PARTITIONS, TENANTS, World
from continuity import review
from continuity.core.ids import partition_of, workflow_id
from continuity.errors import ContinuityError
from continuity.producers import AsyncCommandClient

PLANNERS, TEAMS, EXECUTORS, LEASED, HOLDERS = 10, 8, 3, 4, 2
PAUSE_SECONDS = 0.45
"""Between two commands of a client: 42 clients with so much between, and the probes, ask 130 times a second."""
PROBE_DEADLINE_SECONDS = 20.0
LOOK_SECONDS = 0.5
SHOWN_POLL_SECONDS = 0.1
WARM_UP_SECONDS = 3.0
UNWIND_SECONDS_MAX = 120.0


class Doors:
    """All ways in: the native client, and an SDK client for each API."""

    def __init__(self, native: Native, apis: list[Http]) -> None:
        self.native = native
        self.apis = apis

    @property
    def all(self) -> list[Door]:
        """Every door; a client tries one after the other."""
        return [self.native, *self.apis]


async def carried_out(
    result: Result, console: Console, *, folder: Path, no_disks: str | None, stop: Callable[[], bool]
) -> None:
    """Run, check, and write into `result`."""
    drawn = random.Random(result.seed)
    result.kinds = kinds_of(with_disks=no_disks is None)
    if no_disks is not None:
        result.skipped["disks"] = no_disks
    record = Record(folder / "record.jsonl")
    async with AsyncExitStack() as opened:
        console.print("[bold]Starting[/] broker, database, 3 sequencers, a projector and 2 APIs")
        stack = await opened.enter_async_context(world.running(drawn, folder, with_disks=no_disks is None))
        native = await opened.enter_async_context(AsyncCommandClient(stack.native()))
        apis = [Http(f"api-{number}", stack.url(f"api-{number}"), stack.keys) for number in range(APIS)]
        for api in apis:
            opened.push_async_callback(api.close)
        doors = Doors(Native("native", native), apis)
        result.violations += await _struck(result, console, stack, doors, record, drawn, stop)
        await _checked(result, console, stack, doors, record)
    record.close()


async def _struck(
    result: Result, console: Console, stack: World, doors: Doors, record: Record, drawn: random.Random,
    stop: Callable[[], bool],
) -> list[str]:  # fmt: skip
    ended = asyncio.Event()
    lines = {line.name: line for line in _lines(doors, record)}
    working = [*(line.run(ended.is_set) for line in lines.values()), *_load(doors, record, result.seed, ended.is_set)]
    tasks = [asyncio.create_task(each) for each in working]
    field = Field(stack, lines, drawn)
    log, with_disks = stack.folder / "faults.jsonl", "disks" not in result.skipped
    campaign = Campaign(field, result.minutes, console, log, with_disks=with_disks)
    result.faults = campaign.faults  # those that were struck are told, however it ends
    began = time.monotonic()
    try:
        await asyncio.sleep(WARM_UP_SECONDS)
        console.print(f"[bold]Striking[/] for {result.minutes:g} minutes, seed {result.seed}")
        await campaign.run(stop)
    finally:
        stack.heal()
        ended.set()
        result.seconds = time.monotonic() - began
        done, late = await asyncio.wait(tasks, timeout=UNWIND_SECONDS_MAX)
        for task in late:
            task.cancel()
    for task in done:
        if (error := task.exception()) is not None:
            raise error
    return campaign.problems


# The load


def _lines(doors: Doors, record: Record) -> Iterator[Line]:
    """A line for each partition, each API and the projection."""
    names = iter(f"probe-{number}" for number in range(10_000))
    by_partition: dict[int, str] = {}
    while len(by_partition) < PARTITIONS:
        name = next(names)
        by_partition.setdefault(partition_of(workflow_id(TENANTS[0], name), PARTITIONS), name)
    for number, project in sorted(by_partition.items()):
        yield Line(f"partition-{number}", _committed(doors.native, record, Place(TENANTS[0], project)))
    for api in doors.apis:
        yield Line(api.name, _committed(api, record, Place(TENANTS[0], f"probe-{api.name}")), LOOK_SECONDS)
    yield Line("projection", _shown(doors, record, Place(TENANTS[0], "probe-projection")), LOOK_SECONDS)


def _committed(door: Native | Http, record: Record, place: Place) -> Callable[[int], Awaitable[bool]]:
    """Whether a new goal is acknowledged, within the deadline."""

    async def ask(number: int) -> bool:
        told = await _goal(door, record, place, number)
        return told.status in ACKNOWLEDGED

    return ask


def _shown(doors: Doors, record: Record, place: Place) -> Callable[[int], Awaitable[bool]]:
    """Whether what was just written can be read."""

    async def ask(number: int) -> bool:
        told = await _goal(doors.native, record, place, number)
        if told.event_seq is None:
            return False
        client = doors.apis[number % APIS].client(*place)
        give_up_at = time.monotonic() + PROBE_DEADLINE_SECONDS
        while time.monotonic() < give_up_at:
            with suppress(ContinuityError):
                if (await client.get_next_step())["as_of_seq"] >= told.event_seq:
                    return True
            await asyncio.sleep(SHOWN_POLL_SECONDS)
        return False

    return ask


async def _goal(door: Native | Http, record: Record, place: Place, number: int) -> Told:
    # The first of a probe is its goal; after that its priority goes up and down, which keeps the project small.
    goal = clients.fixed_id(place.project, "goal")
    known = record.wishes.get(goal)
    if known is None or not known.is_acknowledged:
        body: dict[str, Any] = {"text": f"Probe {place.project}"}
        wish = known or Wish(goal, "create_goal", body, *place, place.workflow_id)
    else:
        body = {"goal_id": clients.goal_of(place, goal), "priority": number % 1_000}
        wish = Wish(clients.fixed_id(place.project, number), "set_goal_priority", body, *place, place.workflow_id)
    record.sent(wish, door.name)
    told = await (door.send(wish, PROBE_DEADLINE_SECONDS) if isinstance(door, Native) else door.send(wish))
    record.told(wish, told)
    return told


def _load(
    doors: Doors, record: Record, seed: int, stop: Callable[[], bool]
) -> Iterator[Coroutine[Any, Any, None]]:  # fmt: skip
    def client(name: str, project: str, number: int, through: list[Door]) -> Client:
        place = Place(TENANTS[number % len(TENANTS)], project)
        return Client(name, place, through, record, seed=f"{seed}/{name}", pause_seconds=PAUSE_SECONDS)

    for number in range(PLANNERS):
        through: list[Door] = [doors.native] if number % 2 else list(doors.apis)
        yield clients.plan(client(f"planner-{number}", f"plan-{number}", number, through), stop)
    for number in range(TEAMS):
        for member in range(EXECUTORS):
            ways: list[list[Door]] = [[doors.native], list(doors.apis), doors.all]
            through = ways[member % len(ways)]
            yield clients.execute(client(f"executor-{number}-{member}", f"team-{number}", number, through), stop)
    for number in range(LEASED):
        for member in range(HOLDERS):
            through = doors.all if member else [doors.native]
            yield clients.hold(client(f"holder-{number}-{member}", f"lease-{number}", number, through), stop)


# The checks


async def _checked(result: Result, console: Console, stack: World, doors: Doors, record: Record) -> None:
    console.print("[bold]Checking[/] what was told against topic, journal and APIs")
    if (missing := await stack.calm()) is not None:
        result.violations.append(f"After all faults had ended, {missing}.")
    wishes = list(record.wishes.values())
    result.commands = len(wishes)
    result.acknowledged = sum(wish.is_acknowledged for wish in wishes)
    result.refused = sum(wish.told.status == "refused" for wish in wishes)
    unclear = [wish for wish in wishes if wish.told.status in ("unclear", "sent")]
    result.unclear = len(unclear)
    if not await evidence.until_projected(stack.settings):
        result.violations.append("What stands in the topic was not projected in time.")
    found = await asyncio.to_thread(evidence.read, stack.settings)
    result.events = len(found.facts)
    api = doors.apis[0]
    later = {
        wish.command_id: await evidence.outcome(api, wish.tenant, wish.project, wish.command_id) for wish in unclear
    }
    places = {(wish.tenant, wish.project, wish.workflow_id) for wish in wishes if wish.workflow_id in found.states}
    answers = await evidence.asked(doors.apis, sorted(places))
    verdict = await asyncio.to_thread(review.verify_all, stack.settings)
    result.lost += checks.lost(wishes, found.facts, found.journal)
    result.doubled += checks.doubled(found.facts, found.journal)
    result.violations += [
        *found.problems,
        *(f"verify: {problem}" for problem in verdict["problems"]),
        *checks.acknowledged_without_event(wishes),
        *checks.refused_and_yet_a_fact(wishes, found.facts),
        *checks.outcomes_asked_for_later(wishes, found.facts, later),
        *checks.nobody_asked(record.wishes, found.facts),
        *checks.holes(found.facts),
        *checks.journal_is_the_topic(found.facts, found.journal),
        *checks.tokens_that_do_not_grow(found.facts),
        *checks.tokens_told_twice(wishes),
        *checks.holders_at_once(found.facts),
        *checks.steps_completed_twice(found.facts),
        *checks.results_that_are_others(wishes, found.states),
        *checks.answers_that_differ(answers, found.states),
        *await _blobs(doors.apis[-1], wishes),
    ]


async def _blobs(api: Http, wishes: list[Wish]) -> list[str]:
    """Every result that an acknowledged completion names can be read, and is what was stored (the SDK compares)."""
    problems = []
    for wish in wishes:
        ref = str(wish.body.get("result_ref", ""))
        if wish.command_type == "complete_step" and wish.is_acknowledged and not ref.startswith("chaos:"):
            try:
                await api.fetch(wish.tenant, wish.project, ref, wish.body["result_checksum"])
            except ContinuityError as error:
                problems.append(f"the result {ref} of step {wish.body['step_id']} cannot be read: {error.detail}")
    return problems
