"""The SDK on the whole stack: the way through a project's life, from two sides, with both clients."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from continuity import AsyncContinuity, Conflict, IllegalTransition, NotFound, UnknownTask, keys
from continuity.client.errors import GoalHasOpenTasks, UnmetDependencies
from continuity.core.transitions import EVENT_TYPES

pytestmark = pytest.mark.stack


def test_a_project_from_its_first_goal_to_its_end(live, project):
    with live.work(project, session_id="run-1") as work:
        with pytest.raises(NotFound):
            work.get_next_step()
        goal = work.create_goal("Release 1.0", 10)["goal_id"]
        assert work.get_next_step()["action"] == "propose_tasks"
        first = work.add_task(goal, "Write", ["complete"])["task_id"]
        second = work.add_task(goal, "Publish", depends_on=[first])["task_id"]
        step = work.get_next_step()
        assert (step["action"], step["task_id"], step["next_step"]) == ("start", first, None)
        with pytest.raises(UnmetDependencies):
            work.start_task(second)
        work.start_task(first)
        work.update_checkpoint(first, "Half of it.", "Write the rest", ["CHANGELOG.md"])
        step = work.get_next_step()
        assert (step["action"], step["next_step"]) == ("continue", "Write the rest")
        assert step["required_context_refs"] == ["CHANGELOG.md"]
        work.block_task(first, {"text": "no access", "clears_when": "ops grants it"})
        step = work.get_next_step()
        assert (step["action"], step["blockers"][0]["clears_when"]) == ("unblock", "ops grants it")
        with pytest.raises(IllegalTransition, match="blocked"):
            work.complete_task(first)
        work.pause_task(first, "later")
        work.start_task(first)
        work.complete_task(first, "the build is green")
        work.reopen_task(first)
        work.complete_task(first)
        work.amend_task(second, title="Publish it", depends_on=[])
        work.set_goal_priority(goal, -1)
        with pytest.raises(GoalHasOpenTasks):
            work.set_goal_status(goal, "done")
        with work.lease("me", 60) as lease:
            lease.step("print", type="pure").run(dict)
            with pytest.raises(ZeroDivisionError):
                lease.step("send", type="idempotent").run(lambda: 1 / 0)
        with work.claim("me", 60) as claim:
            assert claim.task_id == second
            claim.complete_task(second)
        done = work.set_goal_status(goal, "done")
        state = work.rehydrate()
        assert state["as_of_seq"] == done["event_seq"]
        assert state["state_checksum"] == done["state_checksum"]
        assert {task["status"] for task in state["tasks"]} == {"done"}
        events = list(work.events())
    assert [event["event_seq"] for event in events] == list(range(1, done["event_seq"] + 1))
    assert {event["session_id"] for event in events} == {"run-1"}
    assert {event["operator_id"] for event in events} == {"local"}
    assert {event["event_type"] for event in events} == set(EVENT_TYPES.values()) - {"rolled_back", "project_forked"}


def test_another_process_goes_on_where_the_first_one_was(live, project):
    with live.work(project) as first:
        goal = first.create_goal("Ship", 1)["goal_id"]
        task = first.add_task(goal, "Write")["task_id"]
        first.start_task(task)
        first.update_checkpoint(task, "Half.", "Go on", ["a.py"])
        before = first.get_next_step()
    key = keys.issue_key(live.settings.data_dir, tenant="local", operator_id="agent-2", operator_kind="agent")
    with live.work(project, key=key) as second:
        assert second.get_next_step() == before
        second.complete_task(task)
        assert (
            next(event for event in second.events() if event["event_type"] == "task_completed")["operator_id"]
            == "agent-2"
        )


def test_a_condition_on_the_head_makes_one_of_two_writers_win(live, project):
    with live.work(project) as work:
        seq = work.create_goal("Ship", 1)["event_seq"]
        work.create_goal("First", 1, expected_seq=seq)
        with pytest.raises(Conflict) as caught:
            work.create_goal("Second", 1, expected_seq=seq)
        assert caught.value.code == "expected_seq_mismatch"


def test_a_repeat_of_ones_own_call_is_known(live, project):
    with live.work(project) as work:
        first = work.create_goal("Ship", 1)
        again = work.create_goal("Ship", 1, command_id=first["command_id"])
        assert (again["status"], again["goal_id"]) == ("duplicate", first["goal_id"])
        assert work.command_outcome(first["command_id"])["event_seq"] == first["event_seq"]


def test_many_threads_write_and_read_what_they_wrote(live, project):
    with live.work(project) as work, ThreadPoolExecutor(8) as pool:

        def write(number):
            seq = work.create_goal(f"goal {number}", 0)["event_seq"]
            return seq, work.get_next_step()["as_of_seq"]

        seen = list(pool.map(write, range(64)))
    assert sorted(seq for seq, _ in seen) == list(range(1, 65))
    assert all(read >= seq for seq, read in seen)


def test_the_async_client_does_the_same(live, project):
    async def run():
        async with AsyncContinuity(project, url=live.settings.api_url, key=live.key) as work:
            goal = await work.create_goal("Ship", 1)
            tasks = await asyncio.gather(*(work.add_task(goal["goal_id"], f"task {n}") for n in range(20)))
            with pytest.raises(UnknownTask):
                await work.start_task(goal["goal_id"])
            oldest = min(tasks, key=lambda task: task["event_seq"])
            assert (await work.get_next_step())["task_id"] == oldest["task_id"]
            assert len((await work.state())["tasks"]) == 20
            assert [event["event_seq"] async for event in work.events()] == list(range(1, 22))
            assert project in [each["project"] async for each in work.projects()]

    asyncio.run(run())
