"""The OpenAPI 3.1 document, made from the declarations: commands, refusals, answer types and the surface's table.

Nothing is written twice: the JSON Schema of a body is `core.commands`', a status is `core.refusals`', a path is
`api.surface`'s. The document is made once, when the application starts. Pure.
"""

from collections.abc import Callable, Iterable
from types import UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from continuity import answers
from continuity.api import surface
from continuity.api.batch import LINES_MAX
from continuity.api.incoming import PAGE_DEFAULT, PAGE_MAX, WAITS
from continuity.core import commands
from continuity.core.ids import NAME, UUID_TEXT
from continuity.core.refusals import REFUSALS

JSON = "application/json"
PROBLEM = "application/problem+json"
NDJSON = "application/x-ndjson"

FORM = (
    "missing_field", "unknown_field", "invalid_field", "json_syntax", "json_float", "json_duplicate_key",
    "json_number_range", "json_string", "json_depth", "command_too_large",
)  # fmt: skip
EVERYWHERE = ("unauthorized", "overloaded", "unavailable", "internal")
CONDITIONS = ("idempotency_key_reused", "expected_seq_mismatch", "fenced", "workflow_stopped", "state_too_large")
RULES: dict[str, tuple[str, ...]] = {
    "create_goal": ("too_many_goals",),
    "set_goal_status": ("unknown_goal", "illegal_transition", "goal_has_open_tasks"),
    "set_goal_priority": ("unknown_goal",),
    "add_task": ("unknown_goal", "goal_done", "unknown_dependency", "too_many_tasks"),
    "amend_task": ("unknown_task", "unknown_dependency", "dependency_cycle"),
    "start_task": ("unknown_task", "illegal_transition", "unmet_dependencies", "goal_paused"),
    "pause_task": ("unknown_task", "illegal_transition"),
    "block_task": ("unknown_task", "illegal_transition"),
    "complete_task": ("unknown_task", "illegal_transition"),
    "reopen_task": ("unknown_task", "illegal_transition", "goal_done"),
    "update_checkpoint": ("unknown_task", "illegal_transition"),
}
"""Which rules can refuse which command: for the reader of the document, the sequencer decides."""

_ABOUT = (
    "Unfinished work of AI agents as explicit state, built from an append-only log of events. Send the key as"
    " `Authorization: Bearer KEY`; it decides tenant and operator. Send a UUID of your own as `Idempotency-Key`, and"
    " repeat a request that got no answer or 503 with the same one. Every refusal is `application/problem+json` with"
    " `code`, `detail` and `fix`."
)
_COMMANDS, _QUESTIONS, _SERVICE = "Commands", "Questions", "Service"
_TAGS = {
    _COMMANDS: "What changes work. One accepted command is one event; a refused one changes nothing.",
    _QUESTIONS: "What reads it. `min_seq` makes an answer include what was just written.",
    _SERVICE: "About this process. No key is needed.",
}

_SHAPES = (
    answers.WriteAnswer, answers.CommandOutcome, answers.BatchAnswer, answers.ActiveWorkState, answers.EventPage,
    answers.EventDocument, answers.ProjectPage, answers.ProjectSummary, answers.ProblemDocument, answers.NextStep,
    answers.Goal, answers.Task, answers.Checkpoint, answers.Blocker,
)  # fmt: skip
_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"}, int: {"type": "integer"}, bool: {"type": "boolean"}, type(None): {"type": "null"}, Any: {},
}  # fmt: skip
_UUID = {"type": "string", "format": "uuid", "pattern": f"^{UUID_TEXT.pattern}$"}
_COUNT = {"type": "integer", "minimum": 0}
_TAG = {"type": "string", "pattern": r'^"seq-\d+"$', "examples": ['"seq-184"']}

_PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "project": {"type": "string", "pattern": f"^{NAME.pattern}$"},
    "goal_id": _UUID,
    "task_id": _UUID,
    "command_id": _UUID,
}
_QUERY_PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "wait": (
        {"type": "string", "enum": list(WAITS), "default": "committed"},
        "`durable`: the command is recorded (202). `committed`: its event is confirmed. `materialized`: reads see it.",
    ),
    "min_seq": (_COUNT, "Wait, bounded, until the answer includes the event of this number (read your writes)."),
    "limit": ({"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT}, "Entries of a page."),
    "cursor": ({"type": "string"}, "The `next_cursor` of an earlier answer. Opaque."),
}
_WRITE_HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "Idempotency-Key": (_UUID, "The command_id; made and returned when absent. Repeat a request with the same one."),
    "If-Match": (_TAG, "Accept only while the project's head is this event."),
    "Fencing-Token": (_COUNT, "The token of the grant under which the caller works."),
    "Session-Id": ({"type": "string", "maxLength": 200}, "Names the caller's session in the event."),
}


def document(version: str) -> dict[str, Any]:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "continuity",
            "version": version,
            "description": _ABOUT,
        },
        "tags": [{"name": name, "description": meaning} for name, meaning in _TAGS.items()],
        "security": [{"key": []}],
        "paths": {**_write_paths(), **_read_paths()} | _batch_path() | _service_paths(),
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {shape.__name__: _shape(shape) for shape in _SHAPES},
        },
    }


def _write_paths() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for write in surface.WRITES:
        paths.setdefault(write.path, {})[write.method.lower()] = _write(write)
    return paths


def _write(write: surface.Write) -> dict[str, Any]:
    names = surface.path_names(write.path)
    body = commands.json_schema(write.command_type)
    meaning = body.pop("description")
    body["properties"] = {name: rule for name, rule in body["properties"].items() if name not in names}
    body["required"] = [name for name in body["required"] if name not in names]
    done = "201" if write.command_type in surface.CREATING else "200"
    codes = (*RULES[write.command_type], *CONDITIONS, *FORM, *EVERYWHERE, "not_yet")
    operation = {
        "operationId": write.command_type,
        "tags": [_COMMANDS],
        "summary": meaning,
        "parameters": [*_in_path(names), *_in_query(surface.WRITE_PARAMETERS), *_in_headers()],
        "requestBody": {"required": bool(body["required"]), "content": {JSON: {"schema": body}}},
        "responses": {
            "200": _gives("WriteAnswer", "Accepted, or known already (`duplicate`).", tagged=True),
            "202": _gives("WriteAnswer", "Recorded (`wait=durable`)."),
            **_refusals(codes),
        },
    }
    if done == "201":
        operation["responses"] = {"201": _gives("WriteAnswer", "Made.", tagged=True), **operation["responses"]}
    return operation


def _read_paths() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for read in surface.READS:
        tagged = read.answer in {"NextStep", "ActiveWorkState"}
        codes = (*read.refusals, "invalid_field", "unknown_field", *EVERYWHERE)
        paths[read.path] = {
            "get": {
                "operationId": f"get_{read.name}",
                "tags": [_QUESTIONS],
                "summary": read.summary,
                "parameters": [*_in_path(surface.path_names(read.path)), *_in_query(read.parameters)],
                "responses": {"200": _gives(read.answer, read.summary, tagged=tagged), **_refusals(codes)},
            }
        }
    return paths


def _batch_path() -> dict[str, Any]:
    line = {
        "type": "object",
        "properties": {
            "project": _PATH_PARAMETERS["project"],
            "command_type": {"enum": list(commands.COMMANDS)},
            "body": {"type": "object", "description": "The command's fields, ids included."},
            "command_id": _UUID,
            "after": {"anyOf": [_UUID, {"type": "null"}]},
            "expected_seq": _COUNT,
            "fencing_token": _COUNT,
            "session_id": {"type": "string"},
        },
        "required": ["project", "command_type"],
        "additionalProperties": False,
    }
    summary = (
        f"Many commands in one round trip: a line each (at most {LINES_MAX}), answered in order. Each is sent `after`"
        " the previous line of its project, unless `after` says otherwise; null stands for itself."
    )
    operation = {
        "operationId": "batch",
        "tags": [_COMMANDS],
        "summary": summary,
        "parameters": _in_query(surface.WRITE_PARAMETERS),
        "requestBody": {"required": True, "content": {NDJSON: {"schema": line}}},
        "responses": {
            "200": {"description": "A line for each line.", "content": {NDJSON: {"schema": _ref("BatchAnswer")}}},
            **_refusals(("invalid_field", "unknown_field", *EVERYWHERE)),
        },
    }
    return {surface.BATCH_PATH: {"post": operation}}


def _service_paths() -> dict[str, Any]:
    text = {"text/plain": {"schema": {"type": "string"}}}
    json = {JSON: {"schema": {"type": "object"}}}
    html = {"text/html": {"schema": {"type": "string"}}}
    rows = (
        (surface.DOCS_PATH, "docs", "These calls as a page for people.", html, ()),
        (surface.OPENAPI_PATH, "openapi", "These calls as OpenAPI 3.1.", json, ()),
        (surface.HEALTH_PATH, "health", "The process answers.", json, ()),
        (surface.READY_PATH, "ready", "The log and the database can be used.", json, ("unavailable",)),
        (surface.METRICS_PATH, "metrics", "Measurements for Prometheus.", text, ()),
        (surface.SCHEMA_PATH, "get_schema", "An Avro schema by its id, as registries answer.", json, ("not_found",)),
    )  # fmt: skip
    return {
        path: {
            "get": {
                "operationId": name,
                "tags": [_SERVICE],
                "summary": summary,
                "security": [],
                "parameters": [
                    {"name": "schema_id", "in": "path", "required": True, "schema": _COUNT}
                    for _ in surface.path_names(path)
                ],
                "responses": {"200": {"description": summary, "content": content}, **_refusals(codes)},
            }
        }
        for path, name, summary, content, codes in rows
    }


def _in_path(names: Iterable[str]) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": _PATH_PARAMETERS[name]} for name in names]


def _in_query(names: Iterable[str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "schema": _QUERY_PARAMETERS[name][0], "description": _QUERY_PARAMETERS[name][1]}
        for name in names
    ]


def _in_headers() -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "schema": schema, "description": meaning}
        for name, (schema, meaning) in _WRITE_HEADERS.items()
    ]


def _gives(shape: str, meaning: str, *, tagged: bool = False) -> dict[str, Any]:
    response: dict[str, Any] = {"description": meaning, "content": {JSON: {"schema": _ref(shape)}}}
    if tagged:
        response["headers"] = {"ETag": {"description": "The event it stands for.", "schema": _TAG}}
    return response


def _refusals(codes: Iterable[str]) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(REFUSALS[code].http_status, []).append(code)
    responses = {}
    for status, named in sorted(by_status.items()):
        meaning = "\n".join(f"- `{code}`: {REFUSALS[code].fix}" for code in named)
        responses[str(status)] = {"description": meaning, "content": {PROBLEM: {"schema": _ref("ProblemDocument")}}}
    return responses


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _shape(shape: Any) -> dict[str, Any]:
    hints = get_type_hints(shape, include_extras=True)
    return {
        "type": "object",
        "description": shape.__doc__,
        "properties": {name: _schema(hint) for name, hint in hints.items()},
        "required": [name for name, hint in hints.items() if get_origin(hint) is not NotRequired],
    }


def _schema(hint: Any) -> dict[str, Any]:
    if hint in _PLAIN:
        return _PLAIN[hint]
    if is_typeddict(hint):
        return _ref(hint.__name__) if hint in _SHAPES else _shape(hint)
    return _GENERIC[get_origin(hint)](get_args(hint))


def _any_of(arguments: tuple[Any, ...]) -> dict[str, Any]:
    return {"anyOf": [_schema(argument) for argument in arguments]}


_GENERIC: dict[Any, Callable[[tuple[Any, ...]], dict[str, Any]]] = {
    NotRequired: lambda arguments: _schema(arguments[0]),
    Literal: lambda arguments: {"enum": list(arguments)},
    list: lambda arguments: {"type": "array", "items": _schema(arguments[0])},
    dict: lambda _: {"type": "object"},
    Union: _any_of,
    UnionType: _any_of,
}
