"""Where a task was left: the latest checkpoint of each task, with what blocked it at that moment."""

import pytest

from continuity.core.ids import instant
from tests.spec import (
    add_task,
    block_task,
    complete_task,
    create_goal,
    entity,
    given,
    pause_task,
    reopen_task,
    start_task,
    update_checkpoint,
)  # fmt: skip


def test_a_checkpoint_says_where_the_task_was_left() -> None:
    before = given(create_goal("goal"), add_task("task"))
    story = before.when(update_checkpoint("task", "write the test", "half of it", context_refs=["file:a.py", "pr:12"]))
    payload = {
        "task_id": entity("task"),
        "where_we_left_off": "half of it",
        "next_step": "write the test",
        "needed_context_refs": ["file:a.py", "pr:12"],
    }
    story.then_event("checkpoint_updated", payload=payload, goal_id=entity("goal"), from_status=None, to_status=None)
    at = instant(story.state.head_timestamp)
    assert story.checkpoint("task") == payload | {"blockers": [], "timestamp": at, "seq": 3}
    assert story.task("task") == before.task("task") | {"updated_at": at, "changed_seq": 3}, "it counts as a change"


def test_only_the_latest_one_of_each_task_stays() -> None:
    story = given(create_goal("goal"), add_task("a"), add_task("b"))
    story = (
        story.when(update_checkpoint("a", "one"))
        .when(update_checkpoint("b", "two"))
        .when(update_checkpoint("a", "three"))
    )
    assert {entity("a"): "three", entity("b"): "two"} == {
        key: each["next_step"] for key, each in story.state.checkpoints.items()
    }


@pytest.mark.parametrize("status", ["todo", "doing", "blocked"])
def test_any_open_task_takes_one(status: str) -> None:
    story = given(create_goal("goal"), add_task("task"))
    if status != "todo":
        story = story.when(start_task("task"))
    if status == "blocked":
        story = story.when(block_task("task", "no key", "it arrives"))
    story = story.when(update_checkpoint("task")).then_event("checkpoint_updated")
    unresolved = [{"text": "no key", "clears_when": "it arrives"}] if status == "blocked" else []
    assert story.checkpoint("task")["blockers"] == unresolved


def test_a_done_task_takes_none_and_keeps_its_last() -> None:
    story = given(create_goal("goal"), add_task("task"), start_task("task"), update_checkpoint("task", "the last"))
    story = story.when(complete_task("task"))
    story.when(update_checkpoint("task")).then_refused("illegal_transition", entity("task"), "done")
    assert story.checkpoint("task")["next_step"] == "the last"
    assert story.when(reopen_task("task")).checkpoint("task")["next_step"] == "the last"


def test_blockers_are_copied_at_that_moment() -> None:
    story = given(create_goal("goal"), add_task("task"), start_task("task"), block_task("task", "rain"))
    story = story.when(update_checkpoint("task")).when(pause_task("task"))
    assert story.checkpoint("task")["blockers"] == [{"text": "rain"}]
    assert story.when(update_checkpoint("task")).checkpoint("task")["blockers"] == []


def test_a_refused_checkpoint_leaves_the_one_before() -> None:
    story = given(create_goal("goal"), add_task("task"), update_checkpoint("task", "one"))
    refused = story.when(update_checkpoint("task", "two\nlines")).then_refused("invalid_field", "next_step")
    assert refused.state is story.state
