"""What the broker and the database have to show for a project: collected here, judged in `replay.check`.

Reads the events topic by the acceptance rule, the journal and the state through `api.reads`, and past next steps from
scratch tables. Changes nothing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from continuity import codec, kafka
from continuity.api.reads import Reads
from continuity.config import Settings
from continuity.core import canonical
from continuity.core.acceptance import START, Acceptance, Verdict, judge
from continuity.core.ids import partition_of, workflow_id
from continuity.core.records import Event
from continuity.errors import Retryable
from continuity.processors import Store
from continuity.projections import Scratch

PATIENCE_SECONDS = 60.0
PAGE = 1_000
POLL_SECONDS = 0.05


class Beginning(NamedTuple):
    """Where the events topic was before a replay: nothing of a fresh project stands before it."""

    partition: int
    offset: int
    acceptance: Acceptance


class Found(NamedTuple):
    """The facts of one project in the topic, and the bytes that they were."""

    events: list[Event]
    values: list[bytes]


async def beginning(settings: Settings, tenant: str, project: str) -> Beginning:
    """Where to read from later: the projected position, if the project has no event before it, else the first record.

    Waits until all that is in the topic now has been projected. Raises Retryable when the projector does not get there.
    """
    _, partitions = await asyncio.to_thread(kafka.topic_id, settings, settings.events_topic)
    partition = partition_of(workflow_id(tenant, project), partitions)
    store = Store(settings.postgres_dsn)
    try:
        before = await asyncio.to_thread(store.position, partition)
        end = await asyncio.to_thread(_end, settings, partition)

        async def projected() -> bool:
            return (await asyncio.to_thread(store.position, partition)).offset >= end

        await _until(projected, f"The projector has not come to offset {end} of partition {partition}.")
    finally:
        store.close()
    async with Reads(settings, connections_max=1) as reads:
        if await reads.head_seq(tenant, project):
            return Beginning(partition, 0, START)
    return Beginning(partition, before.offset, before.acceptance)


async def journal(reads: Reads, tenant: str, project: str, *, head_seq: int = 0) -> list[Event]:
    """All events of the project's journal, each verified, once the projection has come to `head_seq`."""

    async def projected() -> bool:
        try:
            return not head_seq or await reads.head_seq(tenant, project, min_seq=head_seq) is not None
        except Retryable:
            return False

    await _until(projected, f"The projector has not come to event {head_seq} of project {project}.")
    events: list[Event] = []
    while page := await reads.events(tenant, project, after_seq=len(events), limit=PAGE):
        events += page
    return events


def topic(settings: Settings, at: Beginning, workflow: str) -> Found:
    """The workflow's facts in the events topic from `at` to its end, by the rule that every reader applies."""
    found = Found([], [])
    acceptance = at.acceptance
    end = _end(settings, at.partition)
    for message in kafka.read_range(settings, settings.events_topic, at.partition, at.offset, end):
        value = message.value() or b""
        try:
            event = codec.decode_event(value)
        except codec.Undecodable:
            continue
        acceptance, verdict = judge(acceptance, event)
        if verdict is Verdict.EVENT and event["workflow_id"] == workflow:
            found.events.append(event)
            found.values.append(value)
    return found


async def next_steps(
    settings: Settings, tenant: str, project: str, values: Sequence[bytes], positions: Iterable[int]
) -> dict[int, bytes]:
    """By event_seq, the answer that SQL gave when the tables stood there, as canonical JSON.

    The events are projected once more, up to each position in turn, into scratch tables, by the code that fills and
    reads the live ones. So every position can be chosen, whatever batches the live projector made, and also long after.
    """
    workflow = workflow_id(tenant, project)
    answers: dict[int, bytes] = {}
    with await asyncio.to_thread(Scratch, settings.postgres_dsn) as scratch:
        async with Reads(settings, connections_max=1, schema=scratch.schema) as reads:
            done = 0
            for position in sorted(positions):
                await asyncio.to_thread(scratch.project, workflow, values[done:position])
                done = position
                answers[position] = canonical.dumps(await reads.next_step(tenant, project))
    return answers


def _end(settings: Settings, partition: int) -> int:
    consumer = kafka.reader(settings, "evidence")
    try:
        return kafka.watermarks(consumer, settings.events_topic, partition)[1]
    finally:
        consumer.close()


async def _until(condition: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not await condition():
        if time.monotonic() > give_up:
            raise Retryable(otherwise, fix="Look at `continuity status`, then start the same replay again.")
        await asyncio.sleep(POLL_SECONDS)
