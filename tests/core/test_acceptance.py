"""The acceptance rule: which records of a partition are facts, whoever wrote the others."""

from typing import Any

import pytest
from hypothesis import given as sampled
from hypothesis import strategies as st

from continuity.core import canonical
from continuity.core.acceptance import START, Acceptance, Verdict, chain_fits, judge
from continuity.core.ids import NIL, ZERO_HASH
from continuity.core.records import SEQUENCER_EPOCH, SEQUENCER_MARK, Event
from continuity.core.seal import own_record
from tests.spec import add_task, create_goal
from tests.spec import given as story_of

ADA, BOB = "a" * 8, "b" * 8
TOPIC = "topic-1"
OPEN = Acceptance(3, ADA, 5, closed=False, rules_version=2, topic_id=TOPIC, generation=1, source_offset=40)
"""In the middle of an epoch: the last record had number 5 and spoke for command 40."""


def record(event_type: str, **fields: Any) -> Event:
    made: Any = own_record(event_type)
    made |= {"epoch": 3, "sequencer_id": ADA, "epoch_seq": 6, "source_generation": 1, "source_offset": 41}
    return made | fields  # type: ignore[no-any-return]


def epoch(payload: Any = None, **fields: Any) -> Event:
    """The next epoch record, of Bob; `payload` replaces single fields of it, or all if it is text."""
    full = {"rules_version": 2, "topic_id": TOPIC, "forced_by": None, "lost": None, "partition": 0}
    text = payload if isinstance(payload, str) else canonical.text(full | (payload or {}))
    fields = {"epoch": 4, "sequencer_id": BOB, "epoch_seq": 0, "source_offset": 40} | fields
    return record(SEQUENCER_EPOCH, payload=text, **fields)


EVENT = record("task_started")
MARK = record(SEQUENCER_MARK)


# Within an epoch


@pytest.mark.parametrize(("kind", "verdict"), [("task_started", Verdict.EVENT), (SEQUENCER_MARK, Verdict.MARK)])
def test_the_next_record_of_the_current_owner_counts(kind: str, verdict: Verdict) -> None:
    assert judge(OPEN, record(kind)) == (OPEN._replace(epoch_seq=6, source_offset=41), verdict)
    assert judge(OPEN, record(kind, source_offset=999)) == (OPEN._replace(epoch_seq=6, source_offset=999), verdict)
    assert verdict.accepted


@pytest.mark.parametrize("kind", ["task_started", SEQUENCER_MARK])
@pytest.mark.parametrize(
    ("fields", "after", "verdict"),
    [
        ({"sequencer_id": BOB}, OPEN, Verdict.STALE),
        ({"epoch": 2}, OPEN, Verdict.STALE),
        ({"epoch": 4}, OPEN, Verdict.STALE),
        ({"epoch": 2, "sequencer_id": BOB}, OPEN, Verdict.STALE),
        ({"epoch": -1}, OPEN, Verdict.STALE),
        ({"epoch_seq": 5}, OPEN, Verdict.REPEAT),
        ({"epoch_seq": 0}, OPEN, Verdict.REPEAT),
        ({"epoch_seq": -(2**63)}, OPEN, Verdict.REPEAT),
        ({"epoch_seq": 7}, OPEN._replace(closed=True), Verdict.GAP),
        ({"epoch_seq": 2**63 - 1}, OPEN._replace(closed=True), Verdict.GAP),
        ({"source_offset": 40}, OPEN._replace(epoch_seq=6), Verdict.BACKWARDS),
        ({"source_offset": -1}, OPEN._replace(epoch_seq=6), Verdict.BACKWARDS),
        ({"source_generation": 0}, OPEN._replace(epoch_seq=6), Verdict.BACKWARDS),
        ({"source_generation": 2, "source_offset": 0}, OPEN._replace(epoch_seq=6), Verdict.BACKWARDS),
    ],
)
def test_any_other_is_ignored(kind: str, fields: Any, after: Acceptance, verdict: Verdict) -> None:
    assert judge(OPEN, record(kind, **fields)) == (after, verdict)
    assert not verdict.accepted


def test_a_gap_closes_the_epoch_for_good() -> None:
    """Also for the missing record, when it arrives after all, and for what would follow it."""
    closed, verdict = judge(OPEN, record("task_started", epoch_seq=7, source_offset=42))
    assert verdict is Verdict.GAP
    for number in (6, 7, 8):
        assert judge(closed, record("task_started", epoch_seq=number, source_offset=50)) == (closed, Verdict.GAP)
    assert judge(closed, record("task_started", epoch_seq=5)) == (closed, Verdict.REPEAT)
    reopened, verdict = judge(closed, epoch())
    assert verdict is Verdict.EPOCH
    assert not reopened.closed


def test_a_number_is_consumed_even_by_a_record_that_goes_backwards() -> None:
    after, _ = judge(OPEN, record("task_started", source_offset=39))
    assert judge(after, EVENT) == (after, Verdict.REPEAT)
    assert judge(after, record("task_started", epoch_seq=7)) == (
        after._replace(epoch_seq=7, source_offset=41),
        Verdict.EVENT,
    )


# Epochs


def test_before_the_first_epoch_nothing_counts() -> None:
    for each in (
        EVENT,
        MARK,
        record("task_started", epoch=0, sequencer_id=NIL, epoch_seq=0, source_generation=0, source_offset=0),
    ):
        after, verdict = judge(START, each)
        assert (after._replace(closed=True), verdict.accepted) == (START, False)


def test_an_epoch_record_opens_the_next_epoch() -> None:
    first = epoch({"rules_version": 1}, epoch=1, source_offset=-1)
    opened = Acceptance(1, BOB, 0, closed=False, rules_version=1, topic_id=TOPIC, generation=1, source_offset=-1)
    assert judge(START, first) == (opened, Verdict.EPOCH)
    after, verdict = judge(OPEN, epoch())
    assert verdict is Verdict.EPOCH
    assert after == Acceptance(4, BOB, 0, closed=False, rules_version=2, topic_id=TOPIC, generation=1, source_offset=40)
    assert judge(after, EVENT) == (after, Verdict.STALE)  # the former owner


def test_an_epoch_record_may_pass_a_lost_range() -> None:
    after, verdict = judge(OPEN, epoch({"lost": [41, 99]}, source_offset=99))
    assert (verdict, after.source_offset) == (Verdict.EPOCH, 99)


@pytest.mark.parametrize("number", [-1, 0, 2, 3, 5, 6, 2**63 - 1])
def test_only_the_very_next_epoch_opens(number: int) -> None:
    assert judge(OPEN, epoch(epoch=number)) == (OPEN, Verdict.STALE)


def test_an_epoch_record_has_number_zero() -> None:
    assert judge(OPEN, epoch(epoch_seq=6)) == (OPEN, Verdict.STALE)


@pytest.mark.parametrize(
    ("version", "forced_by", "verdict"),
    [
        (1, None, Verdict.STALE),
        (1, "", Verdict.STALE),
        (1, "ada", Verdict.EPOCH),
        (0, "ada", Verdict.EPOCH),
        (2, None, Verdict.EPOCH),
        (3, None, Verdict.EPOCH),
    ],
)
def test_older_rules_follow_newer_ones_only_if_an_operator_forces_them(
    version: int, forced_by: str | None, verdict: Verdict
) -> None:
    after, found = judge(OPEN, epoch({"rules_version": version, "forced_by": forced_by}))
    assert found is verdict
    assert after.rules_version == version or after == OPEN


@pytest.mark.parametrize(("generation", "offset"), [(1, 39), (0, 99), (0, 40), (1, -1)])
def test_an_epoch_does_not_go_back_in_the_commands(generation: int, offset: int) -> None:
    assert judge(OPEN, epoch(source_generation=generation, source_offset=offset)) == (OPEN, Verdict.BACKWARDS)
    after, verdict = judge(OPEN, EVENT)
    assert verdict is Verdict.EVENT, "a refused epoch ends nobody's"
    assert after.epoch == 3


def test_a_new_generation_begins_where_its_topic_does() -> None:
    after, verdict = judge(
        OPEN, epoch({"topic_id": "topic-2", "forced_by": "ada"}, source_generation=2, source_offset=-1)
    )
    assert (verdict, after.generation, after.source_offset, after.topic_id) == (Verdict.EPOCH, 2, -1, "topic-2")


@pytest.mark.parametrize(
    "payload",
    [
        "", "{", "null", "[]", "1", '"x"', "true", "{}", '{"rules_version":9}', '{"rules_version":9,"topic_id":"x"}',
        {"rules_version": "9"}, {"rules_version": None}, {"rules_version": [9]}, {"rules_version": True},
        {"rules_version": 9.5}, {"topic_id": None}, {"topic_id": 7}, {"topic_id": {}},
        '{"forced_by": null, "rules_version": 2, "topic_id": "t"}', "[" * 300 + "]" * 300, '{"a":%s}' % ("[" * 999),
    ],
)  # fmt: skip
def test_a_strangers_epoch_record_is_ignored(payload: Any) -> None:
    assert judge(OPEN, epoch(payload)) == (OPEN, Verdict.STALE)


# Properties

numbers = st.integers(-1, 8)
records = st.builds(
    record,
    st.sampled_from(["task_started", SEQUENCER_MARK]),
    epoch=numbers, sequencer_id=st.sampled_from([ADA, BOB]), epoch_seq=numbers, source_generation=st.integers(0, 2),
    source_offset=numbers,
) | st.builds(
    epoch,
    st.fixed_dictionaries({}, optional={"rules_version": numbers, "forced_by": st.sampled_from([None, "ada"])}),
    epoch=numbers, sequencer_id=st.sampled_from([ADA, BOB]), epoch_seq=st.integers(0, 1),
    source_generation=st.integers(0, 2), source_offset=numbers,
)  # fmt: skip


@sampled(st.lists(records, max_size=40))
def test_whatever_is_in_the_log_epochs_and_commands_only_go_forward(log: list[Event]) -> None:
    acceptance, spoken_for = START, []
    for each in log:
        before = acceptance
        acceptance, verdict = judge(before, each)
        assert (acceptance.epoch, acceptance.epoch_seq, acceptance.closed) >= (
            before.epoch,
            before.epoch_seq,
            before.closed,
        )
        assert (acceptance.generation, acceptance.source_offset) >= (before.generation, before.source_offset)
        if not verdict.accepted:
            unread = acceptance._replace(closed=before.closed, epoch_seq=before.epoch_seq)
            assert unread == before, "an ignored record changed what counts"
        if verdict in (Verdict.EVENT, Verdict.MARK):
            assert not before.closed
            spoken_for.append((each["source_generation"], each["source_offset"]))
        assert judge(acceptance, each)[1] is not Verdict.EVENT, "the same record counted twice"
    assert spoken_for == sorted(set(spoken_for)), "one command, two facts"


# Within a workflow


def test_the_chain_fits_the_next_event_only() -> None:
    first, second = story_of(create_goal("goal"), add_task("task")).events
    assert chain_fits(0, ZERO_HASH, first)
    assert chain_fits(1, first["event_hash"], second)
    assert not chain_fits(0, ZERO_HASH, second)
    assert not chain_fits(1, first["event_hash"], first)
    assert not chain_fits(1, ZERO_HASH, second)
    assert not chain_fits(2, first["event_hash"], second)
