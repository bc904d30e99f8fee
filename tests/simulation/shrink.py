"""A broken seed as short as it gets: fewer steps, fewer kinds of faults, and the trace of what is left."""

from typing import NamedTuple

from tests.simulation.campaign import violation
from tests.simulation.faults import FAULTS
from tests.simulation.world import World

NAMES = tuple(dict.fromkeys(fault.__name__ for fault in FAULTS))


class Shrunk(NamedTuple):
    """A run that breaks the same checker. `without` are the faults that it does not need."""

    seed: int
    steps: int
    without: frozenset[str]
    checker: str
    detail: str
    trace: list[str]


def shrink(seed: int) -> Shrunk | None:
    """None if the seed does not break. Takes a hundred runs or so, each shorter than the first."""
    found = _broken(seed, None, frozenset())
    if found is None:
        return None
    steps = _fewest_steps(seed, frozenset(), found, most=found.steps)
    without: frozenset[str] = frozenset()
    for name in NAMES:
        tried = without | {name}
        again = _broken(seed, steps, tried)
        if again is not None and again.checker == found.checker:
            without = tried
    steps = _fewest_steps(seed, without, found, most=steps)
    last = _broken(seed, steps, without)
    assert last is not None, "the same arguments give the same run"
    return last


def _fewest_steps(seed: int, without: frozenset[str], found: Shrunk, most: int) -> int:
    """By halves: a run that is cut off later need not break, so it is a short one and not the shortest."""
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        again = _broken(seed, middle, without)
        if again is not None and again.checker == found.checker:
            high = middle
        else:
            low = middle + 1
    return high


def _broken(seed: int, steps: int | None, without: frozenset[str]) -> Shrunk | None:
    world = World(seed, without=without) if steps is None else World(seed, steps, 0, without)
    found = violation(world)
    return found and Shrunk(seed, world.step, without, found.checker, found.detail, world.trace)
