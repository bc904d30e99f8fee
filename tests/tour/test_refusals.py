"""What the tour's verbs say when they cannot begin: without a stack, and before anything was sent."""

import json

import pytest

from continuity.cli.app import main
from tests.replay.histories import add


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CONTINUITY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CONTINUITY_PROJECT", raising=False)

    def call(*words):
        code = main([*map(str, words), "--json"])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return call


@pytest.fixture
def elsewhere(run, monkeypatch):
    """With a broker and a database of one's own, which are away."""
    monkeypatch.setenv("CONTINUITY_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("CONTINUITY_POSTGRES_DSN", "host=127.0.0.1 port=1")
    monkeypatch.setattr("continuity.kafka.TIMEOUT_SECONDS", 0.2)
    return run


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text(json.dumps(add("t1")))
    return path


def test_the_demonstration_needs_a_stack_to_restart(run, tmp_path):
    code, answer = run("demo")
    assert (code, answer["ok"], answer["code"]) == (8, False, "not_running")
    assert answer["detail"] == f"No stack runs in {tmp_path / 'home'}."
    assert "continuity up" in answer["fix"]


def test_a_replay_needs_a_stack_or_a_cluster_of_your_own(run, history):
    code, answer = run("replay", history, "--project", "p")
    assert (code, answer["code"]) == (8, "not_running")


def test_a_replay_needs_a_project(elsewhere, history):
    code, answer = elsewhere("replay", history)
    assert (code, answer["code"]) == (2, "missing_field")


def test_a_replay_needs_a_name_that_a_project_can_have(elsewhere, history):
    code, answer = elsewhere("replay", history, "--project", "No Spaces")
    assert (code, answer["code"]) == (8, "configuration")
    assert answer["detail"] == "'No Spaces' is no name of a project."


def test_a_replay_needs_a_history(elsewhere, tmp_path):
    code, answer = elsewhere("replay", tmp_path / "none.jsonl", "--project", "p")
    assert (code, answer["detail"]) == (8, f"{tmp_path / 'none.jsonl'} cannot be read: No such file or directory.")


def test_a_line_that_cannot_be_used_is_named_before_anything_is_sent(elsewhere, history):
    history.write_text(history.read_text() + '\n{"op": "add"}\n')
    code, answer = elsewhere("replay", history, "--project", "p")
    assert code == 8
    assert answer["detail"].startswith("Line 2 cannot be used")


def test_a_damaged_list_is_refused(elsewhere, history):
    history.with_suffix(".expected.json").write_text('[{"line": 1}]')
    code, answer = elsewhere("replay", history, "--project", "p")
    assert code == 8
    assert answer["detail"].startswith("The list of expected refusals cannot be read")


def test_without_a_broker_a_replay_says_so(elsewhere, history):
    code, answer = elsewhere("replay", history, "--project", "p")
    assert (code, answer["code"]) == (6, "unavailable")
