"""A task's life: every transition of the specification's table, and every other one refused."""

from typing import Any

import pytest

from continuity.core.decide import decide
from continuity.core.ids import instant
from continuity.core.transitions import TASK_TRANSITIONS
from tests.spec import (
    NOON,
    SECOND,
    Story,
    add_task,
    amend_task,
    block_task,
    command,
    complete_task,
    create_goal,
    entity,
    given,
    pause_task,
    reopen_task,
    set_goal_status,
    start_task,
    update_checkpoint,
)  # fmt: skip

GOAL, TASK = create_goal("goal"), add_task("task")
REACHED = {
    "todo": (),
    "doing": (start_task("task"),),
    "blocked": (start_task("task"), block_task("task", "no key", "the key arrives")),
    "done": (start_task("task"), complete_task("task", evidence="commit 7")),
}
ASKED = {
    "start_task": start_task("task"),
    "pause_task": pause_task("task", reason="lunch"),
    "block_task": block_task("task", "no key"),
    "complete_task": complete_task("task", evidence="commit 7"),
    "reopen_task": reopen_task("task"),
}
# From the specification, written once more on purpose: the product's table is compared with this one.
SPECIFIED = {
    ("todo", "start_task"): ("doing", "task_started"),
    ("blocked", "start_task"): ("doing", "task_started"),
    ("doing", "pause_task"): ("todo", "task_paused"),
    ("blocked", "pause_task"): ("todo", "task_paused"),
    ("doing", "block_task"): ("blocked", "task_blocked"),
    ("doing", "complete_task"): ("done", "task_completed"),
    ("done", "reopen_task"): ("doing", "task_reopened"),
}


def task_in(status: str) -> Story:
    story = given(GOAL, TASK, *REACHED[status])
    assert story.task("task")["status"] == status
    return story


def test_the_product_table_is_the_specified_one() -> None:
    table = {(start, name): end for name, (starts, end) in TASK_TRANSITIONS.items() for start in starts}
    assert table == {key: end for key, (end, _) in SPECIFIED.items()}


@pytest.mark.parametrize("status", REACHED)
@pytest.mark.parametrize("name", ASKED)
def test_transition(name: str, status: str) -> None:
    before = task_in(status)
    after = before.when(ASKED[name])
    if (status, name) not in SPECIFIED:
        after.then_refused("illegal_transition", entity("task"), f"is {status}")
        assert after.state is before.state
        return
    target, event_type = SPECIFIED[status, name]
    after.then_event(
        event_type, from_status=status, to_status=target, task_id=entity("task"), goal_id=entity("goal"), step_id=None
    )
    task = after.task("task")
    assert (task["status"], task["changed_seq"]) == (target, after.state.head_seq)
    assert task["updated_at"] == instant(after.state.head_timestamp)
    assert ("blockers" in task) == (target == "blocked"), "blockers belong to a blocked task only"
    assert ("evidence" in task) == (target == "done"), "evidence belongs to a done task only"


def test_a_new_task_is_todo() -> None:
    story = given(GOAL).when(
        command("add_task", {"goal_id": entity("goal"), "title": "read", "acceptance_criteria": ["all of it"]}, "task")
    )
    payload = {
        "task_id": entity("task"), "goal_id": entity("goal"), "title": "read", "acceptance_criteria": ["all of it"],
        "depends_on": [],
    }  # fmt: skip
    story.then_event("task_added", payload=payload, from_status=None, to_status="todo", task_id=entity("task"))
    at = instant(NOON + SECOND)
    assert story.task("task") == payload | {
        "status": "todo", "created_at": at, "updated_at": at, "created_seq": 2, "changed_seq": 2,
    }  # fmt: skip


def test_lists_that_were_not_given_are_empty() -> None:
    story = given(GOAL).when(command("add_task", {"goal_id": entity("goal"), "title": "read"}, "task"))
    assert (story.task("task")["acceptance_criteria"], story.task("task")["depends_on"]) == ([], [])


def test_a_task_says_what_blocks_it_and_what_completed_it() -> None:
    blocked = task_in("blocked")
    assert blocked.task("task")["blockers"] == [{"text": "no key", "clears_when": "the key arrives"}]
    assert task_in("doing").when(block_task("task", "rain")).task("task")["blockers"] == [{"text": "rain"}]
    assert task_in("done").task("task")["evidence"] == "commit 7"
    assert "evidence" not in task_in("doing").when(complete_task("task")).task("task")


def test_reasons_and_evidence_stand_in_the_payload() -> None:
    story = (
        task_in("doing")
        .when(ASKED["pause_task"])
        .then_event("task_paused", payload={"task_id": entity("task"), "reason": "lunch"})
    )
    story.when(start_task("task")).then_event("task_started", payload={"task_id": entity("task")})
    task_in("doing").when(pause_task("task")).then_event("task_paused", payload={"task_id": entity("task")})


@pytest.mark.parametrize("asked", [*ASKED.values(), update_checkpoint("task"), amend_task("task", title="x")])
def test_an_unknown_task_is_refused_by_name(asked: Any) -> None:
    given(GOAL).when(asked).then_refused("unknown_task", entity("task"))


def test_an_unknown_goal_is_refused_by_name() -> None:
    given(GOAL).when(add_task("task", "other")).then_refused("unknown_goal", entity("other"))


# The goal of a task


@pytest.mark.parametrize("status", ["paused", "done"])
def test_only_tasks_of_active_goals_start(status: str) -> None:
    story = given(GOAL, TASK)
    if status == "done":
        story = story.when(start_task("task")).when(complete_task("task"))
    story = story.when(set_goal_status("goal", status))
    if status == "paused":
        story.when(start_task("task")).then_refused("goal_paused", entity("goal"), "paused")
    else:
        story.when(reopen_task("task")).then_refused("goal_done", entity("goal"))


def test_in_a_paused_goal_work_ends_but_does_not_begin() -> None:
    paused = task_in("doing").when(set_goal_status("goal", "paused"))
    paused.when(pause_task("task")).then_event("task_paused")
    paused.when(complete_task("task")).then_event("task_completed").when(reopen_task("task")).then_event(
        "task_reopened"
    )
    paused.when(block_task("task")).then_event("task_blocked").when(start_task("task")).then_refused("goal_paused")


def test_a_done_goal_takes_no_task_and_a_paused_one_does() -> None:
    given(GOAL, set_goal_status("goal", "done")).when(TASK).then_refused("goal_done", entity("goal"))
    given(GOAL, set_goal_status("goal", "paused")).when(TASK).then_event("task_added")


# Amending


@pytest.mark.parametrize("status", REACHED)
def test_an_amendment_replaces_what_it_names_in_any_status(status: str) -> None:
    before = task_in(status)
    story = before.when(amend_task("task", title="new"))
    story.then_event(
        "task_amended", payload={"task_id": entity("task"), "title": "new"}, from_status=None, to_status=None
    )
    changed = {"title": "new", "changed_seq": story.state.head_seq, "updated_at": instant(story.state.head_timestamp)}
    assert story.task("task") == before.task("task") | changed
    story = story.when(amend_task("task", acceptance_criteria=["a"], depends_on=[]))
    assert story.task("task")["acceptance_criteria"] == ["a"]
    assert story.task("task")["title"] == "new"


def test_an_amendment_can_empty_a_list() -> None:
    story = given(GOAL, TASK, add_task("late", after=("task",), acceptance_criteria=["x"]))
    story = story.when(amend_task("late", acceptance_criteria=[], depends_on=[]))
    assert (story.task("late")["acceptance_criteria"], story.task("late")["depends_on"]) == ([], [])
    story.when(start_task("late")).then_event("task_started")


def test_now_does_not_change_what_is_decided() -> None:
    story = task_in("todo")
    early, late = (decide(story.state, ASKED["start_task"], now) for now in (0, NOON * 2))
    assert type(early) is type(late)
