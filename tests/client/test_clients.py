"""Both clients over real HTTP: every call, errors, retries, and where address and key come from."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

import continuity
from continuity import AsyncContinuity, Continuity, keys
from continuity.client import errors, wire
from continuity.client.access import access
from continuity.config import ENDPOINTS_FILE
from continuity.core.commands import COMMANDS
from continuity.errors import ConfigError, Retryable

ID = "00000000-0000-4000-8000-000000000008"
CALLS = {
    "create_goal": (("Ship", 5), {"text": "Ship", "priority": 5}),
    "set_goal_status": ((ID, "paused"), {"goal_id": ID, "status": "paused"}),
    "set_goal_priority": ((ID, -3), {"goal_id": ID, "priority": -3}),
    "add_task": ((ID, "Write", ("a", "b")), {"goal_id": ID, "title": "Write", "acceptance_criteria": ["a", "b"]}),
    "amend_task": ((ID, "Write"), {"task_id": ID, "title": "Write"}),
    "start_task": ((ID,), {"task_id": ID}),
    "pause_task": ((ID, "lunch"), {"task_id": ID, "reason": "lunch"}),
    "block_task": ((ID, "no key"), {"task_id": ID, "blocker": {"text": "no key"}}),
    "complete_task": ((ID, "tests pass"), {"task_id": ID, "evidence": "tests pass"}),
    "reopen_task": ((ID,), {"task_id": ID}),
    "update_checkpoint": (
        (ID, "Half.", "Go on", ["a.py"]),
        {"task_id": ID, "where_left_off": "Half.", "next_step": "Go on", "context_refs": ["a.py"]},
    ),
    "acquire_lease": (("me", 60), {"owner_id": "me", "ttl_seconds": 60}),
    "renew_lease": ((ID,), {"task_id": ID}),
    "release_lease": ((ID,), {"task_id": ID}),
    "claim_task": (("me", 60, ID), {"owner_id": "me", "ttl_seconds": 60, "task_id": ID}),
    "begin_step": (
        ("pay:1", "non_idempotent", ID, "k-1"),
        {"step_id": "pay:1", "step_type": "non_idempotent", "task_id": ID, "external_key": "k-1"},
    ),
    "complete_step": (
        ("..", 2, "r", "ab" * 32),
        {"step_id": "..", "attempt_id": 2, "result_ref": "r", "result_checksum": "ab" * 32},
    ),
    "rollback": ((3,), {"to_seq": 3}),
    "fork_project": (("known", 3), {"from_project": "known", "at_seq": 3}),
    "fail_step": (("pay:1", 2, "no"), {"step_id": "pay:1", "attempt_id": 2, "error": "no"}),
}


class Synchronous:
    """Makes an async client look like the other one, so that one test asks both."""

    def __init__(self, *arguments, **options):
        self._runner = asyncio.Runner()
        self._client = AsyncContinuity(*arguments, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._runner.run(self._client.close())
        self._runner.close()

    def __getattr__(self, name):
        def call(*arguments, **options):
            async def run():
                found = getattr(self._client, name)(*arguments, **options)
                return [each async for each in found] if hasattr(found, "__aiter__") else await found

            return self._runner.run(run())

        return call


@pytest.fixture(params=[Continuity, Synchronous], ids=["sync", "async"])
def work(request, stage):
    with request.param("known", url=str(stage.http.base_url), key=stage.key, session_id="s-1") as client:
        yield client


@pytest.mark.parametrize("command_type", COMMANDS)
def test_every_call_sends_its_command(work, stage, command_type):
    arguments, body = CALLS[command_type]
    answer = getattr(work, command_type)(*arguments)
    request, _ = stage.commands.sent[0]
    assert (request.command_type, request.body, request.session_id) == (command_type, body, "s-1")
    assert answer["status"] == ("answered" if command_type == "renew_lease" else "accepted")


def test_the_lease_is_renewed_and_released_without_a_task_and_forced(work, stage):
    work.renew_lease(fencing_token=7)
    work.release_lease(force=True)
    work.release_lease(ID, force=True)
    (renewed, _), (forced, _), (claim, _) = stage.commands.sent
    assert (renewed.body, renewed.fencing_token) == ({}, 7)
    assert forced.body == {"force": True}
    assert claim.body == {"force": True, "task_id": ID}


def test_dependencies_are_given_by_name(work, stage):
    work.add_task(ID, "Write", depends_on=[ID])
    assert stage.commands.sent[0][0].body["depends_on"] == [ID]


def test_reads_show_what_was_written(work, stage):
    work.create_goal("Ship", 1)
    assert work.get_next_step()["action"] == "propose_tasks"
    assert work.get_next_step("known") == work.get_next_step()
    assert work.rehydrate() == work.state()
    assert stage.reads.asked[0] == {"min_seq": 1}
    assert stage.reads.asked[-1] == {"min_seq": 3}


def test_lists_go_through_all_pages(work, stage, monkeypatch):
    monkeypatch.setattr("continuity.client.calls.PAGE", 2)
    monkeypatch.setattr("continuity.client.async_calls.PAGE", 2)
    stage.reads.journal = [
        {"event_seq": seq, "timestamp": 0, "payload": "{}", "delta": "[]", "event_type": "goal_created"}
        for seq in range(1, 6)
    ]
    assert [event["event_seq"] for event in work.events()] == [1, 2, 3, 4, 5]
    assert [each["project"] for each in work.projects()] == ["p0", "p1", "p2", "p3", "p4"]


def test_the_outcome_of_a_command_can_be_asked(work):
    known = "a" + ID[1:]
    assert work.command_outcome(known)["status"] == "accepted"
    with pytest.raises(errors.UnknownCommand, match="b" + ID[1:]):
        work.command_outcome("b" + ID[1:])


def test_the_outcome_of_what_was_just_written_is_looked_for_once_reads_show_it(work, stage, monkeypatch):
    written = work.create_goal("Ship", 1)["command_id"]
    shown = set()

    async def head_seq(_tenant, project, *, min_seq):
        shown.add((project, min_seq))

    async def command(_tenant, command_id):
        return {"command_id": command_id, "status": "accepted"} if shown == {("known", 1)} else None

    monkeypatch.setattr(stage.reads, "head_seq", head_seq)
    monkeypatch.setattr(stage.reads, "command", command)
    assert work.command_outcome(written)["status"] == "accepted"


def test_a_refusal_is_raised_with_its_fix(work, stage):
    stage.commands.refuse_with = ("illegal_transition", "Task 7 is todo.")
    with pytest.raises(continuity.IllegalTransition, match="Task 7") as caught:
        work.complete_task(ID)
    assert caught.value.code == "illegal_transition"
    assert caught.value.fix
    assert caught.value.command_id
    with pytest.raises(continuity.NotFound, match="nowhere"):
        work.get_next_step("nowhere")


def test_an_outage_is_ridden_out_with_the_same_command_id(work, stage, monkeypatch):
    seen = []
    send = type(stage.commands).send

    async def flaky(self, request, **how):
        seen.append(request.command_id)
        if len(seen) < 3:
            raise Retryable("Away.", retry_after_seconds=0)
        return await send(self, request, **how)

    monkeypatch.setattr(type(stage.commands), "send", flaky)
    monkeypatch.setattr(wire, "_retry_after_seconds", lambda _: 0.0)
    assert work.create_goal("Ship", 1)["status"] == "accepted"
    assert len(seen) == 3
    assert len(set(seen)) == 1


@pytest.mark.parametrize("client", [Continuity, Synchronous])
def test_nobody_at_the_address_is_said_with_the_fix(client):
    with client("known", url="http://127.0.0.1:9", key="k", deadline_seconds=0.2) as work:
        with pytest.raises(errors.Unavailable, match=r"127\.0\.0\.1:9") as caught:
            work.get_next_step()
        assert "continuity up" in caught.value.fix


@pytest.mark.parametrize("client", [Continuity, Synchronous])
def test_a_wrong_key_is_unauthorized(client, stage):
    with client("known", url=str(stage.http.base_url), key="wrong") as work, pytest.raises(errors.Unauthorized):
        work.create_goal("x", 1)


def test_address_and_key_come_from_the_environment_or_the_data_folder(tmp_path, monkeypatch):
    for name in ("CONTINUITY_API_URL", "CONTINUITY_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CONTINUITY_HOME", str(tmp_path))
    with pytest.raises(errors.Unauthorized, match="continuity up"):
        access()
    key = keys.ensure_local_key(tmp_path)
    (tmp_path / ENDPOINTS_FILE).write_text(json.dumps({"settings": {"api_url": "http://127.0.0.1:4711"}}))
    assert access() == ("http://127.0.0.1:4711", key)
    monkeypatch.setenv("CONTINUITY_KEY", "ck_mine")
    monkeypatch.setenv("CONTINUITY_API_URL", "https://example.org/")
    assert access() == ("https://example.org", "ck_mine")
    assert access("http://other", "k") == ("http://other", "k")


def test_the_local_key_is_not_sent_elsewhere(tmp_path, monkeypatch):
    monkeypatch.delenv("CONTINUITY_KEY", raising=False)
    monkeypatch.setenv("CONTINUITY_HOME", str(tmp_path))
    keys.ensure_local_key(tmp_path)
    with pytest.raises(errors.Unauthorized):
        access("https://example.org")


@pytest.mark.parametrize("url", ["127.0.0.1:8420", "ftp://here"])
def test_an_address_that_is_none_is_said(url):
    with pytest.raises(ConfigError, match="address"):
        access(url, "k")


@pytest.mark.parametrize("key", ["a b", "ä", "a\nb"])
def test_a_key_that_cannot_be_one_is_said(key):
    with pytest.raises(errors.Unauthorized, match="characters"):
        access("http://127.0.0.1:1", key)


def test_help_shows_the_same_text_for_both_clients():
    for command_type in COMMANDS:
        assert getattr(AsyncContinuity, command_type).__doc__ == getattr(Continuity, command_type).__doc__


def test_threads_share_a_client(stage):
    with Continuity("known", url=str(stage.http.base_url), key=stage.key) as work, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: work.create_goal(f"goal {number}", 0), range(64)))
    assert len({answer["command_id"] for answer in answers}) == 64
    assert isinstance(work._http, httpx.Client)
