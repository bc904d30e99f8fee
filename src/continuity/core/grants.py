"""Leases and claims: who may work on a project, or on one of its tasks, and for how long. Pure.

A lease holds the workflow, a claim one task; both are grants with a fencing token from one counter that only grows.
The token decides whether a command counts. The clock only decides who may take over. (Design, section 2.)
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from continuity.core import commands, limits
from continuity.core.ids import entity_id, instant
from continuity.core.liveness import SECOND, Liveness
from continuity.core.next_step import is_ready
from continuity.core.outcome import Answered, Context, Draft, Refusal, Result
from continuity.core.records import Blocker, Change, Command, Task, Voided
from continuity.core.state import TOKEN_COUNTER, State

WORKFLOW = "workflow"
"""The key of the lease among the grants; a claim's key is its task."""

KEEP_FAILING = "executors_keep_failing:"
"""So begins the blocker of a claim that gave up: the one transition that needs no grant."""

GRANTING = frozenset({"lease_acquired", "task_claimed"})
ACTING = frozenset(
    {
        "task_started", "task_paused", "task_blocked", "task_completed", "task_reopened", "checkpoint_updated",
        "step_begun", "step_completed", "step_failed",
    }
)  # fmt: skip
"""What tells that an executor is alive: a task whose holder did any of it did not die silently."""

Grant = Mapping[str, Any]


# The fence: before every rule.


def check_token(state: State, command: Command) -> None:
    """Whatever the command is: a token that it carries has to be a current one."""
    token = command.fencing_token
    if token is not None and token not in state.lookup.tokens:
        raise Refusal("fenced", f"The fencing token {token} is not a current one; {_holders(state)}.")


def pass_fence(state: State, command: Command, now: int, liveness: Liveness, task_id: str | None) -> list[Voided]:
    """For work on a task, or on the whole project with None: what holds it must be the command's, or have run out.

    Returns the grants that have run out: a command that is accepted without a token ends them.
    """
    keys = (WORKFLOW,) if task_id is None else (task_id, WORKFLOW)
    holding = [grant for key in keys if (grant := state.grants.get(key)) is not None]
    token = command.fencing_token
    if any(grant["token"] == token for grant in holding):
        return []
    for grant in holding:
        until = liveness.expiry(grant)
        if until > now:
            code = "token_needed" if token is None else "lease_held"
            raise Refusal(code, f"{_thing(grant)} is held by {grant['owner_id']} until {instant(until)}.")
    return [_voided(grant, liveness, "expired") for grant in holding]


def pass_all(context: Context) -> list[Voided]:
    """For what concerns all work at once: every grant must be the command's own, or have run out."""
    own = context.command.fencing_token
    others = [grant for grant in context.state.grants.values() if grant["token"] != own]
    in_order = sorted(others, key=lambda each: each["token"])
    return [_taken(grant, context.now, context.liveness, own=False) for grant in in_order]


# The rules.


def acquire(context: Context, body: commands.AcquireLease) -> Draft:
    """The workflow's lease, for an owner that nobody else's grant stands in the way of."""
    state, now, liveness = context.state, context.now, context.liveness
    voided: list[Voided] = []
    # In the order of their tokens, so that the same state gives the same event, and the same refusal.
    for grant in sorted(state.grants.values(), key=lambda each: each["token"]):
        own = grant["owner_id"] == body.owner_id
        if own and grant["task_id"] is not None:
            continue
        voided.append(_taken(grant, now, liveness, own=own))
    grant, payload = _granted(context, body.owner_id, body.ttl_seconds, None, voided)
    return Draft(payload, fencing_token=grant["token"], result=_told(state, grant, voided))


def claim(context: Context, body: commands.ClaimTask) -> Draft:
    """One task: the named one, or the next that nobody holds. A todo task is started by it, in the same event."""
    state, now, liveness = context.state, context.now, context.liveness
    voided: list[Voided] = []
    lease = state.grants.get(WORKFLOW)
    if lease is not None and lease["owner_id"] != body.owner_id:
        voided.append(_taken(lease, now, liveness, own=False))
    if body.task_id is None:
        task_id = next(_claimable(state, now, liveness), None)
        if task_id is None:
            raise Refusal("nothing_to_claim", "No task of this project is ready that nobody holds.")
    else:
        task_id = body.task_id
    task = state.tasks.get(task_id)
    if task is None:
        raise Refusal("unknown_task", f"The project has no task {task_id}.")
    holder = state.grants.get(task_id)
    if holder is not None:
        voided.append(_taken(holder, now, liveness, own=holder["owner_id"] == body.owner_id))
    _check_claimable(state, task)
    end = how_ended(voided, task_id)
    deaths = _deaths_after(state, task_id) if end == "expired" else state.silent_deaths.get(task_id, 0)
    # Who claims anew what it has is there: only after a rollback does it meet five deaths that way.
    if task["status"] == "doing" and deaths >= limits.SILENT_DEATHS_MAX and end != "replaced":
        return _given_up(task, voided)
    grant, payload = _granted(context, body.owner_id, body.ttl_seconds, task_id, voided)
    to_status = "doing" if task["status"] == "todo" else None
    return Draft(
        payload | ({"from_status": "todo"} if to_status else {}),
        task["goal_id"],
        task_id,
        from_status="todo" if to_status else None,
        to_status=to_status,
        fencing_token=grant["token"],
        result=_told(state, grant, voided),
    )


def renew(context: Context, body: commands.RenewLease) -> Answered:
    """Push the expiry of the token's grant out by its ttl. No event: the sequencer remembers it."""
    grant = _of_token(context, body.task_id)
    until = context.now + grant["ttl_seconds"] * SECOND
    return Answered(
        {"token": grant["token"], "owner_id": grant["owner_id"], "task_id": grant["task_id"]}
        | {"ttl_seconds": grant["ttl_seconds"], "expires_at": instant(until)},
        renewed=grant["token"],
    )


def release(context: Context, body: commands.ReleaseLease) -> Draft:
    """End a grant: the token's own, or with `force` whoever's it is."""
    state = context.state
    if body.force:
        found = state.grants.get(body.task_id or WORKFLOW)
        if found is None:
            raise Refusal("not_held", f"Nobody holds {'task ' + body.task_id if body.task_id else 'the project'}.")
        grant: Grant = found
    else:
        grant = _of_token(context, body.task_id)
    task_id = grant["task_id"]
    payload = {"token": grant["token"], "owner_id": grant["owner_id"], "task_id": task_id, "forced": body.force}
    task = state.tasks.get(task_id)  # None too for one that a rollback has undone
    goal_id = task and task["goal_id"]
    return Draft(payload, goal_id, task_id, fencing_token=grant["token"])


# What they mean for the state.


def changes(state: State, event_type: str, payload: Mapping[str, Any], seq: int, at: str) -> list[Change]:
    """What an event does to grants, silent deaths and the token counter."""
    grants: dict[str, Any] = {}
    deaths: dict[str, int | None] = {}
    counter: list[Change] = []
    for gone in payload.get("voided", ()):
        task_id = gone["task_id"]
        grants[task_id or WORKFLOW] = None
        if task_id is not None and gone["reason"] == "expired":
            deaths[task_id] = _deaths_after(state, task_id) or None
    task_id = payload.get("task_id")
    if event_type in GRANTING:
        grants[task_id or WORKFLOW] = _document(payload, seq, at)
        counter = [Change(TOKEN_COUNTER, "", payload["token"])]
    elif event_type == "lease_released":
        grants[task_id or WORKFLOW] = None
    elif event_type in ACTING and task_id is not None:
        deaths[task_id] = None
        holder = None if task_id in grants else state.grants.get(task_id)
        if event_type == "task_completed" and holder is not None:
            grants[task_id] = None
        elif holder is not None and not holder["acted"]:
            grants[task_id] = {**holder, "acted": True}
    known = state.silent_deaths
    return [
        *(Change("grants", key, document) for key, document in grants.items()),
        *(Change("silent_deaths", key, n) for key, n in deaths.items() if known.get(key) != n),
        *counter,
    ]


def by_grant_id(state: State, grant_id: str) -> Grant | None:
    """The grant of that id, while it lives."""
    key = state.lookup.grant_ids.get(grant_id)
    return None if key is None else state.grants[key]


def how_ended(voided: Iterable[Mapping[str, Any]], task_id: str) -> str | None:
    """Why an event that voids these grants ends the claim of that task: expired, replaced, or None if it does not."""
    return next((gone["reason"] for gone in voided if gone["task_id"] == task_id), None)


def is_asked_for(grant: Grant, body: commands.AcquireLease | commands.ClaimTask) -> bool:
    """Whether a command that comes again asks for what the grant is."""
    if (grant["owner_id"], grant["ttl_seconds"]) != (body.owner_id, body.ttl_seconds):
        return False
    if isinstance(body, commands.AcquireLease):
        return grant["task_id"] is None
    return grant["task_id"] is not None and body.task_id in (None, grant["task_id"])


def told(grant: Grant) -> Result:
    """What the holder of a grant is told of it."""
    return {name: grant[name] for name in ("token", "owner_id", "task_id", "ttl_seconds", "expires_at")}


def _document(payload: Mapping[str, Any], seq: int, at: str) -> dict[str, Any]:
    names = ("grant_id", "token", "owner_id", "task_id", "ttl_seconds", "expires_at")
    return {name: payload[name] for name in names} | {"acquired_at": at, "seq": seq, "acted": False}


def _granted(
    context: Context, owner_id: str, ttl_seconds: int, task_id: str | None, voided: list[Voided]
) -> tuple[Grant, dict[str, Any]]:
    state = context.state
    payload: dict[str, Any] = {
        "grant_id": entity_id(state.workflow_id, context.command.command_id),
        "token": state.token_counter + 1,
        "owner_id": owner_id,
        "task_id": task_id,
        "ttl_seconds": ttl_seconds,
        "expires_at": instant(context.now + ttl_seconds * SECOND),
    }
    grant = _document(payload, state.head_seq + 1, instant(context.now))
    return grant, payload | ({"voided": voided} if voided else {})


def _told(state: State, grant: Grant, voided: list[Voided]) -> Result:
    return told(grant) | {"handover": _handover(state, grant["task_id"], voided)}


def _handover(state: State, task_id: str | None, voided: list[Voided]) -> Result:
    """What the predecessor left: where it was, and which attempts it may have been in the middle of."""
    steps = (state.steps[key] for key in sorted(state.lookup.open_steps))
    left_open = (
        {"step_id": step["step_id"], "step_type": step["step_type"], "attempt_id": step["attempts"][-1]["attempt_id"]}
        for step in steps
        if task_id is None or step["task_id"] == task_id
    )
    doing = task_id or max(state.lookup.doing, key=lambda each: state.tasks[each]["changed_seq"], default=None)
    gone: list[Voided | None] = [each for each in voided if each["task_id"] == task_id]
    return {
        "predecessor": next(iter([*gone, *voided]), None),
        "checkpoint": None if doing is None else state.checkpoints.get(doing),
        "open_attempts": list(islice(left_open, limits.OPEN_ATTEMPTS_TOLD_MAX)),
    }


def _given_up(task: Mapping[str, Any], voided: list[Voided]) -> Draft:
    """The fifth in a row: the task is blocked instead of being handed out again."""
    text = (
        f"{KEEP_FAILING} {limits.SILENT_DEATHS_MAX} executors in a row vanished"
        " without a checkpoint, a transition or a step."
    )
    blocker = Blocker(text=text, clears_when="Somebody has found out why, and starts the task again.")
    task_id = task["task_id"]
    return Draft(
        {"task_id": task_id, "blocker": blocker} | ({"voided": voided} if voided else {}),
        task["goal_id"], task_id, "doing", "blocked", event_type="task_blocked", result={"token": None},
    )  # fmt: skip


def _deaths_after(state: State, task_id: str) -> int:
    """The silent deaths of a task, once the holder that it has now counts as gone."""
    if state.grants[task_id]["acted"]:
        return 0
    return int(state.silent_deaths.get(task_id, 0)) + 1


def _claimable(state: State, now: int, liveness: Liveness) -> Iterator[str]:
    """The tasks to claim, best first: left behind while doing, changed last; then those that are ready, by rule 3."""

    def is_free(task_id: str) -> bool:
        grant = state.grants.get(task_id)
        return grant is None or liveness.expiry(grant) <= now

    goals = state.goals
    left = [state.tasks[task_id] for task_id in state.lookup.doing if is_free(task_id)]
    left = [task for task in left if goals[task["goal_id"]]["status"] == "active"]
    yield from (task["task_id"] for task in sorted(left, key=lambda task: -task["changed_seq"]))
    waiting = [goals[goal_id] for goal_id in state.lookup.todo]
    priorities = {goal["priority"] for goal in waiting if goal["status"] == "active"}
    for priority in sorted(priorities, reverse=True):
        equal = (goal["goal_id"] for goal in waiting if goal["status"] == "active" and goal["priority"] == priority)
        queues = ((state.tasks[task_id] for task_id in state.lookup.todo[goal_id]) for goal_id in equal)
        ready = ((task for task in queue if is_ready(state, task) and is_free(task["task_id"])) for queue in queues)
        found = [task for queue in ready if (task := next(queue, None)) is not None]
        if found:
            yield min(found, key=lambda task: task["created_seq"])["task_id"]


def _check_claimable(state: State, task: Task) -> None:
    task_id, status = task["task_id"], task["status"]
    if status not in ("todo", "doing"):
        raise Refusal("illegal_transition", f"Task {task_id} is {status}: a claim takes one that is todo or doing.")
    goal = state.goals[task["goal_id"]]
    if goal["status"] != "active":
        raise Refusal("goal_paused", f"Goal {task['goal_id']} of task {task_id} is {goal['status']}.")
    if status == "todo" and not is_ready(state, task):
        raise Refusal("unmet_dependencies", f"Task {task_id} waits for tasks that are not done.")


def _taken(grant: Grant, now: int, liveness: Liveness, *, own: bool) -> Voided:
    """A grant that stands in the way, as it is voided; refused while somebody else's lives."""
    until = liveness.expiry(grant)
    if until <= now:
        return _voided(grant, liveness, "expired")
    if own:
        return _voided(grant, liveness, "replaced")
    raise Refusal("lease_held", f"{_thing(grant)} is held by {grant['owner_id']} until {instant(until)}.")


def _voided(grant: Grant, liveness: Liveness, reason: Any) -> Voided:
    return Voided(
        token=grant["token"],
        owner_id=grant["owner_id"],
        task_id=grant["task_id"],
        expires_at=instant(liveness.expiry(grant)),
        reason=reason,
    )


def _of_token(context: Context, task_id: str | None) -> Grant:
    """The grant of the command's token; with `task_id` it has to be the claim of that task."""
    token = context.command.fencing_token
    if token is None:
        raise Refusal("token_needed", f"{context.command.command_type} needs the fencing token of the grant.")
    grant: Grant = context.state.grants[context.state.lookup.tokens[token]]
    if task_id is not None and grant["task_id"] != task_id:
        raise Refusal("fenced", f"The fencing token {token} holds {_thing(grant).lower()}, not task {task_id}.")
    return grant


def _thing(grant: Grant) -> str:
    return "The project" if grant["task_id"] is None else f"Task {grant['task_id']}"


def _holders(state: State) -> str:
    """Who holds what, in short: what a fenced executor has to know first."""
    lease = state.grants.get(WORKFLOW)
    if lease is not None:
        return f"the project is held by {lease['owner_id']} under token {lease['token']}"
    claims = f"{len(state.grants)} task{'s are' if len(state.grants) > 1 else ' is'} claimed"
    return claims if state.grants else "nothing in this project is held"
