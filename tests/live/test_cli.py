"""The command line as a process on the whole stack."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.stack


def test_a_person_drives_a_project_from_the_shell_with_nothing_set_but_the_folder(run, project):
    goal = run("goal", "create", "Release", "--priority", "5")["goal_id"]
    task = run("task", "add", goal, "Write")["task_id"]
    run("task", "start", task)
    seq = run("checkpoint", task, "--left-off", "Half.", "--next", "Go on", "-r", "a.py", "--wait", "materialized")
    assert seq["next_step"]["next_step"] == "Go on"
    assert run("next")["next_step"] == "Go on"
    assert run("task", "start", task, code=3)["code"] == "illegal_transition"
    assert [each["title"] for each in run("state")["tasks"]] == ["Write"]
    assert run("events")["events"] == 4
    assert project in {each["project"] for each in run("projects")["projects"]}


def test_a_script_executes_by_its_token_and_tells_the_refusals_apart(run, tmp_path):
    goal = run("goal", "create", "Release")["goal_id"]
    task = run("task", "add", goal, "Write", "--wait", "materialized")["task_id"]
    token = str(run("claim", "--owner", "ann", "--ttl", "300")["lease"]["token"])
    assert run("claim", task, "--owner", "bob", code=9)["code"] == "lease_held"
    assert run("claim", "--owner", "bob", code=10)["code"] == "nothing_to_claim"
    assert run("task", "complete", task, code=9)["code"] == "token_needed"
    assert run("next", "--for", "bob")["action"] == "propose_tasks"
    assert run("lease", "renew", "--token", token)["status"] == "answered"
    step = ("step", "begin", "print", "--type", "pure", "--token", token)
    attempt = str(run(*step)["step"]["attempt_id"])
    printed = tmp_path / "printed.txt"
    printed.write_text("200 pages")
    run("step", "complete", "print", attempt, "--result", str(printed), "--token", token)
    assert run(*step)["step"]["status"] == "already_completed"
    run("task", "complete", task, "--token", token)
    assert run("lease", "release", "--token", token, code=11)["code"] == "fenced"
    assert run("late-results")["late_results"] == []


def test_events_end_quietly_when_nobody_reads_on(live, project):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CONTINUITY_")}
    with live.work(project) as work:
        for number in range(50):
            work.create_goal("x" * 1_000, number)
    program = f"{sys.executable} -m continuity.cli events --json -p {project} | head -n 1; exit ${{PIPESTATUS[0]}}"
    environment = {**plain, "CONTINUITY_HOME": str(live.settings.data_dir)}
    ended = subprocess.run(
        ["bash", "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["event_seq"] == 1


def test_status_is_well(run):
    found = run("status")
    assert found["running"] is True
    assert {part["name"]: part["state"] for part in found["parts"]}["api"] == "ready"


def test_a_second_start_is_refused_with_the_reason(run):
    assert run("up", code=8)["code"] == "already_running"


def test_a_rebuild_changes_no_answer(run):
    run("goal", "create", "Release", "--wait", "materialized")
    before = run("next")
    assert run("rebuild")["events"] >= 1
    assert run("next") == before
