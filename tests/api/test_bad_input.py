"""Every kind of bad input gets a clear answer that names what is wrong, nothing is sent, and the next request works."""

import json
import uuid

import pytest

from continuity.core.ids import NIL

GOALS = "/v1/projects/known/goals"
TASK = "/v1/projects/known/tasks/00000000-0000-4000-8000-000000000001"
GOAL_ID = "00000000-0000-4000-8000-000000000002"


def nested(depth):
    return '{"text":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


BODIES = [
    # body, code, status, what the detail names
    ('{"text":"x","priority":1.5}', "json_float", 422, "1.5"),
    ('{"text":"x","priority":1e3}', "json_float", 422, "1e3"),
    ('{"text":"x","priority":NaN}', "json_float", 422, "NaN"),
    ('{"text":"x","priority":-Infinity}', "json_float", 422, "-Infinity"),
    ('{"text":"x","text":"y"}', "json_duplicate_key", 422, "text"),
    ('{"text":"\\ud800"}', "json_string", 422, "text"),
    ('{"text":"a\\u0000b"}', "json_string", 422, "text"),
    ('{"text":"x","priority":9007199254740992}', "json_number_range", 422, "9007199254740992"),
    ('{"text":"x","priority":-9007199254740992}', "json_number_range", 422, "-9007199254740992"),
    ('{"text":"x","priority":1' + "0" * 5000 + "}", "json_number_range", 422, "10000"),
    (nested(33), "json_depth", 422, "32"),
    ("[" * 60_000, "json_depth", 422, "32"),
    (b'{"text":"\xff"}', "json_syntax", 422, "UTF-8"),
    ('{"text":', "json_syntax", 422, "character"),
    ("{} {}", "json_syntax", 422, "character"),
    ('["text"]', "json_syntax", 422, "object"),
    ("null", "json_syntax", 422, "object"),
    ('{"text":"' + "x" * (65_536 - 10) + '"}', "command_too_large", 413, "65536"),
    ('{"text":"x","colour":"red"}', "unknown_field", 422, "colour"),
    ('{"text":"x","colour":null}', "unknown_field", 422, "colour"),
    ('{"priority":1}', "missing_field", 422, "text"),
    ("", "missing_field", 422, "text"),
    ('{"text":null}', "missing_field", 422, "text"),
    ('{"text":""}', "invalid_field", 422, "text"),
    ('{"text":" \\n"}', "invalid_field", 422, "text"),
    ('{"text":"' + "x" * 4001 + '"}', "invalid_field", 422, "4000"),
    ('{"text":5}', "invalid_field", 422, "text"),
    ('{"text":"x","priority":1001}', "invalid_field", 422, "priority"),
    ('{"text":"x","priority":true}', "invalid_field", 422, "priority"),
    ('{"text":"x","priority":"1"}', "invalid_field", 422, "priority"),
]


@pytest.mark.parametrize(("body", "code", "status", "named"), BODIES, ids=lambda value: repr(value)[:40])
def test_a_bad_body_is_answered_with_its_fault(stage, body, code, status, named):
    response = stage.http.post(GOALS, content=body)
    assert_problem(response, status, code, named)
    assert stage.commands.sent == []
    assert stage.http.post(GOALS, json={"text": "x"}).status_code == 201


def test_a_body_at_every_limit_is_taken(stage):
    assert stage.http.post(GOALS, json={"text": "ä" * 4000, "priority": -1000}).status_code == 201
    depth = '{"text":' + '{"a":' * 30 + "1" + "}" * 30 + "}"
    assert stage.http.post(GOALS, content=depth).json()["code"] == "invalid_field"  # understood, and no text


REQUESTS = [
    # method, path, json, headers, status, code, what the detail names
    ("POST", GOALS + "?wait=soon", {"text": "x"}, {}, 422, "invalid_field", "wait"),
    ("POST", GOALS + "?at_seq=5", {"text": "x"}, {}, 422, "unknown_field", "at_seq"),
    ("POST", GOALS, {"text": "x"}, {"Idempotency-Key": "mine"}, 422, "invalid_field", "Idempotency-Key"),
    ("POST", GOALS, {"text": "x"}, {"Idempotency-Key": NIL}, 422, "invalid_field", "Idempotency-Key"),
    (
        "POST",
        "/v1/claims",
        {"owner_id": "me", "ttl_seconds": 60},
        {"Idempotency-Key": NIL},
        422,
        "invalid_field",
        "nil",
    ),
    ("POST", TASK + "/start", {"": None}, {}, 422, "unknown_field", "''"),
    ("POST", GOALS, {"text": "x"}, {"If-Match": "seq-3"}, 422, "invalid_field", "If-Match"),
    ("POST", GOALS, {"text": "x"}, {"If-Match": 'W/"seq-3"'}, 422, "invalid_field", "If-Match"),
    ("POST", GOALS, {"text": "x"}, {"If-Match": "*"}, 422, "invalid_field", "If-Match"),
    ("POST", GOALS, {"text": "x"}, {"If-Match": f'"seq-{2**53}"'}, 422, "invalid_field", "If-Match"),
    ("POST", GOALS, {"text": "x"}, {"Fencing-Token": "-1"}, 422, "invalid_field", "Fencing-Token"),
    ("POST", GOALS, {"text": "x"}, {"Session-Id": "x" * 201}, 422, "invalid_field", "Session-Id"),
    ("POST", "/v1/projects/Known/goals", {"text": "x"}, {}, 422, "invalid_field", "project"),
    ("POST", "/v1/projects/kn%00wn/goals", {"text": "x"}, {}, 422, "invalid_field", "project"),
    ("POST", f"/v1/projects/{'p' * 64}/goals", {"text": "x"}, {}, 422, "invalid_field", "project"),
    ("POST", "/v1/projects/known/tasks/12/start", {}, {}, 422, "invalid_field", "task_id"),
    ("POST", TASK + "/start", {"task_id": GOAL_ID}, {}, 422, "unknown_field", "task_id"),
    ("PUT", f"/v1/projects/known/goals/{GOAL_ID}/status", {"status": "open"}, {}, 422, "invalid_field", "status"),
    ("POST", "/v1/projects/known/tasks", {"goal_id": "1", "title": "x"}, {}, 422, "invalid_field", "goal_id"),
    ("POST", "/v1/projects/known/tasks", {"goal_id": GOAL_ID, "title": "a\nb"}, {}, 422, "invalid_field", "title"),
    ("PATCH", TASK, {}, {}, 422, "missing_field", "title"),
    ("POST", TASK + "/block", {"blocker": "no key"}, {}, 422, "invalid_field", "blocker"),
    ("POST", TASK + "/block", {"blocker": {"text": "x", "why": "y"}}, {}, 422, "unknown_field", "why"),
    ("GET", "/v1/projects/known/next-step?min_seq=-1", None, {}, 422, "invalid_field", "min_seq"),
    ("GET", "/v1/projects/known/next-step?min_seq=1&min_seq=2", None, {}, 422, "invalid_field", "min_seq"),
    ("GET", "/v1/projects/known/next-step?min_seq=%C2%B2", None, {}, 422, "invalid_field", "min_seq"),
    ("GET", "/v1/projects/known/next-step?at_seq=0", None, {}, 422, "invalid_field", "at_seq"),
    ("GET", "/v1/projects/known/state?at_seq=x", None, {}, 422, "invalid_field", "at_seq"),
    ("GET", "/v1/projects/known/state?at_seq=1&for_owner=a", None, {}, 422, "unknown_field", "for_owner"),
    ("GET", "/v1/projects/known/explain?at_seq=0", None, {}, 422, "invalid_field", "at_seq"),
    ("GET", "/v1/projects/known/diff", None, {}, 422, "missing_field", "from_seq"),
    ("GET", "/v1/projects/known/diff?from_seq=-1", None, {}, 422, "invalid_field", "from_seq"),
    ("GET", "/v1/projects/known/history", None, {}, 422, "missing_field", "task_id"),
    ("GET", "/v1/projects/known/history?task_id=x", None, {}, 422, "invalid_field", "task_id"),
    ("GET", "/v1/projects/known/snapshots?limit=0", None, {}, 422, "invalid_field", "limit"),
    ("GET", "/v1/projects/known/export?at_seq=-1", None, {}, 422, "invalid_field", "at_seq"),
    ("GET", "/v1/projects/known/events?limit=0", None, {}, 422, "invalid_field", "limit"),
    ("GET", "/v1/projects/known/events?limit=1001", None, {}, 422, "invalid_field", "limit"),
    ("GET", "/v1/projects/known/events?cursor=5", None, {}, 422, "invalid_field", "cursor"),
    ("GET", "/v1/projects/known/events?cursor=%F0%9F%92%A5", None, {}, 422, "invalid_field", "cursor"),
    ("GET", "/v1/projects/known/events?cursor=bmFtZTpwMQ==", None, {}, 422, "invalid_field", "cursor"),
    ("GET", "/v1/commands/7", None, {}, 422, "invalid_field", "command_id"),
    ("GET", f"/v1/commands/{uuid.UUID(int=5)}", None, {}, 404, "unknown_command_id", str(uuid.UUID(int=5))),
    ("GET", f"/v1/commands/{uuid.UUID(int=5)}?min_seq=1", None, {}, 422, "invalid_field", "project"),
    ("GET", f"/v1/commands/{uuid.UUID(int=5)}?project=known&min_seq=9", None, {}, 503, "not_yet", "behind"),
    ("GET", "/v1/projects/unknown/next-step", None, {}, 404, "unknown_project", "unknown"),
    ("GET", "/v1/projects/unknown/state", None, {}, 404, "unknown_project", "unknown"),
    ("GET", "/v1/projects/unknown/events", None, {}, 404, "unknown_project", "unknown"),
    ("GET", "/v1/nothing", None, {}, 404, "not_found", "/v1/nothing"),
    ("GET", "/v1/projects/", None, {}, 404, "not_found", "/v1/projects/"),
    ("GET", "/favicon.ico", None, {}, 404, "not_found", "/favicon.ico"),
    ("DELETE", GOALS, None, {}, 405, "method_not_allowed", "DELETE"),
    ("GET", "/schemas/ids/4711", None, {}, 404, "not_found", "4711"),
]


@pytest.mark.parametrize("row", REQUESTS, ids=[" ".join(row[:2])[:70] for row in REQUESTS])
def test_a_bad_request_is_answered_with_its_fault(stage, row):
    method, path, body, headers, status, code, named = row
    response = stage.http.request(method, path, json=body, headers=headers)
    assert_problem(response, status, code, named)
    assert stage.commands.sent == []


def test_a_method_that_is_not_allowed_names_those_that_are(stage):
    assert stage.http.delete(GOALS).headers["Allow"] == "POST"


def test_a_large_body_is_refused_without_being_read_to_its_end(stage):
    def pieces():
        yield b'{"text":"'
        for _ in range(200):
            yield b"x" * 1024

    assert_problem(stage.http.post(GOALS, content=pieces()), 413, "command_too_large", "65536")


def test_an_unforeseen_error_tells_nothing_of_itself(stage, caplog):
    stage.commands.failure = RuntimeError("password=hunter2")
    response = stage.http.post(GOALS, json={"text": "x"}, headers={"Idempotency-Key": GOAL_ID})
    assert_problem(response, 500, "internal", "service")
    assert "hunter2" not in response.text
    assert response.json()["command_id"] == GOAL_ID
    assert "hunter2" in caplog.text


def assert_problem(response, status, code, named):
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (response.status_code, body["status"], body["code"]) == (status, status, code), response.text
    assert named in body["detail"], body["detail"]
    assert body["fix"]
    assert len(json.dumps(body)) < 2_000
