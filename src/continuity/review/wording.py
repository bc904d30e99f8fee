"""Events and changes in words, for people: one line each, and nothing in it that has to be looked up. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from continuity.core.canonical import text
from continuity.core.state import State

Payload = Mapping[str, Any]

QUOTE_CHARACTERS: Final = 120
KINDS: Final = {
    "goals": "goal",
    "tasks": "task",
    "checkpoints": "checkpoint of task",
    "grants": "grant of",
    "steps": "step",
    "silent_deaths": "silent deaths of task",
}
QUIET: Final = frozenset({"updated_at", "changed_seq", "created_at", "created_seq"})
"""Fields that change with every other one: they say nothing to a person."""


def quoted(value: str) -> str:
    """A text of somebody's, in quotes, shortened."""
    short = value if len(value) <= QUOTE_CHARACTERS else value[: QUOTE_CHARACTERS - 1] + "…"
    return f'"{short}"'


def told(event_type: str, payload: Payload) -> str:
    """What an event says."""
    words = _EVENTS.get(event_type)
    said = event_type.replace("_", " ") if words is None else words(payload)
    return "; ".join([said, *_voided(payload)])


def changes(before: State, after: State, operations: list[dict[str, Any]]) -> Iterator[str]:
    """A JSON Patch from `before` to `after` as lines, one for each thing that a person would call a change."""
    for operation in operations:
        path = operation["path"].split("/")[1:]
        if path == ["token_counter"]:
            yield f"fencing tokens: {before.token_counter} → {after.token_counter}"
            continue
        collection, key, *field = path
        if field and field[0] in QUIET:
            continue
        yield _change(before, after, operation, (collection, key, field))


def _change(before: State, after: State, operation: Mapping[str, Any], at: tuple[str, str, list[str]]) -> str:
    collection, key, field = at
    old, new = getattr(before, collection).get(key), getattr(after, collection).get(key)
    name = f"{KINDS[collection]} {_named(before, after, collection, key)}"
    if isinstance(new if new is not None else old, int):
        return f"{name}: {old or 0} → {new or 0}"
    if not field:
        return f"{'+' if operation['op'] == 'add' else '-'} {name}{_at_first(collection, new or old)}"
    (each,) = field
    return f"{name}: {each} {_shown(old.get(each))} → {_shown(new.get(each))}"


def _named(before: State, after: State, collection: str, key: str) -> str:
    held = "goals" if collection == "goals" else "tasks"
    entity = getattr(after, held).get(key) or getattr(before, held).get(key)
    if entity is None:
        return key
    return quoted(entity["text" if held == "goals" else "title"])


def _at_first(collection: str, document: Any) -> str:
    if collection == "checkpoints":
        return f": next {quoted(document['next_step'])}"
    if collection == "grants":
        return f": {document['owner_id']} under token {document['token']}"
    return f", {document['status']}" if "status" in document else ""


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    return quoted(value) if isinstance(value, str) and " " in value else _short(value)


def _short(value: Any) -> str:
    shown = value if isinstance(value, str) else text(value)
    return shown if len(shown) <= QUOTE_CHARACTERS else shown[: QUOTE_CHARACTERS - 1] + "…"


def _voided(payload: Payload) -> Iterator[str]:
    for gone in payload.get("voided", ()):
        what = "ran out at " + gone["expires_at"] if gone["reason"] == "expired" else "was replaced by its owner"
        yield f"the grant of {gone['owner_id']} (token {gone['token']}) {what}"


def _amended(payload: Payload) -> str:
    names = ", ".join(sorted(payload.keys() - {"task_id", "voided"}))
    return f"amended: {names}"


def _blocked(payload: Payload) -> str:
    blocker = payload["blocker"]
    until = f", until {quoted(blocker['clears_when'])}" if "clears_when" in blocker else ""
    return f"blocked: {quoted(blocker['text'])}{until}"


def _granted(payload: Payload) -> str:
    word = "claimed" if payload["task_id"] else "leased"
    return f"{word} by {payload['owner_id']} under token {payload['token']}, until {payload['expires_at']}"


def _released(payload: Payload) -> str:
    word = "claim" if payload["task_id"] else "lease"
    forced = " by force" if payload["forced"] else ""
    return f"{word} of {payload['owner_id']} (token {payload['token']}) released{forced}"


def _begun(payload: Payload) -> str:
    key = f" with key {payload['external_key']}" if payload["external_key"] else ""
    attempt = f"attempt {payload['attempt_id']} of step {payload['step_id']} ({payload['step_type']})"
    return f"{attempt} begun under token {payload['token']}{key}"


def _completed(payload: Payload) -> str:
    result = f", result {payload['result_ref']}" if "result_ref" in payload else ""
    return f"step {payload['step_id']} completed by attempt {payload['attempt_id']}{result}"


def _failed(payload: Payload) -> str:
    error = f": {quoted(payload['error'])}" if "error" in payload else ""
    return f"attempt {payload['attempt_id']} of step {payload['step_id']} failed{error}"


def _left(payload: Payload) -> str:
    return f"left at {quoted(payload['where_we_left_off'])}; next {quoted(payload['next_step'])}"


_EVENTS: Final[Mapping[str, Callable[[Payload], str]]] = {
    "goal_created": lambda payload: f"goal created: {quoted(payload['text'])}",
    "goal_status_set": lambda payload: f"goal set {payload['status']}",
    "goal_priority_set": lambda payload: f"goal's priority set to {payload['priority']}",
    "task_added": lambda payload: f"added: {quoted(payload['title'])}",
    "task_amended": _amended,
    "task_started": lambda _: "started",
    "task_paused": lambda payload: "paused" + (f": {quoted(payload['reason'])}" if "reason" in payload else ""),
    "task_blocked": _blocked,
    "task_completed": lambda payload: (
        "completed" + (f", evidence {quoted(payload['evidence'])}" if "evidence" in payload else "")
    ),
    "task_reopened": lambda _: "reopened",
    "checkpoint_updated": _left,
    "lease_acquired": _granted,
    "task_claimed": _granted,
    "lease_released": _released,
    "step_begun": _begun,
    "step_completed": _completed,
    "step_failed": _failed,
    "rolled_back": lambda payload: f"rolled back to event {payload['to_seq']}",
    "project_forked": lambda payload: f"forked from {payload['from_project']} at event {payload['origin_seq']}",
}
