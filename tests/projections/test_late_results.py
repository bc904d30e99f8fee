"""Results that came too late: in the payload of a mark, kept once each, and never the reason that anything stops."""

from typing import Any

import pytest

from continuity.core import canonical, seal
from continuity.core.ids import micros_of
from continuity.errors import IntegrityError
from continuity.rows import HEAD_COLUMNS, Head, checked
from tests.projections.conftest import Projection
from tests.projections.histories import Log, executed, late_result
from tests.projections.ledger import INSTANT

pytestmark = pytest.mark.stack
KEPT = f"""
SELECT workflow_id, command_id, tenant, project, step_id, attempt_id, task_id, fencing_token, result_ref,
       result_checksum, operator_id, {INSTANT.format("refused_at")} FROM late_results ORDER BY command_id
"""


def told(*late: Any) -> str:
    return canonical.text({"late_results": list(late)})


def test_a_late_result_is_kept_once_and_the_first_time_counts(projection: Projection):
    project, log = executed("late"), Log()
    first = late_result(project)
    other = late_result(
        project, command_id="00000000-0000-4000-8000-000000000002", task_id=None, fencing_token=None, step_id="null"
    )
    for event in project.events:
        log.add(event)
    log.mark(payload=told(first, other))
    log.mark()
    log.mark(payload=told({**first, "timestamp": "2027-01-15T09:00:00.000000Z", "operator_id": "else"}))
    projection.project(log.records())
    columns = (
        "workflow_id", "command_id", "tenant", "project", "step_id", "attempt_id", "task_id", "fencing_token",
        "result_ref", "result_checksum", "operator_id",
    )  # fmt: skip
    expected = [(*(late[name] for name in columns), micros_of(late["timestamp"])) for late in (first, other)]
    assert projection.rows(KEPT) == expected
    for record in log.records()[1:]:
        assert projection.project([record]).events == 0, "a record again is none"
    assert projection.rows(KEPT) == expected
    assert counted(projection) == {project.workflow: 2}


def test_what_a_stale_or_repeated_mark_says_is_nothing(projection: Projection):
    project, log = executed("stale"), Log()
    for event in project.events:
        log.add(event)
    stale = Log(sequencer_id="22222222-2222-4222-8222-222222222222")
    stale.open()
    log.raw(stale.mark(payload=told(late_result(project))))
    projection.project(log.records())
    assert projection.rows(KEPT) == []


BAD: dict[str, Any] = {
    "another tenant's workflow": {"tenant": "other"},
    "no workflow": {"workflow_id": "x"},
    "no number": {"attempt_id": "1"},
    "a number that no column holds": {"attempt_id": 2**40},
    "no digest": {"result_checksum": "zz"},
    "no reference": {"result_ref": None},
    "no time": {"timestamp": "noon"},
    "a time without a zone": {"timestamp": "2027-01-15T09:00:00"},
    "a name too long": {"step_id": "x" * 101},
}


@pytest.mark.parametrize("bad", BAD)
def test_a_late_result_of_another_shape_is_counted_and_passed_over(stepping, bad):
    projection, projector = stepping
    project, log = executed("bad"), Log()
    log.mark(payload=told(late_result(project, **BAD[bad])))
    for event in project.events:
        log.add(event)
    projector.project(log.records())
    assert projector.counts["unreadable"] == 1
    assert projection.rows(KEPT) == []
    assert projection.state(project.workflow)["as_of_seq"] == len(project.events), "the mark itself counts"


@pytest.mark.parametrize(
    "payload", ['{"late_results":7}', '{"late_results":[1]}', "[]", "null", "", '{"late_results":[{}]}']
)
def test_a_mark_may_say_anything(stepping, payload):
    projection, projector = stepping
    project, log = executed("any"), Log()
    log.mark(payload=payload)
    for event in project.events:
        log.add(event)
    projector.project(log.records())
    assert (projector.counts["unreadable"], projector.counts["mark"]) == (1, 1)
    assert projection.state(project.workflow)["as_of_seq"] == len(project.events)


def test_a_mark_that_does_not_have_its_checksum_says_nothing(stepping, monkeypatch):
    projection, projector = stepping
    project, log = executed("damaged"), Log()
    monkeypatch.setattr(seal, "digest", lambda _: "f" * 64)
    log.mark(payload=told(late_result(project)))
    monkeypatch.undo()
    projector.project(log.records())
    assert projector.counts["unreadable"] == 1
    assert projection.rows(KEPT) == []


def test_late_results_that_cannot_be_written_stop_nobody(stepping):
    """Whatever else Postgres may have against them: a constraint that somebody has added, say."""
    projection, projector = stepping
    projection.connection.execute("ALTER TABLE late_results ADD CHECK (attempt_id < 7)")
    project, log = executed("unwritable"), Log()
    good = late_result(project)
    bad = late_result(project, attempt_id=8, command_id="00000000-0000-4000-8000-000000000009")
    for event in project.events:
        log.mark(payload=told(bad))
        log.add(event)
        log.mark(payload=told(good))
    projector.project(log.records())
    assert [row[1] for row in projection.rows(KEPT)] == [good["command_id"]]
    assert projection.state(project.workflow)["as_of_seq"] == len(project.events)
    assert projector.counts["unwritable"] == len(project.events)
    assert counted(projection) == {project.workflow: 1}, "what was tried again is counted once"


def counted(projection: Projection) -> dict[str, int]:
    """What each head says of its late results, where it has its digest."""
    found = projection.rows(f"SELECT {HEAD_COLUMNS}, digest FROM workflows")
    heads = [checked(Head(*columns), digest) for *columns, digest in found]
    return {head.workflow_id: head.late_results for head in heads}


def number(number: int) -> dict[str, Any]:
    return {"command_id": f"00000000-0000-4000-8000-{number:012d}"}


def test_heads_count_what_is_stored_however_the_log_falls_into_batches(projection: Projection):
    """Before the first event, repeated in one mark and in another, of a project that stops, and of one that is none."""
    one, two, stopped, nowhere = (executed(name) for name in ("one", "two", "stopped", "nowhere"))
    log = Log()
    log.mark(payload=told(late_result(one, **number(1)), late_result(nowhere)))
    for event in one.events[:9]:
        log.add(event)
    log.mark(payload=told(late_result(one, **number(1)), late_result(one, **number(2)), late_result(one, **number(2))))
    for event in (*two.events, *stopped.events[:9], *one.events[9:]):
        log.add(event)
    log.mark(payload=told(late_result(stopped, **number(1)), late_result(two)))
    log.add(stopped.events[10])  # one is missing before it
    log.mark(payload=told(late_result(stopped, **number(2)), late_result(stopped, **number(3))))
    log.mark(payload=told(late_result(one, **number(3))))
    expected = {one.workflow: 3, two.workflow: 1, stopped.workflow: 3}
    seen = []
    for size in (1, 2, 5, 1_000):
        tables = ", ".join(projection.everything())
        projection.connection.execute(f"TRUNCATE {tables}".encode())
        projection.reload()
        for at in range(0, len(log.records()), size):
            projection.project(log.records()[at : at + size])
        assert counted(projection) == expected
        assert len(projection.rows(KEPT)) == sum(expected.values()) + 1
        seen.append(projection.everything())
    assert seen[0] == seen[1] == seen[2] == seen[3]


def test_a_damaged_head_gets_no_digest_that_fits_and_late_results_are_kept_all_the_same(projection: Projection):
    project, log = executed("rotten"), Log()
    for event in project.events:
        log.add(event)
    projection.project(log.records())
    projection.connection.execute(b"UPDATE workflows SET token_counter = token_counter + 1")
    log.mark(payload=told(late_result(project)))
    assert projection.project(log.records()).stopped == {}
    assert len(projection.rows(KEPT)) == 1
    with pytest.raises(IntegrityError, match="project rotten"):
        counted(projection)


def test_the_head_of_a_project_that_was_stopped_for_its_rows_stays_as_it_is(projection: Projection):
    project, log = executed("condemned"), Log()
    for event in project.events[:-1]:
        log.add(event)
    projection.project(log.records())
    log.mark(payload=told(late_result(project)))
    log.add(project.events[-1])
    written = projection.project(log.records(), {project.workflow: "its rows are damaged"})
    assert written.stopped == {project.workflow: "its rows are damaged"}
    assert len(projection.rows(KEPT)) == 1
    with pytest.raises(IntegrityError, match="project condemned"):
        counted(projection)
