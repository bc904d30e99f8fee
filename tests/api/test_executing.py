"""Leases, claims and steps over HTTP: where each command is taken, what it carries, and what it answers."""

import json
import uuid

import pytest

from continuity.core.refusals import REFUSALS
from continuity.errors import Retryable

PROJECT = "/v1/projects/known"
TASK = "00000000-0000-4000-8000-000000000004"
CLAIM = {"owner_id": "me", "ttl_seconds": 60}
LEASE_FIELDS = {"token", "owner_id", "task_id", "ttl_seconds", "expires_at"}


def sent(stage):
    (request, _), *_ = stage.commands.sent
    return request.command_type, request.body, request.fencing_token


def test_a_lease_is_made_renewed_and_given_back_by_its_token(stage):
    made = stage.http.post(f"{PROJECT}/lease", json=CLAIM)
    assert (made.status_code, sent(stage)) == (201, ("acquire_lease", CLAIM, None))
    body = made.json()
    assert set(body["lease"]) == LEASE_FIELDS | {"handover"}
    assert set(body["lease"]["handover"]) == {"predecessor", "checkpoint", "open_attempts", "late_results"}
    stage.commands.sent.clear()
    renewed = stage.http.put(f"{PROJECT}/lease", headers={"Fencing-Token": "7"})
    assert (renewed.status_code, renewed.json()["status"]) == (200, "answered")
    assert set(renewed.json()["lease"]) == LEASE_FIELDS
    assert "event_seq" not in renewed.json()
    assert "ETag" not in renewed.headers
    assert sent(stage) == ("renew_lease", {}, 7)
    stage.commands.sent.clear()
    released = stage.http.delete(f"{PROJECT}/lease", headers={"Fencing-Token": "7"})
    assert (released.status_code, released.json()["event_type"]) == (200, "lease_released")
    assert "lease" not in released.json()
    assert sent(stage) == ("release_lease", {}, 7)


def test_a_claim_is_renewed_and_released_at_its_task(stage):
    assert stage.http.post(f"{PROJECT}/claims", json=CLAIM | {"task_id": TASK}).status_code == 201
    stage.commands.sent.clear()
    stage.http.put(f"{PROJECT}/claims/{TASK.upper()}", headers={"Fencing-Token": "7"})
    assert sent(stage) == ("renew_lease", {"task_id": TASK}, 7)
    stage.commands.sent.clear()
    stage.http.delete(f"{PROJECT}/claims/{TASK}?force=true")
    assert sent(stage) == ("release_lease", {"task_id": TASK, "force": True}, None)


@pytest.mark.parametrize(
    ("method", "path", "json", "code"),
    [
        ("PUT", "/lease", {"task_id": TASK}, "unknown_field"),
        ("DELETE", f"/lease?task_id={TASK}", None, "unknown_field"),
        ("DELETE", "/lease", {"force": True}, "unknown_field"),
        ("DELETE", "/lease?force=yes", None, "invalid_field"),
        ("PUT", f"/claims/{TASK}?force=true", None, "unknown_field"),
        ("PUT", "/claims/7", None, "invalid_field"),
        ("POST", "/lease", {"owner_id": "me"}, "missing_field"),
        ("POST", "/lease", {"owner_id": "me", "ttl_seconds": 0}, "invalid_field"),
        ("POST", "/lease", {"owner_id": "me", "ttl_seconds": 86_401}, "invalid_field"),
        ("POST", "/steps/a b/attempts", {"step_type": "pure"}, "invalid_field"),
        ("POST", "/steps/a/attempts", {"step_type": "non_idempotent"}, "missing_field"),
        ("POST", "/steps/a/attempts", {"step_type": "pure", "step_id": "b"}, "unknown_field"),
        ("POST", "/steps/a/attempts/x/complete", {}, "invalid_field"),
        ("POST", "/steps/a/attempts/0/complete", {}, "invalid_field"),
        ("POST", "/steps/a/attempts/1/complete", {"result_ref": "r"}, "missing_field"),
        ("POST", "/steps/a/attempts/1/complete", {"result_ref": "r", "result_checksum": "x"}, "invalid_field"),
    ],
)
def test_a_bad_form_is_refused_before_anything_is_sent(stage, method, path, json, code):
    answer = stage.http.request(method, PROJECT + path, json=json)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert stage.commands.sent == []


def test_a_step_is_begun_completed_and_failed_by_its_names_in_the_path(stage):
    begun = stage.http.post(f"{PROJECT}/steps/Pay:1/attempts", json={"step_type": "pure"})
    assert (begun.status_code, begun.json()["step"]["status"]) == (201, "begun")
    assert sent(stage) == ("begin_step", {"step_id": "Pay:1", "step_type": "pure"}, None)
    stage.commands.sent.clear()
    done = stage.http.post(f"{PROJECT}/steps/Pay:1/attempts/3/complete", headers={"Fencing-Token": "7"})
    assert (done.status_code, done.json()["step"]) == (200, {"status": "completed", "attempt_id": 3})
    assert sent(stage) == ("complete_step", {"step_id": "Pay:1", "attempt_id": 3}, 7)
    failed = stage.http.post(f"{PROJECT}/steps/Pay:1/attempts/3/fail", json={"error": "no"})
    assert failed.json()["step"]["status"] == "failed"


def test_a_claim_that_blocked_its_task_has_no_lease(stage):
    stage.commands.results["claim_task"] = {"token": None}
    answer = stage.http.post(f"{PROJECT}/claims", json=CLAIM).json()
    assert answer["lease"] is None


def test_a_refusal_has_the_status_of_its_code(stage):
    for code in ("lease_held", "token_needed", "fenced", "nothing_to_claim", "step_in_progress"):
        stage.commands.refuse_with = (code, "Because.")
        answer = stage.http.post(f"{PROJECT}/claims", json=CLAIM)
        assert (answer.status_code, answer.json()["code"]) == (REFUSALS[code].http_status, code)
    assert {REFUSALS["lease_held"].http_status, REFUSALS["token_needed"].http_status} == {423, 428}


LATE = {"step_id": "pay", "attempt_id": 1, "task_id": TASK, "result_ref": "r", "result_checksum": "ab" * 32}


def test_a_handover_has_the_late_results_of_its_task(stage):
    stage.reads.late = [LATE]
    stage.commands.results["claim_task"] = {"token": 8, "task_id": TASK, "handover": {"predecessor": None}}
    answer = stage.http.post(f"{PROJECT}/claims", json=CLAIM).json()
    assert answer["lease"]["handover"]["late_results"] == [LATE]
    assert stage.reads.asked[-1]["task_id"] == TASK


def test_a_grant_stands_also_when_late_results_cannot_be_read(stage):
    stage.reads.failure = Retryable("Away.")
    answer = stage.http.post(f"{PROJECT}/lease", json=CLAIM)
    assert answer.status_code == 201
    assert "late_results" not in answer.json()["lease"]["handover"]


def test_late_results_can_be_asked_for(stage):
    stage.reads.late = [LATE]
    answer = stage.http.get(f"{PROJECT}/late-results?task_id={TASK}&limit=5")
    assert answer.json() == {"late_results": [LATE]}
    assert stage.reads.asked == [{"task_id": TASK, "limit": 5, "min_seq": 0}]
    assert stage.http.get("/v1/projects/nowhere/late-results").json()["code"] == "unknown_project"


def test_the_next_step_can_be_asked_for_an_owner(stage):
    stage.http.get(f"{PROJECT}/next-step?for_owner=worker%207")
    assert stage.reads.asked == [{"min_seq": 0, "for_owner": "worker 7"}]
    assert stage.http.get(f"{PROJECT}/next-step?for_owner=").status_code == 422


def test_a_renewal_is_nobodys_predecessor_in_a_batch(stage):
    first, second, third = (str(uuid.uuid4()) for _ in range(3))
    lines = [
        {"project": "known", "command_type": "create_goal", "body": {"text": "a"}, "command_id": first},
        {"project": "known", "command_type": "renew_lease", "fencing_token": 7, "command_id": second},
        {"project": "known", "command_type": "create_goal", "body": {"text": "b"}, "command_id": third},
    ]
    answer = stage.http.post("/v1/commands", content="\n".join(map(json.dumps, lines)))
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert [(each["status"], each["http_status"]) for each in told] == [
        ("accepted", 201), ("answered", 200), ("accepted", 201),
    ]  # fmt: skip
    assert told[1]["lease"]["token"] == 7
    assert [request.after for request, _ in stage.commands.sent] == [None, first, first]
