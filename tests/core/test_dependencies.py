"""What a task depends on: known tasks, no circle, and all of them done before it starts."""

from tests.spec import (
    add_task,
    amend_task,
    command,
    complete_task,
    create_goal,
    entity,
    given,
    grown,
    pause_task,
    reopen_task,
    start_task,
)  # fmt: skip


def ids(*names: str) -> list[str]:
    return [entity(name) for name in names]


def test_a_task_waits_for_all_that_it_depends_on() -> None:
    story = given(create_goal("goal"), add_task("a"), add_task("b"), add_task("c", after=("a", "b")))
    story.when(start_task("c")).then_refused("unmet_dependencies", "2 tasks", entity("a"))
    story = story.when(start_task("a")).when(complete_task("a"))
    story.when(start_task("c")).then_refused("unmet_dependencies", "1 task", entity("b"))
    story = story.when(start_task("b"))
    story.when(start_task("c")).then_refused("unmet_dependencies")
    story = story.when(complete_task("b")).when(start_task("c")).then_event("task_started")
    story = story.when(reopen_task("a"))
    assert story.task("c")["status"] == "doing", "what runs is not taken back"
    story.when(pause_task("c")).when(start_task("c")).then_refused("unmet_dependencies", entity("a"))


def test_dependencies_may_cross_goals() -> None:
    story = given(create_goal("goal"), create_goal("other"), add_task("a", "other"), add_task("b", after=("a",)))
    story.when(start_task("b")).then_refused("unmet_dependencies")


def test_an_unknown_dependency_is_refused_by_name() -> None:
    story = given(create_goal("goal"), add_task("a"))
    story.when(add_task("b", after=("a", "ghost"))).then_refused("unknown_dependency", entity("ghost"))
    story.when(amend_task("a", depends_on=ids("ghost"))).then_refused("unknown_dependency", entity("ghost"))
    story.when(add_task("b", after=("goal",))).then_refused("unknown_dependency")


def test_a_new_task_cannot_depend_on_itself() -> None:
    body = {"goal_id": entity("goal"), "title": "x", "depends_on": [entity("b")]}
    given(create_goal("goal")).when(command("add_task", body, "b")).then_refused("unknown_dependency")


def test_no_circle_is_ever_closed() -> None:
    story = given(
        create_goal("goal"), add_task("a"), add_task("b", after=("a",)), add_task("c", after=("b",)), add_task("d")
    )
    for circle in (["a"], ["b"], ["c"], ["d", "c"]):
        story.when(amend_task("a", depends_on=ids(*circle))).then_refused("dependency_cycle", entity("a"))
    story.when(amend_task("c", depends_on=ids("a", "b", "d"))).then_event("task_amended")  # a diamond is no circle
    loosened = story.when(amend_task("b", depends_on=[]))
    loosened.when(amend_task("a", depends_on=ids("b"))).then_event("task_amended")


def test_a_long_chain_is_walked_without_recursion_and_a_wide_diamond_once() -> None:
    steps = [create_goal("goal"), add_task("t0")]
    steps += [add_task(f"t{n}", after=(f"t{n - 1}",)) for n in range(1, 1_200)]
    grown(steps).when(amend_task("t0", depends_on=ids("t1199"))).then_refused("dependency_cycle")
    layers = [create_goal("goal"), add_task("l0a"), add_task("l0b")]
    for n in range(1, 30):
        layers += [add_task(f"l{n}{side}", after=(f"l{n - 1}a", f"l{n - 1}b")) for side in "ab"]
    grown(layers).when(amend_task("l0a", depends_on=ids("l29b"))).then_refused("dependency_cycle")  # 2**29 paths
