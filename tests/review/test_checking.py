"""A project in the database held against itself: sound ones pass, whatever happened in them; whatever rots is named."""

from pathlib import Path
from random import Random

import pytest

from continuity.core import canonical
from continuity.review import Past, verify_file
from tests.core.test_audit import asked
from tests.core.test_restore import EVENTS
from tests.format import independent_verifier
from tests.projections.histories import executed, late_result, scripted
from tests.restore.conftest import Kept
from tests.review.conftest import Looking
from tests.spec import PROJECT, TENANT, WORKFLOW, add_task, create_goal, given

pytestmark = pytest.mark.stack


@pytest.fixture
def looked(looking: Looking) -> tuple[Kept, Past]:
    kept, past = looking()
    kept.project(EVENTS[:-3])  # a lease is held
    return kept, past


def found(past: Past) -> list[tuple[str, int | None, str | None]]:
    verdict = past.verify(TENANT, PROJECT)
    assert verdict is not None
    assert verdict["ok"] == (not verdict["problems"])
    assert {problem["workflow_id"] for problem in verdict["problems"]} <= {WORKFLOW}
    return [(problem["where"], problem["event_seq"], problem["field"]) for problem in verdict["problems"]]


def test_a_sound_project_passes(looked: tuple[Kept, Past]) -> None:
    _, past = looked
    assert past.verify(TENANT, PROJECT) == {"ok": True, "workflows": 1, "events": len(EVENTS) - 3, "problems": []}


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happened_in_it(looking: Looking, seed: int) -> None:
    """The rows that the projector keeps event by event are those that a look at the whole state expects."""
    random = Random(seed)
    story = given(create_goal("goal"), add_task("t0"), add_task("t1"))
    for _ in range(60):
        token = max(story.state.token_counter - random.randrange(3), 0)
        command = asked(random.randrange(17), random.randrange(4), token)
        story = story.later(random.randrange(90)).when(command)
    kept, past = looking(inline_bytes_max=random.choice((0, 65_536)))
    kept.project(list(story.events), batch=random.choice((1, 7, 1_000)))
    assert found(past) == []


def test_a_fork_passes_and_its_export_verifies_alone(looking: Looking, tmp_path: Path) -> None:
    kept, past = looking()
    origin = scripted("origin", 3)
    kept.project(origin.events)
    fork = origin.forked("branch", 7)
    assert fork.do("create_goal", text="another way", priority=2)
    kept.project(fork.events)
    for project in (origin, fork):
        assert past.verify("acme", project.name) == {
            "ok": True, "workflows": 1, "events": len(project.events), "problems": [],
        }  # fmt: skip
    pieces = past.export("acme", "branch")
    assert pieces is not None
    raw = b"".join(pieces)
    (tmp_path / "f").write_bytes(raw)
    assert verify_file(tmp_path / "f").ok
    assert independent_verifier.verify(raw) == (True, 0)


def test_a_fork_is_followed_to_its_origin(looking: Looking) -> None:
    kept, past = looking()
    origin = scripted("origin", 3)
    kept.project(origin.events)
    fork = origin.forked("branch", 7)
    kept.project(fork.events)
    kept.change(
        f"UPDATE events SET event_hash = repeat('0', 64) WHERE workflow_id = '{origin.workflow}' AND event_seq = 7"
    )
    verdict = past.verify("acme", "branch")
    assert verdict is not None
    ((problem),) = verdict["problems"]
    assert (problem["workflow_id"], problem["where"], problem["event_seq"]) == (fork.workflow, "journal", 1)


ROT = (
    ("UPDATE events SET operator_id = 'mallory' WHERE event_seq = 9", ("fold", 9, "event_hash")),
    ("UPDATE events SET payload = '{}' WHERE event_seq = 9", ("fold", 9, "payload")),
    ("UPDATE events SET payload = '[]' WHERE event_seq = 1", ("journal", 1, "payload")),
    ("DELETE FROM events WHERE event_seq = 5", ("fold", 6, "event_seq")),
    ("DELETE FROM events WHERE event_seq = 17", ("rows", 16, "head_seq")),
    ("UPDATE workflows SET token_counter = 9", ("rows", 17, "project apollo: digest")),
    ("UPDATE goals SET priority = 9", ("rows", 17, "goal 3eee268e-f751-54e7-84a6-77703eb72455: priority")),
    ("UPDATE tasks SET unmet_count = 9", ("rows", 17, "task c81e708a-9b98-5887-9eb6-3b2c9e2468b2: digest")),
    ("DELETE FROM tasks", ("rows", 17, "task c81e708a-9b98-5887-9eb6-3b2c9e2468b2")),
    ("DELETE FROM checkpoints", ("rows", 17, "checkpoint of task c81e708a-9b98-5887-9eb6-3b2c9e2468b2")),
    ("DELETE FROM entities WHERE collection = 'steps'", ("rows", 17, "step fetch")),
    ("UPDATE workflow_leases SET fencing_token = 1", ("rows", 17, "the lease with token 1: digest")),
    ("DELETE FROM workflow_leases", ("rows", 17, "lease")),
    ("DELETE FROM completed_steps", ("rows", 17, "the completion of step fetch")),
    ("UPDATE step_attempts SET fencing_token = 2 WHERE attempt_id = 1",
     ("rows", 17, "attempt 1 of step fetch: digest")),
    ("UPDATE snapshots SET step_number = 7 WHERE last_event_seq = 5", ("snapshot", 5, "snapshot")),
    ("UPDATE snapshots SET state_inline = '{}' WHERE last_event_seq = 10", ("snapshot", 10, "snapshot")),
)  # fmt: skip


@pytest.mark.parametrize(("statement", "problem"), ROT, ids=[statement for statement, _ in ROT])
def test_rot_is_named(looked: tuple[Kept, Past], statement: str, problem: tuple[str, int, str]) -> None:
    kept, past = looked
    kept.change(statement)
    assert problem in found(past)


LATE = "the late result of command 00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM late_results", ("rows", None, "late_results")),
        ("UPDATE late_results SET workflow_id = gen_random_uuid()", ("rows", None, "late_results")),
        ("UPDATE late_results SET task_id = gen_random_uuid()", ("rows", None, f"{LATE}: digest")),
    ],
)
def test_late_results_are_as_many_as_the_head_has_counted(
    looking: Looking, statement: str, problem: tuple[str, None, str]
) -> None:
    kept, past = looking()
    project = executed("late")
    kept.project(project.events)
    for _ in range(2):
        kept.log.mark(payload=canonical.text({"late_results": [late_result(project)]}))
    kept.write(kept.log.records(len(project.events)))
    verdict = past.verify("acme", "late")
    assert verdict is not None
    assert verdict["problems"] == []
    kept.change(statement)
    verdict = past.verify("acme", "late")
    assert verdict is not None
    told = [(each["where"], each["event_seq"], each["field"]) for each in verdict["problems"]]
    assert told == [problem]


def test_a_row_that_is_right_in_itself_and_of_no_event_is_named(looked: tuple[Kept, Past]) -> None:
    kept, past = looked
    kept.change(
        "INSERT INTO checkpoints SELECT workflow_id, gen_random_uuid(), seq, doc, digest FROM checkpoints LIMIT 1"
    )
    ((where, _, field),) = found(past)
    assert where == "rows"
    assert field is not None
    assert field.startswith("checkpoint of task")


def test_a_stopped_project_is_a_problem_and_its_past_is_looked_at(looked: tuple[Kept, Past]) -> None:
    kept, past = looked
    kept.change("UPDATE workflows SET stopped_reason = 'for a reason'")
    assert found(past) == [("journal", 18, "chain")]
