"""The command line over real HTTP: what it sends, prints and exits with, for people and for programs."""

import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from continuity import keys
from continuity.cli import views
from continuity.cli.exits import MEANINGS, Exit
from continuity.core.refusals import REFUSALS
from continuity.errors import IntegrityError, Retryable

ID = "00000000-0000-4000-8000-000000000006"
VERBS = [
    (["goal", "create", "Ship", "--priority", "-5"], "create_goal", {"text": "Ship", "priority": -5}),
    (["goal", "status", ID, "done"], "set_goal_status", {"goal_id": ID, "status": "done"}),
    (["goal", "priority", ID, "-5"], "set_goal_priority", {"goal_id": ID, "priority": -5}),
    (["task", "add", ID, "Write"], "add_task", {"goal_id": ID, "title": "Write"}),
    (
        ["task", "add", ID, "Write", "-c", "a", "-c", "b", "-d", ID],
        "add_task",
        {"goal_id": ID, "title": "Write", "acceptance_criteria": ["a", "b"], "depends_on": [ID]},
    ),
    (["task", "amend", ID, "--title", "Read"], "amend_task", {"task_id": ID, "title": "Read"}),
    (["task", "start", ID], "start_task", {"task_id": ID}),
    (["task", "pause", ID, "--reason", "lunch"], "pause_task", {"task_id": ID, "reason": "lunch"}),
    (["task", "block", ID, "no key"], "block_task", {"task_id": ID, "blocker": {"text": "no key"}}),
    (
        ["task", "block", ID, "no key", "--clears-when", "ops answer"],
        "block_task",
        {"task_id": ID, "blocker": {"text": "no key", "clears_when": "ops answer"}},
    ),
    (["task", "complete", ID, "--evidence", "green"], "complete_task", {"task_id": ID, "evidence": "green"}),
    (["task", "reopen", ID], "reopen_task", {"task_id": ID}),
    (
        ["checkpoint", ID, "--left-off", "Half.", "--next", "Go on", "--ref", "a.py", "-r", "b.py"],
        "update_checkpoint",
        {"task_id": ID, "where_left_off": "Half.", "next_step": "Go on", "context_refs": ["a.py", "b.py"]},
    ),
    (["lease", "acquire", "-o", "me", "--ttl", "9"], "acquire_lease", {"owner_id": "me", "ttl_seconds": 9}),
    (["lease", "renew", "--token", "7"], "renew_lease", {}),
    (["lease", "renew", "--task", ID, "--token", "7"], "renew_lease", {"task_id": ID}),
    (["lease", "release", "--token", "7"], "release_lease", {}),
    (["lease", "release", "--task", ID, "--force"], "release_lease", {"task_id": ID, "force": True}),
    (["claim", "--owner", "me"], "claim_task", {"owner_id": "me", "ttl_seconds": 300}),
    (["claim", ID, "-o", "me"], "claim_task", {"owner_id": "me", "ttl_seconds": 300, "task_id": ID}),
    (["step", "begin", "a.b", "--type", "pure"], "begin_step", {"step_id": "a.b", "step_type": "pure"}),
    (["step", "complete", "a", "2"], "complete_step", {"step_id": "a", "attempt_id": 2}),
    (["rollback", "--to-seq", "3"], "rollback", {"to_seq": 3}),
    (["step", "fail", "a", "2", "--error", "no"], "fail_step", {"step_id": "a", "attempt_id": 2, "error": "no"}),
]
STEP: Any = {
    "action": "continue", "task_id": ID, "goal_id": ID, "title": "Write [the] parser",
    "next_step": "Run the failing test", "where_we_left_off": "Half.", "required_context_refs": ["a.py", "b.py"],
    "blockers": [{"text": "no key", "clears_when": "ops answer"}], "as_of_seq": 12, "state_checksum": "ab" * 32,
    "rank": {"rule": 1, "name": "doing", "key": [12]},
}  # fmt: skip


@pytest.mark.parametrize(("words", "command_type", "body"), VERBS, ids=[" ".join(row[0][:3]) for row in VERBS])
def test_a_verb_sends_its_command(run, stage, words, command_type, body):
    code, out, err = run(*words, "--json")
    assert (code, err) == (Exit.OK, "")
    assert json.loads(out)["ok"] is True
    request, _ = stage.commands.sent[0]
    assert (request.command_type, request.body, request.project) == (command_type, body, "known")


def test_options_of_every_command_travel(run, stage):
    given = ["-p", "other", "--command-id", ID, "--expected-seq", "7", "--token", "9", "--wait", "durable", "--json"]
    code, out, _ = run("task", "start", ID, *given)
    request, wait = stage.commands.sent[0]
    assert (request.project, request.command_id, request.expected_seq, wait) == ("other", ID, 7, "durable")
    assert request.fencing_token == 9
    assert (code, json.loads(out)["status"]) == (0, "durable")


def test_a_person_reads_the_outcome_and_the_new_id(run):
    code, out, _ = run("goal", "create", "Ship")
    assert code == Exit.OK
    assert "goal_created" in out
    assert "event 1" in out


def test_a_person_reads_the_next_step_whole(capfd):
    views.next_step(STEP)
    out = capfd.readouterr().out
    assert "Continue  Write [the] parser" in out
    for words in (STEP["next_step"], "Half.", "a.py", "b.py", "no key — clears when ops answer", ID, "event 12"):
        assert words in out


def test_a_person_reads_what_a_claim_took_over(run, stage):
    late = {"refused_at": "2026-01-01T00:00:00.000000Z", "step_id": "pay", "attempt_id": 1, "fencing_token": 6}
    stage.reads.late = [late | {"operator_id": "me", "result_ref": "cd" * 32, "result_checksum": "ef" * 32}]
    handover = {
        "predecessor": {"owner_id": "ann", "token": 6, "reason": "expired"},
        "checkpoint": {"where_we_left_off": "Half [way].", "next_step": "Go on"},
        "open_attempts": [{"step_id": "pay", "step_type": "non_idempotent", "attempt_id": 1}],
    }
    lease = {"token": 7, "expires_at": "2026-01-01T00:01:00.000000Z", "ttl_seconds": 60, "task_id": ID}
    stage.commands.results["claim_task"] = lease | {"handover": handover}
    code, out, _ = run("claim", "--owner", "me")
    assert code == Exit.OK
    for words in ("token", "7", "ann", "Half [way].", "Go on", "pay (non_idempotent), attempt 1", "cd" * 32):
        assert words in out


def test_a_result_is_stored_from_a_file(run, stage, tmp_path):
    file = tmp_path / "prices.json"
    file.write_bytes(b"[1]")
    code, _, _ = run("step", "complete", "a", "1", "--result", str(file), "--token", "7", "--json")
    request, _ = stage.commands.sent[0]
    assert code == Exit.OK
    assert request.body["result_ref"] in stage.blobs.kept
    assert request.body["result_checksum"] == hashlib.sha256(b"[1]").hexdigest()
    code, out, _ = run("step", "complete", "a", "1", "--result", str(tmp_path / "nowhere"), "--json")
    assert (code, json.loads(out)["ok"]) == (Exit.CONFIGURATION, False)


def test_a_claim_anywhere_names_its_project_and_no_project_is_needed(run, stage, monkeypatch):
    monkeypatch.delenv("CONTINUITY_PROJECT")
    stage.assignments.projects = ["known"]
    code, out, _ = run("claim", "--owner", "me", "--anywhere", "--json")
    assert (code, json.loads(out)["project"]) == (Exit.OK, "known")
    code, out, _ = run("claim", ID, "--owner", "me", "--anywhere", "--json")
    assert (code, json.loads(out)["code"]) == (Exit.USAGE, "invalid_field")
    stage.assignments.projects = []
    assert run("claim", "--owner", "me", "--anywhere", "--json")[0] == Exit.NOTHING_TO_CLAIM


def test_late_results_are_shown(run, stage):
    code, out, _ = run("late-results", "--json")
    assert (code, json.loads(out)) == (Exit.OK, {"ok": True, "late_results": []})
    assert stage.reads.asked[-1]["task_id"] is None
    assert run("late-results", ID)[0] == Exit.OK
    assert stage.reads.asked[-1]["task_id"] == ID


def test_questions_answer_programs_in_one_object(run):
    for verb in ("next", "state", "projects"):
        code, out, _ = run(verb, "--json")
        assert (code, json.loads(out)["ok"]) == (0, True)
    code, out, _ = run("outcome", "a" + ID[1:], "--json")
    assert (code, json.loads(out)["status"]) == (0, "accepted")


def test_events_are_lines_and_then_the_closing_object(run, stage):
    fields: dict[str, Any] = {"payload": '{"title":"x"}', "delta": "[]", "event_type": "task_added"}
    fields |= {"operator_id": "me"}
    fields |= {"timestamp": 0, "task_id": ID, "goal_id": ID}
    stage.reads.journal = [{"event_seq": seq, **fields} for seq in (1, 2)]
    code, out, _ = run("events", "--json")
    first, second, last = map(json.loads, out.splitlines())
    assert (code, first["event_seq"], second["event_seq"]) == (0, 1, 2)
    assert last == {"ok": True, "events": 2}
    code, out, _ = run("events")
    assert (code, len(out.splitlines())) == (0, 2)


EXITS = {
    401: Exit.UNAUTHORIZED,
    404: Exit.NOT_FOUND,
    413: Exit.USAGE,
    422: Exit.USAGE,
    500: Exit.UNAVAILABLE,
    503: Exit.UNAVAILABLE,
}
EXITS_BY_CODE = {
    "lease_held": Exit.HELD,
    "token_needed": Exit.HELD,
    "nothing_to_claim": Exit.NOTHING_TO_CLAIM,
    "fenced": Exit.FENCED,
}
"""What executors have to tell apart: somebody has it, there is nothing, and stop."""


@pytest.mark.parametrize("code", sorted(set(REFUSALS) - {"integrity"}))
def test_every_refusal_ends_in_one_object_and_a_telling_exit_code(run, stage, code):
    stage.commands.refuse_with = (code, "Because.")
    exit_code, out, err = run("task", "start", ID, "--json")
    told = json.loads(out.splitlines()[-1])
    assert (told["ok"], told["code"], told["detail"], told["fix"]) == (False, code, "Because.", REFUSALS[code].fix)
    assert told["command_id"]
    assert exit_code == EXITS_BY_CODE.get(code, EXITS.get(REFUSALS[code].http_status, Exit.REFUSED))
    assert err == ""


def test_a_person_reads_what_went_wrong_and_what_to_do_on_stderr(run, stage):
    stage.commands.refuse_with = ("illegal_transition", "Task [7] is todo.")
    code, out, err = run("task", "complete", ID)
    assert (code, out) == (Exit.REFUSED, "")
    assert "✗ Task [7] is todo. (illegal_transition)" in err
    assert "→ " + REFUSALS["illegal_transition"].fix in err


FAILURES = [
    (["next", "-p", "nowhere"], Exit.NOT_FOUND, "unknown_project"),
    (["outcome", ID.replace(ID[0], "b", 1)], Exit.NOT_FOUND, "unknown_command_id"),
    (["launch"], Exit.USAGE, "usage"),
    (["task", "launch"], Exit.USAGE, "usage"),
    (["task", "start"], Exit.USAGE, "usage"),
    (["task", "start", ID, "--force"], Exit.USAGE, "usage"),
    (["goal", "create", "x", "--priority", "high"], Exit.USAGE, "usage"),
    (["goal", "create", "x", "--expected-seq", "-1"], Exit.USAGE, "usage"),
    (["goal", "create", ""], Exit.USAGE, "invalid_field"),
    (["goal", "create", "x", "-p", "Bad Name"], Exit.USAGE, "invalid_field"),
    (["goal", "create", "x", "--wait", "soon"], Exit.USAGE, "invalid_field"),
    (["task", "start", "7"], Exit.USAGE, "invalid_field"),
    (["next", "-p", ""], Exit.USAGE, "missing_field"),
    (["status"], Exit.CONFIGURATION, "not_running"),
    (["key", "revoke", "nobody"], Exit.CONFIGURATION, "configuration"),
]


@pytest.mark.parametrize(("words", "exit_code", "code"), FAILURES, ids=[" ".join(row[0])[:40] for row in FAILURES])
def test_a_failure_ends_in_one_object_and_a_telling_exit_code(run, words, exit_code, code):
    found, out, err = run(*words, "--json")
    told = json.loads(out.splitlines()[-1])
    assert (found, told["ok"], told["code"]) == (exit_code, False, code)
    assert told["detail"]
    assert told["fix"]
    assert err == ""
    found, out, err = run(*words)
    assert (found, out.count("{")) == (exit_code, 0)
    assert "✗" in err


def test_an_outage_and_damage_have_codes_of_their_own(run, stage):
    stage.reads.failure = Retryable("Away.")
    assert run("next", "--json")[0] == Exit.UNAVAILABLE
    stage.reads.failure = IntegrityError("Damaged.", workflow_id="w", event_seq=3)
    assert run("state", "--json")[0] == Exit.INTEGRITY


def test_no_key_and_a_wrong_key(run, monkeypatch):
    monkeypatch.setenv("CONTINUITY_KEY", "wrong")
    assert run("next", "--json")[0] == Exit.UNAUTHORIZED
    monkeypatch.delenv("CONTINUITY_KEY")
    assert run("next", "--json")[0] == Exit.UNAUTHORIZED


def test_a_defect_still_gives_a_program_its_object(run, monkeypatch):
    monkeypatch.setattr("continuity.cli.options.connect", lambda _: 1 / 0)
    monkeypatch.setattr("continuity.cli.questions.connect", lambda _: 1 / 0)
    code, out, _ = run("next", "--json")
    assert (code, json.loads(out)["code"]) == (Exit.UNEXPECTED, "unexpected")


def test_keys_are_issued_listed_and_revoked(run, tmp_path):
    code, out, _ = run("key", "issue", "agent-7", "--tenant", "acme", "--json")
    made = json.loads(out)
    assert code == 0
    caller = keys.Keyring(tmp_path).caller(made["key"])
    assert caller is not None
    assert caller[:3] == ("acme", "agent-7", "agent")
    code, out, _ = run("key", "list", "--json")
    assert json.loads(out)["keys"] == [caller._asdict()]
    assert run("key", "revoke", caller.key_id)[0] == 0
    assert run("key", "list")[1] == ""


def test_help_names_every_exit_code(run):
    code, out, _ = run("--help")
    assert code == 0
    text = " ".join(out.replace("│", " ").split())
    assert all(f"{int(number)} {meaning}" in text for number, meaning in MEANINGS.items())


def test_as_a_process_its_exit_code_and_last_line_are_the_same(stage, tmp_path):
    found = {"CONTINUITY_API_URL": str(stage.http.base_url), "CONTINUITY_KEY": stage.key}
    environment = {**os.environ, "CONTINUITY_HOME": str(tmp_path), **found}
    words = [sys.executable, "-m", "continuity.cli", "next", "-p", "nowhere", "--json"]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == Exit.NOT_FOUND
    assert json.loads(ended.stdout.splitlines()[-1])["code"] == "unknown_project"
    assert ended.stderr == ""


def test_parsing_loads_neither_httpx_nor_rich_nor_a_broker():
    heavy = ("httpx", "rich", "confluent_kafka", "psycopg", "fastapi", "continuity.core")
    program = f"import sys, continuity.cli.app as a; a.build(); print([m for m in {heavy} if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.strip() == "[]"
