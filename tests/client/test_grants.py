"""Leases and claims of the SDK: renewed while the block lasts, given back at its end, and never lost in silence."""

# ruff: noqa: PT012 - a lease is lost anywhere in its block, and the end of the block raises it, too

import asyncio
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest

from continuity import AsyncContinuity, Continuity, LeaseHeld, LeaseLost, NothingToClaim, TaskBlocked
from continuity.client import tenure
from continuity.client.errors import Fenced
from continuity.client.tenure import Granted, Tenure
from continuity.errors import Retryable
from continuity.producers import Outcome
from tests.eventually import eventually

TASK = "00000000-0000-4000-8000-000000000009"
TTL = 1


@dataclass
class Service:
    """Scripts what the double of the command log answers, by the type of the command."""

    plainly: Any
    stage: Any
    fenced: bool = False
    away: bool = False
    renewals: int = 0
    renewed: threading.Event = field(default_factory=threading.Event)

    async def send(self, request, **how):
        if request.command_type == "renew_lease":
            self.renewals += 1
            self.renewed.set()
        if self.away:
            raise Retryable("Away.", retry_after_seconds=0)
        if self.fenced and request.fencing_token is not None:
            return self.refusal(request, "fenced", "The token 7 is not a current one; bob has it.")
        return await self.plainly(request, **how)

    def refusal(self, request, code, detail):

        blank: dict[str, Any] = dict.fromkeys(Outcome.__annotations__)
        return blank | {"command_id": request.command_id, "status": "refused", "code": code, "detail": detail}

    def sent(self):
        return [request.command_type for request, _ in self.stage.commands.sent]


@pytest.fixture
def service(stage, monkeypatch):
    scripted = Service(stage.commands.send, stage)
    monkeypatch.setattr(stage.commands, "send", scripted.send)
    return scripted


@pytest.fixture
def work(stage):
    with Continuity("known", url=str(stage.http.base_url), key=stage.key, deadline_seconds=2) as client:
        yield client


def tokens(stage):
    return {(request.command_type, request.fencing_token) for request, _ in stage.commands.sent}


def test_calls_carry_the_token_and_the_end_gives_it_back(work, stage):
    with work.lease("me", 60) as lease:
        assert (lease.token, lease.task_id, lease.lost) == (7, None, False)
        lease.start_task(TASK)
        lease.create_goal("x")
        assert lease.get_next_step()["action"] == "propose_tasks"
    assert tokens(stage) == {
        ("acquire_lease", None), ("start_task", 7), ("create_goal", 7), ("release_lease", 7),
    }  # fmt: skip


def test_a_claim_ends_with_its_task_and_is_not_released_then(work, stage):
    with work.claim("me", 60, TASK) as claim:
        assert claim.task_id == TASK
        claim.complete_task(TASK)
        claim.create_goal("after")
        assert not claim.lost
    assert tokens(stage) == {("claim_task", None), ("complete_task", 7), ("create_goal", None)}


def test_an_exception_gives_it_back_and_goes_on(work, service):
    with pytest.raises(ZeroDivisionError), work.lease("me", 60):
        _ = 1 / 0
    assert service.sent() == ["acquire_lease", "release_lease"]


def test_it_is_renewed_at_a_third_of_its_ttl(work, service):
    with work.lease("me", TTL):
        for _ in range(3):
            assert service.renewed.wait(TTL)
            service.renewed.clear()
    assert service.renewals >= 3


def test_somebody_else_takes_it_and_the_work_is_told_at_the_next_call_and_at_the_end(work, service, stage):
    with pytest.raises(LeaseLost, match="bob has it") as caught, work.lease("me", TTL) as lease:
        service.fenced = True
        assert service.renewed.wait(TTL)
        _until_lost(lease)
        before = len(stage.commands.sent)
        with pytest.raises(LeaseLost, match="token 7"):
            lease.start_task(TASK)
        with pytest.raises(LeaseLost):
            lease.get_next_step()
        with pytest.raises(LeaseLost):
            lease.check()
        assert len(stage.commands.sent) == before
    assert caught.value.code == "lease_lost"
    assert caught.value.fix
    assert "release_lease" not in service.sent()


def test_a_fenced_command_is_a_lost_lease_at_once(work, service):
    with pytest.raises(LeaseLost), work.lease("me", 60) as lease:
        service.fenced = True
        lease.start_task(TASK)
    assert service.renewals == 1


def test_a_fenced_attempt_alone_is_no_lost_lease(work, service, stage, monkeypatch):
    with work.lease("me", 60) as lease:
        monkeypatch.setattr(stage.commands, "send", _refusing(service, "complete_step", "fenced"))
        with pytest.raises(Fenced) as caught:
            lease.complete_step("a", 1)
        assert not isinstance(caught.value, LeaseLost)
        assert not lease.lost
        monkeypatch.undo()


def test_no_renewal_goes_through_until_it_runs_out(work, service):
    with pytest.raises(LeaseLost, match="no renewal went through"), work.lease("me", TTL) as lease:
        service.away = True
        _until_lost(lease)


def test_an_outage_shorter_than_the_ttl_costs_nothing(work, service):
    with work.lease("me", 2) as lease:
        service.away = True
        assert service.renewed.wait(2)
        service.away = False
        service.renewed.clear()
        assert service.renewed.wait(2)
        assert not lease.lost


def test_a_loss_is_noted_on_the_works_own_error(work, service):
    with pytest.raises(ZeroDivisionError) as caught, work.lease("me", TTL) as lease:
        service.fenced = True
        _until_lost(lease)
        _ = 1 / 0
    assert "bob has it" in caught.value.__notes__[0]


def test_a_loss_that_shows_only_at_the_release_is_raised(work, service):
    with pytest.raises(LeaseLost), work.lease("me", 60):
        service.fenced = True


def test_what_cannot_be_had_is_said_on_entering(work, stage):
    for code, kind in (("lease_held", LeaseHeld), ("nothing_to_claim", NothingToClaim)):
        stage.commands.refuse_with = (code, "Because.")
        with pytest.raises(kind, match="Because"), work.claim("me"):
            raise AssertionError("nothing was granted")


def test_a_named_task_that_was_blocked_is_said_and_another_one_is_passed_over(work, stage, service, monkeypatch):
    blocked = iter([True, False, True])

    async def send(request, **how):
        outcome = await service.send(request, **how)
        if request.command_type == "claim_task" and next(blocked):
            return outcome | {"event_type": "task_blocked", "result": {"token": None}, "task_id": TASK}
        return outcome

    monkeypatch.setattr(stage.commands, "send", send)
    with work.claim("me", 60) as claim:
        assert claim.token == 7
    with pytest.raises(TaskBlocked, match=TASK), work.claim("me", 60, TASK):
        raise AssertionError("nothing was granted")
    ids = [request.command_id for request, _ in stage.commands.sent if request.command_type == "claim_task"]
    assert len(set(ids)) == 3


def test_the_same_request_from_another_process_is_given_the_same_grant_and_renews_it(work, service):
    command_id = str(uuid.uuid4())
    with work.claim("me", 60, command_id=command_id) as first:
        with work.claim("me", 60, command_id=command_id) as again:
            assert again.token == first.token
            assert service.renewals == 1
        service.fenced = True
        with pytest.raises(LeaseLost, match="has ended"), work.claim("me", 60, command_id=command_id):
            raise AssertionError("it is gone")
        service.fenced = False


def test_a_claim_anywhere_works_on_its_project(work, stage):
    stage.assignments.projects = ["elsewhere"]
    with work.claim_anywhere("me", 60) as claim:
        assert claim.project == "elsewhere"
        claim.create_goal("x")
    assert {request.project for request, _ in stage.commands.sent} == {"elsewhere"}


def test_what_was_not_entered_says_so(work):
    with pytest.raises(RuntimeError, match="with"):
        _ = work.lease("me").token


def test_it_is_for_one_block(work):
    lease = work.lease("me", 60)
    with lease:
        pass
    with pytest.raises(RuntimeError, match="one block"), lease:
        raise AssertionError("it would not be renewed")


# The asynchronous one


def run_async(stage, body):
    async def inside():
        url = str(stage.http.base_url)
        async with AsyncContinuity("known", url=url, key=stage.key, deadline_seconds=2) as work:
            return await body(work)

    return asyncio.run(inside())


def test_async_calls_carry_the_token_and_the_end_gives_it_back(stage):
    async def body(work):
        async with work.claim("me", 60, TASK) as claim:
            await claim.start_task(TASK)
            assert (claim.task_id, claim.lost) == (TASK, False)

    run_async(stage, body)
    assert tokens(stage) == {("claim_task", None), ("start_task", 7), ("release_lease", 7)}


def test_async_work_is_stopped_where_it_waits(stage, service):
    async def body(work):
        with pytest.raises(LeaseLost, match="bob has it"):
            async with work.lease("me", TTL):
                service.fenced = True
                await asyncio.Event().wait()
        await asyncio.sleep(0)
        task = asyncio.current_task()
        return None if task is None else task.cancelling()

    assert run_async(stage, body) == 0


def test_async_work_that_somebody_else_cancels_stays_cancelled(stage, service):
    async def body(work):
        async def holding():
            async with work.lease("me", 60):
                entered.set()
                await asyncio.Event().wait()

        entered = asyncio.Event()
        task = asyncio.create_task(holding())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_async(stage, body)
    assert service.sent() == ["acquire_lease", "release_lease"]


def test_async_it_is_renewed(stage, service):
    async def body(work):
        async with work.lease("me", TTL) as lease:
            for _ in range(3):
                await asyncio.to_thread(service.renewed.wait, TTL)
                service.renewed.clear()
            return lease.lost

    assert run_async(stage, body) is False
    assert service.renewals >= 3


# What a holder knows, without a service


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def held(clock, sent_at=100.0):
    lease: Any = {"token": 7, "owner_id": "me", "task_id": TASK, "ttl_seconds": 9, "expires_at": ""}
    return Tenure(Granted({"command_id": "", "status": "accepted", "workflow_id": ""}, lease, sent_at), clock)


def test_its_time_counts_from_before_the_request():
    clock = Clock()
    tenure_ = held(clock, sent_at=95.0)
    assert (tenure_.seconds_left, tenure_.seconds_to_renewal) == (4.0, 0.0)
    clock.now = 104.0
    assert tenure_.state == "lost"
    tenure_.renewed(103.0)
    assert tenure_.state == "lost", "what was lost stays lost: somebody may have taken over"


def test_a_late_answer_does_not_take_time_away():
    tenure_ = held(Clock())
    tenure_.renewed(98.0)
    assert tenure_.seconds_left == 9.0


def test_a_refused_renewal_counts_for_nothing_while_its_holder_ends_it():
    tenure_ = held(Clock())
    with tenure_.ending("complete_task"):
        tenure_.lose("somebody")
        assert tenure_.state == "held"
        tenure_.end()
    assert tenure_.state == "ended"
    tenure_.lose("somebody")
    assert tenure_.state == "ended"


@pytest.mark.parametrize(
    ("command_type", "task_id", "ended"),
    [("complete_task", TASK, True), ("complete_task", "another", False), ("release_lease", None, True),
     ("release_lease", TASK, True), ("release_lease", "another", False), ("pause_task", TASK, False)],
)  # fmt: skip
def test_what_ends_a_claim(command_type, task_id, ended):
    lease: Any = {"task_id": TASK}
    assert tenure.ends(lease, command_type, task_id) is ended


def _until_lost(lease):

    eventually(lambda: lease.lost, 10, "it is lost")


def _refusing(service, command_type, code):
    async def send(request, **how):
        if request.command_type == command_type:
            return service.refusal(request, code, "Because.")
        return await service.send(request, **how)

    return send
