import re
from pathlib import Path

import pytest

from continuity.core import commands
from continuity.core.ids import entity_id, workflow_id
from continuity.replay.mapping import prose, way
from continuity.replay.plan import plan
from tests.replay.histories import EXAMPLE, add, deps, example, notes, planned, priority, status

README = EXAMPLE.with_name("README.md")


@pytest.mark.parametrize(
    ("before", "after", "through"),
    [
        ("todo", "todo", ()),
        ("todo", "doing", ("start_task",)),
        ("todo", "done", ("start_task", "complete_task")),
        ("todo", "blocked", ("start_task", "block_task")),
        ("doing", "todo", ("pause_task",)),
        ("doing", "done", ("complete_task",)),
        ("blocked", "done", ("start_task", "complete_task")),
        ("done", "doing", ("reopen_task",)),
        ("done", "todo", ("reopen_task", "pause_task")),
    ],
)
def test_a_jump_becomes_the_allowed_commands_in_between(before, after, through):
    assert way(before, after) == through


def test_made_up_text_has_exactly_the_length_and_is_always_the_same():
    for length in (1, 2, 59, 60, 61, 999, 7_999):
        text = prose("t1:", length, 8_000)
        assert len(text) == length
        assert text == prose("t1:", length, 8_000)
        assert text.strip()
        assert "\n" not in text
    assert len(prose("t1:", 9_000, 8_000)) == 8_000
    assert len(prose("t1:", 0, 8_000)) == 1


def test_every_command_of_the_committed_history_is_well_formed():
    for each in plan(example(), "local", "tests").commands:
        commands.parse(each.command_type, each.body)


def test_parents_are_goals_and_everything_else_is_a_task():
    made = planned(add("g1"), add("t1", parent="g1"), add("t2"))
    own, goal, task, orphan = sorted(made.commands, key=lambda each: each.line)
    workflow = workflow_id("local", "tests")
    assert [own.command_type, goal.command_type, task.command_type, orphan.command_type] == [
        "create_goal", "create_goal", "add_task", "add_task",
    ]  # fmt: skip
    assert task.body["goal_id"] == entity_id(workflow, goal.command_id)
    assert orphan.body["goal_id"] == entity_id(workflow, own.command_id)
    assert own.line == 0


def test_without_tasks_of_their_own_there_is_no_goal_for_them():
    assert [each.line for each in planned(add("g1"), add("t1", parent="g1")).commands] == [1, 2]


def test_priority_is_turned_around_for_goals_and_skipped_for_tasks():
    made = planned(add("g1"), add("t1", parent="g1"), priority("g1", 0), priority("t1", 0), priority("g1", 4))
    assert [each.body["priority"] for each in made.commands if "priority" in each.body] == [2, 4, 0]
    assert [(skip.line, skip.code) for skip in made.skips] == [(4, "task_priority")]


def test_nesting_flattens():
    made = planned(add("g1"), add("g2", parent="g1"), add("t1", parent="g2"))
    assert [each.command_type for each in made.commands] == ["create_goal", "create_goal", "add_task"]
    assert made.commands[2].body["goal_id"] == entity_id(workflow_id("local", "tests"), made.commands[1].command_id)
    assert [skip.code for skip in made.skips] == ["nested_goal"]


def test_notes_become_a_checkpoint_of_that_length():
    made = planned(add("g1"), add("t1", parent="g1"), notes("t1", 1234), notes("t1", 0), notes("g1", 5))
    (checkpoint,) = [each for each in made.commands if each.command_type == "update_checkpoint"]
    assert len(checkpoint.body["where_left_off"]) == 1234
    assert [(skip.line, skip.code) for skip in made.skips] == [(4, "empty_notes"), (5, "goal_notes")]


def test_the_lengths_of_the_history_are_kept():
    history = example()
    by_line = {each.line: each for each in plan(history, "local", "tests").commands if each.step == 0}
    for fact in history.facts:
        if fact.op != "add":
            continue
        body = by_line[fact.line].body
        if fact.id in history.parents:
            assert len(body["text"]) == fact.title_length + fact.text_length
        else:
            assert len(body["title"]) == fact.title_length
            assert sum(map(len, body.get("acceptance_criteria", []))) == fact.text_length


def test_dependencies_amend_and_a_goal_is_none():
    made = planned(
        add("g1"), add("t1", parent="g1"), add("t2", parent="g1", depends_on=["g1", "t1"]), deps("t2"), deps("g1", "t1")
    )
    of_adding, of_amending = [each.body["depends_on"] for each in made.commands if "depends_on" in each.body]
    assert (len(of_adding), of_amending) == (1, [])
    assert [(skip.line, skip.code) for skip in made.skips] == [(3, "depends_on_goal"), (5, "goal_dependencies")]


def test_a_goal_is_active_or_done():
    made = planned(
        add("g1"),
        add("t1", parent="g1"),
        status("g1", "todo", "doing"),
        status("g1", "doing", "done"),
        status("g1", "done", "todo"),
    )
    assert [each.body.get("status") for each in made.commands] == [None, None, "done", "active"]
    assert [(skip.line, skip.code) for skip in made.skips] == [(3, "goal_active")]


def test_whoever_is_named_acts():
    made = planned(add("t1"), status("t1", "todo", "doing", who="agent-7"))
    assert {(each.operator_id, each.operator_kind) for each in made.commands} == {
        ("tracker", "automation"), ("agent-7", "agent"),
    }  # fmt: skip


def test_command_ids_are_of_project_line_and_step():
    mine, again, other = (plan(example(), "local", project).commands for project in ("one", "one", "two"))
    assert mine == again
    ids = {each.command_id for each in mine}
    assert len(ids) == len(mine)
    assert not ids & {each.command_id for each in other}


def test_the_readme_has_the_counts_of_each_kind():
    rows = re.findall(r"^\| (\w[^|]*) \| ([^|]*) \| ([\d,]+) \|$", Path(README).read_text(), re.MULTILINE)
    counts = plan(example(), "local", "tests").counts
    assert rows == [
        (each.kind, " ".join(f"`{one}`" for one in each.becomes) or "skipped", f"{each.facts:,}") for each in counts
    ]
    assert sum(each.facts for each in counts) == 3434
