"""Keeping a reader going: how often it may begin, and what ends it. Time is this test's own."""

import threading
from typing import Any

import pytest

from continuity.projections import running


class Clock(threading.Event):
    """A stop signal whose waiting is what moves the time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0
        return self.is_set()


class Reader:
    """Takes so long for each step, then asks to be stopped."""

    def __init__(self, clock: Clock, *seconds: float) -> None:
        self.clock, self.seconds = clock, list(seconds)
        self.is_open = False
        self.begun: list[float] = []

    def open(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    def step(self) -> int:
        self.begun.append(round(self.clock.now - 100.0, 3))
        self.clock.now += self.seconds.pop(0)
        if not self.seconds:
            self.clock.set()
        return 1


@pytest.fixture
def clock(monkeypatch: Any) -> Clock:
    found = Clock()
    monkeypatch.setattr(running, "time", found)
    return found


def test_steps_that_are_done_at_once_begin_a_pace_apart(clock: Clock) -> None:
    reader = Reader(clock, 0.001, 0.005, 0.0, 0.001)
    running.keep_going(reader, clock, pace_seconds=0.02)
    assert reader.begun == [0.0, 0.02, 0.04, 0.06]
    assert not reader.is_open


def test_a_step_that_waited_for_its_work_is_followed_by_the_next_at_once(clock: Clock) -> None:
    reader = Reader(clock, 0.2, 0.03, 0.001)
    running.keep_going(reader, clock, pace_seconds=0.02)
    assert reader.begun == [0.0, 0.2, 0.23]


def test_what_was_not_used_is_saved_up_for_a_burst(clock: Clock) -> None:
    reader = Reader(clock, *[0.001] * 6, 0.05, *[0.001] * 3)
    running.keep_going(reader, clock, pace_seconds=0.02, burst=3)
    at_once, paced, long = [0.0, 0.001, 0.002, 0.003], [0.02, 0.04], [0.06]
    after_it = [0.11, 0.111, 0.12]  # by then those of 0.08 and 0.10 are due
    assert reader.begun == at_once + paced + long + after_it
