"""A goal's life: active, paused, done, and done only when nothing of it is left."""

import pytest

from continuity.core.ids import instant
from tests.spec import (
    NOON,
    add_task,
    block_task,
    complete_task,
    create_goal,
    entity,
    given,
    reopen_task,
    set_goal_priority,
    set_goal_status,
    start_task,
)  # fmt: skip


def test_a_new_goal_is_active() -> None:
    story = given().when(create_goal("goal", "ship it", priority=7))
    payload = {"goal_id": entity("goal"), "text": "ship it", "priority": 7}
    story.then_event(
        "goal_created", payload=payload, goal_id=entity("goal"), task_id=None, from_status=None, to_status="active"
    )
    assert story.goal("goal") == payload | {"status": "active", "created_at": instant(NOON), "created_seq": 1}


@pytest.mark.parametrize("before", ["active", "paused", "done"])
@pytest.mark.parametrize("after", ["active", "paused", "done"])
def test_any_other_status_can_follow(before: str, after: str) -> None:
    story = given(create_goal("goal"), *([] if before == "active" else [set_goal_status("goal", before)]))
    decided = story.when(set_goal_status("goal", after))
    if before == after:
        decided.then_refused("illegal_transition", entity("goal"), f"{after} already")
        return
    decided.then_event(
        "goal_status_set", payload={"goal_id": entity("goal"), "status": after}, from_status=before, to_status=after
    )
    assert decided.goal("goal") == story.goal("goal") | {"status": after}


def test_a_goal_is_not_done_while_a_task_is_open() -> None:
    story = given(create_goal("goal"), add_task("one"), add_task("two"), create_goal("other"))
    done = set_goal_status("goal", "done")
    story.when(done).then_refused("goal_has_open_tasks", entity("goal"), "2 open tasks")
    story.when(set_goal_status("other", "done")).then_event("goal_status_set")
    story = story.when(start_task("one")).when(complete_task("one")).when(start_task("two"))
    story.when(done).then_refused("goal_has_open_tasks", "1 open task")
    story.when(block_task("two")).when(done).then_refused("goal_has_open_tasks", "1 open task")
    story = story.when(complete_task("two")).when(done).then_event("goal_status_set", to_status="done")
    story.when(reopen_task("two")).then_refused("goal_done")
    again = story.when(set_goal_status("goal", "active")).when(reopen_task("two")).then_event("task_reopened")
    again.when(set_goal_status("goal", "done")).then_refused("goal_has_open_tasks", "1 open task")


def test_a_goal_with_open_tasks_can_be_paused() -> None:
    given(create_goal("goal"), add_task("one")).when(set_goal_status("goal", "paused")).then_event("goal_status_set")


@pytest.mark.parametrize("priority", [-1000, 0, 5, 1000])
def test_a_priority_can_be_set_also_to_what_it_is(priority: int) -> None:
    story = given(create_goal("goal", priority=5)).when(set_goal_priority("goal", priority))
    payload = {"goal_id": entity("goal"), "priority": priority}
    story.then_event("goal_priority_set", payload=payload, goal_id=entity("goal"), from_status=None, to_status=None)
    assert story.goal("goal")["priority"] == priority


def test_an_unknown_goal_is_refused_by_name() -> None:
    given().when(set_goal_status("goal", "done")).then_refused("unknown_goal", entity("goal"))
    given().when(set_goal_priority("goal", 1)).then_refused("unknown_goal", entity("goal"))
