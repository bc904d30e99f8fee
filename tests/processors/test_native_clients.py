"""The native clients over the real broker: what they promise, and what they say when they cannot keep it."""

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import psutil
import pytest

from continuity import topics
from continuity.config import Settings
from continuity.core.fields import FormError
from continuity.errors import ConfigError, Retryable
from continuity.producers import AsyncCommandClient, CommandClient
from tests.eventually import eventually
from tests.processors.asking import add_task, checkpoint, create_goal, request, task_in
from tests.processors.readback import Log
from tests.processors.running import sequencing

pytestmark = pytest.mark.stack


@asynccontextmanager
async def connected(settings: Settings, in_flight_max: int = 100) -> AsyncIterator[AsyncCommandClient]:
    async with AsyncCommandClient(settings, in_flight_max=in_flight_max) as client:
        yield client


# What a wait means


def test_durable_means_recorded_and_not_yet_decided(settings: Settings) -> None:
    with CommandClient(settings) as client:
        outcome = client.send(create_goal("apollo"), wait="durable")
        assert (outcome["status"], outcome["offset"], outcome["event_seq"]) == ("durable", 0, None)
        assert outcome["partition"] in range(settings.partitions)
    assert not Log(settings).events


def test_committed_waits_for_somebody_who_decides(settings: Settings, projector: None) -> None:
    del projector
    with CommandClient(settings) as client:
        waiting = client.submit(create_goal("apollo"), deadline_seconds=60)
        assert not waiting.done()
        with sequencing(settings):
            outcome = waiting.result(60)
    assert outcome["status"] in ("accepted", "duplicate"), "its attempts may all be in the log"
    Log(settings).holds([outcome])


def test_a_deadline_says_that_the_outcome_is_unknown_and_the_same_id_finds_it(
    settings: Settings, projector: None
) -> None:
    del projector
    asked = create_goal("apollo")
    with CommandClient(settings) as client:
        with pytest.raises(Retryable, match=asked.command_id) as late:
            client.send(asked, deadline_seconds=0.3)
        assert late.value.code == "unavailable"
        assert "same command_id" in late.value.fix
        with sequencing(settings):
            again = client.send(asked, deadline_seconds=30)
    assert again["status"] == "duplicate", "the first attempt was in the log"
    assert again["event_seq"] == 1
    Log(settings).holds([again])


def test_a_deadline_leaves_nothing_behind(settings: Settings) -> None:
    with CommandClient(settings, in_flight_max=2) as client:
        for _ in range(3):
            futures = [client.submit(create_goal("apollo"), deadline_seconds=0.2) for _ in range(2)]
            for future in futures:
                with pytest.raises(Retryable):
                    future.result(10)


# Limits


def test_more_than_the_bound_is_refused_at_once(settings: Settings) -> None:
    with CommandClient(settings, in_flight_max=3) as client:
        waiting = [client.submit(create_goal("apollo"), deadline_seconds=5) for _ in range(3)]
        with pytest.raises(Retryable) as full:
            client.submit(create_goal("apollo"))
        assert full.value.code == "overloaded"
        assert full.value.retry_after_seconds > 0
        assert not any(each.done() for each in waiting)
    for each in waiting:
        with pytest.raises(Retryable, match="closed"):
            each.result(1)


def test_a_bad_form_is_refused_before_anything_is_sent(settings: Settings) -> None:
    with CommandClient(settings) as client:
        for wrong in (
            request("create_goal", "apollo", {"text": ""}),
            request("create_goal", "Apollo!", {"text": "x"}),
            request("create_goal", "apollo", {"text": "x", "colour": "red"}),
            request("create_goal", "apollo", {"text": 1.5}),
            request("drop", "apollo", {}),
            create_goal("apollo", command_id="not a uuid"),
        ):
            with pytest.raises(FormError):
                client.send(wrong)
        assert client.send(create_goal("apollo"), wait="durable")["offset"] == 0, "nothing was sent before"


# Answers find those who asked


def test_several_clients_hear_only_their_own_answers(settings: Settings, client: CommandClient) -> None:
    with CommandClient(settings) as other, CommandClient(settings) as third:
        clients = (client, other, third)
        task = task_in(client, "apollo")
        futures = [clients[n % 3].submit(checkpoint("apollo", task, f"{n}")) for n in range(90)]
        outcomes = [future.result(30) for future in futures]
    assert len({each["command_id"] for each in outcomes}) == 90
    assert sorted(each["event_seq"] or 0 for each in outcomes) == list(range(3, 93))
    Log(settings).holds(outcomes)


def test_two_who_send_the_same_command_are_both_answered(settings: Settings, client: CommandClient) -> None:
    asked = create_goal("apollo")
    with CommandClient(settings) as other:
        outcomes = [future.result(30) for future in (client.submit(asked), other.submit(asked))]
    assert sorted(each["status"] for each in outcomes) == ["accepted", "duplicate"]
    assert outcomes[0]["event_id"] == outcomes[1]["event_id"]


def test_a_client_that_was_closed_leaves_no_connection_behind(settings: Settings) -> None:
    """However long it takes until somebody collects garbage: each connection has threads and file handles."""
    process = psutil.Process()

    async def come_and_go() -> None:
        async with connected(settings) as client:
            await client.send(create_goal("closed"), wait="durable")

    asyncio.run(come_and_go())  # whatever is made once is there
    gc.collect()
    gc.disable()
    try:
        before = process.num_threads()
        for _ in range(3):
            asyncio.run(come_and_go())
        assert eventually(lambda: process.num_threads() <= before, 10, "their threads have ended")
    finally:
        gc.enable()


def test_a_caller_that_gave_up_is_no_trouble(client: CommandClient) -> None:
    given_up = client.submit(create_goal("apollo"))
    given_up.cancel()
    assert client.send(create_goal("apollo"))["status"] == "accepted"


# Without a broker


@pytest.fixture
def nowhere(settings: Settings) -> Settings:
    return settings.with_values(kafka_bootstrap="127.0.0.1:1")


def test_without_a_broker_nobody_connects(nowhere: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "check", partial(topics.check, timeout_seconds=1.0))
    with pytest.raises(Retryable), CommandClient(nowhere):
        pass


def test_without_topics_the_fix_is_named(settings: Settings) -> None:
    with (
        pytest.raises(ConfigError, match="does not exist") as error,
        CommandClient(settings.with_values(topic_prefix="none")),
    ):
        pass
    assert "continuity up" in error.value.fix


# The same for asyncio


def run(scenario: Callable[[], "object"]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]  # a coroutine function


def test_the_asynchronous_client_does_the_same(settings: Settings, client: CommandClient) -> None:
    del client

    async def scenario() -> None:
        async with connected(settings) as work:
            await work.ready()
            goal = await work.send(create_goal("apollo"))
            tasks = await asyncio.gather(*(work.send(add_task("apollo", goal["goal_id"], f"{n}")) for n in range(20)))
            refused = await work.send(request("start_task", "apollo", {"task_id": str(uuid.uuid4())}))
            durable = await work.send(add_task("apollo", goal["goal_id"]), wait="durable")
        assert sorted(each["event_seq"] or 0 for each in tasks) == list(range(2, 22))
        assert (refused["status"], refused["code"], durable["status"]) == ("refused", "unknown_task", "durable")
        eventually(lambda: durable["command_id"] in Log(settings).events, what="the durable one is decided, too")
        Log(settings).holds([goal, *tasks, refused])

    run(scenario)


def test_the_asynchronous_client_names_deadline_overload_and_form(settings: Settings) -> None:
    async def scenario() -> None:
        async with connected(settings, in_flight_max=2) as work:
            with pytest.raises(Retryable) as late:
                await work.send(create_goal("apollo"), deadline_seconds=0.3)
            waiting = [asyncio.create_task(work.send(create_goal("apollo"), deadline_seconds=1)) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(Retryable) as full:
                await work.send(create_goal("apollo"))
            with pytest.raises(FormError):
                await work.send(create_goal("apollo", ""))
            done = await asyncio.gather(*waiting, return_exceptions=True)
        assert late.value.code == "unavailable"
        assert full.value.code == "overloaded"
        assert all(isinstance(each, Retryable) for each in done)

    run(scenario)


def test_a_cancelled_wait_does_not_disturb_the_others(settings: Settings, client: CommandClient) -> None:
    del client

    async def scenario() -> None:
        async with connected(settings) as work:
            cancelled = asyncio.create_task(work.send(create_goal("apollo")))
            await asyncio.sleep(0)
            cancelled.cancel()
            outcomes = await asyncio.gather(*(work.send(create_goal("apollo")) for _ in range(10)))
            assert {each["status"] for each in outcomes} == {"accepted"}
            with pytest.raises(asyncio.CancelledError):
                await cancelled

    run(scenario)
