"""Why this step: it says what `next_step` does, for whatever work there is, and names what lost and what could not."""

from typing import Any
from uuid import UUID

from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from continuity.core.explain import explain
from continuity.core.next_step import choose, next_step
from continuity.core.records import Change
from continuity.core.state import State
from tests.spec import (
    WORKFLOW,
    Story,
    add_task,
    block_task,
    claim,
    complete_task,
    create_goal,
    entity,
    given,
    set_goal_status,
    start_task,
)  # fmt: skip

OWNERS = (None, "ada", "bob")


def task_id(number: int) -> str:
    return str(UUID(int=number))


@st.composite
def states(draw: Any) -> State:
    """Any work at all, also such as no history leads to: goals, tasks with dependencies, and claims."""
    goals = draw(
        st.lists(st.tuples(st.integers(-1, 1), st.sampled_from(("active", "paused", "done"))), min_size=1, max_size=3)
    )
    changes = [
        Change("goals", f"g{n}", {"goal_id": f"g{n}", "text": "", "priority": priority, "status": status})
        for n, (priority, status) in enumerate(goals)
    ]
    count = draw(st.integers(0, 6))
    seqs = draw(st.permutations(range(1, 2 * count + 1)))
    for n in range(count):
        task = {
            "task_id": task_id(n),
            "goal_id": f"g{draw(st.integers(0, len(goals) - 1))}",
            "title": f"task {n}",
            "status": draw(st.sampled_from(("todo", "todo", "doing", "blocked", "done"))),
            "depends_on": [task_id(each) for each in draw(st.sets(st.integers(0, n - 1), max_size=2))] if n else [],
            "created_seq": seqs[2 * n],
            "changed_seq": seqs[2 * n + 1],
        }
        changes.append(Change("tasks", task_id(n), task))
        owner = draw(st.sampled_from(OWNERS))
        if owner is not None:
            grant = {"grant_id": task_id(n), "token": n + 1, "owner_id": owner, "task_id": task_id(n)}
            changes.append(Change("grants", task_id(n), grant))
    return State(WORKFLOW).with_changes(changes)


@settings(max_examples=400)
@drawn(states(), st.sampled_from(OWNERS), st.integers(1, 3))
def test_it_says_what_the_next_step_does(state: State, owner: str | None, bound: int) -> None:
    told, choice = explain(state, owner, bound), choose(state, owner)
    assert told["answer"] == next_step(state, owner)
    assert [rule["rule"] for rule in told["rules"]] == [1, 2, 3, 4]
    verdicts = [rule["verdict"] for rule in told["rules"]]
    chose = choice.rank["rule"]
    assert verdicts == ["had_none"] * (chose - 1) + ["chose"] + ["not_asked"] * (4 - chose)
    winner = told["rules"][chose - 1]
    assert winner["name"] == choice.rank["name"]
    if choice.task is not None:
        assert winner["candidates"][0]["task_id"] == choice.task["task_id"]
        assert winner["candidates"][0]["key"] == choice.rank["key"]


@drawn(states(), st.sampled_from(OWNERS), st.integers(1, 3))
def test_every_open_task_is_counted_under_one_rule_and_lists_are_bounded(
    state: State, owner: str | None, bound: int
) -> None:
    rules = explain(state, owner, bound)["rules"]
    still_open = [task for task in state.tasks.values() if task["status"] != "done"]
    assert sum(rule["candidates_count"] + rule["passed_over_count"] for rule in rules) == len(still_open)
    for rule in rules:
        assert len(rule["candidates"]) == min(bound, rule["candidates_count"])
        assert len(rule["passed_over"]) == min(bound, rule["passed_over_count"])


@drawn(states(), st.sampled_from(OWNERS))
def test_take_the_winner_away_and_the_second_wins(state: State, owner: str | None) -> None:
    """The order among the losers is the rule's own, not just the first place."""
    chose = next(rule for rule in explain(state, owner)["rules"] if rule["verdict"] == "chose")
    for candidate in chose["candidates"]:
        choice = choose(state, owner)
        assert choice.task is not None
        assert (choice.task["task_id"], choice.rank["key"]) == (candidate["task_id"], candidate["key"])
        gone = {**state.goals[candidate["goal_id"]], "goal_id": "away", "status": "paused"}
        away = {**state.tasks[candidate["task_id"]], "goal_id": "away"}
        # In a paused goal it counts no more, and whatever depends on it goes on waiting.
        state = State(WORKFLOW).with_changes(
            [Change("goals", "away", gone)]
            + [Change("goals", key, goal) for key, goal in state.goals.items()]
            + [Change("tasks", key, away if key == candidate["task_id"] else task) for key, task in state.tasks.items()]
            + [Change("grants", key, grant) for key, grant in state.grants.items()]
        )


def rule(story: Story, number: int, owner: str | None = None) -> Any:
    return explain(story.state, owner)["rules"][number - 1]


def test_it_names_the_losers_with_their_ranks() -> None:
    story = given(create_goal("goal"), add_task("a"), add_task("b"), start_task("b"), start_task("a"))
    told = rule(story, 1)
    assert [(each["task_id"], each["key"]) for each in told["candidates"]] == [(entity("a"), [5]), (entity("b"), [4])]
    assert told["because"] == "2 tasks are doing: the one changed last"


def test_it_says_why_an_earlier_rule_had_none() -> None:
    story = given(create_goal("goal"), create_goal("other"), add_task("a", "other"), start_task("a"), add_task("b"))
    story = story.when(set_goal_status("other", "paused"))
    told = rule(story, 1)
    assert (told["verdict"], told["because"]) == (
        "had_none", "1 task is doing, and none can be chosen: 1 in a paused goal",
    )  # fmt: skip
    assert told["passed_over"] == [
        {"task_id": entity("a"), "title": "a task", "why": "goal_paused", "by": [entity("other")]}
    ]
    assert rule(story, 2)["because"] == "no task is blocked"
    assert rule(story, 3)["candidates"][0]["task_id"] == entity("b")


def test_it_names_what_a_task_waits_for_and_who_holds_one() -> None:
    story = given(create_goal("goal"), add_task("a"), add_task("b", after=("a",)), claim("bob", "a"))
    held = rule(story, 1, "ada")["passed_over"]
    assert [(each["why"], each["by"]) for each in held] == [("held_by_another", ["bob"])]
    waiting = rule(story, 3, "ada")["passed_over"]
    assert [(each["why"], each["by"]) for each in waiting] == [("unmet_dependencies", [entity("a")])]
    assert rule(story, 4, "ada")["verdict"] == "chose"
    assert rule(story, 1, "bob")["verdict"] == "chose"


def test_with_nothing_left_it_says_that_tasks_are_to_be_proposed() -> None:
    story = given(create_goal("goal"), add_task("a"), start_task("a"), block_task("a"), start_task("a"))
    told = explain(story.when(complete_task("a")).state)["rules"]
    assert [each["because"] for each in told] == [
        "no task is doing", "no task is blocked", "no task is todo",
        "no rule before it had a task: new ones have to be proposed",
    ]  # fmt: skip
