"""The two ways to see the product at work, `run` and `run --once`, on the real stack, as a newcomer meets them."""

import json
import re

import pytest

from tests.replay.histories import add, notes, status
from tests.tour.conftest import PROGRAM, Tour

pytestmark = pytest.mark.stack

FIELDS = ["ok", "events", "rejected", "resumed_same_step", "state_checksum_match", "next_step_match", "seconds"]


@pytest.fixture(scope="module")
def answer(tour):
    return tour.answer()


def test_the_answer_is_one_object(answer):
    assert list(answer) == FIELDS
    assert [answer[name] for name in FIELDS[:-1]] == [True, 3902, 136, True, True, True]
    assert 0 < answer["seconds"] < 400


def test_the_story_tells_what_happened(tour):
    story = tour.story
    assert "the same step, context and checksum as before the kill: " in story
    assert "the same next step and checksum as before the stop: " in story
    assert "3,434 facts: 2,565 applied, 136 refused, 733 skipped\n" in story
    assert "50 positions" in story
    assert "✗ not" not in story
    assert "Traceback" not in story


def test_the_agent_was_killed_and_the_other_one_is_another_process(tour):
    first, second = re.findall(r"\(process (\d+)\)", tour.story)
    assert first != second
    assert "Ada is gone" in tour.story


def test_what_it_says_to_try_works_when_pasted(tour):
    lines = [line.strip() for line in tour.story.partition("Try, in another terminal:")[2].splitlines()]
    commands = [line for line in lines if line.startswith(("export ", str(PROGRAM), "continuity ", ".venv", "curl "))]
    assert len(commands) == 6
    came = [tour.shell(command) for command in commands]
    assert "Ask the on-call person for a time to switch" in came[1]
    assert "task_completed" in came[2]
    assert "tracker-" in came[3]
    assert json.loads(came[5])["action"] == "continue"


def test_a_second_start_on_the_same_folder_is_refused_while_it_runs(tour):
    second = Tour(tour.environment["CONTINUITY_HOME"], "--once", "--json")
    found = second.answer()
    assert (second.ended(), found["ok"], found["code"]) == (8, False, "already_running")


def replay(tour, path, project, code=0):
    line = tour.shell(f"{PROGRAM} replay {path} --project {project} --json; test $? -eq {code}")
    return json.loads(line)


def test_a_replay_may_be_repeated_and_only_adds_what_is_new(tour, tmp_path):
    history = [add("g1"), add("t1", "doing", parent="g1"), add("t2", depends_on=["t1"]), notes("t1", 300)]
    path = tmp_path / "small.jsonl"
    path.write_text("\n".join(map(json.dumps, history)))
    first, again = replay(tour, path, "small"), replay(tour, path, "small")
    assert (first["ok"], first["events"], first["duplicates"]) == (True, 6, 0)
    assert (again["ok"], again["events"], again["duplicates"]) == (True, 6, 6)
    assert again["state_checksum"] == first["state_checksum"]
    later = [status("t2", "todo", "doing", t=2), status("t1", "doing", "done", t=3)]
    path.write_text("\n".join(map(json.dumps, history + later)))
    more = replay(tour, path, "small")
    assert (more["ok"], more["events"], more["duplicates"], more["refused"]) == (True, 7, 6, 1)


def test_a_refusal_that_is_not_on_the_list_fails_the_replay(tour, tmp_path):
    path = tmp_path / "listed.jsonl"
    path.write_text("\n".join(map(json.dumps, [add("t1"), add("t2", "done", depends_on=["t1"])])))
    path.with_suffix(".expected.json").write_text("[]")
    report = replay(tour, path, "listed", code=1)
    assert (report["ok"], report["code"]) == (False, "checks_failed")
    assert [(each["line"], each["code"]) for each in report["unexpected"]] == [(2, "unmet_dependencies")]


def test_another_history_does_not_go_into_the_same_project(tour, tmp_path):
    path = tmp_path / "other.jsonl"
    path.write_text(json.dumps(add("t9")))
    replay(tour, path, "taken")
    path.write_text(json.dumps(add("t8")))
    assert replay(tour, path, "taken", code=8)["code"] == "configuration"


def test_ctrl_c_stops_everything_and_the_folder_serves_a_second_run(tour):
    assert tour.end() == 0
    assert "Everything is stopped." in tour.story
    assert json.loads(tour.shell(f"{PROGRAM} status --json; true"))["running"] is False
    second = Tour(tour.environment["CONTINUITY_HOME"], "--once", "--json")
    found = second.answer()
    assert second.ended() == 0
    assert [found[name] for name in FIELDS[:-1]] == [True, 3902, 136, True, True, True]
    assert json.loads(tour.shell(f"{PROGRAM} status --json; true"))["running"] is False
