"""What the tail says that it has, it has; and it says no of no more workflows than it must."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuity import codec
from continuity.core.records import Event
from continuity.processors import tail
from continuity.processors.tail import Tail
from tests.projections.histories import scripted

EVENT = scripted("tail").events[0]
NAMES = [
    "0b0e4a4c-6ef1-5d6c-8f3a-3b3f4f6a7c1d",
    "1b0e4a4c-6ef1-5d6c-8f3a-3b3f4f6a7c1d",
    "2b0e4a4c-6ef1-5d6c-8f3a-3b3f4f6a7c1d",
]
"""Of one length, so that all records have one size."""
STEPS = st.lists(st.one_of(st.sampled_from(NAMES), st.integers(0, 6)), max_size=40)
"""A workflow's next event, or that the database has all but so many of the last records."""


def event(name: str, seq: int) -> Event:
    return {**EVENT, "workflow_id": name, "event_seq": seq}


SIZE = len(codec.encode_event(event(NAMES[0], 1)))


class Said:
    """All events there were, and a tail that has room for some of them."""

    def __init__(self, records_max: int) -> None:
        self.events: list[str] = []
        self.projected = 0
        self.tail = Tail(0, records_max * SIZE)

    def step(self, step: str | int) -> None:
        if isinstance(step, str):
            self.events.append(step)
            self.tail.append(len(self.events) - 1, step, codec.encode_event(event(step, len(self.events))))
        else:
            self.projected = max(self.projected, len(self.events) - step)
            self.tail.forget_before(self.projected)

    def missing(self, name: str, offset: int) -> Iterator[int]:
        """Of the workflow's events from there on, the ones that the tail does not give."""
        given = {each["event_seq"] - 1 for each in self.tail.events({name}, offset)}
        return (at for at in range(offset, len(self.events)) if self.events[at] == name and at not in given)


@given(STEPS, st.integers(0, 6))
def test_it_has_what_it_says_and_says_what_it_has(steps, records_max):
    said = Said(records_max)
    for step in steps:
        said.step(step)
        assert said.tail.size_bytes <= records_max * SIZE
        for name in NAMES:
            assert said.tail.reaches(name, said.projected) is (next(said.missing(name, said.projected), None) is None)


@given(STEPS, st.integers(0, 6), st.integers(0, 40))
def test_it_never_says_that_it_has_what_is_gone(steps, records_max, offset):
    """Also of a database that went back, which the tail has forgotten for."""
    said = Said(records_max)
    for step in steps:
        said.step(step)
    for name in NAMES:
        assert not said.tail.reaches(name, offset) or not list(said.missing(name, offset))


def test_of_more_workflows_than_it_can_name_it_says_no(monkeypatch):
    monkeypatch.setattr(tail, "DROPPED_WORKFLOWS_MAX", 1)
    said = Said(1)
    for name in (NAMES[0], NAMES[1]):
        said.step(name)
    assert (said.tail.reaches(NAMES[0], 0), said.tail.reaches(NAMES[2], 0)) == (False, True)
    said.step(NAMES[2])
    assert not any(said.tail.reaches(name, 0) for name in NAMES)
    said.step(1)
    assert all(said.tail.reaches(name, said.projected) for name in NAMES)


@pytest.mark.parametrize("records_max", [0, 1])
def test_one_that_was_dropped_is_there_again_once_the_database_has_it(records_max):
    said = Said(records_max)
    for name in (NAMES[0], NAMES[1]):
        said.step(name)
    assert not said.tail.reaches(NAMES[0], 0)
    assert said.tail.reaches(NAMES[0], 1)
