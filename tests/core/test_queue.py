"""The queue of one goal's todo tasks, and the lookup that it is part of: cheap to keep, and never another than what is
there."""

from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given as sampled
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from continuity.core import slots
from continuity.core.queue import CHUNK_SLOTS_MAX, SLOT, Queue
from tests.spec import (
    Story,
    add_task,
    begin_step,
    claim,
    complete_step,
    complete_task,
    create_goal,
    entity,
    given,
    grown,
    looked_up,
    pause_task,
    release,
    start_task,
    under,
)  # fmt: skip

MANY = 3 * CHUNK_SLOTS_MAX + 5


def name(n: int) -> str:
    return str(UUID(int=n * 7919 % 2**64))


def filled(numbers: list[int]) -> Queue:
    queue = Queue()
    for n in numbers:
        queue = queue.add(n, name(n))
    return queue


# The queue itself


def test_an_empty_queue_has_nobody() -> None:
    assert [*Queue()] == []
    assert Queue().chunks == ()
    with pytest.raises(ValueError, match="not there"):
        Queue().remove(1, name(1))


@pytest.mark.parametrize("count", [1, 2, CHUNK_SLOTS_MAX, CHUNK_SLOTS_MAX + 1, MANY])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_the_oldest_comes_first_in_whatever_order_they_came(count: int, seed: int | None) -> None:
    numbers = [*range(1, count + 1)]
    if seed is not None:
        Random(seed).shuffle(numbers)
    queue = filled(numbers)
    assert [*queue] == [name(n) for n in range(1, count + 1)]
    assert queue == filled(sorted(numbers))
    assert hash(queue) == hash(filled(sorted(numbers)))


def test_each_one_of_many_can_be_removed_wherever_it_stands() -> None:
    """The first of a chunk too: it is where the chunk begins, and no search may look before it."""
    numbers = [*range(1, MANY + 1)]
    queue = filled(numbers)
    assert len(queue.chunks) > 2
    for n in numbers:
        without = queue.remove(n, name(n))
        assert [*without] == [name(each) for each in numbers if each != n]
        assert without.add(n, name(n)) == queue
        with pytest.raises(ValueError, match="not there"):
            without.remove(n, name(n))


def test_same_seq_other_task_is_another_slot() -> None:
    queue = Queue().add(5, name(1)).add(5, name(2)).add(4, name(3))
    assert next(iter(queue)) == name(3)
    assert [*queue.remove(5, name(1))] == [name(3), name(2)]
    with pytest.raises(ValueError, match="not there"):
        queue.remove(4, name(1))


def test_a_queue_is_a_value() -> None:
    queue = filled([1, 2])
    queue.add(3, name(3))
    queue.remove(1, name(1))
    assert [*queue] == [name(1), name(2)]
    assert queue != filled([1])
    assert queue != (name(1), name(2))


class Kept(RuleBasedStateMachine):
    """Adding at the end mostly, as events do, and removing anywhere, against a sorted list."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue()
        self.there: list[int] = []
        self.last = 0

    @rule(count=st.integers(1, 90))
    def add(self, count: int) -> None:
        for _ in range(count):
            self.last += 2
            self.queue = self.queue.add(self.last, name(self.last))
            self.there.append(self.last)

    @precondition(lambda self: self.there)
    @rule(data=st.data(), again=st.booleans())
    def remove(self, data: st.DataObject, again: bool) -> None:  # noqa: FBT001 - a rule's parameter
        at = data.draw(st.integers(0, len(self.there) - 1))
        n = self.there.pop(at)
        self.queue = self.queue.remove(n, name(n))
        if again:
            self.queue = self.queue.add(n, name(n))
            self.there.insert(at, n)

    @precondition(lambda self: self.there)
    @rule(count=st.integers(1, 90))
    def take_from_the_front(self, count: int) -> None:
        for n in self.there[:count]:
            self.queue = self.queue.remove(n, name(n))
        self.there = self.there[count:]

    @invariant()
    def it_holds_what_is_there(self) -> None:
        assert [*self.queue] == [name(n) for n in self.there]
        assert all(0 < len(chunk) <= CHUNK_SLOTS_MAX * SLOT for chunk in self.queue.chunks)


TestKept = Kept.TestCase
TestKept.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


# Slots


@sampled(st.sets(st.integers(0, 50)), st.integers(0, 50))
def test_slots_are_a_sorted_set(there: set[int], n: int) -> None:
    joined = bytes(sorted(there))
    slot = bytes([n])
    assert slots.inserted(joined, slot) == bytes(sorted([*there, n]))
    if n in there:
        assert slots.removed(joined, slot) == bytes(sorted(there - {n}))
    else:
        with pytest.raises(ValueError, match="not there"):
            slots.removed(joined, slot)


# The lookup, in a project


@pytest.fixture(scope="module")
def large() -> Story:
    """More todo tasks than a few chunks hold."""
    return grown([create_goal("goal"), *(add_task(f"t{n}") for n in range(MANY))])


def test_any_of_many_tasks_can_be_started(large: Story) -> None:
    """The 65th as well: its slot began the second chunk, and the search for it ended in the first."""
    for n in range(0, MANY, 3):
        large.at_rest(start_task(f"t{n}")).then_event("task_started", task_id=entity(f"t{n}"))


def test_a_large_queue_stays_what_is_there(large: Story) -> None:
    order = [*range(MANY)]
    Random(3).shuffle(order)
    steps: list[Any] = []
    for n in order[:150]:
        steps += [start_task(f"t{n}"), *([complete_task(f"t{n}")] if n % 2 else [pause_task(f"t{n}")])]
    story = grown(steps, large)
    assert story.state.lookup == looked_up(story.state)
    left = [f"t{n}" for n in range(MANY) if not (n in order[:150] and n % 2)]
    assert [*story.state.lookup.todo[entity("goal")]] == [entity(each) for each in left]
    story.at_rest(claim("ada")).then_event("task_claimed", task_id=entity(left[0]))


def test_what_is_over_leaves_no_trace_in_the_lookup() -> None:
    before = given(create_goal("goal"), add_task("a"), add_task("b"))
    story = before.when(claim("ada", "a", 60)).when(release(1)).when(pause_task("a"))
    assert story.state.lookup == before.state.lookup
    done = story.when(claim("ada", "a", 60)).when(begin_step("s", 2)).when(complete_step("s", 1, 2))
    done = done.when(under(2, complete_task("a"))).when(start_task("b")).when(complete_task("b"))
    assert done.state.lookup == given(create_goal("other")).state.lookup
