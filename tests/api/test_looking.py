"""Questions about the past over HTTP: what each asks of the past, what it answers, and what it refuses."""

import threading

import pytest

from continuity.api.looking import EXPORTS_MAX
from continuity.errors import IntegrityError, Retryable
from continuity.review import NoSuchSeq, UnknownTask

KNOWN = "/v1/projects/known"
TASK = "11111111-1111-4111-8111-111111111111"

QUESTIONS = [
    ("/state?at_seq=2", ("state", 2)),
    ("/next-step?at_seq=2", ("next_step", 2, None)),
    ("/next-step?at_seq=2&for_owner=ada", ("next_step", 2, "ada")),
    ("/explain", ("explain", None, None)),
    ("/explain?at_seq=2&for_owner=ada", ("explain", 2, "ada")),
    ("/diff?from_seq=0", ("diff", 0, None)),
    ("/diff?from_seq=3&to_seq=1", ("diff", 3, 1)),
    (f"/history?task_id={TASK}", ("history", TASK, 0, 100)),
    (f"/history?task_id={TASK.upper()}&after_seq=4&limit=7", ("history", TASK, 4, 7)),
    ("/snapshots?limit=5", ("snapshots", 5)),
    ("/verify", ("verify",)),
    ("/export", ("export", None)),
    ("/export?at_seq=0", ("export", 0)),
]
PATHS = [path for path, _ in QUESTIONS]


@pytest.mark.parametrize(("path", "asked"), QUESTIONS, ids=PATHS)
def test_what_is_asked(stage, path, asked):
    response = stage.http.get(KNOWN + path)
    assert response.status_code == 200
    assert stage.past.asked == [asked]


@pytest.mark.parametrize("path", PATHS)
def test_another_tenants_project_looks_like_none(stage, path):
    mine = stage.http.get("/v1/projects/nowhere" + path)
    theirs = stage.http.get(KNOWN + path, headers={"Authorization": f"Bearer {stage.foreign_key}"})
    assert (mine.status_code, mine.json()["code"]) == (404, "unknown_project")
    assert theirs.status_code == 404
    assert theirs.json() == mine.json() | {"detail": "There is no project 'known'."}
    assert stage.http.get(KNOWN + path, headers={"Authorization": ""}).status_code == 401
    assert stage.past.asked == []


@pytest.mark.parametrize("path", PATHS)
def test_damage_is_named_and_never_an_answer(stage, path):
    stage.past.failure = IntegrityError("Event 7 is damaged.", workflow_id="w", event_seq=7, field="delta")
    response = stage.http.get(KNOWN + path)
    found = response.json()
    assert (response.status_code, found["code"]) == (500, "integrity")
    assert (found["workflow_id"], found["event_seq"], found["field"]) == ("w", 7, "delta")


def test_an_event_or_task_that_is_not_there_is_refused(stage):
    stage.past.failure = NoSuchSeq(9, 3)
    found = stage.http.get(KNOWN + "/state?at_seq=9").json()
    assert (found["code"], found["detail"]) == ("no_such_seq", "There is no event 9: the last one is 3.")
    stage.past.failure = UnknownTask(TASK)
    response = stage.http.get(f"{KNOWN}/history?task_id={TASK}")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_task")


def test_an_outage_is_an_outage(stage):
    stage.past.failure = Retryable("Postgres is away.")
    response = stage.http.get(KNOWN + "/verify")
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")


@pytest.mark.parametrize("path", PATHS)
def test_it_waits_for_what_the_caller_has_seen(stage, path):
    joined = f"{path}{'&' if '?' in path else '?'}min_seq=3"
    assert stage.http.get(KNOWN + joined).status_code == 200
    assert stage.reads.asked == [{"min_seq": 3}]


def test_answers_about_an_event_carry_its_tag(stage):
    assert stage.http.get(KNOWN + "/state?at_seq=2").headers["ETag"] == '"seq-2"'
    assert stage.http.get(KNOWN + "/next-step?at_seq=2").headers["ETag"] == '"seq-2"'


def test_an_export_is_streamed_as_a_file(stage):
    stage.past.pieces = [b"one", b"two", b"three"]
    response = stage.http.get(KNOWN + "/export")
    assert response.content == b"onetwothree"
    assert response.headers["content-type"] == "application/zstd"
    assert response.headers["content-disposition"] == 'attachment; filename="known.jsonl.zst"'


def test_only_so_many_exports_are_under_way(stage, eventually):
    go_on, inside = threading.Event(), []

    def pieces():
        yield b"a"
        inside.append(1)
        assert go_on.wait(30)
        yield b"b"

    stage.past.export = lambda *_: pieces()
    try:
        done = []
        threads = [
            threading.Thread(target=lambda: done.append(stage.http.get(KNOWN + "/export").content), daemon=True)
            for _ in range(EXPORTS_MAX)
        ]
        for thread in threads:
            thread.start()
        eventually(lambda: len(inside) == EXPORTS_MAX, what="all of them are under way")
        refused = stage.http.get(KNOWN + "/export")
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    finally:
        go_on.set()
        del stage.past.export
    for thread in threads:
        thread.join(30)
    assert done == [b"ab"] * EXPORTS_MAX
    assert stage.http.get(KNOWN + "/export").status_code == 200
