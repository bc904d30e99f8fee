"""Claims in any project of the tenant: the order, what is passed on, and that a repeat comes to the same project."""

import uuid

import pytest

from continuity.api import fleet
from continuity.core.refusals import REFUSALS
from continuity.errors import Retryable

PATH = "/v1/claims"
BODY = {"owner_id": "me", "ttl_seconds": 60}


def claim(stage, key=None, **more):
    headers = {} if key is None else {"Idempotency-Key": key}
    return stage.http.post(PATH, json=BODY | more, headers=headers)


def test_the_first_project_that_has_something_is_named(stage):
    stage.assignments.projects = ["one", "two", "three"]
    stage.commands.refuse_in = {"one"}
    key = str(uuid.uuid4())
    answer = claim(stage, key)
    body = answer.json()
    assert (answer.status_code, body["project"], body["command_id"], body["status"]) == (201, "two", key, "accepted")
    assert body["lease"]["token"] == 7
    assert stage.assignments.moves == ["one", "two"]
    request, _ = stage.commands.sent[-1]
    assert request.command_id == fleet.derived_id("local", "two", key) != key


def test_a_repeat_comes_to_the_same_project_whatever_has_become_better(stage):
    stage.assignments.projects = ["one", "two"]
    stage.commands.refuse_in = {"one"}
    key = str(uuid.uuid4())
    first = claim(stage, key).json()
    stage.commands.refuse_in = set()
    stage.assignments.projects = ["one"]
    again = claim(stage, key).json()
    assert (again["status"], again["project"], again["event_id"]) == ("duplicate", "two", first["event_id"])
    assert stage.assignments.moves == ["one", "two"]


def test_a_claim_whose_answer_was_lost_is_asked_for_where_it_was_sent(stage):
    stage.assignments.projects = ["one", "two"]
    stage.commands.failure = Retryable("Away.")
    key = str(uuid.uuid4())
    lost = claim(stage, key)
    assert (lost.status_code, lost.json()["command_id"]) == (503, key)
    stage.commands.failure = None
    stage.assignments.projects = ["two", "one"]
    assert claim(stage, key).json()["project"] == "one"


def test_a_project_that_refused_is_left_and_not_come_back_to(stage):
    stage.assignments.projects = ["one", "two", "one", "three"]
    stage.commands.refuse_in = {"one", "two", "three"}
    answer = claim(stage)
    assert (answer.status_code, answer.json()["code"]) == (REFUSALS["nothing_to_claim"].http_status, "nothing_to_claim")
    assert "3 projects" in answer.json()["detail"]
    assert stage.assignments.moves == ["one", "two", "three"]


def test_there_is_a_bound_to_the_projects_that_are_tried(stage, monkeypatch):
    monkeypatch.setattr(fleet, "TRIED_MAX", 2)
    stage.assignments.projects = ["one", "two", "three"]
    stage.commands.refuse_in = {"one", "two"}
    assert claim(stage).json()["code"] == "nothing_to_claim"
    assert stage.assignments.moves == ["one", "two"]


@pytest.mark.parametrize("code", ["idempotency_key_reused", "state_too_large"])
def test_any_other_refusal_is_the_answer(stage, code):
    stage.assignments.projects = ["one", "two"]
    stage.commands.refuse_with = (code, "Because.")
    key = str(uuid.uuid4())
    answer = claim(stage, key)
    assert (answer.json()["code"], answer.json()["command_id"]) == (code, key)
    assert stage.assignments.moves == ["one"]


BAD = [
    ({"json": BODY | {"task_id": str(uuid.uuid4())}}, "unknown_field"),
    ({"json": {"owner_id": "me"}}, "missing_field"),
    ({"json": BODY, "params": {"wait": "durable"}}, "invalid_field"),
    ({"json": BODY, "headers": {"Fencing-Token": "7"}}, "invalid_field"),
    ({"json": BODY, "headers": {"If-Match": '"seq-1"'}}, "invalid_field"),
]


@pytest.mark.parametrize(("request_of", "code"), BAD)
def test_a_bad_form_is_refused_before_anything_is_stored(stage, request_of, code):
    stage.assignments.projects = ["one"]
    answer = stage.http.post(PATH, **request_of)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert stage.assignments.moves == []


def test_its_outcome_can_be_asked_for_by_the_callers_own_id(stage, monkeypatch):
    stage.assignments.projects = ["one"]
    key = "b" + str(uuid.uuid4())[1:]
    claim(stage, key)
    sent_as = fleet.derived_id("local", "one", key)

    async def command(tenant, command_id):
        return {"command_id": command_id, "status": "accepted"} if (tenant, command_id) == ("local", sent_as) else None

    monkeypatch.setattr(stage.reads, "command", command)
    assert stage.http.get(f"/v1/commands/{key}").json() == {"command_id": key, "status": "accepted"}
    assert stage.http.get(f"/v1/commands/{uuid.uuid4()}").status_code == 404
