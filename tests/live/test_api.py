"""The API on the real log and database: what only they can show."""

import json
import uuid

import httpx
import pytest

from continuity import keys
from continuity.answers import (
    ActiveWorkState,
    CommandOutcome,
    EventPage,
    NextStep,
    ProjectPage,
    WriteAnswer,
)
from continuity.core import canonical
from continuity.core.ids import workflow_id

pytestmark = pytest.mark.stack


@pytest.fixture
def http(live):
    headers = {"Authorization": f"Bearer {live.key}"}
    with httpx.Client(base_url=live.settings.api_url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def goal(http, project, text="Ship", **headers):
    return http.post(f"/v1/projects/{project}/goals", json={"text": text}, headers=headers)


def fits(body, shape):
    """Whether the answer has the members of its declared type, no other ones, and none missing."""
    return shape.__required_keys__ <= body.keys() <= shape.__annotations__.keys()


def test_a_goal_is_committed_and_read_back(http, project):
    written = goal(http, project)
    body = written.json()
    assert (written.status_code, body["status"], body["event_seq"]) == (201, "accepted", 1)
    assert body["workflow_id"] == workflow_id("local", project)
    assert fits(body, WriteAnswer)
    step = http.get(f"/v1/projects/{project}/next-step?min_seq=1")
    assert fits(step.json(), NextStep)
    assert step.content == canonical.dumps(step.json())
    assert (step.json()["action"], step.headers["ETag"]) == ("propose_tasks", '"seq-1"')
    assert step.json()["state_checksum"] == body["state_checksum"]
    state = http.get(f"/v1/projects/{project}/state").json()
    assert fits(state, ActiveWorkState)
    page = http.get(f"/v1/projects/{project}/events").json()
    assert fits(page, EventPage)
    assert [event["event_type"] for event in page["events"]] == ["goal_created"]


def test_the_same_id_gives_the_same_outcome_and_another_body_is_refused(http, project):
    key = str(uuid.uuid4())
    first = goal(http, project, **{"Idempotency-Key": key})
    again = goal(http, project, **{"Idempotency-Key": key})
    other = goal(http, project, "Else", **{"Idempotency-Key": key})
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert again.json()["status"] == "duplicate"
    assert again.json()["goal_id"] == first.json()["goal_id"]
    assert again.json()["event_id"] == first.json()["event_id"]
    assert other.json()["code"] == "idempotency_key_reused"


def test_if_match_lets_one_of_two_writers_through(http, project):
    goal(http, project)
    won = goal(http, project, **{"If-Match": '"seq-1"'})
    lost = goal(http, project, **{"If-Match": '"seq-1"'})
    assert (won.status_code, won.headers["ETag"]) == (201, '"seq-2"')
    assert (lost.status_code, lost.json()["code"]) == (412, "expected_seq_mismatch")
    assert "2" in lost.json()["detail"]


def test_materialized_is_seen_by_the_next_read(http, project):
    body = http.post(f"/v1/projects/{project}/goals?wait=materialized", json={"text": "Ship"}).json()
    assert body["next_step"]["as_of_seq"] == body["event_seq"] == 1
    assert http.get(f"/v1/projects/{project}/next-step").json() == body["next_step"]


def test_durable_is_decided_later_and_can_be_asked_for(http, project, eventually):
    sent = http.post(f"/v1/projects/{project}/goals?wait=durable", json={"text": "Ship"})
    assert (sent.status_code, sent.json()["status"]) == (202, "durable")

    def known():
        answer = http.get(sent.headers["Location"])
        return answer.json() if answer.status_code == 200 else None

    outcome = eventually(known, 30, "the outcome is known")
    assert fits(outcome, CommandOutcome)
    assert (outcome["status"], outcome["event_seq"], outcome["project"]) == ("accepted", 1, project)


def test_the_outcome_of_a_refused_command_can_be_asked_for(http, project, eventually):
    goal(http, project)
    key = str(uuid.uuid4())
    path = f"/v1/projects/{project}/tasks/{uuid.uuid4()}/start"
    assert http.post(path, headers={"Idempotency-Key": key}).json()["code"] == "unknown_task"
    outcome = eventually(lambda: http.get(f"/v1/commands/{key}").json().get("code") == "unknown_task", 30)
    assert outcome


def test_tenants_do_not_see_each_other(http, live, project):
    goal(http, project)
    key = str(uuid.uuid4())
    goal(http, project, **{"Idempotency-Key": key})
    foreign = keys.issue_key(live.settings.data_dir, tenant="other", operator_id="eve", operator_kind="agent")
    with httpx.Client(base_url=live.settings.api_url, headers={"Authorization": f"Bearer {foreign}"}) as other:
        for below in ("next-step", "state", "events"):
            assert other.get(f"/v1/projects/{project}/{below}").json()["code"] == "unknown_project"
        assert other.get(f"/v1/commands/{key}").json()["code"] == "unknown_command_id"
        listed = other.get("/v1/projects?limit=1000").json()
        assert fits(listed, ProjectPage)
        assert project not in {each["project"] for each in listed["projects"]}
        assert goal(other, project).json()["event_seq"] == 1


def test_a_batch_is_chained_and_a_refusal_stops_its_project(http, project):
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    absent = str(uuid.uuid4())
    lines = [
        {"project": project, "command_type": "create_goal", "body": {"text": "a"}, "command_id": first},
        {"project": project, "command_type": "start_task", "body": {"task_id": absent}},
        {"project": project, "command_type": "create_goal", "body": {"text": "b"}},
        {"project": project, "command_type": "create_goal", "body": {"text": "c"}, "after": None, "command_id": second},
        {"project": project + "-2", "command_type": "create_goal", "body": {"text": "d"}},
    ]

    def send():
        response = http.post("/v1/commands", content="\n".join(map(json.dumps, lines)))
        return [(answer["status"], answer.get("code")) for answer in map(json.loads, response.text.splitlines())]

    assert send() == [
        ("accepted", None), ("refused", "unknown_task"), ("refused", "predecessor_missing"), ("accepted", None),
        ("accepted", None),
    ]  # fmt: skip
    lines.pop()
    assert [status for status, _ in send()] == ["duplicate", "refused", "refused", "duplicate"]


def test_a_long_batch_keeps_the_order_of_its_lines(http, project):
    lines = [{"project": project, "command_type": "create_goal", "body": {"text": f"goal {n}"}} for n in range(600)]
    response = http.post("/v1/commands?wait=materialized", content="\n".join(map(json.dumps, lines)))
    answers = [json.loads(text) for text in response.text.splitlines()]
    assert [answer["event_seq"] for answer in answers] == list(range(1, 601))
    seen, cursor = [], ""
    while True:
        page = http.get(f"/v1/projects/{project}/events?limit=250{cursor}").json()
        seen += [event["payload"]["text"] for event in page["events"]]
        cursor = f"&cursor={page['next_cursor']}"
        if not page["has_more"]:
            break
    assert seen == [f"goal {n}" for n in range(600)]


def test_a_read_that_asks_for_the_future_says_not_yet(http, project):
    goal(http, project)
    late = http.get(f"/v1/projects/{project}/next-step?min_seq=99")
    assert (late.status_code, late.json()["code"]) == (503, "not_yet")
    assert late.headers["Retry-After"]


def test_a_bad_command_does_not_disturb_the_good_ones_behind_it(http, project):
    assert goal(http, project).status_code == 201
    for body in ('{"text":1.5}', '{"text":"a\\u0000"}', '{"text":"a","text":"b"}', "{"):
        assert http.post(f"/v1/projects/{project}/goals", content=body).status_code == 422
    assert goal(http, project).json()["event_seq"] == 2


def test_readiness_names_its_parts(http):
    assert http.get("/readyz").json() == {"status": "ok", "parts": {"log": "ok", "database": "ok"}}
