"""The verbs of a review, for people and for programs: what they ask, print and exit with."""

import json
from typing import Any

import pytest

from continuity.cli import review_views
from continuity.cli.exits import Exit
from continuity.core.explain import explain
from continuity.review import NoSuchSeq, wording
from tests.core.test_restore import EVENTS
from tests.review.incidents import lines_of, packed
from tests.spec import WORKFLOW, add_task, block_task, create_goal, given, set_goal_status, start_task

TASK = "11111111-1111-4111-8111-111111111111"
ASKED = [
    (["state", "--at-seq", "2"], ("state", 2)),
    (["next", "--at-seq", "2", "--for", "ada"], ("next_step", 2, "ada")),
    (["explain"], ("explain", None, None)),
    (["explain", "--at-seq", "2", "--for", "ada"], ("explain", 2, "ada")),
    (["diff", "1", "2"], ("diff", 1, 2)),
    (["diff", "0"], ("diff", 0, None)),
    (["snapshots"], ("snapshots", 100)),
]


@pytest.fixture
def deadline_seconds():
    return 5.0


@pytest.fixture
def incident(tmp_path):
    path = tmp_path / "incident.jsonl.zst"
    path.write_bytes(packed(lines_of(EVENTS)))
    return path


@pytest.mark.parametrize(("words", "asked"), ASKED, ids=[" ".join(words) for words, _ in ASKED])
def test_a_verb_asks_its_question(run, stage, monkeypatch, words, asked):
    monkeypatch.setattr(stage.past, "_told", lambda *how: stage.past.asked.append(how[2:]) or {"snapshots": []})
    code, out, err = run(*words, "--json")
    assert (code, err) == (Exit.OK, "")
    assert json.loads(out)["ok"] is True
    assert stage.past.asked == [asked]


def test_what_is_not_there_has_its_exit_code(run, stage):
    stage.past.failure = NoSuchSeq(9, 3)
    code, out, _ = run("state", "--at-seq", "9", "--json")
    assert (code, json.loads(out)["code"]) == (Exit.REFUSED, "no_such_seq")
    stage.past.failure = None
    assert run("explain", "-p", "nowhere", "--json")[0] == Exit.NOT_FOUND


def test_a_whole_file_is_verified_without_any_service(run, incident, monkeypatch):
    monkeypatch.setenv("CONTINUITY_API_URL", "http://127.0.0.1:1")
    code, out, _ = run("verify", str(incident), "--json")
    told = json.loads(out)
    assert code == Exit.OK
    assert told["ok"] is True
    assert (told["workflows"], told["events"], told["problems"]) == (1, len(EVENTS), [])
    code, out, _ = run("verify", str(incident))
    assert code == Exit.OK
    assert "all as it was written" in out


def test_a_broken_file_ends_in_a_code_of_its_own_and_names_the_place(run, incident):
    lines = lines_of(EVENTS)
    incident.write_bytes(packed(lines[:5] + lines[6:]))
    code, out, _ = run("verify", str(incident), "--json")
    told = json.loads(out)
    assert (code, told["ok"]) == (Exit.INTEGRITY, False)
    first = told["problems"][0]
    assert (first["workflow_id"], first["line"], first["event_seq"], first["field"]) == (WORKFLOW, 6, 6, "event_seq")
    code, out, _ = run("verify", str(incident))
    assert code == Exit.INTEGRITY
    assert "line 6, event 6, event_seq" in out


def test_no_file_and_a_file_beside_all_are_told_apart(run, incident, tmp_path):
    assert run("verify", str(tmp_path / "nothing"), "--json")[0] == Exit.CONFIGURATION
    assert run("verify", str(incident), "--all", "--json")[0] == Exit.USAGE


def test_a_bad_verdict_about_a_project_is_an_answer_with_a_code(run, stage, monkeypatch):
    problem = {"workflow_id": "w", "event_seq": 3, "field": "delta", "where": "fold", "detail": "It is damaged."}
    verdict = {"ok": False, "workflows": 1, "events": 2, "problems": [problem]}
    monkeypatch.setattr(stage.past, "verify", lambda *_: verdict)
    code, out, _ = run("verify", "--json")
    assert (code, json.loads(out)) == (Exit.INTEGRITY, verdict)
    code, out, _ = run("verify")
    assert "w, event 3, delta (fold)" in out


def test_an_export_that_was_cut_or_met_damage_leaves_no_file(run, stage, tmp_path):
    target = tmp_path / "out.zst"
    lines = lines_of(EVENTS)
    stage.past.pieces = [packed(lines)]
    code, out, _ = run("export", "known", "-o", str(target), "--json")
    assert (code, json.loads(out)["events"]) == (Exit.OK, len(EVENTS))
    whole = target.read_bytes()
    stage.past.pieces = [packed(lines[:-1])]
    assert run("export", "known", "-o", str(target), "--json")[0] == Exit.UNAVAILABLE
    damage = b'{"problem":{"detail":"Event 3 is damaged.","event_seq":3,"field":"delta"}}\n'
    stage.past.pieces = [packed([*lines[:-1], damage])]
    code, out, _ = run("export", "known", "-o", str(target), "--json")
    told = json.loads(out)
    assert (code, told["code"], told["event_seq"], told["field"]) == (Exit.INTEGRITY, "integrity", 3, "delta")
    assert target.read_bytes() == whole, "what stood there stays until all has come"
    assert [each.name for each in tmp_path.iterdir() if each.suffix == ".part"] == []
    assert run("export", "known", "-o", str(tmp_path / "no" / "x"), "--json")[0] == Exit.CONFIGURATION


# What a person reads.


def test_an_explanation_reads_from_the_first_rule_to_the_last(capfd):
    story = given(create_goal("goal"), create_goal("other"), add_task("a", "other", "Hidden"), start_task("a"))
    story = story.when(set_goal_status("other", "paused")).when(add_task("b", title="Shown"))
    review_views.explanation(explain(story.state))
    out = capfd.readouterr().out
    assert "1. doing: 1 task is doing, and none can be chosen: 1 in a paused goal" in out
    assert "Hidden: its goal is paused" in out
    assert "2. blocked: no task is blocked" in out
    assert "[0, 6] Shown" in out
    assert "4. none: an earlier rule chose" in out


@pytest.mark.parametrize("event", EVENTS, ids=[event["event_type"] for event in EVENTS])
def test_every_event_has_words_of_its_own(event):
    said = wording.told(event["event_type"], json.loads(event["payload"]))
    assert said
    assert "\n" not in said
    assert said != event["event_type"].replace("_", " ")


def test_an_event_of_a_later_version_is_told_by_its_name():
    assert wording.told("task_teleported", {}) == "task teleported"


def test_a_long_text_is_cut(capfd):
    story: Any = given(create_goal("goal"), add_task("a"), start_task("a"), block_task("a", "x" * 900))
    said = wording.told("task_blocked", json.loads(story.events[-1]["payload"]))
    assert len(said) < 200
    assert said.endswith('…"')
    capfd.readouterr()
