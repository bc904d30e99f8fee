"""Deltas: RFC 6902 patches that lead from one state to the next, by our own hand and by any library's."""

from typing import Any

import jsonpatch
import pytest

from continuity.core import canonical, delta
from continuity.core.decide import decide
from continuity.core.delta import DeltaMismatch, apply_delta, compute_delta
from continuity.core.outcome import Accepted
from continuity.core.restore import restore
from continuity.core.state import State
from tests.spec import (
    WORKFLOW,
    acquire,
    add_task,
    amend_task,
    begin_step,
    block_task,
    claim,
    complete_step,
    complete_task,
    create_goal,
    entity,
    fail_step,
    given,
    release,
    reopen_task,
    set_goal_status,
    start_task,
    under,
    update_checkpoint,
)  # fmt: skip

STEPS = [
    create_goal("goal"), add_task("task"), add_task("late", after=("task",)), start_task("task"), block_task("task"),
    update_checkpoint("task"), start_task("task"), amend_task("late", depends_on=[]),
    complete_task("task", evidence="e"), reopen_task("task"), claim("ada", "task"), begin_step("fetch", 1),
    fail_step("fetch", 1, 1), claim("ada", "task"), begin_step("fetch", 2), complete_step("fetch", 2, 2, ref="blob:1"),
    under(2, update_checkpoint("task")), under(2, complete_task("task")), acquire("ada"), release(3),
    set_goal_status("goal", "paused"),
]  # fmt: skip


def operations(story: Any) -> list[Any]:
    return canonical.loads(story.events[-1]["delta"])  # type: ignore[no-any-return]


def test_a_new_entity_is_added_whole() -> None:
    story = given(create_goal("goal"))
    assert operations(story) == [{"op": "add", "path": f"/goals/{entity('goal')}", "value": story.goal("goal")}]


def test_a_change_touches_single_fields() -> None:
    story = given(create_goal("goal"), add_task("task"), start_task("task"), block_task("task", "rain"))
    task = f"/tasks/{entity('task')}"
    assert {(each["op"], each["path"]) for each in operations(story)} == {
        ("replace", f"{task}/status"), ("replace", f"{task}/updated_at"), ("replace", f"{task}/changed_seq"),
        ("add", f"{task}/blockers"),
    }  # fmt: skip
    unblocked = story.when(start_task("task"))
    assert {"op": "remove", "path": f"{task}/blockers"} in operations(unblocked)


def test_a_grant_adds_itself_and_sets_the_counter() -> None:
    story = given(create_goal("goal"), acquire("ada"))
    assert operations(story) == [
        {"op": "add", "path": "/grants/workflow", "value": story.grant()},
        {"op": "replace", "path": "/token_counter", "value": 1},
    ]
    assert operations(story.when(release(1))) == [{"op": "remove", "path": "/grants/workflow"}]


def test_silent_deaths_are_numbers_that_are_added_replaced_and_removed() -> None:
    story = given(create_goal("goal"), add_task("task"))
    path = f"/silent_deaths/{entity('task')}"
    found = []
    for _ in range(4):
        story = story.when(claim("ada", "task")).later(60)
        found += [each for each in operations(story) if each["path"] == path]
    story = story.when(update_checkpoint("task"))
    assert found == [{"op": "add", "path": path, "value": 1}] + [
        {"op": "replace", "path": path, "value": n} for n in (2, 3)
    ]
    assert {"op": "remove", "path": path} in operations(story)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/token_counter", "value": 2},
        {"op": "replace", "path": "/token_counter", "value": "2"},
        {"op": "replace", "path": "/token_counter", "value": True},
        {"op": "add", "path": "/grants/workflow", "value": {}},
        {"op": "remove", "path": "/steps/fetch"},
    ],
)
def test_a_delta_that_does_not_fit_what_is_held_is_noticed(operation: Any) -> None:
    with pytest.raises(DeltaMismatch, match=operation["op"]):
        apply_delta(given(create_goal("goal"), acquire("ada")).state, [operation])


def test_every_path_needs_no_escape_and_names_an_entity_a_field_or_the_counter() -> None:
    story = given(*STEPS)
    for event in story.events:
        for operation in canonical.loads(event["delta"]):
            assert operation["op"] in ("add", "replace", "remove")
            assert len(operation["path"].split("/")) in (3, 4) or operation["path"] == "/token_counter"
            assert "~" not in operation["path"]
            assert ("value" in operation) == (operation["op"] != "remove")


def test_the_deltas_alone_lead_to_the_state_in_jsonpatch_and_here() -> None:
    story = given(*STEPS)
    work, state = State(WORKFLOW).work, State(WORKFLOW)
    for event in story.events:
        patch = canonical.loads(event["delta"])
        work = jsonpatch.apply_patch(work, patch)
        state = apply_delta(state, patch).with_head(event)
        assert state.work == work
        assert state.checksum == event["state_checksum"]
    assert state == story.state


@pytest.mark.parametrize("start", range(0, len(STEPS), 4))
@pytest.mark.parametrize("end", range(1, len(STEPS) + 1, 4))
def test_a_computed_delta_leads_there_as_well_forwards_and_backwards(start: int, end: int) -> None:
    old, new = given(*STEPS[:start]).state, given(*STEPS[:end]).state
    patch = compute_delta(old, new)
    reached = apply_delta(old, patch)
    assert reached.work == new.work == jsonpatch.apply_patch(old.work, patch)
    assert (reached.checksum, reached.size_bytes, reached.lookup.open_tasks) == (
        new.checksum,
        new.size_bytes,
        new.lookup.open_tasks,
    ) or start > end
    assert reached.checksum == new.checksum
    assert compute_delta(new, new) == []


ADDED = {"op": "add", "path": f"/goals/{entity('goal')}", "value": {}}


@pytest.mark.parametrize(
    "operation",
    [
        ADDED,
        {"op": "remove", "path": f"/goals/{entity('other')}"},
        {"op": "replace", "path": f"/goals/{entity('other')}/status", "value": "done"},
        {"op": "replace", "path": f"/goals/{entity('goal')}/colour", "value": "red"},
        {"op": "remove", "path": f"/goals/{entity('goal')}/colour"},
        {"op": "add", "path": f"/goals/{entity('goal')}/status", "value": "done"},
    ],
)
def test_a_delta_of_another_state_is_noticed(operation: Any) -> None:
    with pytest.raises(DeltaMismatch, match=operation["op"]):
        apply_delta(given(create_goal("goal")).state, [operation])


def test_several_operations_on_one_entity_add_up() -> None:
    state = given(create_goal("goal")).state
    path = f"/goals/{entity('goal')}"
    patch: list[Any] = [
        {"op": "remove", "path": f"{path}/text"},
        {"op": "add", "path": f"{path}/text", "value": "b"},
        {"op": "replace", "path": f"{path}/priority", "value": 2},
    ]
    assert apply_delta(state, patch).work == jsonpatch.apply_patch(state.work, patch)
    gone = apply_delta(state, [*patch, {"op": "remove", "path": path}])
    assert gone.checksum == State(WORKFLOW).checksum


def test_an_entity_that_is_removed_and_added_again_is_the_new_one() -> None:
    state = given(create_goal("goal")).state
    path = f"/goals/{entity('goal')}"
    patch: list[Any] = [{"op": "remove", "path": path}, {"op": "add", "path": path, "value": {"a": 1}}]
    assert apply_delta(state, patch).work == jsonpatch.apply_patch(state.work, patch)


def test_a_state_that_was_read_back_makes_the_same_event_byte_for_byte() -> None:
    """A document has one form, however it came about: no digest may depend on that."""
    story = given(*STEPS[:6])
    restored = restore(WORKFLOW, story.events)
    assert [*restored.tasks[entity("task")]] == [*story.task("task")], "the order of its fields is the same"
    for asked in STEPS[6:]:
        outcome = decide(restored, asked, story.now, story.known_liveness())
        story = story.when(asked)
        assert outcome == story.outcome
        assert isinstance(outcome, Accepted)
        restored = restore(WORKFLOW, story.events)


def test_nothing_changed_is_an_empty_delta() -> None:
    state = given(create_goal("goal")).state
    assert delta.of_changes(state, []) == []
    assert apply_delta(state, []) == state
