"""The circuit breaker before the database: one wait, then none until the pause has passed."""

from collections.abc import Collection

import pytest

from continuity.core.acceptance import START
from continuity.core.records import Event
from continuity.core.state import State
from continuity.errors import Retryable
from continuity.processors.breaker import PAUSE_SECONDS_MAX, Breaker
from continuity.processors.ports import Fetched, StoredPosition

HERE = StoredPosition(START, 0)


class Database:
    def __init__(self) -> None:
        self.is_away = False
        self.asked = 0

    def position(self, partition: int) -> StoredPosition:
        del partition
        return HERE

    def fetch(self, partition: int, workflow_ids: Collection[str]) -> Fetched:
        del partition
        self.asked += 1
        if self.is_away:
            raise Retryable("The database is away.")
        return Fetched(HERE, {key: State(key) for key in workflow_ids}, {})

    def past(self, workflow_id: str, at_seq: int) -> State:
        del at_seq
        return State(workflow_id)

    def keep_base(self, state: State) -> None:
        del state

    def base_of(self, first: Event) -> State | None:
        del first
        return None


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_failure_is_paid_once_per_pause_and_an_answer_closes_it() -> None:
    database, clock = Database(), Clock()
    breaker = Breaker(database, clock)
    database.is_away = True
    for _ in range(5):
        with pytest.raises(Retryable, match="The database is away"):
            breaker.fetch(0, {"w"})
    assert database.asked == 1
    clock.now += 0.6
    for _ in range(5):
        with pytest.raises(Retryable):
            breaker.fetch(0, {"w"})
    assert database.asked == 2, "one probe after the pause"
    database.is_away = False
    with pytest.raises(Retryable):
        breaker.fetch(0, {"w"})
    clock.now += 1.1
    assert breaker.fetch(0, {"w"}).states == {"w": State("w")}
    assert breaker.fetch(0, {"w"}).states == {"w": State("w")}
    assert database.asked == 4


def test_the_pause_doubles_to_its_bound() -> None:
    database, clock = Database(), Clock()
    breaker = Breaker(database, clock)
    database.is_away = True
    for _ in range(20):
        clock.now += PAUSE_SECONDS_MAX
        with pytest.raises(Retryable):
            breaker.fetch(0, {"w"})
    assert database.asked == 20, "never closed for longer than the bound"
