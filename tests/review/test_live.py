"""The live system held against itself, on a real broker and a real database: topic, journal, fold, rows, snapshots."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from continuity import late_results, postgres
from continuity.codec import encode_event
from continuity.config import Settings
from continuity.core import canonical
from continuity.core.ids import NIL, partition_of
from continuity.core.records import SEQUENCER_MARK
from continuity.core.seal import own_record
from continuity.projections import Projector
from continuity.projections.parameters import as_json
from continuity.projections.schema import statement
from continuity.review import live, verify_all
from tests.core.test_restore import EVENTS
from tests.eventually import eventually
from tests.projections.histories import Log, Project, Published, late_result, scripted
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


def told_late(system: System, *numbers: int, **fields: Any) -> None:
    """A mark tells of results of the first project that came too late."""
    (first, *_) = system.projects
    late = [late_result(first, command_id=f"00000000-0000-4000-8000-{number:012d}", **fields) for number in numbers]
    system.log.mark(partition_of(first.workflow, 2), payload=canonical.text({"late_results": late}))
    system.publish()
    system.project()


LATE = "the late result of command 00000000-0000-4000-8000-000000000002"
LATE_ROT: tuple[tuple[str, str], ...] = (
    ("DELETE FROM late_results WHERE command_id = '{c}'", LATE),
    ("UPDATE late_results SET result_ref = 'b:other' WHERE command_id = '{c}'", f"{LATE}: result_ref"),
    ("UPDATE late_results SET command_id = gen_random_uuid() WHERE command_id = '{c}'", LATE),
    ("UPDATE late_results SET refused_at = refused_at + interval '1 s' WHERE command_id = '{c}'",
     f"{LATE}: refused_at"),
)  # fmt: skip


@pytest.mark.parametrize(("statement", "field"), LATE_ROT, ids=[statement[:60] for statement, _ in LATE_ROT])
def test_late_results_are_held_against_the_marks_in_the_topic(
    system: System, monkeypatch: pytest.MonkeyPatch, statement: str, field: str
) -> None:
    monkeypatch.setattr(live, "BATCH", 1)  # what is told again comes in another batch
    told_late(system, 1, 2)
    told_late(system, 2, 3, timestamp="2027-01-15T09:00:00.000000Z")  # the first time counts
    assert system.found() == []
    system.change(statement.format(c="00000000-0000-4000-8000-000000000002"))
    assert (system.projects[0].workflow, "rows", None, field) in system.found()


def test_a_late_result_that_no_mark_has_told_is_named(system: System) -> None:
    told_late(system, 1)
    (first, *_) = system.projects
    (told,) = late_results.told_in(own_record(SEQUENCER_MARK, canonical.text({"late_results": [late_result(first)]})))
    forged = told._replace(command_id=NIL)  # right in itself
    with postgres.connect(system.settings.postgres_dsn) as connection:
        connection.execute(statement("write_late_results"), (as_json([forged]),))
    told_of = [each["detail"] for each in verify_all(system.settings)["problems"]]
    assert [detail.partition(" ")[0] for detail in told_of] == ["Table", "Table"]
    assert "the topic tells of 1" in told_of[0]


def test_what_a_stranger_tells_of_late_results_is_nothing(system: System) -> None:
    (first, *_) = system.projects
    partition = partition_of(first.workflow, 2)
    stranger = Log(sequencer_id="22222222-2222-4222-8222-222222222222")
    stranger.open(partition)
    told: tuple[Any, ...] = ([late_result(first)], 7, [{}])
    for late in told:
        system.log.raw(stranger.mark(partition, payload=canonical.text({"late_results": late})), partition)
    system.log.mark(partition, payload=canonical.text({"late_results": [{}]}))
    system.publish()
    system.project()
    assert system.found() == []


def test_a_head_that_is_lost_is_missed(system: System) -> None:
    """Of a row that is lost no look at rows tells; its first event does."""
    system.change(f"DELETE FROM workflows WHERE workflow_id = '{WORKFLOW}'")
    assert system.found() == [(WORKFLOW, "rows", None, "the head")]


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
