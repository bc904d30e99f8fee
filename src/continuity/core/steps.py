"""Steps: what an executor does in the world, begun in attempts and completed at most once, for ever. Pure.

The fence and the fact are one decision: an attempt is allocated, and a completion stored, only under a current token.
A result is a reference with its checksum; the thing itself lies elsewhere. (Design, section 2.)
"""

from collections.abc import Mapping
from typing import Any

from continuity.core import commands, limits
from continuity.core.grants import WORKFLOW
from continuity.core.ids import instant
from continuity.core.outcome import Answered, Context, Draft, Refusal, Result
from continuity.core.records import Change
from continuity.core.state import State

Step = Mapping[str, Any]
StepCommand = commands.BeginStep | commands.CompleteStep | commands.FailStep


def begin(context: Context, body: commands.BeginStep) -> Draft | Answered:
    """The next attempt, or the stored result of a completed step."""
    state = context.state
    grant = _unexpired(context)
    task_id = body.task_id or grant["task_id"]
    if task_id is not None and task_id not in state.tasks:
        raise Refusal("unknown_task", f"The project has no task {task_id}.")
    if grant["task_id"] not in (None, task_id):  # or two executors could be in one step, both with a current token
        detail = f"Token {grant['token']} is the claim of task {grant['task_id']}, the step is of task {task_id}."
        raise Refusal("token_needed", detail)
    step = state.steps.get(body.step_id)
    attempt_id = 1
    if step is None:
        if len(state.steps) >= limits.STEPS_MAX:
            raise Refusal("too_many_steps", f"The project has {len(state.steps)} steps.")
    else:
        _check_same(step, body, task_id)
        if step["status"] == "completed":
            return Answered(_completed(step))
        attempt_id = step["attempts"][-1]["attempt_id"] + 1
        if step["status"] == "open" and step["attempts"][-1]["token"] == grant["token"]:
            raise Refusal("step_in_progress", f"Attempt {attempt_id - 1} of step {body.step_id} is open.")
        if attempt_id > limits.ATTEMPTS_MAX:
            raise Refusal("too_many_attempts", f"Step {body.step_id} has had {limits.ATTEMPTS_MAX} attempts.")
    payload = {
        "step_id": body.step_id,
        "step_type": body.step_type,
        "task_id": task_id,
        "external_key": body.external_key,
        "attempt_id": attempt_id,
        "token": grant["token"],
        "lease_expires_at": instant(context.liveness.expiry(grant)),
    }
    return _draft(state, payload, {"status": "begun"} | _begun(payload, step))


def complete(context: Context, body: commands.CompleteStep) -> Draft | Answered:
    """The one completion of a step."""
    step = _known(context.state, body.step_id)
    if step["status"] == "completed":
        if (step.get("result_ref"), step.get("result_checksum")) == (body.result_ref, body.result_checksum):
            return Answered(_completed(step))
        raise Refusal("step_completed", f"Step {body.step_id} is completed, with another result.")
    _check_open(context, step, body.attempt_id)
    payload = {"step_id": body.step_id, "task_id": step["task_id"], "attempt_id": body.attempt_id}
    result = {} if body.result_ref is None else {"result_ref": body.result_ref, "result_checksum": body.result_checksum}
    return _draft(context.state, payload | result, {"status": "completed", "attempt_id": body.attempt_id} | result)


def fail(context: Context, body: commands.FailStep) -> Draft:
    """An attempt ends without a result."""
    step = _known(context.state, body.step_id)
    if step["status"] == "completed":
        raise Refusal("step_completed", f"Step {body.step_id} is completed.")
    _check_open(context, step, body.attempt_id)
    payload = {"step_id": body.step_id, "task_id": step["task_id"], "attempt_id": body.attempt_id}
    error = {} if body.error is None else {"error": body.error}
    return _draft(context.state, payload | error, {"status": "failed", "attempt_id": body.attempt_id})


def task_of(state: State, body: StepCommand, token: int | None) -> str | None:
    """The task that a step's command works on: the named one, the step's own, or that of the claim it comes under."""
    step = state.steps.get(body.step_id)
    if step is not None:
        return step["task_id"]  # type: ignore[no-any-return]
    named: str | None = getattr(body, "task_id", None)
    key = WORKFLOW if named is not None or token is None else state.lookup.tokens.get(token) or WORKFLOW
    return named if key == WORKFLOW else key


def result_of(state: State, body: StepCommand, event_seq: int) -> Result | None:
    """What a repeat of an accepted command on a step is told: as it was then, where that still shows."""
    step = state.steps.get(body.step_id)
    if step is None:
        return None
    if isinstance(body, commands.FailStep):
        return {"status": "failed", "attempt_id": body.attempt_id}
    if isinstance(body, commands.CompleteStep):
        return _completed(step)
    attempts = step["attempts"]
    at = next((at for at, attempt in enumerate(attempts) if attempt["seq"] == event_seq), None)
    if at is None:
        return None
    told = {"step_id": body.step_id, "step_type": step["step_type"], "external_key": step["external_key"]}
    return {"status": "begun"} | _begun(told | attempts[at], {**step, "attempts": attempts[:at]} if at else None)


# What they mean for the state.


def begun(state: State, payload: Mapping[str, Any], seq: int, at: str) -> list[Change]:
    """A new attempt; the ones before it stay as they were left."""
    known = ("step_id", "step_type", "task_id", "external_key")
    attempt = {"attempt_id": payload["attempt_id"], "token": payload["token"]}
    attempt |= {"seq": seq, "started_at": at, "status": "open"}
    before = state.steps.get(payload["step_id"])
    attempts = [*(before["attempts"] if before else ()), attempt]
    step = {name: payload[name] for name in known} | {"status": "open", "attempts": attempts}
    return [Change("steps", payload["step_id"], step)]


def ended(state: State, payload: Mapping[str, Any], status: str, at: str) -> list[Change]:
    """The last attempt is over."""
    step = state.steps[payload["step_id"]]
    error = {"error": payload["error"]} if "error" in payload else {}
    last = {**step["attempts"][-1], "status": status, "ended_at": at} | error
    result = {name: payload[name] for name in ("result_ref", "result_checksum") if name in payload}
    after = {**step, "status": status, "attempts": [*step["attempts"][:-1], last]} | result
    return [Change("steps", payload["step_id"], after)]


def _draft(state: State, payload: dict[str, Any], result: Result) -> Draft:
    task_id = payload["task_id"]
    task = state.tasks.get(task_id)  # None too for one that a rollback has undone
    goal_id = task and task["goal_id"]
    return Draft(payload, goal_id, task_id, step_id=payload["step_id"], result=result)


def _unexpired(context: Context) -> Mapping[str, Any]:
    token, state = context.command.fencing_token, context.state
    if token is None:
        raise Refusal("token_needed", "begin_step needs the fencing token of a lease or claim.")
    grant: Mapping[str, Any] = state.grants[state.lookup.tokens[token]]
    until = context.liveness.expiry(grant)
    if until <= context.now:
        raise Refusal("lease_expired", f"The grant of token {token} ran out at {instant(until)}.")
    return grant


def _check_same(step: Step, body: commands.BeginStep, task_id: str | None) -> None:
    was = (step["step_type"], step["external_key"], step["task_id"])
    if was != (body.step_type, body.external_key, task_id):
        detail = f"Step {body.step_id} was begun as {was[0]}, with external key {was[1]}, for task {was[2]}."
        raise Refusal("step_conflict", detail)


def _check_open(context: Context, step: Step, attempt_id: int) -> None:
    """The attempt is the step's last, open, and was begun under the command's token."""
    step_id, last = step["step_id"], step["attempts"][-1]
    token = context.command.fencing_token
    if token is None:
        raise Refusal("token_needed", f"{context.command.command_type} needs the token under which it was begun.")
    if attempt_id > last["attempt_id"]:
        raise Refusal("unknown_attempt", f"Step {step_id} has no attempt {attempt_id}.")
    if attempt_id < last["attempt_id"] or last["token"] != token:
        holder = f"attempt {last['attempt_id']} was begun under token {last['token']}"
        raise Refusal("fenced", f"Attempt {attempt_id} of step {step_id} is not this token's last: {holder}.")
    if last["status"] != "open":
        raise Refusal("attempt_closed", f"Attempt {attempt_id} of step {step_id} is {last['status']}.")


def _known(state: State, step_id: str) -> Step:
    step: Step | None = state.steps.get(step_id)
    if step is None:
        raise Refusal("unknown_step", f"The project has no step {step_id}.")
    return step


def _begun(payload: Mapping[str, Any], before: Step | None) -> Result:
    told = {name: payload[name] for name in ("step_id", "step_type", "external_key", "attempt_id")}
    earlier = before["attempts"] if before else []
    # Whether the world has felt an attempt that did not come back is for the caller to find out, by the external key.
    return told | {"ambiguous": bool(earlier) and told["step_type"] == "non_idempotent", "earlier_attempts": earlier}


def _completed(step: Step) -> Result:
    last = step["attempts"][-1]
    return {
        "status": "already_completed",
        "step_id": step["step_id"],
        "attempt_id": last["attempt_id"],
        "completed_at": last["ended_at"],
        "result_ref": step.get("result_ref"),
        "result_checksum": step.get("result_checksum"),
    }
