"""What is there after a run, read from the outside: the topic by the acceptance rule, the journal, and the APIs.

The fold of each workflow is made here, event by event as they stand in the topic, by the product's audit: the delta and
the payload of each have to lead to the same state.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
import psycopg

from chaos.doors import Http
from continuity import kafka
from continuity.client.errors import ContinuityError, Unavailable
from continuity.config import Settings
from continuity.core.audit import Audit
from continuity.core.records import Event
from continuity.core.state import State
from continuity.logged import facts

PROJECTED_SECONDS_MAX = 180.0
QUIET_SECONDS = 2.0
JOURNAL = "SELECT workflow_id::text, event_seq, event_id::text, command_id::text, event_hash FROM continuity.events"


class Fact(NamedTuple):
    """What the checks need of an event."""

    workflow_id: str
    event_seq: int
    event_id: str
    event_type: str
    command_id: str
    fencing_token: int | None
    prev_hash: str
    event_hash: str
    payload: dict[str, Any]


class Row(NamedTuple):
    """The same of the journal."""

    workflow_id: str
    event_seq: int
    event_id: str
    command_id: str
    event_hash: str


@dataclass
class Evidence:
    """Facts in the order of the topic, within a workflow; states by workflow; problems that were met on reading."""

    facts: list[Fact] = field(default_factory=list)
    journal: list[Row] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Answers(NamedTuple):
    """What an API says of a project."""

    api: str
    workflow_id: str
    state: dict[str, Any]
    next_step: dict[str, Any]


def read(settings: Settings) -> Evidence:
    """Topic and journal, whole."""
    evidence = Evidence()
    audits: dict[str, Audit] = {}
    for event in _events(settings):
        workflow = event["workflow_id"]
        audit = audits.setdefault(workflow, Audit(State(workflow)))
        if (problem := audit.add(event)) is not None:
            evidence.problems.append(f"fold: {problem}")
        evidence.facts.append(fact_of(event))
    evidence.states = {workflow: audit.state for workflow, audit in audits.items()}
    with psycopg.connect(settings.postgres_dsn) as connection, connection.cursor(name="journal") as cursor:
        cursor.execute(JOURNAL)
        evidence.journal = [Row(*columns) for columns in cursor]
    return evidence


def fact_of(event: Event) -> Fact:
    """An event, without its delta."""
    return Fact(
        event["workflow_id"], event["event_seq"], event["event_id"], event["event_type"], event["command_id"],
        event["fencing_token"], event["prev_hash"], event["event_hash"], orjson.loads(event["payload"]),
    )  # fmt: skip


def _ends(settings: Settings) -> dict[int, int]:
    consumer = kafka.reader(settings, "chaos")
    try:
        return {
            number: kafka.watermarks(consumer, settings.events_topic, number)[1]
            for number in range(settings.partitions)
        }
    finally:
        consumer.close()


def _events(settings: Settings) -> Iterator[Event]:
    for partition, end in _ends(settings).items():
        messages = kafka.read_range(settings, settings.events_topic, partition, 0, end)
        yield from facts(message.value() for message in messages)


def projected(settings: Settings) -> dict[int, int] | None:
    """Where the topic ends, if Postgres stands there, too."""
    ends = _ends(settings)
    with psycopg.connect(settings.postgres_dsn) as connection:
        stands: dict[int, int] = dict(
            connection.execute("SELECT partition, next_offset FROM continuity.projection_offsets").fetchall()
        )
    return ends if all(stands.get(number, 0) == end for number, end in ends.items()) else None


async def asked(apis: Iterable[Http], places: Iterable[tuple[str, str, str]]) -> list[Answers]:
    """State and next step of each project, from each API. A place is tenant, project, workflow."""
    wanted = list(places)
    found = []
    for api in apis:
        for tenant, project, workflow in wanted:
            client = api.client(tenant, project)
            state, step = await client.state(), await client.get_next_step()
            found.append(Answers(api.name, workflow, dict(state), dict(step)))
    return found


async def outcome(api: Http, tenant: str, project: str, command_id: str) -> dict[str, Any] | None:
    """What the API says became of a command; None when it knows of none. Raises Unavailable."""
    try:
        return dict(await api.client(tenant, project).command_outcome(command_id))
    except Unavailable:
        raise
    except ContinuityError:
        return None


async def until_projected(settings: Settings) -> bool:
    """Wait until it is, and nothing more comes; False when it takes too long."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PROJECTED_SECONDS_MAX
    before = None
    while (now := await asyncio.to_thread(projected, settings)) is None or now != before:
        if loop.time() > deadline:
            return False
        before = now
        await asyncio.sleep(QUIET_SECONDS)
    return True
