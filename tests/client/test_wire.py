"""The SDK's logic without I/O: what is sent, what is sent again, and what a failure becomes."""

import json

import pytest

from continuity.client import errors, wire
from continuity.client.wire import Failed, Pause, Received, Send, Wire
from continuity.core.refusals import REFUSALS

TASK = "00000000-0000-4000-8000-000000000007"
ACCEPTED = Received(200, None, json.dumps({"status": "accepted", "event_seq": 9}).encode())


class Clock:
    """Moves only when a call pauses or times out."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def drive(steps, clock, *answers):
    """Run a call against scripted answers: what it sent, how long it paused, and what came out."""
    sent, pauses, came, script = [], [], None, iter(answers)
    try:
        while True:
            step = steps.send(came)
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                clock.now += step.seconds
                came = None
            else:
                sent.append(step)
                came = next(script)
                if isinstance(came, Failed):
                    clock.now += step.timeout_seconds if came.reason == "timeout" else 0
    except StopIteration as end:
        return sent, pauses, end.value
    except errors.ContinuityError as error:
        return sent, pauses, error


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def built(clock):
    return Wire("my-project", url="http://here", session_id="s-1", deadline_seconds=30, clock=clock)


def problem(status, code, **members):
    body = {"status": status, "code": code, "detail": "Because.", "fix": "Do.", **members}
    return Received(status, "1" if status == 503 else None, json.dumps(body).encode())


def test_a_command_is_sent_with_its_id_and_conditions(built, clock):
    options = {"command_id": TASK, "expected_seq": 184, "fencing_token": 7, "wait": "materialized"}
    fields = {"task_id": TASK, "blocker": "no key"}
    sent, _, answer = drive(built.write("block_task", fields, options), clock, ACCEPTED)
    assert sent == [
        Send(
            "POST",
            f"/v1/projects/my-project/tasks/{TASK}/block?wait=materialized",
            {
                "Idempotency-Key": TASK, "Content-Type": "application/json", "If-Match": '"seq-184"',
                "Fencing-Token": "7", "Session-Id": "s-1",
            },
            b'{"blocker":{"text":"no key"}}',
            wire.ATTEMPT_SECONDS_MAX,
        )
    ]  # fmt: skip
    assert answer["event_seq"] == 9


PASSING = [problem(503, "unavailable"), problem(503, "overloaded"), Failed("refused"), Received(502, None, b"<html>")]


@pytest.mark.parametrize("failure", PASSING)
def test_a_passing_failure_is_repeated_with_the_same_id_and_growing_pauses(built, clock, failure):
    sent, pauses, answer = drive(built.write("create_goal", {"text": "x"}, {}), clock, failure, failure, ACCEPTED)
    assert answer["status"] == "accepted"
    assert len({each.headers["Idempotency-Key"] for each in sent}) == 1
    assert len(pauses) == 2
    hint = 1.0 if isinstance(failure, Received) and failure.retry_after else 0.0
    first = wire.BACKOFF_FIRST_SECONDS
    assert hint + first / 2 <= pauses[0] <= hint + first
    assert hint + first <= pauses[1] <= hint + 2 * first


@pytest.mark.parametrize("failure", [problem(503, "unavailable"), Failed("connection refused")])
def test_the_deadline_ends_it_with_the_id_to_repeat(built, clock, failure):
    began = clock.now
    sent, pauses, error = drive(
        built.write("create_goal", {"text": "x"}, {"command_id": TASK}), clock, *[failure] * 999
    )
    assert isinstance(error, errors.Unavailable)
    assert error.command_id == TASK
    assert error.detail
    assert error.fix
    assert 2 < len(sent) < 100
    assert max(pauses) <= wire.BACKOFF_SECONDS_MAX + 1
    assert clock.now - began <= 30


def test_where_nobody_listens_it_ends_sooner(clock):
    alone = Wire("p", url="http://here", deadline_seconds=30, connect_seconds=1, clock=clock)
    began = clock.now
    _, _, error = drive(alone.next_step(None), clock, *[Failed("refused", connected=False)] * 99)
    assert isinstance(error, errors.Unavailable)
    assert clock.now - began <= 1
    _, _, error = drive(alone.next_step(None), clock, *[Failed("reset")] * 99)
    assert 20 < clock.now - began <= 31


def test_an_attempt_never_outlives_the_deadline(built, clock):
    sent, _, error = drive(built.write("create_goal", {"text": "x"}, {}), clock, *[Failed("timeout")] * 9)
    assert isinstance(error, errors.Unavailable)
    assert sent[0].timeout_seconds == wire.ATTEMPT_SECONDS_MAX
    assert sum(each.timeout_seconds for each in sent) <= 30


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_every_refusal_is_raised_once_with_code_detail_and_fix(built, clock, code):
    status = REFUSALS[code].http_status
    answers = [problem(status, code, command_id=TASK, workflow_id="w", event_seq=3, field="title")] * 99
    sent, _, error = drive(built.write("create_goal", {"text": "x"}, {}), clock, *answers)
    assert isinstance(error, errors.ContinuityError)
    assert (error.code, error.detail, error.fix) == (code, "Because.", "Do.")
    if status < 500:
        assert isinstance(error, errors.Refused)
        assert (error.status, error.command_id, len(sent)) == (status, TASK, 1)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "unauthorized", errors.Unauthorized),
        (404, "unknown_task", errors.UnknownTask),
        (404, "not_found", errors.NotFound),
        (409, "illegal_transition", errors.IllegalTransition),
        (409, "fenced", errors.Fenced),
        (409, "of_tomorrow", errors.Refused),
        (412, "expected_seq_mismatch", errors.Conflict),
        (422, "invalid_field", errors.InvalidForm),
        (423, "of_tomorrow", errors.LeaseHeld),
        (500, "integrity", errors.IntegrityError),
        (500, "internal", errors.Unavailable),
        (503, "unavailable", errors.Retryable),
    ],
)
def test_an_error_has_the_class_of_what_to_do_next(built, clock, status, code, kind):
    *_, error = drive(built.next_step(None), clock, *[problem(status, code)] * 99)
    assert isinstance(error, kind)


def test_reads_ask_for_what_was_written_and_never_go_back(built, clock):
    assert drive(built.next_step(None), clock, ACCEPTED)[0][0].path == "/v1/projects/my-project/next-step"
    drive(built.write("create_goal", {"text": "x"}, {}), clock, ACCEPTED)
    sent, _, _ = drive(built.next_step(None), clock, Received(200, None, b'{"as_of_seq":12}'))
    assert sent[0].path.endswith("/next-step?min_seq=9")
    assert drive(built.state(None), clock, ACCEPTED)[0][0].path.endswith("/state?min_seq=12")
    assert drive(built.next_step("other"), clock, ACCEPTED)[0][0].path == "/v1/projects/other/next-step"


def test_a_foreign_answer_is_not_taken_for_ours(built, clock):
    *_, error = drive(built.next_step(None), clock, Received(200, None, b"<html>hello</html>"))
    assert isinstance(error, errors.Unavailable)
    assert "CONTINUITY_API_URL" in error.fix


@pytest.mark.parametrize("text", ["\ud800", object(), float, {1: 2}, 2**70])
def test_what_is_no_json_is_refused_before_it_is_sent(built, clock, text):
    sent, _, error = drive(built.write("create_goal", {"text": text}, {}), clock)
    assert isinstance(error, errors.InvalidForm)
    assert sent == []


@pytest.mark.parametrize("project", ["a/b", "..", "a?b", "ä", "", "a b#c"])
def test_a_name_cannot_lead_to_another_path(built, clock, project):
    path = drive(built.next_step(project or "//"), clock, ACCEPTED)[0][0].path
    assert path.count("/") == 4
    assert "?" not in path
    assert "#" not in path
