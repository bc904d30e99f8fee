"""An incident's review on the whole stack: what was answered then, an export and its proof, by SDK and shell."""

import asyncio

import pytest

from continuity import AsyncContinuity
from continuity.client.errors import NoSuchSeq, UnknownProject
from continuity.core import canonical
from continuity.review import verify_file
from tests.format import independent_verifier

pytestmark = pytest.mark.stack


@pytest.fixture
def worked(live, project):
    """A project in which everything happened, with the bytes that were answered after each event."""
    then = {}
    with live.work(project) as work:

        def noted(answer):
            state, step = work.state(), work.get_next_step()
            then[answer["event_seq"]] = canonical.dumps(state), canonical.dumps(step)
            return answer

        goal = noted(work.create_goal("Release", 5))["goal_id"]
        task = noted(work.add_task(goal, "Write", ["complete"]))["task_id"]
        other = noted(work.add_task(goal, "Publish", depends_on=[task]))["task_id"]
        claim = noted(work.claim_task("ada", 300))
        token = claim["lease"]["token"]
        noted(work.update_checkpoint(task, "Half.", "Go on", ["a.py"], fencing_token=token))
        noted(work.begin_step("print", "idempotent", task_id=task, fencing_token=token))
        noted(work.complete_step("print", 1, fencing_token=token))
        noted(work.complete_task(task, "done", fencing_token=token))
        noted(work.start_task(other))
        noted(work.block_task(other, {"text": "no key", "clears_when": "ops answer"}))
        noted(work.rollback(5))
    return then, task


def test_the_past_is_answered_as_it_was_then_byte_for_byte(live, project, worked):
    then, task = worked
    with live.work(project) as work:
        for seq, (state, step) in then.items():
            assert canonical.dumps(work.state(at_seq=seq)) == state
            assert canonical.dumps(work.get_next_step(at_seq=seq)) == step
            assert canonical.dumps(work.explain(at_seq=seq)["answer"]) == step
        with pytest.raises(NoSuchSeq):
            work.state(at_seq=max(then) + 1)
        history = work.history(task)
        assert [entry["event_seq"] for entry in history["entries"]] == [2, 4, 5, 6, 7, 8, 11]
        assert history["steps"][0]["status"] == "completed", "what was done in the world stays done"
        changed = work.diff(10, 11)
        assert any("rolled" in line or "doing" in line for line in changed["changes"])
        assert work.verify() == {"ok": True, "workflows": 1, "events": 11, "problems": []}
        assert work.snapshots() == []
    with live.work("nowhere") as nowhere, pytest.raises(UnknownProject):
        nowhere.explain()


def test_the_async_client_does_the_same(live, project, worked, tmp_path):
    then, task = worked

    async def look():
        async with AsyncContinuity(project, url=live.settings.api_url, key=live.key) as work:
            assert canonical.dumps(await work.state(at_seq=3)) == then[3][0]
            assert canonical.dumps(await work.get_next_step(at_seq=3)) == then[3][1]
            assert (await work.explain())["answer"]["as_of_seq"] == 11
            assert (await work.diff(0, 2))["to_seq"] == 2
            assert len((await work.history(task))["entries"]) == 7
            assert (await work.verify())["ok"] is True
            assert await work.snapshots() == []
            assert (await work.export(tmp_path / "a.zst"))["events"] == 11

    asyncio.run(look())
    assert verify_file(tmp_path / "a.zst").ok


@pytest.mark.usefixtures("worked")
def test_an_export_is_taken_along_and_proves_itself(run, project, tmp_path):
    target = tmp_path / "incident.jsonl.zst"
    told = run("export", project, "-o", str(target))
    assert (told["events"], told["path"]) == (11, str(target))
    verdict = run("verify", str(target))
    assert (verdict["ok"], verdict["events"], verdict["project"], verdict["problems"]) == (True, 11, project, [])
    assert independent_verifier.verify(target.read_bytes()) == (True, 0)
    assert run("export", project, "-o", str(target), "--at-seq", "4")["events"] == 4
    raw = bytearray(target.read_bytes())
    raw[len(raw) // 2] ^= 1
    target.write_bytes(raw)
    broken = run("verify", str(target), code=7)
    assert broken["ok"] is False
    assert broken["problems"][0]["workflow_id"] in (None, verdict["workflow_id"])
    assert run("export", "nowhere", "-o", str(tmp_path / "x"), code=4)["code"] == "unknown_project"
    assert not (tmp_path / "x").exists()
    assert list(tmp_path.iterdir()) == [target]


def test_a_person_reviews_from_the_shell(run, worked):
    then, task = worked
    assert canonical.dumps({k: v for k, v in run("state", "--at-seq", "4").items() if k != "ok"}) == then[4][0]
    assert canonical.dumps({k: v for k, v in run("next", "--at-seq", "4").items() if k != "ok"}) == then[4][1]
    assert run("explain", "--at-seq", "4")["rules"][0]["verdict"] == "chose"
    assert run("diff", "3", "4")["changes"]
    assert run("history", task)["task_id"] == task
    assert run("snapshots")["snapshots"] == []
    assert run("verify")["ok"] is True
    assert run("state", "--at-seq", "99", code=3)["code"] == "no_such_seq"


@pytest.mark.usefixtures("worked")
def test_the_whole_system_is_verified(run):
    told = run("verify", "--all")
    assert told["problems"] == []
    assert told["ok"] is True
    assert told["workflows"] >= 1
