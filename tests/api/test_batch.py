"""Batches: order, chains, bad lines in the middle, and bounds."""

import contextlib
import http.client
import json
import uuid

import pytest

from continuity.api import batch
from continuity.core.limits import COMMAND_BYTES_MAX
from continuity.errors import Retryable

PATH = "/v1/commands"


def line(project="known", command_type="create_goal", **members):
    return {"project": project, "command_type": command_type, "body": {"text": "x"}, **members}


def send(stage, *lines, wait=""):
    content = b"\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in lines)
    response = stage.http.post(PATH + wait, content=content)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(text) for text in response.text.splitlines()]


def test_answers_come_in_the_order_of_the_lines(stage):
    ids = [str(uuid.uuid4()) for _ in range(300)]
    answers = send(stage, *(line(command_id=each) for each in ids))
    assert [answer["command_id"] for answer in answers] == ids
    assert [answer["line"] for answer in answers] == list(range(1, 301))
    assert {(answer["status"], answer["http_status"]) for answer in answers} == {("accepted", 201)}
    assert [request.command_id for request, _ in stage.commands.sent] == ids


def test_each_line_follows_the_one_before_it_in_its_project(stage):
    a, b, c, d = (str(uuid.uuid4()) for _ in range(4))
    send(
        stage,
        line("one", command_id=a), line("two", command_id=b), line("one", command_id=c),
        line("one", command_id=d, after=None), line("one", after=a), line("two"),
    )  # fmt: skip
    assert [request.after for request, _ in stage.commands.sent] == [None, None, a, None, a, b]


def test_a_bad_line_is_answered_in_its_place_and_breaks_its_project_only(stage):
    broken = str(uuid.uuid4())
    answers = send(
        stage,
        line("one"),
        {**line("one", command_id=broken), "body": {"text": ""}},
        line("one"),
        b"{",
        b"[]",
        line("two", colour="red"),
        line("three"),
    )
    assert [answer.get("code") for answer in answers] == [
        None, "invalid_field", None, "json_syntax", "json_syntax", "unknown_field", None,
    ]  # fmt: skip
    assert [answer["status"] for answer in answers if "code" in answer] == ["refused"] * 4
    # The third line was sent behind the broken one, so that the sequencer refuses it: predecessor_missing.
    assert [request.after for request, _ in stage.commands.sent] == [None, broken, None]


LINES = [
    ({"command_type": "create_goal"}, "missing_field", "project"),
    ({"project": "known"}, "missing_field", "command_type"),
    ({"project": "Known", "command_type": "create_goal"}, "invalid_field", "project"),
    (line(command_type="launch"), "unknown_command", "launch"),
    (line(command_type={}), "missing_field", "command_type"),
    (line(command_type=["renew_lease"]), "missing_field", "command_type"),
    ({**line(), "body": {"text": "x", "colour": None}}, "unknown_field", "colour"),
    (line(command_id="7"), "invalid_field", "command_id"),
    (line(after="7"), "invalid_field", "after"),
    (line(expected_seq="7"), "invalid_field", "expected_seq"),
    (line(fencing_token=-1), "invalid_field", "fencing_token"),
    (line(session_id=5), "invalid_field", "Session-Id"),
    ({**line(), "body": [1]}, "invalid_field", "object"),
    (b'{"project":"known","command_type":"create_goal","body":{"text":"x","priority":1.0}}', "json_float", "1.0"),
]


@pytest.mark.parametrize(("bad", "code", "named"), LINES, ids=lambda value: str(value)[:50])
def test_a_bad_line_names_its_fault(stage, bad, code, named):
    (answer,) = send(stage, bad)
    assert (answer["code"], answer["http_status"]) == (code, 422)
    assert named in answer["detail"]
    assert answer["fix"]
    assert stage.commands.sent == []


def test_a_line_that_is_too_long_is_answered_and_the_next_one_is_read(stage):
    answers = send(stage, line(), b"x" * (batch.LINE_BYTES_MAX + 1), line(), b"y" * (3 * batch.LINE_BYTES_MAX))
    assert [answer.get("code") for answer in answers] == [None, "command_too_large", None, "command_too_large"]
    body = {"text": "x" * (COMMAND_BYTES_MAX + 1)}
    assert [answer["code"] for answer in send(stage, {**line(), "body": body})] == ["command_too_large"]


def test_a_batch_that_is_too_long_says_where_it_ended(stage, monkeypatch):
    monkeypatch.setattr(batch, "LINES_MAX", 3)
    answers = send(stage, *(line() for _ in range(9)))
    assert [answer.get("code") for answer in answers] == [None, None, None, "command_too_large"]
    assert len(stage.commands.sent) == 3


def test_an_outage_is_told_line_by_line(stage):
    stage.commands.failure = Retryable("Away.")
    answers = send(stage, line(), line())
    assert {(answer["status"], answer["http_status"], answer["code"]) for answer in answers} == {
        ("unavailable", 503, "unavailable")
    }
    assert all(answer["command_id"] for answer in answers)


def test_durable_holds_for_every_line(stage):
    answers = send(stage, line(), line(), wait="?wait=durable")
    assert {(answer["status"], answer["http_status"]) for answer in answers} == {("durable", 202)}


def test_materialized_waits_for_every_line(stage):
    assert [answer["status"] for answer in send(stage, line(), line(), wait="?wait=materialized")] == ["accepted"] * 2
    assert stage.reads.asked == [{"min_seq": 1}, {"min_seq": 2}]


def test_an_empty_batch_is_an_empty_answer(stage):
    assert send(stage) == []
    assert send(stage, b"", b"  ", b"\r") == []


def test_answers_stream_while_lines_still_come(stage):
    """The second line is written only when the first one's answer was read."""
    # httpx writes a whole request before it reads: here the wire is spoken directly.
    url, text = stage.http.base_url, json.dumps(line()).encode() + b"\n"
    chunk = b"%x\r\n%b\r\n" % (len(text), text)
    with contextlib.closing(http.client.HTTPConnection(url.host, url.port, timeout=10)) as connection:
        connection.putrequest("POST", PATH)
        connection.putheader("Authorization", stage.http.headers["Authorization"])
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders(chunk)
        response = connection.getresponse()
        assert json.loads(response.readline())["line"] == 1
        connection.send(chunk + b"0\r\n\r\n")
        assert json.loads(response.readline())["line"] == 2
        assert response.readline() == b""


def test_a_batch_larger_than_every_buffer_does_not_wait_for_itself(stage):
    pad = "x" * 4_000
    lines = [{**line(), "body": {"text": pad}, "after": None} for _ in range(2_000)]
    answers = send(stage, *lines)
    assert len(answers) == 2_000


def test_too_many_batches_are_turned_away(stage, monkeypatch):
    monkeypatch.setattr(batch, "BATCHES_MAX", 0)
    response = stage.http.post(PATH, content=b"")
    assert (response.status_code, response.json()["code"]) == (503, "overloaded")
    assert "Retry-After" in response.headers
