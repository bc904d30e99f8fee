"""The fold: total for every known event, and loud about any other."""

from typing import Any

import pytest

from continuity.core.evolve import UnknownEventType, changes, evolve
from continuity.core.state import State
from continuity.core.transitions import EVENT_TYPES
from tests.spec import WORKFLOW, add_task, complete_task, create_goal, given, start_task


def test_every_event_type_has_an_evolution() -> None:
    for event_type in EVENT_TYPES.values():
        if event_type in ("lease_released", "project_forked"):
            assert changes(State(WORKFLOW), event_type, {}, 1, "") == []  # known, and there is nothing to change here
            continue
        if event_type == "rolled_back":
            continue  # its delta is applied: see test_history
        with pytest.raises(KeyError):  # known, and it looks for what the payload names
            changes(State(WORKFLOW), event_type, {}, 1, "")


def test_an_unknown_type_is_never_skipped() -> None:
    event: Any = dict(given(create_goal("goal")).events[0]) | {"event_type": "goal_painted"}
    with pytest.raises(UnknownEventType, match="goal_painted"):
        evolve(State(WORKFLOW), event)


def test_facts_are_folded_though_a_rule_of_today_would_refuse_them() -> None:
    """Only `decide` judges: history under older rules stays readable."""
    story = given(create_goal("goal"), add_task("task"), start_task("task"), complete_task("task"))
    again: Any = dict(story.events[2]) | {"event_seq": 5}
    assert evolve(story.state, again).tasks[story.events[1]["task_id"] or ""]["status"] == "doing"


def test_events_can_be_given_instead_of_commands() -> None:
    events = given(create_goal("goal"), add_task("task")).events
    given(*events).when(start_task("task")).then_event("task_started")
