"""The OpenAPI 3.1 document, made from the declarations: commands, refusals, answer types and the surface's table.

Nothing is written twice: the JSON Schema of a body is `core.commands`', a status is `core.refusals`', a path is
`api.surface`'s. The document is made once, when the application starts. Pure.
"""

from collections.abc import Collection, Iterable
from typing import Any

from continuity.api import registry, surface
from continuity.api.batch import LINES_MAX
from continuity.api.incoming import PAGE_DEFAULT, PAGE_MAX, SESSION_CHARACTERS_MAX, WAITS
from continuity.api.looking import EXPORT_TYPE
from continuity.api.results import RESULT_BYTES_MAX
from continuity.api.rules import EVERYWHERE, FORM, codes_of
from continuity.api.shapes import SHAPES, ref, shape
from continuity.core import commands, limits
from continuity.core.fields import DIGEST_TEXT, NAME_TEXT, Text
from continuity.core.ids import NAME, NIL, UUID_TEXT
from continuity.core.refusals import REFUSALS

JSON = "application/json"
PROBLEM = "application/problem+json"
NDJSON = "application/x-ndjson"

_ABOUT = (
    "Unfinished work of AI agents as explicit state, built from an append-only log of events. Send the key as"
    " `Authorization: Bearer KEY`; it decides tenant and operator. Send a UUID of your own as `Idempotency-Key`, and"
    " repeat a request that got no answer or 503 with the same one. Numbers in bodies are integers, written without a"
    " fraction. Every refusal is `application/problem+json` with"
    " `code`, `detail` and `fix`."
)
_COMMANDS, _QUESTIONS, _SERVICE = "Commands", "Questions", "Service"
_TAGS = {
    _COMMANDS: "What changes work. One accepted command is one event; a refused one changes nothing.",
    _QUESTIONS: "What reads it. `min_seq` makes an answer include what was just written.",
    _SERVICE: "About this process. No key is needed.",
}

_UUID = {"type": "string", "format": "uuid", "pattern": f"^{UUID_TEXT.pattern.replace('a-f', 'a-fA-F')}$"}
"""Of paths, parameters and headers, which take upper case as lower case; bodies go to the log as they are."""
_OWN_ID = {**_UUID, "pattern": f"^(?!{NIL}$){_UUID['pattern'][1:]}"}
"""Of a command: not the nil UUID, which stands for no command."""
_COUNT = {"type": "integer", "minimum": 0, "maximum": limits.JSON_INTEGER_MAX}
_SEQ = {**_COUNT, "minimum": 1}
_TAG = {"type": "string", "pattern": r'^"seq-[0-9]{1,15}"$', "examples": ['"seq-184"']}
_OWNER = Text(limits.OPERATOR_CHARACTERS_MAX, one_line=True).schema()
_SESSION = {"type": "string", "pattern": "^[ -~]+$", "minLength": 1, "maxLength": SESSION_CHARACTERS_MAX}

_PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "project": {"type": "string", "pattern": f"^{NAME.pattern}$"},
    "goal_id": _UUID,
    "task_id": _UUID,
    "command_id": _UUID,
    "step_id": {"type": "string", "pattern": f"^{NAME_TEXT.pattern}$", "maxLength": limits.STEP_ID_CHARACTERS_MAX},
    "attempt_id": {"type": "integer", "minimum": 1, "maximum": limits.ATTEMPTS_MAX},
    "result_ref": {"type": "string", "pattern": f"^{DIGEST_TEXT.pattern}$"},
}
_QUERY_PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "wait": (
        {"type": "string", "enum": list(WAITS), "default": "committed"},
        "`durable`: the command is recorded (202). `committed`: its event is confirmed. `materialized`: reads see it.",
    ),
    "project": (
        _PATH_PARAMETERS["project"],
        "The project that `min_seq` counts in, where the path names none. Required with `min_seq`.",
    ),
    "min_seq": (_COUNT, "Wait, bounded, until the answer includes the event of this number (read your writes)."),
    "limit": ({"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT}, "Entries of a page."),
    "at_seq": (_SEQ, "As it was after the event of this number."),
    "from_seq": (_COUNT, "The event to begin with; 0 is before the first."),
    "to_seq": (_COUNT, "The event to end with; the last one where it is absent."),
    "after_seq": (_COUNT, "Go on after this event: the `next_after_seq` of the page before."),
    "force": ({"type": "boolean", "default": False}, "End it whoever holds it, without a token. The event names you."),
    "for_owner": (_OWNER, "Leave out the tasks that anybody but this owner has claimed."),
    "task_id": (_UUID, "Of this task alone."),
    "cursor": ({"type": "string"}, "The `next_cursor` of an earlier answer. Opaque."),
}
_WRITE_HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "Idempotency-Key": (_OWN_ID, "The command_id; made and returned when absent. Repeat a request with the same one."),
    "If-Match": (_TAG, "Accept only while the project's head is this event."),
    "Fencing-Token": (_COUNT, "The token of the grant under which the caller works."),
    # Spaces around a header's value are no part of it.
    "Session-Id": ({**_SESSION, "pattern": "^[!-~]([ -~]*[!-~])?$"}, "Names the caller's session in the event."),
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
        "paths": (
            _write_paths()
            | _read_paths()
            | _export_path()
            | _fleet_path()
            | _result_paths()
            | _batch_path()
            | _service_paths()
        ),
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {kind.__name__: shape(kind) for kind in SHAPES},
        },
    }


def _write_paths() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for write in (*surface.WRITES, *surface.CLAIM_WRITES):
        paths.setdefault(write.path, {})[write.method.lower()] = _write(write)
    return paths


def _write(write: surface.Write) -> dict[str, Any]:
    names, in_query = surface.path_names(write.path), surface.query_fields(write)
    body = _body(write.command_type, {*names, *in_query, *write.absent})
    operation = {
        "operationId": write.operation,
        "tags": [_COMMANDS],
        "summary": commands.json_schema(write.command_type)["description"],
        "parameters": [*_in_path(names), *_in_query((*surface.WRITE_PARAMETERS, *in_query)), *_in_headers()],
        "responses": {
            "200": _gives("WriteAnswer", "Accepted, `answered`, or known already (`duplicate`).", tagged=True),
            "202": _gives("WriteAnswer", "Recorded (`wait=durable`)."),
            **_refusals(codes_of(write.command_type)),
        },
    }
    if write.method != "DELETE":
        operation["requestBody"] = {"required": _needs_a_field(body), "content": {JSON: {"schema": body}}}
    if write.command_type in surface.MAKERS:
        operation["responses"] = {"201": _gives("WriteAnswer", "Made.", tagged=True), **operation["responses"]}
    return operation


def _body(command_type: str, elsewhere: Collection[str]) -> dict[str, Any]:
    """The schema of a command's body, without the fields that stand elsewhere."""
    body = commands.json_schema(command_type)
    del body["description"]
    body["properties"] = {name: rule for name, rule in body["properties"].items() if name not in elsewhere}
    body["required"] = [name for name in body["required"] if name not in elsewhere]
    return body


def _needs_a_field(body: dict[str, Any]) -> bool:
    """Whether the empty object, which is what an empty body stands for, is refused."""
    ways = body.get("anyOf", [])
    return bool(body["required"]) or (bool(ways) and all("required" in each for each in ways))


def _fleet_path() -> dict[str, Any]:
    summary = (
        "Hold the next task of any project of the tenant: the project that answers is named. A repeat with the same"
        " `Idempotency-Key` goes to the same project and is given the same claim."
    )
    codes = ("nothing_to_claim", "idempotency_key_reused", *FORM, *EVERYWHERE, "not_yet")
    headers = [each for each in _in_headers() if each["name"] in {"Idempotency-Key", "Session-Id"}]
    schema = _body("claim_task", {"task_id"})
    operation = {
        "operationId": "claim_anywhere",
        "tags": [_COMMANDS],
        "summary": summary,
        # It is answered once it is decided, because only then it is known which project it is.
        "parameters": [*map(_without_durable, _in_query(surface.WRITE_PARAMETERS)), *headers],
        "requestBody": {"required": True, "content": {JSON: {"schema": schema}}},
        "responses": {
            "200": _gives("WriteAnswer", "Known already (`duplicate`), or its task was blocked.", tagged=True),
            "201": _gives("WriteAnswer", "Made.", tagged=True),
            **_refusals(codes),
        },
    }
    return {surface.FLEET_PATH: {"post": operation}}


def _without_durable(parameter: dict[str, Any]) -> dict[str, Any]:
    words = [word for word in parameter["schema"]["enum"] if word != "durable"]
    return {**parameter, "schema": {**parameter["schema"], "enum": words}}


def _result_paths() -> dict[str, Any]:
    anything: dict[str, Any] = {"*/*": {"schema": {}}}
    most = f"at most {RESULT_BYTES_MAX // 2**20} MiB"
    store = {
        "operationId": "store_result",
        "tags": [_COMMANDS],
        "summary": f"Keep what a step resulted in ({most}, any media type), to be cited by `complete_step`.",
        "parameters": _in_path(surface.path_names(surface.RESULTS_PATH)),
        "requestBody": {"required": False, "content": anything},
        "responses": {
            "201": _gives("StoredResult", "Kept; the same content has the same reference."),
            **_refusals(("unknown_project", "command_too_large", "invalid_field", "unknown_field", *EVERYWHERE)),
        },
    }
    give = {
        "operationId": "get_result",
        "tags": [_QUESTIONS],
        "summary": "A result as it was given, verified.",
        "parameters": _in_path(surface.path_names(surface.RESULT_PATH)),
        "responses": {
            "200": {"description": "The bytes.", "content": anything},
            **_refusals(("not_found", "integrity", "invalid_field", "unknown_field", *EVERYWHERE)),
        },
    }
    return {surface.RESULTS_PATH: {"post": store}, surface.RESULT_PATH: {"get": give}}


def _export_path() -> dict[str, Any]:
    export = {
        "operationId": "export_project",
        "tags": [_QUESTIONS],
        "summary": "The project's whole history as one file that proves itself (FORMAT.md, section 19).",
        "parameters": [
            *_in_path(surface.path_names(surface.EXPORT_PATH)),
            {**_in_query(("at_seq",))[0], "schema": _COUNT},
            *_in_query(("min_seq",)),
        ],
        "responses": {
            "200": {"description": "The file.", "content": {EXPORT_TYPE: {"schema": {}}}},
            **_refusals(
                (
                    "unknown_project",
                    "no_such_seq",
                    "not_yet",
                    "integrity",
                    "invalid_field",
                    "unknown_field",
                    *EVERYWHERE,
                )
            ),
        },
    }
    return {surface.EXPORT_PATH: {"get": export}}


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
                "parameters": [
                    *_in_path(surface.path_names(read.path)),
                    *_in_query(read.parameters, read.required),
                ],
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
            "command_id": _OWN_ID,
            "after": {"anyOf": [_OWN_ID, {"type": "null"}]},
            "expected_seq": _COUNT,
            "fencing_token": _COUNT,
            "session_id": {**_SESSION, "type": ["string", "null"]},
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
            "200": {"description": "A line for each line.", "content": {NDJSON: {"schema": ref("BatchAnswer")}}},
            **_refusals(("invalid_field", "unknown_field", *EVERYWHERE)),
        },
    }
    return {surface.BATCH_PATH: {"post": operation}}


def _service_paths() -> dict[str, Any]:
    text = {"text/plain": {"schema": {"type": "string"}}}
    json = {JSON: {"schema": {"type": "object"}}}
    html = {"text/html": {"schema": {"type": "string"}}}
    avro = {registry.MEDIA_TYPE: {"schema": {"type": "object"}}}
    rows = (
        (surface.DOCS_PATH, "docs", "These calls as a page for people.", html, ()),
        (surface.OPENAPI_PATH, "openapi", "These calls as OpenAPI 3.1.", json, ()),
        (surface.HEALTH_PATH, "health", "The process answers.", json, ()),
        (surface.READY_PATH, "ready", "The log and the database can be used.", json, ("unavailable",)),
        (surface.METRICS_PATH, "metrics", "Measurements for Prometheus.", text, ()),
        (surface.SCHEMA_PATH, "get_schema", "An Avro schema by its id, as registries answer.", avro, ("not_found",)),
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


def _in_query(names: Iterable[str], required: Collection[str] = ()) -> list[dict[str, Any]]:
    found = []
    for name in names:
        schema, meaning = _QUERY_PARAMETERS[name]
        needed = {"required": True} if name in required else {}
        found.append({"name": name, "in": "query", **needed, "schema": schema, "description": meaning})
    return found


def _in_headers() -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "schema": schema, "description": meaning}
        for name, (schema, meaning) in _WRITE_HEADERS.items()
    ]


def _gives(answer: str, meaning: str, *, tagged: bool = False) -> dict[str, Any]:
    response: dict[str, Any] = {"description": meaning, "content": {JSON: {"schema": ref(answer)}}}
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
        responses[str(status)] = {"description": meaning, "content": {PROBLEM: {"schema": ref("ProblemDocument")}}}
    return responses
