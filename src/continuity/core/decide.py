"""The decider: given the state, a command and the time, what happens. Pure; the only place where work is decided.

Checks come in a fixed order: form, idempotency, predecessor, `expected_seq`, fence, rule. One accepted command is
exactly one event. `now` is the command record's broker timestamp; it never runs backwards within a workflow, and no
other clock enters a decision. (Design, section 2.)
"""

import re
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

from continuity.core import canonical, commands, delta, limits
from continuity.core import transitions as table
from continuity.core.commands import Body
from continuity.core.evolve import changes
from continuity.core.fields import FormError
from continuity.core.ids import NAME, NIL, UUID_TEXT, entity_id, event_id, instant, micros_of, workflow_id
from continuity.core.records import SCHEMA_VERSION, Change, Command, Event, Task
from continuity.core.refusals import REFUSALS
from continuity.core.seal import PRODUCER_VERSION, digest, seal
from continuity.core.state import State
from continuity.core.window import DIGEST

_SENDER = attrgetter("tenant", "project", "workflow_id", "operator_id", "operator_kind", "session_id")
OPERATOR_KINDS = ("human", "agent", "automation", "device")
PRINTABLE = re.compile(rf"[^\x00-\x1f\x7f\ud800-\udfff]{{1,{limits.OPERATOR_CHARACTERS_MAX}}}")


class Accepted(NamedTuple):
    """The command is a fact: `event`, not yet stamped by the log, and the state after it."""

    event: Event
    state: State


class Duplicate(NamedTuple):
    """The command was accepted before, as event `event_seq`; nothing happens again."""

    event_seq: int
    event_id: str
    event_type: str
    goal_id: str | None
    task_id: str | None


class Rejected(NamedTuple):
    """The command is refused and changes nothing. `code` is one of `core.refusals`."""

    code: str
    detail: str

    @property
    def fix(self) -> str:
        """What the caller can do about it."""
        return REFUSALS[self.code].fix


class Draft(NamedTuple):
    """What a rule decided, before it becomes an event."""

    payload: dict[str, Any]
    goal_id: str | None = None
    task_id: str | None = None
    from_status: str | None = None
    to_status: str | None = None


class Context(NamedTuple):
    """What a rule may look at besides the command's body."""

    state: State
    command: Command


class _Refusal(Exception):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.rejected = Rejected(code, detail)


def decide(state: State, command: Command, now: int) -> Accepted | Duplicate | Rejected:
    """Decide one command. `now` in microseconds since 1970. The same arguments give the same decision, for ever."""
    try:
        body = check_form(command)
    except FormError as error:
        return Rejected(error.code, error.detail)
    command_digest = digest(f"{command.command_type}\n{command.body}")
    known = _known(state, command, command_digest, body)
    if known is not None:
        return known
    try:
        _check_conditions(state, command)
        draft = _RULES[command.command_type](Context(state, command), body)
        return _accept(state, command, command_digest, draft, max(now, state.head_timestamp))
    except _Refusal as refusal:
        return refusal.rejected


def check_form(command: Command) -> Body:
    """The typed body of a well-formed command; `FormError` names the first field at fault."""
    after = command.command_id if command.after is None else command.after
    for name, value in (("command_id", command.command_id), ("after", after)):
        if not UUID_TEXT.fullmatch(value) or value == NIL:
            raise FormError("invalid_field", f"{name} must be a UUID in lower case, and not the nil UUID.")
    fault = _sender_fault(*_SENDER(command))
    if fault:
        raise FormError("invalid_field", fault)
    return commands.parse_canonical(command.command_type, command.body)


@lru_cache(maxsize=8_192)
def _sender_fault(
    tenant: str, project: str, workflow: str, operator_id: str, operator_kind: str, session_id: str | None
) -> str | None:
    """What is wrong with whose and who, or None: the same for every command of one operator in one project."""
    for name, value in (("tenant", tenant), ("project", project)):
        if not NAME.fullmatch(value):
            return f"{name} must match {NAME.pattern}."
    if workflow != workflow_id(tenant, project):
        return "workflow_id is not the one of this tenant and project."
    if operator_kind not in OPERATOR_KINDS:
        return f"operator_kind must be one of {', '.join(OPERATOR_KINDS)}."
    session_id = operator_id if session_id is None else session_id
    for name, value in (("operator_id", operator_id), ("session_id", session_id)):
        if not PRINTABLE.fullmatch(value):
            return f"{name} must have 1 to {limits.OPERATOR_CHARACTERS_MAX} printable characters."
    return None


def _known(state: State, command: Command, command_digest: str, body: Body) -> Duplicate | Rejected | None:
    """What is known of this command_id: from the window, and beyond it from the entity that it would create."""
    goal_id, task_id = getattr(body, "goal_id", None), getattr(body, "task_id", None)
    created: Any = None
    if command.command_type == "create_goal":
        goal_id = entity_id(state.workflow_id, command.command_id)
        created = state.goals.get(goal_id)
    elif command.command_type == "add_task":
        task_id = entity_id(state.workflow_id, command.command_id)
        created = state.tasks.get(task_id)
    seen = state.window.find(command.command_id, state.head_seq)
    if seen is not None:
        if seen.digest != bytes.fromhex(command_digest)[:DIGEST]:
            detail = f"command_id {command.command_id} was accepted with another body, as event {seen.event_seq}."
            return Rejected("idempotency_key_reused", detail)
        seq, timestamp = seen.event_seq, seen.timestamp
    elif created is not None:
        seq, timestamp = created["created_seq"], micros_of(created["created_at"])
    else:
        return None
    if goal_id is None and task_id is not None:
        goal_id = state.tasks[task_id]["goal_id"]  # a task never changes its goal
    identity = event_id(timestamp, state.workflow_id, seq, command.command_id)
    return Duplicate(seq, identity, table.EVENT_TYPES[command.command_type], goal_id, task_id)


def _check_conditions(state: State, command: Command) -> None:
    if command.after is not None and state.window.find(command.after, state.head_seq) is None:
        raise _Refusal("predecessor_missing", f"The command {command.after} that this one follows was not accepted.")
    if command.expected_seq is not None and command.expected_seq != state.head_seq:
        raise _Refusal(
            "expected_seq_mismatch", f"The head is {state.head_seq}, the command expected {command.expected_seq}."
        )
    if command.fencing_token is not None and command.fencing_token not in _live_tokens(state):
        raise _Refusal("fenced", f"The fencing token {command.fencing_token} is not the current one.")


def _live_tokens(state: State) -> set[int]:
    return {grant["token"] for grant in state.grants.values()}


def _accept(state: State, command: Command, command_digest: str, draft: Draft, now: int) -> Accepted:
    seq = state.head_seq + 1
    event_type = table.EVENT_TYPES[command.command_type]
    made: list[Change] = changes(state, event_type, draft.payload, seq, instant(now))
    after = state.with_changes(made)
    if after.size_bytes > limits.STATE_BYTES_MAX:
        raise _Refusal("state_too_large", f"The state would have {after.size_bytes} bytes.")
    payload = canonical.text(draft.payload)
    event = seal(
        {
            "event_id": event_id(now, state.workflow_id, seq, command.command_id),
            "tenant": command.tenant,
            "project": command.project,
            "workflow_id": state.workflow_id,
            "event_seq": seq,
            "event_type": event_type,
            "payload": payload,
            "timestamp": now,
            "schema_version": SCHEMA_VERSION,
            "producer_version": PRODUCER_VERSION,
            "checksum": digest(payload),
            "command_id": command.command_id,
            "command_digest": command_digest,
            "operator_id": command.operator_id,
            "operator_kind": command.operator_kind,
            "session_id": command.session_id,
            "goal_id": draft.goal_id,
            "task_id": draft.task_id,
            "step_id": None,
            "from_status": draft.from_status,
            "to_status": draft.to_status,
            "fencing_token": command.fencing_token,
            "delta": canonical.text(delta.of_changes(state, made)),
            "state_checksum": after.checksum,
            "prev_hash": state.head_hash,
        }
    )
    return Accepted(event, after.with_head(event))


# The rules, one for each command. Each returns a draft or leaves with a refusal.


def _create_goal(context: Context, body: commands.CreateGoal) -> Draft:
    state, command = context
    if len(state.goals) >= limits.GOALS_MAX:
        raise _Refusal("too_many_goals", f"The project has {len(state.goals)} goals.")
    goal_id = entity_id(state.workflow_id, command.command_id)
    payload = {"goal_id": goal_id, "text": body.text, "priority": body.priority}
    return Draft(payload, goal_id=goal_id, to_status="active")


def _set_goal_status(context: Context, body: commands.SetGoalStatus) -> Draft:
    state = context.state
    goal = _goal(state, body.goal_id)
    if goal["status"] == body.status:
        raise _Refusal("illegal_transition", f"Goal {body.goal_id} is {body.status} already.")
    still_open = state.open_tasks.get(body.goal_id, 0)
    if body.status == "done" and still_open:
        raise _Refusal("goal_has_open_tasks", f"Goal {body.goal_id} has {still_open} open tasks.")
    payload = {"goal_id": body.goal_id, "status": body.status}
    return Draft(payload, body.goal_id, from_status=goal["status"], to_status=body.status)


def _set_goal_priority(context: Context, body: commands.SetGoalPriority) -> Draft:
    _goal(context.state, body.goal_id)
    return Draft({"goal_id": body.goal_id, "priority": body.priority}, body.goal_id)


def _add_task(context: Context, body: commands.AddTask) -> Draft:
    state, command = context
    goal = _goal(state, body.goal_id)
    if goal["status"] == "done":
        raise _Refusal("goal_done", f"Goal {body.goal_id} is done and takes no task.")
    if len(state.tasks) >= limits.TASKS_MAX:
        raise _Refusal("too_many_tasks", f"The project has {len(state.tasks)} tasks.")
    task_id = entity_id(state.workflow_id, command.command_id)
    depends_on = body.depends_on or []
    _check_known(state, depends_on)  # a new task closes no circle: nothing can depend on it yet
    payload = {
        "task_id": task_id,
        "goal_id": body.goal_id,
        "title": body.title,
        "acceptance_criteria": body.acceptance_criteria or [],
        "depends_on": depends_on,
    }
    return Draft(payload, body.goal_id, task_id, to_status="todo")


def _amend_task(context: Context, body: commands.AmendTask) -> Draft:
    state = context.state
    task = _task(state, body.task_id)
    if body.depends_on:
        _check_known(state, body.depends_on)
        _check_no_cycle(state, body.task_id, body.depends_on)
    return Draft(commands.body_of(body), task["goal_id"], body.task_id)


def _start_task(context: Context, body: commands.StartTask) -> Draft:
    state = context.state
    task, draft = _transition(context, body.task_id)
    goal = state.goals[task["goal_id"]]
    if goal["status"] != "active":
        raise _Refusal("goal_paused", f"Goal {task['goal_id']} of task {body.task_id} is {goal['status']}.")
    unmet = [needed for needed in task["depends_on"] if state.tasks[needed]["status"] != "done"]
    if unmet:
        raise _Refusal("unmet_dependencies", f"Task {body.task_id} waits for {len(unmet)} tasks, first {unmet[0]}.")
    return draft


def _pause_task(context: Context, body: commands.PauseTask) -> Draft:
    _, draft = _transition(context, body.task_id)
    return draft._replace(payload=commands.body_of(body))


def _block_task(context: Context, body: commands.BlockTask) -> Draft:
    _, draft = _transition(context, body.task_id)
    return draft._replace(payload=commands.body_of(body))


def _complete_task(context: Context, body: commands.CompleteTask) -> Draft:
    _, draft = _transition(context, body.task_id)
    return draft._replace(payload=commands.body_of(body))


def _reopen_task(context: Context, body: commands.ReopenTask) -> Draft:
    task, draft = _transition(context, body.task_id)
    if context.state.goals[task["goal_id"]]["status"] == "done":
        raise _Refusal("goal_done", f"Goal {task['goal_id']} of task {body.task_id} is done.")
    return draft


def _update_checkpoint(context: Context, body: commands.UpdateCheckpoint) -> Draft:
    task = _task(context.state, body.task_id)
    if task["status"] == "done":
        raise _Refusal("illegal_transition", f"Task {body.task_id} is done: it takes no checkpoint.")
    payload = {
        "task_id": body.task_id,
        "where_we_left_off": body.where_left_off,
        "next_step": body.next_step,
        "needed_context_refs": body.context_refs,
    }
    return Draft(payload, task["goal_id"], body.task_id)


def _transition(context: Context, task_id: str) -> tuple[Task, Draft]:
    """The task, and the draft of the transition that the table has for this command."""
    task = _task(context.state, task_id)
    sources, target = table.TASK_TRANSITIONS[context.command.command_type]
    status = task["status"]
    if status not in sources:
        raise _Refusal(
            "illegal_transition",
            f"Task {task_id} is {status}: {context.command.command_type} takes it from {' or '.join(sources)}.",
        )
    return task, Draft({"task_id": task_id}, task["goal_id"], task_id, status, target)


def _goal(state: State, goal_id: str) -> Any:
    goal = state.goals.get(goal_id)
    if goal is None:
        raise _Refusal("unknown_goal", f"The project has no goal {goal_id}.")
    return goal


def _task(state: State, task_id: str) -> Task:
    task: Task | None = state.tasks.get(task_id)
    if task is None:
        raise _Refusal("unknown_task", f"The project has no task {task_id}.")
    return task


def _check_known(state: State, depends_on: list[str]) -> None:
    for needed in depends_on:
        if needed not in state.tasks:
            raise _Refusal("unknown_dependency", f"The project has no task {needed} to depend on.")


def _check_no_cycle(state: State, task_id: str, depends_on: list[str]) -> None:
    pending, seen = list(depends_on), set(depends_on)
    while pending:
        needed = pending.pop()
        if needed == task_id:
            raise _Refusal("dependency_cycle", f"Task {task_id} would depend on itself.")
        fresh = [other for other in state.tasks[needed]["depends_on"] if other not in seen]
        seen.update(fresh)
        pending += fresh


_RULES: Final[dict[str, Callable[[Context, Any], Draft]]] = {
    "create_goal": _create_goal,
    "set_goal_status": _set_goal_status,
    "set_goal_priority": _set_goal_priority,
    "add_task": _add_task,
    "amend_task": _amend_task,
    "start_task": _start_task,
    "pause_task": _pause_task,
    "block_task": _block_task,
    "complete_task": _complete_task,
    "reopen_task": _reopen_task,
    "update_checkpoint": _update_checkpoint,
}
