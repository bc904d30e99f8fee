"""Limits of a project: reached, and not passed."""

from typing import Any

import pytest

from continuity.core import canonical, limits
from continuity.core.state import State
from tests.spec import (
    WORKFLOW,
    Story,
    add_task,
    command,
    complete_task,
    create_goal,
    entity,
    given,
    grown,
    set_goal_status,
    start_task,
    update_checkpoint,
)  # fmt: skip


def test_a_project_has_at_most_1000_goals_done_ones_included() -> None:
    story = grown(create_goal(f"g{n}") for n in range(limits.GOALS_MAX - 1))
    story = grown([set_goal_status("g0", "done")], story)
    full = story.when(create_goal("last")).then_event("goal_created")
    full.when(create_goal("one more")).then_refused("too_many_goals", "1000")
    full.when(create_goal("last")).then_duplicate(1_001)
    full.when(set_goal_status("g1", "done")).then_event("goal_status_set")


@pytest.fixture(scope="module")
def full_project() -> Story:
    """10,000 tasks, one short."""
    return grown([create_goal("goal"), *(add_task(f"t{n}") for n in range(limits.TASKS_MAX - 1))])


def test_a_project_has_at_most_10000_tasks_done_ones_included(full_project: Story) -> None:
    story = grown([add_task("last"), start_task("t0"), complete_task("t0")], full_project)
    story = grown([create_goal("other")], story)
    for goal in ("goal", "other"):
        refused = command("add_task", {"goal_id": entity(goal), "title": "x"})
        story.at_rest(refused).then_refused("too_many_tasks", "10000")
    story.at_rest(start_task("t1")).then_event("task_started")


def test_the_checksum_and_size_of_a_large_state_are_right(full_project: Story) -> None:
    """They were kept in step by 10,000 changes; here they are computed from nothing."""
    story = grown([start_task("t5"), complete_task("t5"), update_checkpoint("t7")], full_project)
    again = State(WORKFLOW).with_changes(
        change for name in ("checkpoints", "tasks", "goals") for change in story.everything(name)
    )
    assert again.checksum == story.state.checksum
    assert again.size_bytes == story.state.size_bytes
    assert again.lookup.open_tasks == story.state.lookup.open_tasks
    assert story.state.lookup.open_tasks[entity("goal")] == limits.TASKS_MAX - 2
    written = len(canonical.dumps(story.state.work))
    assert written <= story.state.size_bytes <= written + 16


def test_a_state_has_at_most_16_mib(monkeypatch: pytest.MonkeyPatch) -> None:
    story = given(create_goal("goal"))
    grows = add_task("task", title="t" * 100)
    size = story.when(grows).state.size_bytes
    monkeypatch.setattr(limits, "STATE_BYTES_MAX", size)
    story.when(grows).then_event("task_added")
    monkeypatch.setattr(limits, "STATE_BYTES_MAX", size - 1)
    refused = story.when(grows).then_refused("state_too_large", str(size))
    assert refused.state is story.state


def test_the_limits_are_the_published_ones() -> None:
    published: dict[str, Any] = {
        "TASKS_MAX": 10_000, "GOALS_MAX": 1_000, "STATE_BYTES_MAX": 16 * 2**20, "COMMAND_BYTES_MAX": 64 * 2**10,
        "DELTA_BYTES_MAX": 512 * 2**10, "IDEMPOTENCY_WINDOW_EVENTS": 256, "JSON_DEPTH_MAX": 32,
        "JSON_INTEGER_MAX": 2**53 - 1, "STEPS_MAX": 20_000, "ATTEMPTS_MAX": 100, "SILENT_DEATHS_MAX": 5,
        "TTL_SECONDS_MAX": 86_400, "STEP_ID_CHARACTERS_MAX": 100,
    }  # fmt: skip
    assert {name: getattr(limits, name) for name in published} == published


def test_the_largest_command_makes_a_delta_within_its_limit() -> None:
    """Nothing that fits into a command can make an event that a topic or a reader refuses."""
    story = given(create_goal("goal"), add_task("task"), start_task("task"))
    wide = "\U0001f680" * 8_000
    story = story.when(
        update_checkpoint("task", left_off=wide, context_refs=["\\" * 496 + f"{n:04d}" for n in range(31)])
    )
    story.then_event("checkpoint_updated")
    assert len(story.events[-1]["delta"].encode()) <= limits.DELTA_BYTES_MAX
