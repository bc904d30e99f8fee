"""What a write carries to the log and what it answers: conditions, idempotency, waiting, refusals, outages."""

import uuid

import pytest

from continuity.core.refusals import REFUSALS
from continuity.errors import IntegrityError, Retryable

GOALS = "/v1/projects/known/goals"
COMMAND_ID = "00000000-0000-4000-8000-000000000005"


def test_a_created_goal_answers_201_with_its_tag_and_what_there_is_to_know(stage):
    response = stage.http.post(GOALS, json={"text": "Ship"}, headers={"Idempotency-Key": COMMAND_ID})
    assert response.status_code == 201
    assert response.headers["ETag"] == '"seq-1"'
    body = response.json()
    assert body["command_id"] == COMMAND_ID
    assert body["status"] == "accepted"
    assert set(body) == {
        "command_id", "status", "workflow_id", "event_seq", "event_id", "event_type", "goal_id", "state_checksum",
    }  # fmt: skip


def test_a_command_id_is_made_where_none_is_sent(stage):
    first, second = (stage.http.post(GOALS, json={"text": "x"}).json()["command_id"] for _ in range(2))
    assert first != second
    assert [request.command_id for request, _ in stage.commands.sent] == [first, second]


def test_a_repeat_is_answered_as_a_duplicate(stage):
    headers = {"Idempotency-Key": COMMAND_ID.upper()}
    first = stage.http.post(GOALS, json={"text": "x"}, headers=headers)
    again = stage.http.post(GOALS, json={"text": "x"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["status"] == "duplicate"
    assert again.json()["event_seq"] == first.json()["event_seq"]
    assert again.json()["command_id"] == COMMAND_ID


def test_conditions_travel_with_the_command(stage):
    stage.http.post(GOALS, json={"text": "x"}, headers={"If-Match": '"seq-184"', "Fencing-Token": "7"})
    request, wait = stage.commands.sent[0]
    assert (request.expected_seq, request.fencing_token, wait) == (184, 7, "committed")


def test_the_body_goes_on_as_it_was_with_the_ids_of_the_path(stage):
    task = str(uuid.uuid4())
    stage.http.put(
        f"/v1/projects/known/tasks/{task.upper()}/checkpoint",
        json={"where_left_off": "Half.", "next_step": "Go on", "context_refs": ["a.py"]},
    )
    request, _ = stage.commands.sent[0]
    assert request.command_type == "update_checkpoint"
    assert request.body == {
        "task_id": task, "where_left_off": "Half.", "next_step": "Go on", "context_refs": ["a.py"],
    }  # fmt: skip


def test_durable_answers_202_and_where_to_ask(stage):
    response = stage.http.post(GOALS + "?wait=durable", json={"text": "x"}, headers={"Idempotency-Key": COMMAND_ID})
    assert response.status_code == 202
    assert response.headers["Location"] == f"/v1/commands/{COMMAND_ID}"
    assert "ETag" not in response.headers
    assert response.json()["status"] == "durable"
    assert stage.commands.sent[0][1] == "durable"


def test_materialized_waits_for_the_projection_and_answers_the_next_step(stage):
    response = stage.http.post(GOALS + "?wait=materialized", json={"text": "x"})
    assert response.status_code == 201
    assert response.json()["next_step"]["action"] == "propose_tasks"
    assert stage.reads.asked == [{"min_seq": 1}]
    assert stage.commands.sent[0][1] == "committed"


def test_materialized_says_so_when_the_projection_is_late_and_can_be_repeated(stage):
    stage.reads.failure = Retryable("The projection is behind.", code="not_yet")
    headers = {"Idempotency-Key": COMMAND_ID}
    late = stage.http.post(GOALS + "?wait=materialized", json={"text": "x"}, headers=headers)
    assert (late.status_code, late.json()["code"], late.json()["command_id"]) == (503, "not_yet", COMMAND_ID)
    stage.reads.failure = None
    again = stage.http.post(GOALS + "?wait=materialized", json={"text": "x"}, headers=headers)
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_every_refusal_answers_with_its_status_and_fix(stage, code):
    stage.commands.refuse_with = (code, "Because.")
    response = stage.http.post(GOALS, json={"text": "x"}, headers={"Idempotency-Key": COMMAND_ID})
    assert response.status_code == REFUSALS[code].http_status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() | {"title": ""} == {
        "title": "", "status": REFUSALS[code].http_status, "code": code, "detail": "Because.",
        "fix": REFUSALS[code].fix, "command_id": COMMAND_ID,
    }  # fmt: skip


@pytest.mark.parametrize(("code", "seconds", "header"), [("unavailable", 0.2, "1"), ("overloaded", 2.5, "3")])
def test_what_may_pass_answers_503_with_the_time_to_wait(stage, code, seconds, header):
    stage.commands.failure = Retryable("Away.", code=code, retry_after_seconds=seconds)
    response = stage.http.post(GOALS, json={"text": "x"}, headers={"Idempotency-Key": COMMAND_ID})
    assert (response.status_code, response.json()["code"]) == (503, code)
    assert response.headers["Retry-After"] == header
    assert response.json()["command_id"] == COMMAND_ID


def test_a_question_that_cannot_be_answered_now_is_not_told_of_a_command_id(stage):
    stage.reads.failure = Retryable("Postgres is away.")
    response = stage.http.get("/v1/projects/known/state")
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert response.json()["fix"] == REFUSALS["overloaded"].fix


def test_a_damaged_record_is_named_and_not_served(stage):
    stage.reads.failure = IntegrityError("The row is damaged.", workflow_id="w", event_seq=5, field="title")
    response = stage.http.get("/v1/projects/known/state")
    assert (response.status_code, response.json()["code"]) == (500, "integrity")
    assert (response.json()["event_seq"], response.json()["field"]) == (5, "title")
    assert "rebuild" in response.json()["fix"]


@pytest.mark.parametrize(
    ("origin", "at_seq", "status", "code"),
    [("unknown", 1, 404, "unknown_project"), ("known", 4, 409, "no_such_seq"), ("known", 3, 201, None)],
)
def test_a_fork_begins_at_an_event_that_exists(stage, origin, at_seq, status, code):
    """The sequencer would have it sent again until the deadline: the event may be on its way from elsewhere."""
    body = {"from_project": origin, "at_seq": at_seq}
    answer = stage.http.post("/v1/projects/trial/fork", json=body)
    assert (answer.status_code, answer.json().get("code")) == (status, code)
    assert len(stage.commands.sent) == (1 if code is None else 0)
    line = {"project": "trial-2", "command_type": "fork_project", "body": body}
    assert stage.http.post("/v1/commands", json=line).json()["http_status"] == status


def test_a_fork_waits_for_an_origin_that_reads_do_not_know_yet(stage, monkeypatch):
    """It was begun a moment ago: without the wait it would be a project that does not exist."""

    async def head_seq(_tenant, _project, *, min_seq=0):
        return min_seq or None

    monkeypatch.setattr(stage.reads, "head_seq", head_seq)
    answer = stage.http.post("/v1/projects/trial/fork", json={"from_project": "young", "at_seq": 2})
    assert answer.status_code == 201


def test_a_fork_while_the_database_is_away_is_an_outage(stage):
    stage.reads.failure = Retryable("Postgres is away.")
    answer = stage.http.post("/v1/projects/trial/fork", json={"from_project": "known", "at_seq": 1})
    assert answer.status_code == 503
