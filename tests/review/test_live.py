"""The live system held against itself, on a real broker and a real database: topic, journal, fold, rows, snapshots."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from continuity import postgres
from continuity.codec import encode_event
from continuity.config import Settings
from continuity.core.ids import NIL, partition_of
from continuity.projections import Projector
from continuity.review import verify_all
from tests.core.test_restore import EVENTS
from tests.eventually import eventually
from tests.projections.histories import Log, Project, Published, scripted
from tests.spec import WORKFLOW

pytestmark = pytest.mark.stack


class System(NamedTuple):
    """Three projects in two partitions, published and projected."""

    settings: Settings
    log: Log
    publish: Published
    project: Callable[[], None]
    projects: list[Project]

    def change(self, statement: str) -> None:
        with postgres.connect(self.settings.postgres_dsn) as connection:
            assert connection.execute(statement.encode()).rowcount > 0, statement

    def found(self) -> list[tuple[str, str, int | None, str | None]]:
        told = verify_all(self.settings)
        assert told["ok"] == (not told["problems"])
        return [(each["workflow_id"], each["where"], each["event_seq"], each["field"]) for each in told["problems"]]


@pytest.fixture
def system(settings: Settings) -> Iterator[System]:
    log, projects = Log(), [scripted(f"p{number}", 3) for number in range(2)]
    publish, projector = Published(settings, log), Projector(settings)

    def project() -> None:
        eventually(
            lambda: (
                projector.step(0.2) == 0
                and all(projector.positions[partition].next_offset == end for partition, end in log.end().items())
            ),
            30,
            "the log is projected",
        )

    for step in itertools.zip_longest(*(each.events for each in projects), EVENTS):
        for event in filter(None, step):
            partition = partition_of(event["workflow_id"], 2)
            log.add(event, partition)
            log.mark(partition)
            log.raw(b"a stranger's", partition)
    publish()
    projector.open()
    project()
    yield System(settings, log, publish, project, projects)
    projector.close()


def test_a_sound_system_passes_whatever_strangers_wrote(system: System) -> None:
    events = sum(len(each.events) for each in system.projects) + len(EVENTS)
    seen: list[tuple[str, int, int]] = []
    told = verify_all(system.settings, lambda *step: seen.append(step))
    assert told == {"ok": True, "workflows": 3, "events": events, "problems": []}
    assert {what for what, _, _ in seen} == {"partition 0", "partition 1", "workflows"}
    assert all(done <= total for _, done, total in seen)


ROT: tuple[tuple[str, tuple[str, str, int | None, str | None]], ...] = (
    ("UPDATE events SET operator_id = 'mallory' WHERE workflow_id = '{w}' AND event_seq = 4",
     (WORKFLOW, "journal", 4, "operator_id")),
    ("UPDATE events SET epoch_seq = epoch_seq + 1 WHERE workflow_id = '{w}' AND event_seq = 4",
     (WORKFLOW, "journal", 4, "epoch_seq")),
    ("UPDATE events SET log_offset = 0 WHERE workflow_id = '{w}' AND event_seq = 4",
     (WORKFLOW, "journal", 4, "log_offset")),
    ("DELETE FROM events WHERE workflow_id = '{w}' AND event_seq = 20", (WORKFLOW, "journal", 20, "event_seq")),
    ("UPDATE projection_offsets SET source_offset = source_offset + 1", (NIL, "rows", None, "projection_offsets")),
    ("DELETE FROM goals WHERE workflow_id = '{w}'",
     (WORKFLOW, "rows", 20, "goal 3eee268e-f751-54e7-84a6-77703eb72455")),
)  # fmt: skip


@pytest.mark.parametrize(("statement", "problem"), ROT, ids=[statement[:60] for statement, _ in ROT])
def test_rot_is_named(system: System, statement: str, problem: Any) -> None:
    system.change(statement.format(w=WORKFLOW))
    assert problem in system.found()


def test_an_event_that_is_in_no_topic_is_named(system: System) -> None:
    system.change(
        "INSERT INTO events SELECT (jsonb_populate_record(e, jsonb_build_object('event_id', gen_random_uuid(),"
        f" 'event_seq', 21))).* FROM events e WHERE workflow_id = '{WORKFLOW}' AND event_seq = 20"
    )
    found = system.found()
    assert (NIL, "journal", None, "log_partition") in found
    assert (WORKFLOW, "fold", 21, "prev_hash") in found


def test_a_stopped_project_is_a_problem_and_the_others_pass(system: System) -> None:
    forged: Any = {**EVENTS[-1], "event_seq": 21}
    partition = partition_of(WORKFLOW, 2)
    system.log.add(forged, partition)
    system.publish()
    system.project()
    assert system.found() == [(WORKFLOW, "journal", 21, "chain")]


def test_what_comes_meanwhile_is_no_difference(system: System) -> None:
    """Postgres stands where it stands: records after that are not asked about."""
    (first, *_) = system.projects
    task = next(iter(first.state.tasks))
    event = first.do("amend_task", task_id=task, title="another")
    assert event is not None
    assert encode_event(event)
    system.log.add(event, partition_of(first.workflow, 2))
    system.publish()
    assert system.found() == []
    system.project()
    assert system.found() == []
