"""Both clients' questions about the past, over real HTTP."""

import pytest

from continuity import Continuity
from continuity.client.errors import IntegrityError, NoSuchSeq, Unavailable, UnknownTask
from continuity.review import NoSuchSeq as NoEvent
from continuity.review import UnknownTask as NoTask
from tests.client.test_clients import Synchronous
from tests.core.test_restore import EVENTS
from tests.review.incidents import lines_of, packed

TASK = "11111111-1111-4111-8111-111111111111"
LINES = lines_of(EVENTS)


@pytest.fixture(params=[Continuity, Synchronous], ids=["sync", "async"])
def work(request, stage):
    with request.param("known", url=str(stage.http.base_url), key=stage.key, deadline_seconds=0.3) as client:
        yield client


def test_each_asks_its_question(work, stage):
    work.state(at_seq=2)
    work.get_next_step(for_owner="ada", at_seq=2)
    work.explain()
    work.explain(at_seq=2, for_owner="ada")
    work.diff(0)
    work.diff(3, 1)
    work.verify()
    assert stage.past.asked == [
        ("state", 2), ("next_step", 2, "ada"), ("explain", None, None), ("explain", 2, "ada"), ("diff", 0, None),
        ("diff", 3, 1), ("verify",),
    ]  # fmt: skip


def test_a_history_is_all_of_its_pages(work, stage, monkeypatch):
    def page(*_, after_seq, limit):
        more = after_seq < 20
        return {"entries": [after_seq], "has_more": more, "next_after_seq": after_seq + 10, "as_of_seq": 3, "l": limit}

    monkeypatch.setattr(stage.past, "history", page)
    assert work.history(TASK)["entries"] == [0, 10, 20]


def test_what_is_not_there_is_an_error_of_its_own(work, stage):
    stage.past.failure = NoEvent(9, 3)
    with pytest.raises(NoSuchSeq):
        work.state(at_seq=9)
    stage.past.failure = NoTask(TASK)
    with pytest.raises(UnknownTask):
        work.history(TASK)


def test_an_export_comes_whole_or_not_at_all(work, stage, tmp_path):
    path = tmp_path / "incident.zst"
    stage.past.pieces = [packed(LINES)[:100], packed(LINES)[100:]]
    told = work.export(path)
    assert (told["events"], told["size_bytes"], told["path"]) == (len(EVENTS), len(packed(LINES)), str(path))
    for pieces in ([packed(LINES[:-1])], [packed(LINES)[:-9]], [b"x"]):
        stage.past.pieces = pieces
        with pytest.raises(Unavailable):
            work.export(path)
    damage = b'{"problem":{"detail":"Event 3 is damaged.","event_seq":3,"field":"delta"}}\n'
    stage.past.pieces = [packed([*LINES[:-1], damage])]
    with pytest.raises(IntegrityError) as met:
        work.export(path)
    assert (met.value.event_seq, met.value.field) == (3, "delta")
    assert path.read_bytes() == packed(LINES)
    assert list(tmp_path.iterdir()) == [path]


def test_a_service_that_breaks_off_is_asked_again_and_then_given_up(work, stage, tmp_path):
    calls = []

    def broken(*_):
        calls.append(1)
        yield b"a" * 100_000
        raise RuntimeError

    stage.past.export = broken
    try:
        with pytest.raises(Unavailable):
            work.export(tmp_path / "x")
    finally:
        del stage.past.export
    assert len(calls) > 1
    assert list(tmp_path.iterdir()) == []
