"""Work that rests for a month goes on where it was: nothing but the events and what was made of them is needed.

Retention is done to the topics as the broker does it, by deleting records. The month itself passes for the core, whose
clock is a parameter.
"""

import asyncio
from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from continuity import kafka
from continuity.api.reads import Reads
from continuity.blobs import opened
from continuity.config import Settings
from continuity.core import Accepted, canonical, decide, ids, next_step
from continuity.core.state import State
from continuity.processors import Store
from continuity.producers import CommandClient, Outcome, Request
from continuity.producers.request import command_of
from continuity.projections import rebuild
from tests.processors.asking import TENANT, add_task, checkpoint, create_goal, request
from tests.processors.readback import Log, is_projected
from tests.processors.running import projecting, sequencing

pytestmark = pytest.mark.stack

PROJECT = "archive"
WORKFLOW = ids.workflow_id(TENANT, PROJECT)
MONTH = 30 * 86_400 * 1_000_000


def begun(client: CommandClient) -> list[tuple[Request, Outcome]]:
    """Two tasks, one of them in the middle: claimed, noted down, and with a step that is open."""
    told: list[tuple[Request, Outcome]] = []

    def do(asked: Request) -> Outcome:
        outcome = client.send(asked)
        assert outcome["status"] == "accepted", outcome
        told.append((asked, outcome))
        return outcome

    goal = do(create_goal(PROJECT))["goal_id"]
    task = do(add_task(PROJECT, goal, "the first"))["task_id"]
    do(add_task(PROJECT, goal, "the second"))
    claim = do(request("claim_task", PROJECT, {"owner_id": "ada", "task_id": task, "ttl_seconds": 60}))
    assert claim["result"] is not None
    token = claim["result"]["token"]
    do(checkpoint(PROJECT, task, "page 7")._replace(fencing_token=token))
    body = {"step_id": "read", "step_type": "pure", "task_id": task}
    do(request("begin_step", PROJECT, body, fencing_token=token))
    return told


def asked(settings: Settings) -> bytes:
    """The next step, as the API answers it."""

    async def read() -> bytes:
        async with Reads(settings) as reads:
            return canonical.dumps(await reads.next_step(TENANT, PROJECT))

    return asyncio.run(read())


def restored(settings: Settings) -> State:
    """As a sequencer does that has never seen the project."""
    store = Store(settings.postgres_dsn, opened(settings))
    try:
        partition = ids.partition_of(WORKFLOW, settings.partitions)
        return store.fetch(partition, [WORKFLOW]).states[WORKFLOW]
    finally:
        store.close()


def forget(settings: Settings) -> None:
    """Retention, of everything that has one."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 2})
    consumer = kafka.reader(settings, "retention")
    names = (settings.commands_topic, settings.replies_topic, settings.rejections_topic)
    try:
        for name in names:
            for partition in range(kafka.partitions_of(consumer, name)):
                _, end = kafka.watermarks(consumer, name, partition)
                for future in admin.delete_records([TopicPartition(name, partition, end)]).values():
                    future.result(10)
                assert kafka.watermarks(consumer, name, partition) == (end, end)
    finally:
        consumer.close()


@pytest.mark.parametrize("is_rebuilt", [False, True])
def test_a_month_later_the_next_step_is_the_same_and_the_work_goes_on(
    settings: Settings, eventually: Callable[..., object], *, is_rebuilt: bool
) -> None:
    with projecting(settings), sequencing(settings):
        with CommandClient(settings) as client:
            told = begun(client)
        eventually(lambda: is_projected(settings), 20, "all of it is projected")
    before, state = asked(settings), restored(settings)
    assert b'"page 7"' in before

    # Every service is down, and stays down for longer than anything but events is kept.
    forget(settings)
    if is_rebuilt:
        rebuild(settings)
    assert restored(settings) == state
    assert canonical.dumps(next_step(state)) == before

    with projecting(settings), sequencing(settings), CommandClient(settings) as client:
        assert asked(settings) == before
        for again, first in told:
            repeated = client.send(again)
            assert (repeated["status"], repeated["event_seq"]) == ("duplicate", first["event_seq"])
        step, task = state.steps["read"], told[1][1]["task_id"]
        token = step["attempts"][-1]["token"]
        noted = client.send(checkpoint(PROJECT, task, "page 8")._replace(fencing_token=token))
        assert (noted["status"], noted["event_seq"]) == ("accepted", len(told) + 1)
        eventually(lambda: is_projected(settings), 20, "it is projected")
        assert b'"page 8"' in asked(settings)
    log = Log(settings)
    log.holds(outcome for _, outcome in [*told, (None, noted)])
    assert len(log.events) == len(told) + 1, "nothing was lost, doubled, or made up for what retention took"


def test_a_month_later_the_claim_has_run_out_and_the_successor_is_handed_the_work(
    settings: Settings, eventually: Callable[..., object]
) -> None:
    with projecting(settings), sequencing(settings):
        with CommandClient(settings) as client:
            told = begun(client)
        eventually(lambda: is_projected(settings), 20, "all of it is projected")
    state, task = restored(settings), told[1][1]["task_id"]
    later = state.head_timestamp + MONTH
    taking = request("claim_task", PROJECT, {"owner_id": "bob", "task_id": task, "ttl_seconds": 60})
    assert not isinstance(decide(state, command_of(taking), state.head_timestamp), Accepted), "it is held now"
    taken = decide(state, command_of(taking), later)
    assert isinstance(taken, Accepted)
    assert taken.result is not None
    handover = taken.result["handover"]
    assert handover["predecessor"]["owner_id"] == "ada"
    assert [attempt["step_id"] for attempt in handover["open_attempts"]] == ["read"]
    assert taken.state.token_counter == state.token_counter + 1
    assert {**next_step(taken.state), "as_of_seq": 0, "state_checksum": ""} == {
        **next_step(state), "as_of_seq": 0, "state_checksum": "",
    }  # fmt: skip
