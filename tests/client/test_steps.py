"""Steps of the SDK: the body runs while there is something to do, its result is stored, and a repeat is given it."""

# ruff: noqa: PT012 - a lost lease shows at the end of its block

import asyncio
import uuid

import pytest

from continuity import AsyncContinuity, Continuity, IllegalTransition, InvalidForm, LeaseLost, StepInProgress
from continuity.client import executing
from continuity.core.ids import workflow_id
from continuity.errors import IntegrityError

CHECKSUM = "ab" * 32


@pytest.fixture
def claim(stage):
    with (
        Continuity("known", url=str(stage.http.base_url), key=stage.key, deadline_seconds=2) as work,
        work.claim("me", 60) as grant,
    ):
        yield grant


def sent(stage, command_type):
    return [request for request, _ in stage.commands.sent if request.command_type == command_type]


def completed(stage, ref=None, checksum=None):
    """From now on the step is completed, with that result."""
    known = {"status": "already_completed", "step_id": "a", "attempt_id": 2, "completed_at": "2026-01-01T00:00:00Z"}
    stage.commands.results["begin_step"] = known | {"result_ref": ref, "result_checksum": checksum}


def stored(stage):
    """The step is completed with what was stored for it."""
    (request,) = sent(stage, "complete_step")
    completed(stage, request.body["result_ref"], request.body["result_checksum"])


@pytest.mark.parametrize("result", [{"a": [1, 2.5, None]}, "text", 7, [], b"", bytes(range(256))])
def test_the_result_of_the_body_is_stored_and_given_back(claim, stage, result):
    with claim.step("a", type="idempotent") as step:
        assert (step.is_new, step.attempt_id, step.ambiguous) == (True, 1, False)
        step.result = result
    assert step.result == result
    (request,) = sent(stage, "complete_step")
    assert (request.fencing_token, request.body["result_ref"]) == (7, step.result_ref)
    stored(stage)
    with claim.step("a", type="idempotent") as again:
        assert not again.is_new
        assert (again.attempt_id, again.result) == (2, result)
    assert len(sent(stage, "complete_step")) == 1


def test_a_function_is_called_once_and_gives_the_same_value_each_time(claim, stage):
    calls = []

    def fetch(name, *, times):
        calls.append(name)
        return (name,) * times

    assert claim.step("a", type="pure").run(fetch, "x", times=2) == ["x", "x"]
    stored(stage)
    assert claim.step("a", type="pure").run(fetch, "x", times=2) == ["x", "x"]
    assert calls == ["x"]


def test_a_step_without_a_result_stores_none(claim, stage):
    with claim.step("a", type="pure"):
        pass
    assert sent(stage, "complete_step")[0].body == {"step_id": "a", "attempt_id": 1}
    assert stage.blobs.kept == {}
    completed(stage)
    assert claim.step("a", type="pure").run(lambda: 1 / 0) is None


def test_an_exception_fails_the_attempt_and_goes_on(claim, stage):
    with pytest.raises(ZeroDivisionError):
        claim.step("a", type="pure").run(lambda: 1 / 0)
    (failed,) = sent(stage, "fail_step")
    assert failed.body == {"step_id": "a", "attempt_id": 1, "error": "ZeroDivisionError: division by zero"}
    assert sent(stage, "complete_step") == []


def test_a_long_error_is_cut_to_what_goes(claim, stage):
    def fail():
        raise ValueError("x\n" * 2_000)

    with pytest.raises(ValueError, match="x"):
        claim.step("a", type="pure").run(fail)
    error = sent(stage, "fail_step")[0].body["error"]
    assert len(error) == 500
    assert "\n" not in error


def test_an_interrupted_attempt_stays_open(claim, stage):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        claim.step("a", type="pure").run(interrupted)
    assert sent(stage, "fail_step") == sent(stage, "complete_step") == []


def test_a_result_that_cannot_be_kept_fails_the_attempt(claim, stage):
    with pytest.raises(InvalidForm, match="neither bytes nor JSON"):
        claim.step("a", type="pure").run(object)
    assert len(sent(stage, "fail_step")) == 1


def test_an_external_key_is_made_of_the_name_and_the_same_each_time(claim, stage):
    keys = set()
    for _ in range(2):
        with claim.step("pay", type="non_idempotent") as step:
            keys.add(step.external_key)
    assert len(keys) == 1
    assert keys == {request.body["external_key"] for request in sent(stage, "begin_step")}
    other = executing.wanted(workflow_id("local", "other"), "pay", "non_idempotent", None, None)
    assert other.external_key not in keys
    assert claim.step("pay", type="non_idempotent", external_key="mine").external_key == "mine"
    assert claim.step("pay", type="idempotent").external_key is None


def test_earlier_attempts_are_shown_as_ambiguous(claim, stage):
    earlier = [{"attempt_id": 1, "token": 6, "seq": 4, "started_at": "2026-01-01T00:00:00Z", "status": "open"}]
    begun = {"status": "begun", "step_id": "pay", "step_type": "non_idempotent", "attempt_id": 2}
    stage.commands.results["begin_step"] = begun | {"ambiguous": True, "earlier_attempts": earlier}
    with claim.step("pay", type="non_idempotent") as step:
        assert (step.attempt_id, step.ambiguous, step.earlier_attempts) == (2, True, earlier)


def test_a_refused_beginning_runs_nothing(claim, stage):
    stage.commands.refuse_with = ("step_in_progress", "Attempt 1 of step a is open.")
    with pytest.raises(StepInProgress, match="Attempt 1"):
        claim.step("a", type="pure").run(lambda: 1 / 0)
    stage.commands.refuse_with = None


def test_a_damaged_result_is_never_handed_out(claim, stage):
    claim.step("a", type="pure").run(lambda: {"prices": [1]})
    (request,) = sent(stage, "complete_step")
    completed(stage, request.body["result_ref"], CHECKSUM)
    with pytest.raises(IntegrityError, match="checksum"):
        claim.step("a", type="pure").run(lambda: 1 / 0)


def test_a_result_that_lies_elsewhere_is_named(claim, stage):
    completed(stage, "s3://mine/prices.json", CHECKSUM)
    with claim.step("a", type="pure") as step:
        assert not step.is_new
    assert (step.result, step.result_ref) == (None, "s3://mine/prices.json")


def test_a_completion_that_comes_too_late_is_sent_all_the_same_so_that_it_is_kept(stage, monkeypatch):
    plainly, asked = stage.commands.send, []
    fenced: list[bool] = []

    async def send(request, **how):
        asked.append(request)
        outcome = await plainly(request, **how)
        if fenced and request.fencing_token is not None:
            return outcome | {"status": "refused", "code": "fenced", "detail": "Somebody else has it."}
        return outcome

    monkeypatch.setattr(stage.commands, "send", send)
    url = str(stage.http.base_url)
    with (
        Continuity("known", url=url, key=stage.key) as work,
        pytest.raises(LeaseLost, match="Somebody else"),
        work.claim("me", 60) as claim,
        claim.step("a", type="pure") as step,
    ):
        step.result = [1]
        fenced.append(True)
        claim._tenure.lose("Somebody else has it.")
        with pytest.raises(LeaseLost):
            claim.start_task("a")
    late = [request for request in asked if request.command_type == "complete_step"]
    assert late[0].body["result_ref"] in stage.blobs.kept


def test_async_steps_do_the_same(stage):
    async def fetch(name):
        await asyncio.sleep(0)
        return {"name": name}

    async def inside():
        async with (
            AsyncContinuity("known", url=str(stage.http.base_url), key=stage.key) as work,
            work.claim("me", 60) as claim,
        ):
            assert await claim.step("a", type="pure").run(fetch, "x") == {"name": "x"}
            stored(stage)
            async with claim.step("a", type="pure") as step:
                assert (step.is_new, step.result) == (False, {"name": "x"})
            stage.commands.results.clear()
            with pytest.raises(IllegalTransition):
                async with claim.step("b", type="pure"):
                    raise IllegalTransition("No.", code="illegal_transition")

    asyncio.run(inside())
    assert len(sent(stage, "complete_step")) == len(sent(stage, "fail_step")) == 1


def test_a_step_of_any_name_reaches_its_own_path(claim, stage):
    for name in (".", "..", "a.b:c_d-E", uuid.uuid4().hex):
        claim.step(name, type="pure").run(lambda: None)
    assert [request.body["step_id"] for request in sent(stage, "begin_step")][:2] == [".", ".."]


def test_what_was_not_entered_says_so(claim):
    with pytest.raises(RuntimeError, match="with"):
        _ = claim.step("a", type="pure").is_new
