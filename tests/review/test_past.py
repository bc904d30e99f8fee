"""Looking back answers what was answered then, byte for byte, or says exactly what is damaged."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard

from continuity.api import assembly
from continuity.api.reads import _statement
from continuity.core import canonical
from continuity.core.delta import compute_delta
from continuity.core.explain import explain
from continuity.core.ids import ZERO_HASH, instant
from continuity.core.next_step import next_step
from continuity.core.restore import restore
from continuity.core.seal import own_record
from continuity.core.state import State
from continuity.errors import IntegrityError
from continuity.review import NoSuchSeq, Past, UnknownTask, verify_file
from tests.core.test_restore import EVENTS, STORY
from tests.eventually import eventually
from tests.format import independent_verifier
from tests.projections.histories import scripted
from tests.restore.conftest import Kept
from tests.review.conftest import Looking
from tests.spec import (
    PROJECT,
    TENANT,
    WORKFLOW,
    Story,
    add_task,
    begin_step,
    claim,
    complete_task,
    create_goal,
    entity,
    given,
    start_task,
    under,
)  # fmt: skip

pytestmark = pytest.mark.stack
HEAD = len(EVENTS)


@pytest.fixture
def looked(looking: Looking) -> tuple[Kept, Past]:
    kept, past = looking()
    kept.project(EVENTS)
    return kept, past


@pytest.fixture
def past(looked: tuple[Kept, Past]) -> Past:
    return looked[1]


def answered(kept: Kept) -> tuple[bytes, bytes]:
    """State and next step as the API answers them now, from its own statements."""
    names = ("head", "goals", "tasks", "checkpoints", "entities")
    found, *rows = (list[Sequence[Any]](kept.rows(_statement(name), WORKFLOW, TENANT)) for name in names)
    (row,) = kept.rows(_statement("next_step"), WORKFLOW, TENANT)
    state = assembly.state_of(assembly.head_of(found[0]), *rows)
    return canonical.dumps(state), canonical.dumps(assembly.next_step_of(row))


def test_it_answers_what_was_answered_then_byte_for_byte(looking: Looking) -> None:
    kept, past = looking()
    then = []
    for event in EVENTS:
        kept.project([event])
        then.append(answered(kept))
    for seq, (state, step) in enumerate(then, 1):
        assert canonical.dumps(past.state(TENANT, PROJECT, seq)) == state
        assert canonical.dumps(past.next_step(TENANT, PROJECT, seq)) == step


def test_an_executor_among_several_gets_its_own_answer_of_then(past: Past) -> None:
    for seq in range(1, HEAD + 1):
        state = restore(WORKFLOW, EVENTS[:seq])
        for owner in ("ada", "bob"):
            assert past.next_step(TENANT, PROJECT, seq, owner) == next_step(state, owner)
            assert past.explain(TENANT, PROJECT, seq, owner) == explain(state, owner)


def test_an_explanation_of_now_and_of_then(past: Past) -> None:
    assert past.explain(TENANT, PROJECT) == explain(STORY.state)
    assert past.explain(TENANT, PROJECT, 4) == explain(restore(WORKFLOW, EVENTS[:4]))


def test_a_difference_is_a_patch_from_one_state_to_the_other(past: Past) -> None:
    for before, after in ((0, HEAD), (3, 9), (9, 3), (7, 7), (0, 0)):
        told = past.diff(TENANT, PROJECT, before, after)
        assert told is not None
        one, other = restore(WORKFLOW, EVENTS[:before]), restore(WORKFLOW, EVENTS[:after])
        assert told["delta"] == compute_delta(one, other)
        assert (told["from_seq"], told["to_seq"]) == (before, after)
        assert (told["from_checksum"], told["to_checksum"]) == (one.checksum, other.checksum)
        assert bool(told["changes"]) == (before != after)
    latest = past.diff(TENANT, PROJECT, 0)
    assert latest is not None
    assert latest["to_seq"] == HEAD


def test_a_difference_reads_like_a_sentence(past: Past) -> None:
    told = past.diff(TENANT, PROJECT, 3, 4)
    assert told is not None
    assert told["changes"] == ['task "t": status todo → doing']
    told = past.diff(TENANT, PROJECT, 1, 2)
    assert told is not None
    assert told["changes"] == ['+ task "a task", todo']


def test_there_is_no_answer_about_what_is_not_there(past: Past) -> None:
    for ask in (
        lambda: past.state(TENANT, PROJECT, HEAD + 1),
        lambda: past.next_step(TENANT, PROJECT, HEAD + 1),
        lambda: past.explain(TENANT, PROJECT, HEAD + 1),
        lambda: past.diff(TENANT, PROJECT, 1, HEAD + 1),
        lambda: past.export(TENANT, PROJECT, HEAD + 1),
    ):
        with pytest.raises(NoSuchSeq):
            ask()
    with pytest.raises(UnknownTask):
        past.history(TENANT, PROJECT, entity("nothing"))


def test_another_tenant_sees_no_project(past: Past) -> None:
    for tenant, project in (("other", PROJECT), (TENANT, "other")):
        assert past.state(tenant, project, 1) is None
        assert past.next_step(tenant, project, 1) is None
        assert past.explain(tenant, project) is None
        assert past.diff(tenant, project, 0) is None
        assert past.history(tenant, project, entity("task")) is None
        assert past.snapshots(tenant, project, limit=10) is None
        assert past.verify(tenant, project) is None
        assert past.export(tenant, project) is None


# History.


def test_a_history_has_every_event_of_the_task_in_order(past: Past) -> None:
    told = past.history(TENANT, PROJECT, entity("task"))
    assert told is not None
    mine = [event["event_seq"] for event in EVENTS if event["task_id"] == entity("task")]
    assert [entry["event_seq"] for entry in told["entries"]] == mine
    assert told["task"] == STORY.task("task")
    assert [step["step_id"] for step in told["steps"]] == ["fetch"]
    assert len(told["steps"][0]["attempts"]) == 2
    kinds = [entry["kind"] for entry in told["entries"]]
    assert kinds.count("attempt") == 4
    assert told["entries"][0]["text"] == 'added: "a task"'


def test_a_history_in_a_fork_has_what_the_fork_did_with_an_inherited_task(looking: Looking) -> None:
    kept, past = looking()
    origin = scripted("origin", 3)
    kept.project(origin.events)
    fork = origin.forked("branch", len(origin.events))
    task_id = max(fork.state.tasks, key=lambda each: fork.state.tasks[each]["created_seq"])
    assert fork.do("amend_task", task_id=task_id, title="another way")
    kept.project(fork.events)
    told = past.history("acme", "branch", task_id)
    assert told is not None
    assert [entry["event_seq"] for entry in told["entries"]] == [2]


def test_a_page_goes_on_where_the_one_before_ended(past: Past) -> None:
    whole = past.history(TENANT, PROJECT, entity("task"))
    assert whole is not None
    for limit in (1, 3, 100):
        entries, after = [], 0
        while True:
            page = past.history(TENANT, PROJECT, entity("task"), after_seq=after, limit=limit)
            assert page is not None
            entries += page["entries"]
            after = page["next_after_seq"]
            if not page["has_more"]:
                break
            assert len(page["entries"]) == limit
        assert entries == whole["entries"]


TAKEN = given(create_goal("goal"), add_task("t"), claim("ada", "t")).when(begin_step("pay", 1)).later(90)


def test_a_takeover_and_what_came_too_late_stand_where_they_happened(looking: Looking) -> None:
    story = TAKEN.when(claim("bob", "t")).then_event("task_claimed")
    late_at = story.now - 500_000
    story = story.when(under(2, complete_task("t"))).then_event("task_completed")
    kept, past = looking()
    kept.project(list(story.events[:-1]))
    kept.log.values[0].append(_late_mark(kept, late_at))
    kept.write(kept.log.records(len(kept.log.values[0]) - 1))
    kept.project([story.events[-1]])
    told = past.history(TENANT, PROJECT, entity("t"))
    assert told is not None
    kinds = [(entry["kind"], entry["event_type"]) for entry in told["entries"]]
    assert kinds == [
        ("event", "task_added"), ("event", "task_claimed"), ("attempt", "step_begun"), ("takeover", "task_claimed"),
        ("late_result", None), ("event", "task_completed"),
    ]  # fmt: skip
    assert "the grant of ada (token 1) ran out" in told["entries"][3]["text"]
    assert told["entries"][4]["result_ref"] == "blob:late"
    pages, after = [], 0
    for _ in range(6):
        page = past.history(TENANT, PROJECT, entity("t"), after_seq=after, limit=1)
        assert page is not None
        pages += page["entries"]
        after = page["next_after_seq"]
    assert pages == told["entries"]


@pytest.mark.parametrize(
    "damage", ["DELETE FROM late_results", "UPDATE late_results SET task_id = NULL",
               "UPDATE late_results SET workflow_id = gen_random_uuid()"],
)  # fmt: skip
def test_a_history_does_not_leave_out_what_came_too_late(looking: Looking, damage: str) -> None:
    story = TAKEN.when(claim("bob", "t")).then_event("task_claimed")
    kept, past = looking()
    kept.project(list(story.events))
    kept.log.values[0].append(_late_mark(kept, story.now))
    kept.write(kept.log.records(len(kept.log.values[0]) - 1))
    told = past.history(TENANT, PROJECT, entity("t"))
    assert told is not None
    assert told["entries"][-1]["kind"] == "late_result"
    kept.change(damage)
    for limit in (1, 100):
        with pytest.raises(IntegrityError) as raised:
            past.history(TENANT, PROJECT, entity("t"), limit=limit)
        assert raised.value.workflow_id == WORKFLOW


def _late_mark(kept: Kept, at: int) -> bytes:
    late = {
        "workflow_id": WORKFLOW, "tenant": TENANT, "project": PROJECT, "step_id": "pay", "attempt_id": 1,
        "task_id": entity("t"), "result_ref": "blob:late", "result_checksum": "0" * 64, "fencing_token": 1,
        "operator_id": "ada", "command_id": entity("late"), "timestamp": instant(at),
    }  # fmt: skip
    mark = own_record("sequencer_mark", canonical.text({"late_results": [late]}), at)
    kept.log.source_offset += 1
    value = kept.log._stamped(mark, 0, kept.log.source_offset)
    kept.log.values[0].pop()
    return value


@pytest.mark.parametrize("column", ["task_id = NULL", "delta = replace(delta, 'a', 'b')", "operator_id = 'mallory'"])
def test_a_rotten_event_is_no_hole_in_a_history(looked: tuple[Kept, Past], column: str) -> None:
    kept, past = looked
    kept.change(f"UPDATE events SET {column} WHERE event_seq = 5")
    with pytest.raises(IntegrityError) as damage:
        past.history(TENANT, PROJECT, entity("task"))
    assert (damage.value.workflow_id, damage.value.event_seq) == (WORKFLOW, 5)


def test_a_missing_event_is_named(looked: tuple[Kept, Past]) -> None:
    kept, past = looked
    kept.change("DELETE FROM events WHERE event_seq = 7")
    with pytest.raises(IntegrityError) as damage:
        past.history(TENANT, PROJECT, entity("task"))
    assert (damage.value.event_seq, damage.value.field) == (7, "event_seq")


def test_a_damaged_past_is_never_an_answer(looked: tuple[Kept, Past]) -> None:
    kept, past = looked
    kept.change("DELETE FROM snapshots")
    kept.change("UPDATE events SET state_checksum = repeat('0', 64) WHERE event_seq = 3")
    for ask in (lambda: past.state(TENANT, PROJECT, 3), lambda: past.diff(TENANT, PROJECT, 2, 9)):
        with pytest.raises(IntegrityError) as damage:
            ask()
        assert (damage.value.workflow_id, damage.value.event_seq) == (WORKFLOW, 3)
    assert past.state(TENANT, PROJECT, 2) is not None, "what lies before the damage is whole"


# Snapshots and the file.


def test_snapshots_are_listed_newest_first(past: Past) -> None:
    told = past.snapshots(TENANT, PROJECT, limit=3)
    assert told is not None
    assert [each["last_event_seq"] for each in told["snapshots"]] == [20, 15, 10]
    newest = told["snapshots"][0]
    assert newest["state_checksum"] == EVENTS[19]["state_checksum"]
    assert (newest["stored"], newest["step_number"]) == ("inline", 1)


@pytest.mark.parametrize("at_seq", [None, 0, 1, 7, HEAD])
def test_an_export_proves_itself(past: Past, tmp_path: Path, at_seq: int | None) -> None:
    pieces = past.export(TENANT, PROJECT, at_seq)
    assert pieces is not None
    raw = b"".join(pieces)
    path = tmp_path / "incident.jsonl.zst"
    path.write_bytes(raw)
    found = verify_file(path)
    count = HEAD if at_seq is None else at_seq
    assert found == (True, TENANT, PROJECT, WORKFLOW, count, count, _hash(count), [])
    assert independent_verifier.verify(raw) == (True, 0)


def test_an_export_of_a_damaged_journal_does_not_pass_for_the_whole(looked: tuple[Kept, Past], tmp_path: Path) -> None:
    kept, past = looked
    kept.change("UPDATE events SET operator_id = 'mallory' WHERE event_seq = 9")
    pieces = past.export(TENANT, PROJECT)
    assert pieces is not None
    path = tmp_path / "incident.jsonl.zst"
    path.write_bytes(b"".join(pieces))
    lines = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(path.read_bytes())).read().splitlines()
    assert len(lines) == 1 + 8 + 1
    assert json.loads(lines[-1])["problem"]["event_seq"] == 9
    found = verify_file(path)
    assert (found.problems[0].line, found.problems[0].field) == (10, "event_hash")
    assert independent_verifier.verify(path.read_bytes())[0] is False


def _hash(count: int) -> Any:
    return EVENTS[count - 1]["event_hash"] if count else ZERO_HASH


def test_a_closed_export_leaves_no_connection(looked: tuple[Kept, Past]) -> None:
    kept, past = looked
    pieces = past.export(TENANT, PROJECT)
    assert pieces is not None
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]

    def open_now() -> int:
        ((number,),) = kept.rows("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(number)

    # Postgres notices the end of a connection a moment after its client.
    eventually(lambda: open_now() == 2, 10, "only the writer's and the reader's connections are open")


def test_an_empty_state_lies_before_the_first_event(past: Past) -> None:
    told = past.state(TENANT, PROJECT, 0)
    assert told is not None
    assert (told["as_of_seq"], told["state_checksum"]) == (0, State(WORKFLOW).checksum)


def test_a_story_can_go_on_after_it_was_looked_at(looking: Looking) -> None:
    kept, past = looking()
    story: Story = given(create_goal("goal"), add_task("t"))
    kept.project(list(story.events))
    before = past.state(TENANT, PROJECT, 2)
    kept.project([story.when(start_task("t")).events[-1]])
    assert past.state(TENANT, PROJECT, 2) == before
