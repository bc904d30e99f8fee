"""Results that came too late: in the payload of a mark, kept once each, and never the reason that anything stops."""

from typing import Any

import pytest

from continuity.core import canonical, seal
from continuity.core.ids import micros_of
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
