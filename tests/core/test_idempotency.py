"""A command that arrives again: answered, never applied, within the window of 256 and beyond it."""

import pytest

from continuity.core.commands import COMMANDS
from continuity.core.ids import event_id
from continuity.core.limits import IDEMPOTENCY_WINDOW_EVENTS
from continuity.core.state import State
from continuity.core.window import Window
from tests.spec import (
    SECOND,
    WORKFLOW,
    Story,
    acquire,
    add_task,
    amend_task,
    begin_step,
    block_task,
    claim,
    command,
    command_id,
    complete_step,
    complete_task,
    create_goal,
    entity,
    fail_step,
    given,
    pause_task,
    release,
    renew,
    reopen_task,
    set_goal_priority,
    set_goal_status,
    start_task,
    update_checkpoint,
)  # fmt: skip


def after_others(story: Story, count: int) -> Story:
    """The same, after so many other events."""
    for n in range(count):
        story = story.when(set_goal_priority("goal", n % 1000))
    return story


ONE_OF_EACH = [
    create_goal("goal"), set_goal_status("goal", "paused"), set_goal_status("goal", "active"),
    set_goal_priority("goal", 3), add_task("task"), amend_task("task", title="t"), start_task("task"),
    block_task("task"), pause_task("task"), update_checkpoint("task"), start_task("task"), complete_task("task"),
    reopen_task("task"), acquire("ada"), release(1), claim("ada", "task"), begin_step("fetch", 2),
    fail_step("fetch", 1, 2, error="rain"), begin_step("fetch", 2), complete_step("fetch", 2, 2, ref="blob:1"),
]  # fmt: skip


def test_a_repeat_of_any_command_gets_the_ids_of_the_original() -> None:
    story = given(*ONE_OF_EACH)
    elsewhere = {"renew_lease", "rollback", "fork_project"}  # the last two in test_history
    assert {asked.command_type for asked in ONE_OF_EACH} | elsewhere == COMMANDS.keys()
    for seq, asked in enumerate(ONE_OF_EACH, 1):
        gone = ("result",) if asked.command_type == "acquire_lease" else ()  # the lease was released: no token to tell
        repeated = story.when(asked).then_duplicate(seq, *gone)
        assert repeated.state is story.state


def test_a_repeat_of_a_renewal_is_another_renewal() -> None:
    """It is no event, so nothing remembers it; and it does no harm."""
    story = given(create_goal("goal"), acquire("ada", 60)).when(asked := renew(1)).then_answered(token=1)
    later = story.later(30).when(asked).then_answered(token=1)
    assert later.state is story.state
    assert later.expiry() == story.later(30).now + 60 * SECOND


def test_an_id_with_another_body_or_type_is_refused() -> None:
    story = given(create_goal("goal", "one"), add_task("task"))
    story.when(create_goal("goal", "two")).then_refused("idempotency_key_reused", command_id("goal"), "event 1")
    story.when(create_goal("goal", "one", priority=1)).then_refused("idempotency_key_reused")
    story.when(add_task("goal", "task")).then_refused("idempotency_key_reused")
    started = story.when(start_task("task"))
    same_body = command("pause_task", {"task_id": entity("task")})._replace(command_id=started.events[2]["command_id"])
    started.when(same_body).then_refused("idempotency_key_reused", "event 3")


def test_a_refusal_is_not_remembered() -> None:
    early = start_task("task")
    story = given(create_goal("goal")).when(early).then_refused("unknown_task")
    story.when(add_task("task")).when(early).then_event("task_started")


def test_another_operator_with_the_same_id_and_body_is_a_repeat() -> None:
    story = given(create_goal("goal"))
    story.when(create_goal("goal", operator_id="bob", session_id="other")).then_duplicate(1)


def test_a_late_repeat_is_told_the_goal_of_the_task_not_that_of_its_body() -> None:
    story = after_others(given(create_goal("goal"), create_goal("other"), add_task("task")), IDEMPOTENCY_WINDOW_EVENTS)
    story.when(add_task("task", "other")).then_duplicate(3)


@pytest.mark.parametrize("asked", [set_goal_status("goal", "paused"), set_goal_priority("goal", 7)])
def test_the_window_holds_exactly_256(asked) -> None:
    story = given(create_goal("goal")).when(asked)
    inside = after_others(story, IDEMPOTENCY_WINDOW_EVENTS - 1)
    inside.when(asked).then_duplicate(2)
    outside = inside.when(create_goal("one more"))
    if asked.command_type == "set_goal_priority":
        outside.when(asked).then_event("goal_priority_set")
    else:
        outside.when(asked).then_refused("illegal_transition")  # the rules hold where memory ends


def test_beyond_the_window_an_entity_still_tells_its_command() -> None:
    story = after_others(given(create_goal("goal"), add_task("task")), 3 * IDEMPOTENCY_WINDOW_EVENTS)
    assert story.state.window.find(command_id("task"), story.state.head_seq) is None
    story.when(create_goal("goal")).then_duplicate(1)
    story.when(add_task("task")).then_duplicate(2)
    assert story.when(add_task("task", title="another")).state is story.state, "no second task from one id"


def test_beyond_the_window_an_id_may_create_the_other_kind() -> None:
    story = after_others(given(create_goal("goal")), IDEMPOTENCY_WINDOW_EVENTS)
    story.when(add_task("goal")).then_event("task_added", task_id=entity("goal"))


# The window itself


def filled(count: int, start: int = 1) -> Window:
    window = Window()
    for seq in range(start, start + count):
        window = window.add(seq, command_id(str(seq)), f"{seq:064x}", seq * 10)
    return window


@pytest.mark.parametrize("head", [1, 2, 255, 256, 257, 300, 511, 512, 513, 1000])
def test_the_last_256_are_found_with_what_is_known_of_them(head: int) -> None:
    window = filled(head)
    for seq in range(1, head + 2):
        seen = window.find(command_id(str(seq)), head)
        if head - IDEMPOTENCY_WINDOW_EVENTS < seq <= head:
            assert seen is not None
            assert (seen.event_seq, seen.timestamp) == (seq, seq * 10)
            assert seen.digest == bytes.fromhex(f"{seq:064x}")[:16]
        else:
            assert seen is None


@pytest.mark.parametrize("base", [1, 100, 255, 256, 257, 700])
@pytest.mark.parametrize("count", [1, 3, 256, 300])
def test_a_window_that_begins_in_the_middle_knows_what_came_after(base: int, count: int) -> None:
    window = filled(count, base + 1)
    head = base + count
    known = [seq for seq in range(1, head + 1) if window.find(command_id(str(seq)), head) is not None]
    assert known == list(range(max(base, head - IDEMPOTENCY_WINDOW_EVENTS) + 1, head + 1))
    for seq in known:
        seen = window.find(command_id(str(seq)), head)
        assert seen is not None
        assert seen.event_seq == seq


def test_an_id_is_not_found_across_two_slots() -> None:
    window = Window().add(1, "00000000-0000-0000-0000-0000000000aa", "0" * 64, 1)
    window = window.add(2, "bb000000-0000-0000-0000-000000000000", "0" * 64, 2)
    assert window.find("aabb0000-0000-0000-0000-000000000000", 2) is None
    assert window.find("0000aabb-0000-0000-0000-000000000000", 2) is None


def test_an_overlap_that_is_found_first_does_not_hide_the_slot_itself() -> None:
    twice = "abababab-abab-abab-abab-abababababab"
    window = Window().add(1, "00000000-0000-0000-0000-00000000abab", "0" * 64, 1).add(2, twice, "0" * 64, 2)
    seen = window.find(twice, 2)
    assert seen is not None
    assert seen.event_seq == 2


def test_a_fresh_workflow_knows_nobody() -> None:
    assert State(WORKFLOW).window.find(command_id("x"), 0) is None


def test_the_id_in_a_duplicate_is_the_event_id() -> None:
    story = given(create_goal("goal"))
    event = story.events[0]
    assert event["event_id"] == event_id(event["timestamp"], WORKFLOW, 1, command_id("goal"))
