"""What a command can demand of the state, and the order in which it is looked at."""

import ast
from pathlib import Path
from typing import Any

import pytest

from continuity import core
from continuity.core.ids import NIL, instant
from tests.spec import (
    NOON,
    SECOND,
    Story,
    add_task,
    command,
    command_id,
    complete_task,
    create_goal,
    entity,
    given,
    start_task,
)  # fmt: skip

UNKNOWN = {"task_id": entity("nobody's")}


def two_events() -> Story:
    return given(create_goal("goal"), add_task("task"))


# Head and predecessor


def test_expected_seq_is_the_head() -> None:
    two_events().when(start_task("task", expected_seq=2)).then_event("task_started")
    for wrong in (0, 1, 3, -1):
        two_events().when(start_task("task", expected_seq=wrong)).then_refused("expected_seq_mismatch", "2", str(wrong))
    given().when(create_goal("goal", expected_seq=0)).then_event("goal_created")


def test_a_command_follows_its_predecessor() -> None:
    story = two_events()
    story.when(start_task("task", after=command_id("task"))).then_event("task_started")
    story.when(start_task("task", after=command_id("goal"))).then_event("task_started")
    missing = command_id("never sent")
    story.when(start_task("task", after=missing)).then_refused("predecessor_missing", missing)


def test_a_refused_predecessor_is_missing() -> None:
    refused = command("start_task", UNKNOWN, "first")
    two_events().when(refused).when(start_task("task", after=refused.command_id)).then_refused("predecessor_missing")


def test_a_predecessor_is_known_for_the_whole_window() -> None:
    """And no longer: by then a pipeline has been answered."""
    steps = [create_goal("goal"), add_task("task"), *(create_goal(f"g{n}") for n in range(254))]
    story = given(*steps)
    story.when(start_task("task", after=command_id("goal"))).then_event("task_started")
    later = story.when(create_goal("one more"))
    later.when(start_task("task", after=command_id("goal"))).then_refused("predecessor_missing")
    later.when(start_task("task", after=command_id("task"))).then_event("task_started")


def test_a_fencing_token_that_nobody_holds_is_fenced() -> None:
    two_events().when(start_task("task", fencing_token=1)).then_refused("fenced", "1")
    two_events().when(start_task("task", fencing_token=None)).then_event("task_started", fencing_token=None)


# The order: form, idempotency, predecessor, expected_seq, fence, rule

WRONGS: list[tuple[str, dict[str, Any]]] = [
    ("invalid_field", {"operator_kind": "robot"}),
    ("idempotency_key_reused", {"command_id": command_id("goal")}),
    ("predecessor_missing", {"after": command_id("never sent")}),
    ("expected_seq_mismatch", {"expected_seq": 7}),
    ("fenced", {"fencing_token": 7}),
    ("unknown_task", {}),
]


@pytest.mark.parametrize("first", range(len(WRONGS)))
def test_checks_come_in_a_fixed_order(first: int) -> None:
    """A command that is wrong in this and every later way is refused for the first."""
    wrong = {name: value for _, fields in WRONGS[first:] for name, value in fields.items()}
    two_events().when(command("start_task", UNKNOWN, **wrong)).then_refused(WRONGS[first][0])


def test_a_repeat_is_a_duplicate_whatever_it_demands() -> None:
    """Its conditions held when it was decided; by now they cannot."""
    first = start_task("task", expected_seq=2, after=command_id("task"))
    story = two_events().when(first).when(complete_task("task"))
    story.when(first).then_duplicate(3)
    story.when(first._replace(expected_seq=1, fencing_token=9, after=command_id("never sent"))).then_duplicate(3)
    story.when(first._replace(operator_kind="robot")).then_refused("invalid_field")


# Who acted, and when


def test_the_event_names_its_command_and_operator() -> None:
    asked = start_task("task", operator_id="planner-7", operator_kind="agent", session_id="s-1")
    two_events().when(asked).then_event(
        "task_started",
        command_id=asked.command_id,
        operator_id="planner-7",
        operator_kind="agent",
        session_id="s-1",
        tenant="acme",
        project="apollo",
        schema_version="1.0",
        epoch=0,
        sequencer_id=NIL,
        source_offset=-1,
    )


@pytest.mark.parametrize("step_micros", [-SECOND, -1, 0, 1])
def test_the_clock_never_runs_backwards_within_a_workflow(step_micros: int) -> None:
    story = two_events()
    head = story.state.head_timestamp
    later = story.at(head + step_micros).when(start_task("task"))
    expected = max(head, head + step_micros)
    later.then_event("task_started", timestamp=expected)
    assert later.task("task")["updated_at"] == instant(expected)
    later.at(0).when(complete_task("task")).then_event("task_completed", timestamp=expected)


def test_no_rule_can_read_a_clock() -> None:
    """`time` cannot be imported, which the import check holds; `datetime` can, to write instants down."""
    asked = {"now", "utcnow", "today", "time", "time_ns", "monotonic"}
    for path in Path(core.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
            assert called not in asked, f"{path.name} asks a clock: {called}"


def test_the_first_event_takes_the_broker_clock_as_it_is() -> None:
    given().at(NOON + 1).when(create_goal("goal")).then_event("goal_created", timestamp=NOON + 1)
    given().at(0).when(create_goal("goal")).then_event("goal_created", timestamp=0)
