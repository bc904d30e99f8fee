"""Where a fleet's claims go: stored before they are sent, one request at a time, forgotten after a week."""

import asyncio
import uuid

import pytest

from continuity import postgres
from continuity.api.assignments import Assignments
from continuity.config import Settings
from continuity.errors import Retryable
from continuity.projections import schema as tables

pytestmark = pytest.mark.stack


@pytest.fixture
def database(database):
    with postgres.connect(database) as owner:
        tables.ensure(owner)
    return database


def run(database, work):
    async def inside():
        assignments = Assignments(Settings(postgres_dsn=database), connections_max=4)
        await assignments.start()
        try:
            return await work(assignments)
        finally:
            await assignments.close()

    return asyncio.run(inside())


def test_a_claim_is_remembered_for_its_tenant_alone(database):
    key = str(uuid.uuid4())

    async def work(assignments):
        async with assignments.held("local", key) as held:
            assert held.project is None
            await held.move("one")
            await held.move("two")
        async with assignments.held("local", key) as held:
            assert held.project == "two"
        assert await assignments.assigned("local", key) == "two"
        assert await assignments.assigned("other", key) is None

    run(database, work)


def test_it_is_stored_before_the_request_has_ended(database):
    key = str(uuid.uuid4())

    async def work(assignments):
        async with assignments.held("local", key) as held:
            await held.move("one")
            assert await assignments.assigned("local", key) == "one"
            raise Retryable("The answer was lost.")

    with pytest.raises(Retryable, match="lost"):
        run(database, work)

    async def again(assignments):
        async with assignments.held("local", key) as held:
            assert held.project == "one"

    run(database, again)


def test_one_request_at_a_time_is_at_one_claim(database):
    key, order = str(uuid.uuid4()), []

    async def work(assignments):
        async def one(name):
            async with assignments.held("local", key) as held:
                order.append((name, "in", held.project))
                await held.move(name)
                await assignments.assigned("local", str(uuid.uuid4()))  # the loop goes round
                order.append((name, "out", held.project))

        await asyncio.gather(one("a"), one("b"), one("c"))

    run(database, work)
    names = [name for name, _, _ in order[::2]]
    assert [each[1] for each in order] == ["in", "out"] * 3
    assert [each[2] for each in order[::2]] == [None, *names[:2]]


def test_more_claims_than_connections_wait_for_one_another(database):
    async def work(assignments):
        async def one(number):
            async with assignments.held("local", str(uuid.uuid4())) as held:
                await held.move(f"p{number}")
                return held.project

        return await asyncio.gather(*(one(number) for number in range(40)))

    assert run(database, work) == [f"p{number}" for number in range(40)]


def test_several_services_share_what_is_remembered(database):
    key = str(uuid.uuid4())

    async def work(first):
        others = [Assignments(Settings(postgres_dsn=database), connections_max=1) for _ in range(3)]
        for each in others:
            await each.start()
        await asyncio.gather(*(each.assigned("local", key) for each in (first, *others)))
        async with first.held("local", key) as held:
            await held.move("one")
        assert await others[1].assigned("local", key) == "one"
        for each in others:
            await each.close()

    run(database, work)
