"""The API's reads on a real database."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import psycopg
import pytest

from continuity import postgres
from continuity.api.reads import Reads, _statement
from continuity.config import Settings
from continuity.core import canonical
from continuity.core.next_step import next_step
from continuity.core.records import LOG_FIELDS, Event
from continuity.errors import IntegrityError, Retryable
from tests.projections.conftest import Projection, empty_database, projection, projections_database
from tests.projections.histories import Log, Project, scripted

__all__ = ["empty_database", "projection", "projections_database"]
pytestmark = pytest.mark.stack


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def project(projection: Projection, log: Log) -> Project:
    mine, theirs = scripted("shared-name"), scripted("shared-name", tenant="other")
    for event in mine.events + theirs.events:
        log.add(event)
    projection.project(log.records())
    return mine


def reading(projection: Projection, look: Callable[[Reads], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        async with Reads(Settings(postgres_dsn=projection.dsn), connections_max=2, **options) as reads:
            return await look(reads)

    return asyncio.run(run())


def test_the_next_step_and_the_state_are_the_cores(projection: Projection, project: Project):
    answer = reading(projection, lambda reads: reads.next_step("acme", "shared-name"))
    assert canonical.dumps(answer) == canonical.dumps(next_step(project.state))
    state = reading(projection, lambda reads: reads.state("acme", "shared-name"))
    assert (state["as_of_seq"], state["state_checksum"]) == (project.state.head_seq, project.state.checksum)
    assert state["active_task"] == state["tasks"][1]
    assert state["latest_checkpoint"]["task_id"] == state["active_task"]["task_id"]
    assert [task["title"] for task in state["tasks"]] == ["task 0", "task 1", "task 2", "task 3"]


def test_another_tenants_project_looks_like_none(projection: Projection, project: Project):
    async def look(reads: Reads) -> None:
        for tenant, name in (("third", "shared-name"), ("acme", "unknown")):
            assert await reads.next_step(tenant, name) is None
            assert await reads.state(tenant, name) is None
            assert await reads.events(tenant, name, after_seq=0, limit=10) is None
            assert await reads.head_seq(tenant, name) is None
        assert await reads.projects("third", after="", limit=10) == []
        command_id = project.events[0]["command_id"]
        assert (await reads.command("acme", command_id)) is not None
        assert (await reads.command("other", command_id)) is None
        (mine,) = await reads.projects("acme", after="", limit=10)
        assert mine["workflow_id"] == project.workflow

    reading(projection, look)


@pytest.mark.parametrize("name", ["next_step", "head", "goals", "tasks", "checkpoints"])
def test_every_statement_asks_for_the_tenant_too(projection: Projection, project: Project, name):
    """A workflow's id derives from its tenant, but no statement relies on that alone."""
    assert projection.rows(_statement(name), project.workflow, "acme")
    assert projection.rows(_statement(name), project.workflow, "other") == []


def test_events_come_in_pages_without_a_hole(projection: Projection, project: Project):
    async def look(reads: Reads) -> None:
        found, after = [], 0
        while page := await reads.events("acme", "shared-name", after_seq=after, limit=4):
            found += page
            after = page[-1]["event_seq"]
        assert [of_the_fact(event) for event in found] == [of_the_fact(event) for event in project.events]

    reading(projection, look)


def of_the_fact(event: Event) -> dict[str, object]:
    return {name: value for name, value in event.items() if name not in LOG_FIELDS}


@pytest.mark.parametrize("seq", [1, 3, 10])
@pytest.mark.parametrize("damage", ["DELETE FROM events", "UPDATE events SET operator_id = 'eve'"])
def test_a_missing_or_changed_event_is_named(projection: Projection, project: Project, seq, damage):
    assert project.state.head_seq == 10
    projection.connection.execute(f"{damage} WHERE event_seq = {seq} AND workflow_id = '{project.workflow}'".encode())
    with pytest.raises(IntegrityError) as raised:
        reading(projection, lambda reads: reads.events("acme", "shared-name", after_seq=0, limit=20))
    assert (raised.value.workflow_id, raised.value.event_seq) == (project.workflow, seq)


def test_projects_are_listed_by_name_in_pages(projection: Projection, log: Log):
    for name in ("b", "a", "c-1", "c.1", "c1"):
        log.add(scripted(name).events[0])
    projection.project(log.records())

    for limit in (1, 2, 5, 9):
        found = reading(projection, partial(pages, limit=limit))
        assert found == ["a", "b", "c-1", "c.1", "c1"]


def pages(reads: Reads, limit: int, tenant: str = "acme") -> Awaitable[list[str]]:
    """The names of all projects, a page after the other."""

    async def names() -> list[str]:
        found: list[str] = []
        while page := await reads.projects(tenant, after=found[-1] if found else "", limit=limit):
            found += [project["project"] for project in page]
        return found

    return names()


OUT_OF_THE_LIST = (
    "DELETE FROM workflows WHERE workflow_id = '{w}'",
    "UPDATE workflows SET tenant = 'acmf' WHERE workflow_id = '{w}'",
    "UPDATE workflows SET project = 'zz' WHERE workflow_id = '{w}'",
    "UPDATE workflows SET project = 'A' WHERE workflow_id = '{w}'",
    "DELETE FROM events WHERE event_seq = 1 AND workflow_id = '{w}'",
    "UPDATE events SET tenant = 'acmf' WHERE event_seq = 1 AND workflow_id = '{w}'",
    "UPDATE events SET project = 'zz' WHERE event_seq = 1 AND workflow_id = '{w}'",
    "UPDATE events SET event_seq = 9 WHERE event_seq = 1 AND workflow_id = '{w}'",
)


@pytest.mark.parametrize("damage", OUT_OF_THE_LIST)
@pytest.mark.parametrize("name", ["a", "c-1", "c1"])
def test_a_project_that_has_rotted_out_of_the_list_is_missed(projection: Projection, log: Log, damage, name):
    projects = {each: scripted(each) for each in ("a", "b", "c-1", "c.1", "c1")}
    for project in (*projects.values(), scripted("a", tenant="other")):
        log.add(project.events[0])
    projection.project(log.records())
    changed = projection.connection.execute(damage.format(w=projects[name].workflow).encode())
    assert changed.rowcount == 1

    async def look(reads: Reads) -> None:
        for limit in (1, 2, 3, 5, 9):
            with pytest.raises(IntegrityError) as raised:
                await pages(reads, limit)
            assert (raised.value.workflow_id, bool(raised.value.field)) == (projects[name].workflow, True)
        assert await pages(reads, 1, "other") == ["a"], "the others' lists are whole"

    reading(projection, look)


def test_a_project_that_its_first_event_has_stopped_is_listed_without_one(projection: Projection, log: Log):
    projects = {each: scripted(each) for each in ("a", "b", "c", "d")}
    for name, project in projects.items():
        log.add(project.events[name in ("b", "c")])  # their second one comes first, and does not follow
    assert set(projection.project(log.records()).stopped) == {projects["b"].workflow, projects["c"].workflow}

    async def look(reads: Reads) -> None:
        for limit in (1, 2, 3, 4, 9):
            assert await pages(reads, limit) == ["a", "b", "c", "d"]
        projection.connection.execute("DELETE FROM workflows WHERE project = 'd'")
        for limit in (1, 2, 3, 4, 9):
            with pytest.raises(IntegrityError, match="head"):
                await pages(reads, limit)

    reading(projection, look)


def test_the_outcome_of_a_command_can_be_asked_for(projection: Projection, project: Project):
    refused = "00000000-0000-4000-8000-00000000000f"
    projection.connection.execute(
        "INSERT INTO rejections (partition, source_generation, source_offset, epoch, command_id, tenant, project, code,"
        " detail, fix, timestamp)"
        " VALUES (0, 1, 1, 1, %s, 'acme', 'shared-name', 'unknown_task', 'None.', 'Look.', now())",
        (refused,),
    )

    async def look(reads: Reads) -> None:
        event = project.events[1]
        accepted: Any = await reads.command("acme", event["command_id"])
        assert (accepted["status"], accepted["event_seq"], accepted["task_id"]) == ("accepted", 2, event["task_id"])
        assert accepted["state_checksum"] == event["state_checksum"]
        assert await reads.command("acme", refused) == {
            "command_id": refused, "status": "refused", "project": "shared-name", "code": "unknown_task",
            "detail": "None.", "fix": "Look.",
        }  # fmt: skip
        assert await reads.command("other", refused) is None
        assert await reads.command("acme", "00000000-0000-4000-8000-0000000000ff") is None

    reading(projection, look)


def test_a_read_waits_for_what_was_written_and_not_longer(projection: Projection, project: Project, log: Log):
    task_id = project.events[-1]["task_id"]
    more = project.do("update_checkpoint", task_id=task_id, where_left_off="x", next_step="y", context_refs=[])
    assert more is not None
    at = log.end()[0]
    log.add(more)

    async def look(reads: Reads) -> None:
        with pytest.raises(Retryable) as raised:
            await reads.next_step("acme", "shared-name", min_seq=more["event_seq"] + 1)
        assert raised.value.code == "not_yet"
        await reads.ready()
        waiting = asyncio.create_task(reads.next_step("acme", "shared-name", min_seq=more["event_seq"]))
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert not done
        await asyncio.to_thread(projection.project, log.records(at))
        committed = time.monotonic()
        answer = await waiting
        assert answer is not None
        assert answer["as_of_seq"] == more["event_seq"]
        assert time.monotonic() - committed < 0.2, "it was polled for, not notified"

    reading(projection, look, min_seq_wait_seconds=1.0)


def test_a_stopped_workflow_says_so_and_the_others_answer(projection: Projection, project: Project):
    projection.connection.execute(
        f"UPDATE workflows SET stopped_reason = 'torn' WHERE workflow_id = '{project.workflow}'".encode()
    )

    async def look(reads: Reads) -> None:
        for ask in (reads.next_step, reads.state):
            with pytest.raises(IntegrityError, match="torn"):
                await ask("acme", "shared-name")
            assert await ask("other", "shared-name") is not None
        with pytest.raises(IntegrityError, match="torn"):
            await reads.events("acme", "shared-name", after_seq=0, limit=3)
        assert [project["project"] for project in await reads.projects("acme", after="", limit=9)] == ["shared-name"]

    reading(projection, look)


@pytest.mark.usefixtures("project")
def test_a_database_that_is_away_is_retryable_and_heals(projection: Projection):
    async def look(reads: Reads) -> None:
        await reads.ready()
        with psycopg.connect(projection.dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid NOT IN (pg_backend_pid(), %s)",
                (projection.connection.info.backend_pid,),
            )
        assert await reads.next_step("acme", "shared-name") is not None

    reading(projection, look)

    async def nowhere() -> None:
        async with Reads(Settings(postgres_dsn="host=127.0.0.1 port=1 dbname=continuity")) as reads:
            with pytest.raises(Retryable, match="away"):
                await reads.next_step("acme", "shared-name")

    asyncio.run(nowhere())


def test_without_tables_nothing_is_ready(projection: Projection):
    projection.connection.execute("DROP SCHEMA continuity CASCADE")

    async def look(reads: Reads) -> None:
        with pytest.raises(Retryable, match="not been made"):
            await reads.ready()
        with pytest.raises(Retryable):
            await reads.next_step("acme", "shared-name")

    reading(projection, look)
    assert postgres.schema_version(projection.connection) is None
