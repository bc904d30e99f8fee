"""What reads answer: canonical bytes, tags, pages, and the service's own routes."""

import json
import uuid

import pytest

from continuity import codec
from continuity.core import canonical
from continuity.core.records import Event
from tests.api.double import NEXT


def event(seq):
    blank = dict.fromkeys(Event.__annotations__)
    return blank | {"event_seq": seq, "timestamp": 1_700_000_000_000_000, "payload": '{"a":1}', "delta": "[]"}


def test_the_next_step_is_answered_in_canonical_bytes(stage):
    response = stage.http.get("/v1/projects/known/next-step?min_seq=3")
    assert response.content == canonical.dumps(NEXT)
    assert response.headers["ETag"] == '"seq-3"'
    assert stage.reads.asked == [{"min_seq": 3}]


def test_events_come_in_pages_that_go_on_where_they_ended(stage):
    stage.reads.journal = [event(seq) for seq in range(1, 6)]
    seen, cursor, page = [], "", {}
    for _ in range(3):
        page = stage.http.get(f"/v1/projects/known/events?limit=2{cursor}").json()
        seen += [each["event_seq"] for each in page["events"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [1, 2, 3, 4, 5]
    assert page["has_more"] is False
    stage.reads.journal.append(event(6))
    later = stage.http.get(f"/v1/projects/known/events?limit=2{cursor}").json()
    assert [each["event_seq"] for each in later["events"]] == [6]


def test_an_event_is_shown_with_its_payload_and_time_readable(stage):
    stage.reads.journal = [event(1)]
    shown = stage.http.get("/v1/projects/known/events").json()["events"][0]
    assert (shown["payload"], shown["delta"], shown["timestamp"]) == ({"a": 1}, [], "2023-11-14T22:13:20.000000Z")
    assert "epoch" not in shown


def test_projects_come_in_pages(stage):
    first = stage.http.get("/v1/projects?limit=3").json()
    second = stage.http.get(f"/v1/projects?limit=3&cursor={first['next_cursor']}").json()
    names = [each["project"] for each in first["projects"] + second["projects"]]
    assert names == ["p0", "p1", "p2", "p3", "p4"]
    assert second["has_more"] is False
    assert "next_cursor" not in second


def test_the_outcome_of_a_command_is_told_by_its_id(stage):
    known = "a" + str(uuid.uuid4())[1:]
    assert stage.http.get(f"/v1/commands/{known}").json() == {"command_id": known, "status": "accepted"}


@pytest.mark.parametrize("number", sorted(codec.schema_ids()))
def test_a_schema_is_served_by_the_id_in_the_framing(stage, number):
    stage.http.headers.pop("Authorization")
    response = stage.http.get(f"/schemas/ids/{number}")
    assert response.status_code == 200
    assert json.loads(response.json()["schema"])["type"] == "record"


def test_metrics_count_routes_and_never_name_a_project(stage):
    stage.http.post("/v1/projects/secret-name/goals", json={"text": "x"})
    stage.http.get("/v1/projects/secret-name/state")
    text = stage.http.get("/metrics").text
    assert 'continuity_http_requests_total{route="/v1/projects/{project}/state",status="404"}' in text
    assert 'continuity_commands_total{outcome="accepted"}' in text
    assert "continuity_http_in_flight 0.0" in text
    assert "secret-name" not in text
