"""Records read ahead and judged, without a broker and a database."""

from typing import Any

import pytest

from continuity.core.records import Event
from continuity.projections import projector
from continuity.projections.batch import Position, judged
from continuity.projections.record import Record, decoded
from tests.projections.histories import Log, scripted

START = {0: Position(), 1: Position()}


def test_records_below_the_position_are_passed_over():
    log, project = Log(), scripted("again")
    for event in project.events:
        log.add(event)
    records = log.records()
    first = judged(START, records[:4])
    again = judged({**START, **first.after}, records)
    assert [record.offset for record in again.facts] == list(range(4, len(records)))
    assert again.before == {0: first.after[0]}
    assert again.after == judged(START, records).after


def test_a_partition_is_judged_for_itself():
    log, project = Log(), scripted("two")
    for number, event in enumerate(project.events):
        log.add(event, number % 2)
    batch = judged(START, log.records(0, 0) + log.records(0, 1))
    assert len(batch.facts) == len(project.events)
    assert {partition: position.next_offset for partition, position in batch.after.items()} == log.end()


@pytest.mark.parametrize(
    "value", [None, b"", b"\x00", b"\x00\x00\x00\x00\x02", b"x" * 5000, b"\x00\x00\x00\x00\xff" + b"\x80" * 50]
)
def test_anything_may_stand_in_a_topic(value):
    batch = judged(START, [decoded(0, 0, value)])
    assert (batch.facts, batch.verdicts) == ([], {"unreadable": 1})
    assert batch.after[0].next_offset == 1


@pytest.mark.parametrize(
    "delta",
    ["", "{}", "[1]", "[[]]", '[{"op":"add"}]', '[{"op":"add","path":7}]', '[{"op":"add","path":"/tasks"}]',
     '[{"op":"add","path":"/tasks/x/title/0","value":1}]', '[{"op":"add","path":"/leases/x","value":{}}]',
     '[{"op":"add","path":"/grants/x","value":{}}]', '[{"op":"add","path":"/steps/a b","value":{}}]',
     '[{"op":"add","path":"/silent_deaths/workflow","value":1}]', '[{"op":"remove","path":"/token_counter"}]',
     '[{"op":"replace","path":"/token_counter","value":"7"}]', '[{"op":"replace","path":"/token_counter/0","value":7}]',
     '[{"op":"add","path":"/tasks/{0,1}","value":{}}]', "[ ]", "null", "1e999"],
)  # fmt: skip
def test_a_delta_of_another_shape_is_a_flaw_and_never_an_error(delta, monkeypatch):
    event: Any = {**scripted("delta").events[0], "delta": delta}
    monkeypatch.setattr("continuity.projections.record.seal.verify", lambda _: None)
    monkeypatch.setattr("continuity.projections.record.decode_event", lambda _: event)
    record = decoded(0, 0, b"")
    assert record.patches == ()
    assert record.flaw is not None


def test_a_batch_of_large_events_is_written_in_pieces(monkeypatch):
    monkeypatch.setattr(projector, "BATCH_BYTES_MAX", 100)
    empty: Event | None = None
    records = [Record(0, offset, size, empty) for offset, size in enumerate((60, 40, 1, 99, 500, 1, 1, 100))]
    pieces = [[record.offset for record in piece] for piece in projector._chunks(records)]
    assert pieces == [[0, 1], [2, 3], [4], [5, 6], [7]]
    assert sum(len(piece) for piece in projector._chunks([])) == 0
