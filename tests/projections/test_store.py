"""What the sequencer restores from: one consistent look, and nothing that is damaged."""

import pytest

from continuity.core.acceptance import Acceptance
from continuity.core.state import State
from continuity.errors import ConfigError, Retryable
from continuity.processors import Fetched
from continuity.processors.store import Store
from tests.projections.conftest import Projection
from tests.projections.histories import Log, Project, scripted

pytestmark = pytest.mark.stack
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def store(projection: Projection):
    made = Store(projection.dsn)
    yield made
    made.close()


@pytest.fixture
def projects(projection: Projection) -> list[Project]:
    log, made = Log(), [scripted("one"), scripted("two", 3)]
    for project in made:
        for event in project.events:
            log.add(event)
    projection.project(log.records())
    return made


def test_a_partition_that_nobody_has_projected_starts_at_the_beginning(store: Store):
    assert store.position(7) == (Acceptance(), 0)


def test_journals_position_and_stops_come_together(projection: Projection, store: Store, projects: list[Project]):
    wanted = [*(project.workflow for project in projects), UNKNOWN]
    fetched = store.fetch(0, wanted)
    assert isinstance(fetched, Fetched)
    assert fetched.position == store.position(0)
    assert fetched.position.offset == projection.positions[0].next_offset
    assert fetched.position.acceptance == projection.positions[0].acceptance
    for project in projects:
        assert fetched.states[project.workflow] == project.state
    assert fetched.states[UNKNOWN] == State(UNKNOWN)
    assert fetched.stopped == fetched.unavailable == {}


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM events WHERE workflow_id = '{0}' AND event_seq = 10",
        "DELETE FROM workflows WHERE workflow_id = '{0}'",
        "UPDATE workflows SET head_seq = head_seq - 1 WHERE workflow_id = '{0}'",
    ],
)
def test_a_workflow_that_cannot_be_relied_on_has_no_state(projection: Projection, store, projects, damage):
    damaged, sound = projects
    assert damaged.state.head_seq == 10
    projection.connection.execute(damage.format(damaged.workflow).encode())
    fetched = store.fetch(0, [damaged.workflow, sound.workflow])
    assert set(fetched.unavailable) == {damaged.workflow}
    assert fetched.states == {sound.workflow: sound.state}


def test_a_stopped_workflow_is_told_from_a_damaged_one(projection: Projection, store, projects):
    stopped, sound = projects
    projection.connection.execute(
        f"UPDATE workflows SET stopped_reason = 'an operator said so' WHERE workflow_id = '{stopped.workflow}'".encode()
    )
    fetched = store.fetch(0, [stopped.workflow, sound.workflow])
    assert fetched.stopped == {stopped.workflow: "an operator said so"}
    assert fetched.states == {sound.workflow: sound.state}


@pytest.mark.parametrize(
    "damage",
    [
        "payload = payload || '{\"title\": \"other\"}'", "delta = replace(delta, 'doing', 'done')",
        "checksum = repeat('0', 64)",
        "tenant = 'other'", "operator_id = 'eve'", "timestamp = timestamp + interval '1 microsecond'",
        "prev_hash = repeat('f', 64)", "event_hash = repeat('f', 64)", "state_checksum = repeat('f', 64)",
        "event_type = 'task_paused'", "fencing_token = 7", "command_id = gen_random_uuid()", "session_id = ''",
    ],
)  # fmt: skip
def test_a_changed_column_of_the_journal_never_becomes_a_state(projection: Projection, store, projects, damage):
    project = projects[0]
    projection.connection.execute(
        f"UPDATE events SET {damage} WHERE event_seq = 6 AND workflow_id = '{project.workflow}'".encode()
    )
    fetched = store.fetch(0, [project.workflow])
    assert fetched.states == {}
    assert fetched.unavailable[project.workflow].startswith(f"Event 6 of workflow {project.workflow} is damaged in ")


def test_a_database_that_is_away_is_retryable_and_heals(projection: Projection, store: Store):
    store.position(0)
    projection.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with pytest.raises(Retryable):
        store.position(0)
    assert store.position(0).offset == projection.positions[0].next_offset
    nowhere = Store("host=127.0.0.1 port=1 dbname=continuity")
    with pytest.raises(Retryable, match="Postgres is away"):
        nowhere.position(0)


def test_tables_that_are_not_there_or_of_another_version_are_told_apart(projection: Projection, store: Store):
    projection.connection.execute("UPDATE schema_version SET version = 99")
    with pytest.raises(ConfigError, match="continuity rebuild"):
        store.position(0)
    projection.connection.execute("DROP SCHEMA continuity CASCADE")
    with pytest.raises(Retryable, match="not been made yet"):
        store.position(0)
