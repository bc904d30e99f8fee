"""Every code that the core can give: one example each, and no code that is not in the table."""

import ast
from pathlib import Path
from typing import Any

import pytest

from continuity import core
from continuity.core import canonical, commands, limits
from continuity.core.canonical import InvalidJson
from continuity.core.fields import FormError
from continuity.core.records import Command
from continuity.core.refusals import REFUSALS
from tests.spec import (
    Story,
    acquire,
    add_task,
    amend_task,
    begin_step,
    claim,
    command,
    command_id,
    complete_step,
    complete_task,
    create_goal,
    entity,
    fail_step,
    given,
    release,
    set_goal_status,
    start_task,
)  # fmt: skip

GOAL, TASK = create_goal("goal"), add_task("task")
FINISHED = given(GOAL, TASK, start_task("task"), complete_task("task"), set_goal_status("goal", "done"))
HELD = given(GOAL, TASK, acquire("ada", 60))
BEGUN = HELD.when(begin_step("fetch", 1))
DECIDED: dict[str, tuple[Story, Command]] = {
    "unknown_command": (given(), command("drop", {})),
    "missing_field": (given(), command("create_goal", {})),
    "unknown_field": (given(), command("create_goal", {"text": "x", "colour": "red"})),
    "invalid_field": (given(), create_goal("goal", " ")),
    "json_syntax": (given(), command("create_goal", "{ }")),
    "json_string": (given(), command("create_goal", '{"text":"\\u0000"}')),
    "command_too_large": (given(), command("create_goal", "x" * (limits.COMMAND_BYTES_MAX + 1))),
    "idempotency_key_reused": (given(GOAL), create_goal("goal", "another")),
    "predecessor_missing": (given(), create_goal("goal", after=command_id("nobody"))),
    "expected_seq_mismatch": (given(), create_goal("goal", expected_seq=1)),
    "fenced": (given(), create_goal("goal", fencing_token=1)),
    "unknown_goal": (given(), TASK),
    "unknown_task": (given(), start_task("task")),
    "unknown_dependency": (given(GOAL), add_task("late", after=("task",))),
    "dependency_cycle": (given(GOAL, TASK), amend_task("task", depends_on=[entity("task")])),
    "unmet_dependencies": (given(GOAL, TASK, add_task("late", after=("task",))), start_task("late")),
    "illegal_transition": (given(GOAL, TASK), complete_task("task")),
    "goal_paused": (given(GOAL, TASK, set_goal_status("goal", "paused")), start_task("task")),
    "goal_done": (FINISHED, add_task("late")),
    "goal_has_open_tasks": (given(GOAL, TASK), set_goal_status("goal", "done")),
    "token_needed": (HELD, start_task("task")),
    "lease_held": (HELD, acquire("bob")),
    "lease_expired": (HELD.later(60), begin_step("fetch", 1)),
    "not_held": (given(GOAL), release(force=True)),
    "nothing_to_claim": (given(GOAL), claim("ada")),
    "unknown_step": (HELD, complete_step("fetch", 1, 1)),
    "unknown_attempt": (BEGUN, complete_step("fetch", 2, 1)),
    "step_conflict": (BEGUN, begin_step("fetch", 1, kind="pure")),
    "step_in_progress": (BEGUN, begin_step("fetch", 1)),
    "attempt_closed": (BEGUN.when(fail_step("fetch", 1, 1)), complete_step("fetch", 1, 1)),
    "no_such_seq": (given(GOAL), command("rollback", {"to_seq": 1})),
    "project_exists": (given(GOAL), command("fork_project", {"from_project": "other", "at_seq": 1})),
    "step_completed": (BEGUN.when(complete_step("fetch", 1, 1)), fail_step("fetch", 1, 1)),
}
BY_LIMIT: dict[str, tuple[str, Story, Command]] = {
    "too_many_goals": ("GOALS_MAX", given(), GOAL),
    "too_many_tasks": ("TASKS_MAX", given(GOAL), TASK),
    "too_many_steps": ("STEPS_MAX", HELD, begin_step("fetch", 1)),
    "too_many_attempts": ("ATTEMPTS_MAX", BEGUN.when(fail_step("fetch", 1, 1)), begin_step("fetch", 1)),
    "state_too_large": ("STATE_BYTES_MAX", given(), GOAL),
    "delta_too_large": ("DELTA_BYTES_MAX", given(), GOAL),
}
BY_TEXT = {
    "json_float": "1.5",
    "json_duplicate_key": '{"a":1,"a":1}',
    "json_number_range": "9007199254740992",
    "json_depth": "[" * 33 + "]" * 33,
}


@pytest.mark.parametrize("code", DECIDED)
def test_refused(code: str) -> None:
    story, asked = DECIDED[code]
    refused = story.when(asked).then_refused(code)
    assert refused.state is story.state


@pytest.mark.parametrize("code", BY_LIMIT)
def test_refused_at_a_limit(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, story, asked = BY_LIMIT[code]
    monkeypatch.setattr(limits, limit, 0)
    story.when(asked).then_refused(code)


@pytest.mark.parametrize("code", BY_TEXT)
def test_refused_as_text(code: str) -> None:
    with pytest.raises(InvalidJson) as refusal:
        canonical.loads(BY_TEXT[code])
    assert refusal.value.code == code


def given_in_source() -> set[Any]:
    """The literal codes that stand in `core`: first arguments of whatever carries one."""
    found = set()
    for path in Path(core.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name in ("Refusal", "Rejected", "FormError", "InvalidJson"):
                found |= {each.value for each in node.args[:1] if isinstance(each, ast.Constant)}
    return {each for each in found if isinstance(each, str)}  # the table's own rows begin with a number


def test_these_are_all_the_codes_that_the_core_gives() -> None:
    examples: set[Any] = {*DECIDED, *BY_LIMIT, *BY_TEXT}
    assert given_in_source() == examples
    assert examples <= REFUSALS.keys()


def test_every_refusal_has_a_status_and_a_fix() -> None:
    for code, refusal in REFUSALS.items():
        assert 400 <= refusal.http_status < 600, code
        assert refusal.fix.endswith("."), code


def test_a_form_error_carries_a_code_of_the_table() -> None:
    with pytest.raises(FormError) as error:
        commands.parse("create_goal", {"text": 1})
    assert error.value.code in REFUSALS
