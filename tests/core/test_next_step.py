"""The next step: four rules in their order, every tie settled, and nothing invented."""

from random import Random
from typing import Any

import pytest

from continuity.core import canonical
from continuity.core.next_step import next_step
from continuity.core.state import State
from tests.spec import (
    WORKFLOW,
    Story,
    acquire,
    add_task,
    amend_task,
    block_task,
    claim,
    complete_task,
    create_goal,
    entity,
    given,
    pause_task,
    reopen_task,
    set_goal_priority,
    set_goal_status,
    start_task,
    under,
    update_checkpoint,
)  # fmt: skip

TWO = (create_goal("goal"), add_task("a"), add_task("b"))


def chosen(story: Story, action: str, task: str | None, rank: dict[str, Any]) -> Any:
    """The answer, after its action, task and rank were looked at."""
    answer = next_step(story.state)
    assert (answer["action"], answer["task_id"], answer["rank"]) == (action, entity(task) if task else None, rank)
    return answer


def doing(seq: int) -> dict[str, Any]:
    return {"rule": 1, "name": "doing", "key": [seq]}


def blocked(seq: int) -> dict[str, Any]:
    return {"rule": 2, "name": "blocked", "key": [seq]}


def ready(priority: int, seq: int) -> dict[str, Any]:
    return {"rule": 3, "name": "ready", "key": [priority, seq]}


NOTHING = {"rule": 4, "name": "none", "key": []}


# Rule 1


def test_what_is_doing_comes_first_the_one_changed_last() -> None:
    story = given(*TWO, start_task("a"), start_task("b"))
    chosen(story, "continue", "b", doing(5))
    chosen(story.when(update_checkpoint("a")), "continue", "a", doing(6))  # a checkpoint is a change
    chosen(story.when(amend_task("a", title="x")), "continue", "a", doing(6))  # and so is an amendment
    chosen(story.when(pause_task("b")), "continue", "a", doing(4))
    chosen(story.when(block_task("b")), "continue", "a", doing(4))  # doing wins over blocked, however recent


def test_a_goal_of_higher_priority_does_not_interrupt() -> None:
    story = given(*TWO, start_task("a"), create_goal("urgent", priority=9), add_task("c", "urgent"))
    chosen(story, "continue", "a", doing(4))


def test_a_reopened_task_is_continued() -> None:
    story = given(*TWO, start_task("a"), complete_task("a"), start_task("b")).when(reopen_task("a"))
    chosen(story, "continue", "a", doing(7))


# Rule 2


def test_else_the_most_recently_blocked_with_what_clears_it() -> None:
    story = given(
        *TWO, start_task("a"), block_task("a", "rain"), start_task("b"), block_task("b", "no key", "it arrives")
    )
    answer = chosen(story, "unblock", "b", blocked(7))
    assert answer["blockers"] == [{"text": "no key", "clears_when": "it arrives"}]
    chosen(story.when(update_checkpoint("a")), "unblock", "a", blocked(8))
    chosen(story.when(add_task("c")), "unblock", "b", blocked(7))  # blocked wins over ready


# Rule 3


def test_else_the_oldest_ready_task_of_the_most_important_goal() -> None:
    story = given(*TWO, create_goal("low", priority=-5), add_task("c", "low"))
    chosen(story, "start", "a", ready(0, 2))
    chosen(story.when(set_goal_priority("low", 1)), "start", "c", ready(1, 5))
    chosen(story.when(set_goal_priority("low", 0)), "start", "a", ready(0, 2))  # a tie goes to the oldest task
    chosen(story.when(set_goal_priority("goal", -6)), "start", "c", ready(-5, 5))


def test_oldest_means_created_not_changed() -> None:
    story = given(*TWO, start_task("a"), pause_task("a"), update_checkpoint("a"), amend_task("a", title="x"))
    chosen(story, "start", "a", ready(0, 2))


def test_a_task_is_ready_once_all_that_it_depends_on_is_done() -> None:
    story = given(create_goal("goal"), add_task("a"), add_task("b", after=("a",)), add_task("c", after=("a", "b")))
    chosen(story, "start", "a", ready(0, 2))
    story = story.when(start_task("a")).when(complete_task("a"))
    chosen(story, "start", "b", ready(0, 3))
    story = story.when(start_task("b")).when(complete_task("b"))
    chosen(story, "start", "c", ready(0, 4))


def test_a_dependency_in_an_inactive_goal_still_counts() -> None:
    story = given(create_goal("goal"), create_goal("other"), add_task("a", "other"), add_task("b", after=("a",)))
    chosen(story.when(set_goal_status("other", "paused")), "propose_tasks", None, NOTHING)


# Rule 4


def test_else_tasks_are_to_be_proposed() -> None:
    empty: dict[str, Any] = {
        "action": "propose_tasks", "task_id": None, "goal_id": None, "title": None, "next_step": None,
        "where_we_left_off": None, "required_context_refs": [], "blockers": [], "as_of_seq": 0,
        "state_checksum": State(WORKFLOW).checksum, "rank": NOTHING,
    }  # fmt: skip
    assert next_step(State(WORKFLOW)) == empty
    story = given(create_goal("goal"), add_task("a"), start_task("a"), complete_task("a"))
    assert next_step(story.state) == empty | {"as_of_seq": 4, "state_checksum": story.state.checksum}


@pytest.mark.parametrize("status", ["todo", "doing", "blocked"])
def test_tasks_of_paused_and_done_goals_do_not_count(status: str) -> None:
    story = given(create_goal("goal"), add_task("a"))
    if status != "todo":
        story = story.when(start_task("a"))
    if status == "blocked":
        story = story.when(block_task("a"))
    paused = story.when(set_goal_status("goal", "paused"))
    chosen(paused, "propose_tasks", None, NOTHING)
    back = paused.when(set_goal_status("goal", "active"))
    assert next_step(back.state)["task_id"] == entity("a")
    chosen(given(create_goal("goal"), set_goal_status("goal", "done")), "propose_tasks", None, NOTHING)


# The answer


def test_it_carries_the_latest_checkpoint() -> None:
    story = given(*TWO, start_task("a"), update_checkpoint("a", "one"), update_checkpoint("b", "not this"))
    story = story.when(update_checkpoint("a", "write the test", "half of it", context_refs=["file:a.py"]))
    assert next_step(story.state) == {
        "action": "continue",
        "task_id": entity("a"),
        "goal_id": entity("goal"),
        "title": "a task",
        "next_step": "write the test",
        "where_we_left_off": "half of it",
        "required_context_refs": ["file:a.py"],
        "blockers": [],
        "as_of_seq": 7,
        "state_checksum": story.state.checksum,
        "rank": doing(7),
    }


def test_without_a_checkpoint_nothing_is_invented() -> None:
    answer = next_step(given(*TWO).state)
    assert (answer["next_step"], answer["where_we_left_off"], answer["required_context_refs"]) == (None, None, [])


def test_its_blockers_are_those_of_now_not_those_of_the_checkpoint() -> None:
    story = given(*TWO, start_task("a"), block_task("a", "old"), update_checkpoint("a"), start_task("a"))
    assert next_step(story.state)["blockers"] == []
    assert next_step(story.when(block_task("a", "new")).state)["blockers"] == [{"text": "new"}]


def test_the_same_work_gives_the_same_bytes_however_it_lies_in_memory() -> None:
    story = given(*TWO, *(add_task(f"t{n}") for n in range(50)))
    entries = [change for name in ("goals", "tasks") for change in story.everything(name)]
    answers = set()
    for seed in range(10):
        Random(seed).shuffle(entries)
        rebuilt = State(WORKFLOW).with_changes(entries)._replace(head_seq=story.state.head_seq)
        answers.add(canonical.dumps(next_step(rebuilt)))
    assert answers == {canonical.dumps(next_step(story.state))}


# For one executor among several


def for_owner(story: Story, owner: str) -> Any:
    answer = next_step(story.state, owner)
    return answer["action"], answer["task_id"], answer["rank"]


def test_what_others_have_claimed_is_left_out_and_ones_own_is_not() -> None:
    story = given(*TWO, claim("ada", "a"))
    assert for_owner(story, "ada") == ("continue", entity("a"), doing(4))
    assert for_owner(story, "bob") == ("start", entity("b"), ready(0, 3))
    assert next_step(story.state)["task_id"] == entity("a")
    story = story.when(claim("bob", "b"))
    assert for_owner(story, "ada")[1] == entity("a")
    assert for_owner(story, "bob")[1] == entity("b")
    assert for_owner(story, "eve") == ("propose_tasks", None, NOTHING)


def test_a_claim_hides_its_task_also_when_it_has_run_out_until_somebody_takes_it_over() -> None:
    story = given(*TWO, claim("ada", "a", 1)).later(3_600)
    assert for_owner(story, "bob")[1] == entity("b")
    story = story.when(claim("bob", "a"))
    assert for_owner(story, "bob")[1] == entity("a")
    assert for_owner(story, "ada")[1] == entity("b")


def test_a_blocked_task_that_another_holds_is_left_out_too() -> None:
    story = given(*TWO, claim("ada", "a"))
    story = story.when(under(story.token, block_task("a")))
    assert for_owner(story, "ada")[:2] == ("unblock", entity("a"))
    assert for_owner(story, "bob")[:2] == ("start", entity("b"))


def test_a_lease_on_the_whole_project_hides_nothing() -> None:
    """Whoever asks is told what there is; that somebody has all of it is what `acquire` says, and by whom."""
    story = given(*TWO, acquire("ada"))
    assert for_owner(story, "bob") == for_owner(story, "ada") == ("start", entity("a"), ready(0, 2))
