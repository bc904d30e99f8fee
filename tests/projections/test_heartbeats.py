"""Published renewals: they move two columns forward, under the token that the row has, and nothing else."""

from typing import Any

import pytest
from confluent_kafka import Producer

from continuity.codec import Lease, encode_lease
from continuity.config import Settings
from continuity.core.ids import micros_of
from continuity.projections import Heartbeats, Projector
from tests.eventually import eventually
from tests.projections.conftest import Projection
from tests.projections.histories import TTL_SECONDS, Log, Project, Published, executed, scripted
from tests.projections.ledger import selecting
from tests.projections.test_holdings import more, projected, rows_of
from tests.projections.test_projector import asked, caught_up

pytestmark = pytest.mark.stack
TTL = TTL_SECONDS * 1_000_000
LEASE, CLAIMS = selecting("workflow_leases"), selecting("task_claims")


def renewal(project: Project, token: int, at: int, task_id: str | None = None) -> Lease:
    return Lease(
        workflow_id=project.workflow, fencing_token=token, owner_id="one", task_id=task_id, acquired_at=at,
        lease_expires_at=at + TTL, heartbeat_at=at,
    )  # fmt: skip


class Reader:
    """A reader that is given values instead of reading them from a broker."""

    def __init__(self, projection: Projection) -> None:
        self.reader = Heartbeats(Settings(postgres_dsn=projection.dsn))
        self.reader._forget()
        self.reader._connection = projection.connection
        self.reader._generation = projection.writer._generation
        self.reader._topic_id = "leases-1"
        self.reader.next_offsets = {0: 0}

    def read(self, *values: Lease | bytes | None) -> None:
        for value in values:
            self.reader._take(0, self.reader.next_offsets[0], encode_lease(value) if isinstance(value, dict) else value)
            self.reader.next_offsets[0] += 1
        self.reader._commit()


@pytest.fixture
def reader(projection: Projection) -> Reader:
    return Reader(projection)


def leased(name: str = "leased") -> Project:
    project = scripted(name)
    project.do("acquire_lease", owner_id="one", ttl_seconds=TTL_SECONDS)
    return project


def test_a_renewal_moves_the_expiry_forward_and_never_back(projection: Projection, reader: Reader):
    project = leased()
    projected(projection, project)
    at = project.now
    reader.read(renewal(project, 1, at + 5))
    assert projection.rows(LEASE, project.workflow) == [("one", at, at + 5 + TTL, 1, at + 5, None)]
    reader.read(renewal(project, 1, at + 3), renewal(project, 1, at + 4))
    assert projection.rows(LEASE, project.workflow) == [("one", at, at + 5 + TTL, 1, at + 5, None)]
    rows_of(projection, "workflow_leases")


def test_a_claim_is_renewed_by_its_task_and_token(projection: Projection, reader: Reader):
    project = executed("claimed")
    projected(projection, project)
    before = {row[0]: row for row in projection.rows(CLAIMS, project.workflow)}
    assert len(before) == 2
    task, token, at = next((row[0], row[4], row[2] + 7) for row in before.values())
    reader.read(renewal(project, token, at, task), renewal(project, token - 1, at + 99, task))
    after = {row[0]: row for row in projection.rows(CLAIMS, project.workflow)}
    assert after[task][3:] == (at + TTL, token, at)
    assert {key: row for key, row in after.items() if key != task} == {
        key: row for key, row in before.items() if key != task
    }
    rows_of(projection, "task_claims")


def test_a_renewal_under_a_token_of_the_past_changes_nothing(projection: Projection, reader: Reader):
    project = leased()
    project.do("acquire_lease", owner_id="one", ttl_seconds=TTL_SECONDS)
    projected(projection, project)
    before = projection.rows(LEASE, project.workflow)
    reader.read(renewal(project, 1, project.now + 99))
    assert projection.rows(LEASE, project.workflow) == before


def test_a_renewal_brings_no_row_back(projection: Projection, reader: Reader):
    project = executed("gone")
    task, grant = next((key, grant) for key, grant in project.state.grants.items() if key != "workflow")
    project.do("release_lease", token=grant["token"])
    projected(projection, project)
    reader.read(renewal(project, grant["token"], project.now + 9, task), renewal(project, 1, project.now + 9))
    assert task not in {row[0] for row in projection.rows(CLAIMS, project.workflow)}
    projection.connection.execute("DELETE FROM workflow_leases")
    reader.read(renewal(project, project.state.token_counter, project.now + 9))
    assert projection.rows(LEASE, project.workflow) == []


def test_the_end_of_a_lease_is_not_moved_but_its_last_sign_of_life_is(projection: Projection, reader: Reader):
    """So that a rebuild, which reads the renewals last, comes to the same row."""
    project = leased()
    at = project.now
    project.do("release_lease", token=1)
    projected(projection, project)
    reader.read(renewal(project, 1, at + 5))
    assert projection.rows(LEASE, project.workflow) == [("one", at, project.now, 1, at + 5, project.now)]


def test_an_event_keeps_what_renewals_have_moved(projection: Projection, reader: Reader):
    project = executed("kept")
    log = projected(projection, project)
    task, grant = next((key, grant) for key, grant in project.state.grants.items() if grant["owner_id"] == "four")
    at = project.now
    reader.read(renewal(project, grant["token"], at, task))
    acting = project.do("update_checkpoint", token=grant["token"], task_id=task, where_left_off="here",
                        next_step="there", context_refs=[])  # fmt: skip
    more(projection, log, acting)
    ((_, _, _, expires_at, _, heartbeat_at),) = [
        row for row in projection.rows(CLAIMS, project.workflow) if row[0] == task
    ]
    assert (expires_at, heartbeat_at) == (at + TTL, at)
    lone = leased("lone")
    for event in lone.events:
        log.add(event)
    projection.project(log.records(projection.positions[0].next_offset))
    reader.read(renewal(lone, 1, lone.now + 5))
    sign_of_life = lone.now + 5
    more(projection, log, lone.do("release_lease", token=1))
    assert projection.rows(LEASE, lone.workflow)[0][4] == sign_of_life


def test_a_renewal_that_comes_before_its_grant_waits_for_it_also_over_a_restart(projection: Projection, reader: Reader):
    project = leased()
    *before, granting = project.events
    log = Log()
    for event in before:
        log.add(event)
    projection.project(log.records())
    reader.read(renewal(project, 1, project.now + 5))
    reader.read(b"no lease")
    offsets = "SELECT partition, next_offset FROM heartbeat_offsets"
    assert projection.rows(offsets) == [(0, 0)], "the offset waits with it"
    more(projection, log, granting)
    Reader(projection).read()
    assert projection.rows(LEASE, project.workflow)[0][4] == project.now, "another reader has not heard of it yet"
    reader.read()
    assert projection.rows(LEASE, project.workflow)[0][4] == project.now + 5
    assert projection.rows(offsets) == [(0, 2)]


def test_a_renewal_of_a_stopped_workflow_waits_for_nothing(projection: Projection, reader: Reader):
    project = leased()
    *before, granting = project.events
    log = Log()
    for event in before:
        log.add(event)
    log.add(granting)
    projection.project(log.records(), {project.workflow: "a reason"})
    reader.read(renewal(project, 1, project.now + 5))
    assert reader.reader._waiting == {}


def test_those_that_nobody_knows_are_dropped_when_there_are_too_many(reader: Reader, monkeypatch):
    monkeypatch.setattr("continuity.projections.heartbeats.WAITING_MAX", 10)
    projects = [leased(f"p{number}") for number in range(12)]
    reader.read(*(renewal(project, 1, project.now) for project in projects))
    assert [key[0] for key in reader.reader._waiting] == [project.workflow for project in projects[2:]]


@pytest.mark.parametrize("value", [None, b"", b"x" * 99, {"workflow_id": "x"}, {"task_id": "x"},
                                   {"heartbeat_at": -1}, {"lease_expires_at": 2**60}])  # fmt: skip
def test_anything_may_stand_in_the_topic(projection: Projection, reader: Reader, value):
    project = leased()
    projected(projection, project)
    before = projection.rows(LEASE, project.workflow)
    broken: Any = {**renewal(project, 1, project.now + 5), **value} if isinstance(value, dict) else value
    reader.read(broken)
    assert projection.rows(LEASE, project.workflow) == before
    assert reader.reader._waiting == {}


def test_a_damaged_row_gets_no_digest_that_fits(projection: Projection, reader: Reader):
    project, sound = leased(), leased("sound")
    projected(projection, project, sound)
    projection.connection.execute(
        "UPDATE workflow_leases SET owner_id = 'eve' WHERE workflow_id = %s", (project.workflow,)
    )
    before = projection.rows("SELECT * FROM workflow_leases WHERE workflow_id = %s", project.workflow)
    reader.read(renewal(project, 1, project.now + 5), renewal(sound, 1, sound.now + 5))
    assert projection.rows("SELECT * FROM workflow_leases WHERE workflow_id = %s", project.workflow) == before
    assert projection.rows(LEASE, sound.workflow)[0][4] == sound.now + 5


def test_renewals_are_read_from_the_topic_beside_a_projector(settings: Settings):
    project, log = executed("live"), Log()
    publish = Published(settings, log)
    for event in project.events:
        log.add(event)
    publish()
    projector, reader = Projector(settings), Heartbeats(settings)
    projector.open()
    reader.open()
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap})
    held = list(project.state.grants.values())
    last = project.now
    for beat in range(20):
        for grant in held:
            key = f"{project.workflow}/{grant['token']}"
            last = project.now + beat
            value = encode_lease(renewal(project, grant["token"], last, grant["task_id"]))
            producer.produce(settings.leases_topic, value, key=key)
    producer.produce(settings.leases_topic, None, key=f"{project.workflow}/1")
    assert producer.flush(20) == 0
    try:
        caught_up(projector, log)
        eventually(lambda: reader.step(0.2) == 0 and reader.read == 20 * len(held) + 1, 20)
        reader.follow()
        found = asked(settings, CLAIMS, project.workflow)
        assert sorted((row[3], row[5]) for row in found) == [(last + TTL, last)] * len(held)
        assert all(micros_of(grant["expires_at"]) < last + TTL for grant in held)
        ends = asked(settings, "SELECT sum(next_offset)::int FROM heartbeat_offsets")
        assert ends == [(20 * len(held) + 1,)]
    finally:
        reader.close()
        projector.close()
