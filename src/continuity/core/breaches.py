"""What no rule allows, although every digest is right: an event held against the state before it. Pure.

An event that the sequencer decided breaks none of these. What only it knew, the renewals, stands in the payloads, so
history proves itself. (FORMAT.md, "What history proves", says the same for other languages.)
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from continuity.core import transitions as table
from continuity.core.decide import OPERATOR_KINDS, PRINTABLE
from continuity.core.fields import DIGEST_TEXT
from continuity.core.grants import ACTING, GRANTING, KEEP_FAILING, WORKFLOW, how_ended
from continuity.core.ids import NIL, UUID_TEXT, entity_id, event_id, instant, micros_of, workflow_id
from continuity.core.limits import JSON_INTEGER_MAX, SILENT_DEATHS_MAX
from continuity.core.liveness import SECOND
from continuity.core.records import Event
from continuity.core.state import State

Payload = Mapping[str, Any]
Breach = tuple[str, str]
"""The field at fault, and why."""

COMMANDS: Final = {event_type: command for command, event_type in table.EVENT_TYPES.items()}
OUTLIVING: Final = frozenset({"lease_released", "step_completed", "step_failed"})
"""What ends a claim or an attempt, also where a rollback has undone the task meanwhile: then it is of no goal."""
"""So begins the blocker of a claim that gave up: the one transition that needs no grant."""


def breaches(before: State, event: Event, payload: Payload) -> Iterator[Breach]:
    """What is wrong with `event` after `before`; the first counts, as what comes later may follow from it."""
    yield from _names(before, event)
    yield from _concerned(before, event, payload)
    yield from _statuses(before, event, payload)
    yield from _tokens(before, event, payload)
    yield from _voided(before, event, payload)
    yield from _fence(before, event, payload)
    if event["event_type"] in _RULES:
        yield from _RULES[event["event_type"]](before, event, payload)


# Of every event.


def malformed(event: Event) -> Iterator[Breach]:
    """What no writer of ours puts into a field that only says who asked for what: looked at before everything else."""
    if not 0 <= event["timestamp"] <= JSON_INTEGER_MAX:
        yield "timestamp", "it is no time of a log"
    if not UUID_TEXT.fullmatch(event["command_id"]) or event["command_id"] == NIL:
        yield "command_id", "it is no id of a command"
    if not DIGEST_TEXT.fullmatch(event["command_digest"]):
        yield "command_digest", "it is no digest"
    if event["operator_kind"] not in OPERATOR_KINDS:
        yield "operator_kind", "there is no such kind"
    if not PRINTABLE.fullmatch(event["operator_id"]):
        yield "operator_id", "it is no name of an operator"
    if event["session_id"] is not None and not PRINTABLE.fullmatch(event["session_id"]):
        yield "session_id", "it is no name of a session"


def _names(before: State, event: Event) -> Iterator[Breach]:
    at, seq, command = event["timestamp"], event["event_seq"], event["command_id"]
    if event["workflow_id"] != workflow_id(event["tenant"], event["project"]):
        yield "workflow_id", "it is not the one of its tenant and project"
    if event["event_id"] != event_id(at, event["workflow_id"], seq, command):
        yield "event_id", "it is not the one of its time, place and command"
    if at < before.head_timestamp:
        yield "timestamp", "it is older than the event before it"
    if before.window.find(command, before.head_seq) is not None:
        yield "command_id", "one of the last 256 events came of the same command"


def _concerned(before: State, event: Event, payload: Payload) -> Iterator[Breach]:
    """The ids of the record are those of the payload, and there are such things."""
    task_id: Any = payload.get("task_id")
    is_known = task_id in before.tasks
    if event["task_id"] != task_id:
        yield "task_id", "it is not the one of the payload"
    if event["step_id"] != payload.get("step_id"):
        yield "step_id", "it is not the one of the payload"
    if task_id is not None and not is_known and event["event_type"] not in OUTLIVING | {"task_added"}:
        yield "task_id", f"there is no task {task_id}"
    goal_id = payload.get("goal_id")
    if goal_id is None and is_known:
        goal_id = before.tasks[task_id]["goal_id"]
    if event["goal_id"] != goal_id:
        yield "goal_id", "it is not the one of the payload, or of the task"
    if goal_id is not None and goal_id not in before.goals and event["event_type"] != "goal_created":
        yield "goal_id", f"there is no goal {goal_id}"


def _statuses(before: State, event: Event, payload: Payload) -> Iterator[Breach]:
    event_type, task_id = event["event_type"], event["task_id"]
    status = before.tasks[task_id]["status"] if task_id is not None and task_id in before.tasks else None
    expected: tuple[str | None, str | None] = (None, None)
    transition = table.TASK_TRANSITIONS.get(COMMANDS.get(event_type, ""))
    if transition is not None:
        sources, target = transition
        if status not in sources:
            yield "from_status", f"{event_type} does not lead on from {status}"
        expected = status, target
    elif event_type == "goal_created":
        expected = None, "active"
    elif event_type == "task_added":
        expected = None, "todo"
    elif event_type == "goal_status_set":
        expected = before.goals[payload["goal_id"]]["status"], payload["status"]
    elif event_type == "task_claimed" and status == "todo":
        expected = "todo", "doing"
    for name, value in zip(("from_status", "to_status"), expected, strict=True):
        if event[name] != value:  # type: ignore[literal-required]
            yield name, f"{event_type} has {value} here"


def _tokens(before: State, event: Event, payload: Payload) -> Iterator[Breach]:
    token = event["fencing_token"]
    if event["event_type"] in GRANTING:
        if token != payload["token"] or token != before.token_counter + 1:
            yield "fencing_token", f"{token} does not follow {before.token_counter}"
    elif token is not None and token not in before.lookup.tokens:
        yield "fencing_token", f"{token} was no current token"


def _voided(before: State, event: Event, payload: Payload) -> Iterator[Breach]:
    seen = set()
    for gone in payload.get("voided", ()):
        token = gone["token"]
        grant = before.grants.get(gone["task_id"] or WORKFLOW)
        if grant is None or (grant["token"], grant["owner_id"]) != (token, gone["owner_id"]) or token in seen:
            yield "payload", f"it voids the token {token}, which was not current"
        elif gone["reason"] == "replaced":
            if event["event_type"] not in GRANTING or payload["owner_id"] != grant["owner_id"]:
                yield "payload", f"it replaces the token {token} of another owner"
        elif not micros_of(grant["expires_at"]) <= _micros(gone["expires_at"]) <= event["timestamp"]:
            yield "payload", f"the token {token} had not run out"
        seen.add(token)


def _fence(before: State, event: Event, payload: Payload) -> Iterator[Breach]:
    """Work on what somebody holds comes under that grant, or ends it because it has run out."""
    if event["event_type"] not in ACTING or str(payload.get("blocker", {}).get("text")).startswith(KEEP_FAILING):
        return
    keys = (WORKFLOW,) if event["task_id"] is None else (event["task_id"], WORKFLOW)
    holding = {before.grants[key]["token"] for key in keys if key in before.grants}
    if event["fencing_token"] not in holding and not holding <= _gone(payload):
        yield "fencing_token", "somebody else held what it changes"


def _gone(payload: Payload) -> set[int]:
    return {gone["token"] for gone in payload.get("voided", ())}


def _micros(text: str) -> int:
    micros = micros_of(text)
    if instant(micros) != text:
        raise ValueError(f"{text:.40} is not written as an instant")
    return micros


# Of one type.


def _goal_created(before: State, event: Event, payload: Payload) -> Iterator[Breach]:
    if payload["goal_id"] != entity_id(event["workflow_id"], event["command_id"]) or payload["goal_id"] in before.goals:
        yield "goal_id", "it is not a new one, made of the command's id"


def _goal_status_set(before: State, _: Event, payload: Payload) -> Iterator[Breach]:
    goal_id, status = payload["goal_id"], payload["status"]
    if status not in ("active", "paused", "done") or status == before.goals[goal_id]["status"]:
        yield "to_status", f"a goal does not become {status} here"
    if status == "done" and before.lookup.open_tasks.get(goal_id):
        yield "to_status", f"goal {goal_id} had open tasks"


def _task_added(before: State, event: Event, payload: Payload) -> Iterator[Breach]:
    if payload["task_id"] != entity_id(event["workflow_id"], event["command_id"]) or payload["task_id"] in before.tasks:
        yield "task_id", "it is not a new one, made of the command's id"
    if before.goals[payload["goal_id"]]["status"] == "done":
        yield "goal_id", "a goal that is done takes no task"
    yield from _dependencies(before, event, payload)


def _dependencies(before: State, _: Event, payload: Payload) -> Iterator[Breach]:
    pending, seen = list(payload.get("depends_on", ())), set()
    while pending:
        needed = pending.pop()
        if needed == payload["task_id"] or needed not in before.tasks:
            yield "payload", f"it makes the task depend on {needed}"
            return
        if needed not in seen:
            seen.add(needed)
            pending += before.tasks[needed]["depends_on"]


def _started(before: State, event: Event, _: Payload) -> Iterator[Breach]:
    task = before.tasks[event["task_id"]]  # type: ignore[index]  # `_names` has looked
    goal = before.goals[task["goal_id"]]
    if goal["status"] != "active":
        yield "goal_id", f"its goal is {goal['status']}"
    if any(before.tasks[needed]["status"] != "done" for needed in task["depends_on"]):
        yield "task_id", "it waits for tasks that are not done"


def _reopened(before: State, event: Event, _: Payload) -> Iterator[Breach]:
    if before.goals[event["goal_id"]]["status"] == "done":  # type: ignore[index]
        yield "goal_id", "its goal is done"


def _left(before: State, event: Event, _: Payload) -> Iterator[Breach]:
    if before.tasks[event["task_id"]]["status"] == "done":  # type: ignore[index]
        yield "task_id", "a task that is done takes no checkpoint"


def _granted(before: State, event: Event, payload: Payload) -> Iterator[Breach]:
    """One executor for the whole project, or one for each task."""
    if payload["grant_id"] != entity_id(event["workflow_id"], event["command_id"]):
        yield "payload", "its grant_id is not made of the command's id"
    if payload["expires_at"] != instant(event["timestamp"] + payload["ttl_seconds"] * SECOND):
        yield "payload", "it does not expire its ttl after it was granted"
    task_id, owner_id, gone = payload["task_id"], payload["owner_id"], _gone(payload)
    if (task_id is None) != (event["event_type"] == "lease_acquired"):
        yield "task_id", "a lease names no task, and a claim does"
    for grant in before.grants.values():
        own = grant["owner_id"] == owner_id
        both = (task_id is None) != (grant["task_id"] is None)
        if grant["task_id"] != task_id and not both:
            continue  # another task's
        if not (own and both) and grant["token"] not in gone:
            yield "payload", f"the token {grant['token']} stood in its way, and was not voided"


def _claimed(before: State, event: Event, payload: Payload) -> Iterator[Breach]:
    yield from _granted(before, event, payload)
    status = before.tasks[payload["task_id"]]["status"]
    if status not in ("todo", "doing") or ("from_status" in payload) != (status == "todo"):
        yield "payload", f"a task that is {status} is not claimed like this"
    yield from _started(before, event, payload) if status == "todo" else ()
    if before.goals[event["goal_id"]]["status"] != "active":  # type: ignore[index]
        yield "goal_id", "its goal is not active"
    end = how_ended(payload.get("voided", ()), payload["task_id"])
    if status == "doing" and end != "replaced" and _deaths(before, payload["task_id"], end) >= SILENT_DEATHS_MAX:
        yield "payload", f"{SILENT_DEATHS_MAX} holders had vanished: the task had to be blocked"


def _deaths(before: State, task_id: str, end: str | None) -> int:
    known: int = before.silent_deaths.get(task_id, 0)
    if end == "expired":
        return 0 if before.grants[task_id]["acted"] else known + 1
    return known


def _released(before: State, event: Event, payload: Payload) -> Iterator[Breach]:
    grant = before.grants.get(payload["task_id"] or WORKFLOW)
    if grant is None or (grant["token"], grant["owner_id"]) != (payload["token"], payload["owner_id"]):
        yield "payload", "nobody held this under that token"
    if event["fencing_token"] != payload["token"]:
        yield "fencing_token", "it is not the one that is released"


def _begun(before: State, event: Event, payload: Payload) -> Iterator[Breach]:
    step = before.steps.get(payload["step_id"])
    last = None if step is None else step["attempts"][-1]
    if payload["attempt_id"] != (1 if last is None else last["attempt_id"] + 1):
        yield "payload", f"attempt {payload['attempt_id']} is not the next one"
    if step is not None and last is not None:
        if step["status"] == "completed":
            yield "payload", f"step {payload['step_id']} was completed already"
        if step["status"] == "open" and last["token"] == payload["token"]:
            yield "payload", f"attempt {last['attempt_id']} of the same holder was open"
        if any(step[name] != payload[name] for name in ("step_type", "task_id", "external_key")):
            yield "payload", f"step {payload['step_id']} was begun as another kind"
    key = before.lookup.tokens.get(payload["token"])
    if payload["token"] != event["fencing_token"] or key is None:
        yield "fencing_token", "it is not the one that the attempt was begun under"
    elif key not in (WORKFLOW, payload["task_id"]):
        yield "task_id", "the token is the claim of another task"
    elif not micros_of(before.grants[key]["expires_at"]) <= _micros(payload["lease_expires_at"]):
        yield "payload", "it names an expiry before that of the grant"
    elif _micros(payload["lease_expires_at"]) <= event["timestamp"]:
        yield "payload", "the grant had run out"


def _ended(before: State, event: Event, payload: Payload) -> Iterator[Breach]:
    step = before.steps.get(payload["step_id"])
    if step is None or step["status"] != "open" or step["attempts"][-1]["attempt_id"] != payload["attempt_id"]:
        yield "payload", f"step {payload['step_id']} had no open attempt {payload['attempt_id']}"
    elif step["attempts"][-1]["token"] != event["fencing_token"]:
        yield "fencing_token", "the attempt was begun under another one"
    elif step["task_id"] != payload["task_id"]:
        yield "task_id", "the step is of another task"


def _rolled_back(before: State, event: Event, payload: Payload) -> Iterator[Breach]:
    if not 0 <= payload["to_seq"] < before.head_seq:
        yield "payload", f"there is nothing to go back to behind event {payload['to_seq']}"
    if not {grant["token"] for grant in before.grants.values()} <= {event["fencing_token"], *_gone(payload)}:
        yield "fencing_token", "somebody else held what it changes"


def _forked(before: State, _: Event, __: Payload) -> Iterator[Breach]:
    if before.head_seq:
        yield "event_type", "only a first event begins a fork"


_RULES: Final[Mapping[str, Callable[[State, Event, Payload], Iterator[Breach]]]] = {
    "goal_created": _goal_created,
    "goal_status_set": _goal_status_set,
    "task_added": _task_added,
    "task_amended": _dependencies,
    "task_started": _started,
    "task_reopened": _reopened,
    "checkpoint_updated": _left,
    "lease_acquired": _granted,
    "task_claimed": _claimed,
    "lease_released": _released,
    "step_begun": _begun,
    "step_completed": _ended,
    "step_failed": _ended,
    "rolled_back": _rolled_back,
    "project_forked": _forked,
}
