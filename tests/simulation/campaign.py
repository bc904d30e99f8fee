"""Many seeds in several processes, and what came of all of them: violations, and how often everything happened."""

import multiprocessing
import os
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from typing import NamedTuple

from tests.simulation.broken import Broken
from tests.simulation.world import World

SEEDS_AT_ONCE = 5
INFLICTED = ("fault", "stranger", "stray", "command", "clock", "reply", "blob", "executor")
"""Whatever else is counted is a state that was reached. The maximum of `rounds to settle` is kept, not the sum."""


class Violation(NamedTuple):
    """A seed that broke: by which checker, or `crash` where the product itself raised."""

    seed: int
    checker: str
    detail: str


class Outcome(NamedTuple):
    """What some seeds came to."""

    runs: int
    violations: list[Violation]
    counts: Counter[str]

    @property
    def faults(self) -> dict[str, int]:
        """How often what was inflicted, by name."""
        return {name: number for name, number in sorted(self.counts.items()) if _is_inflicted(name)}

    @property
    def states(self) -> dict[str, int]:
        """How often what that led to."""
        return {name: number for name, number in sorted(self.counts.items()) if not _is_inflicted(name)}

    def __add__(self, other: "Outcome") -> "Outcome":  # type: ignore[override]  # not the one of tuples
        counts = self.counts + other.counts
        settled = max(self.counts["rounds to settle"], other.counts["rounds to settle"])
        counts["rounds to settle"] = settled
        return Outcome(self.runs + other.runs, self.violations + other.violations, counts)


NONE = Outcome(0, [], Counter())


def _is_inflicted(name: str) -> bool:
    return name.replace(":", "").split()[0] in INFLICTED


def run(seeds: Iterable[int]) -> Outcome:
    """One after the other, in this process."""
    outcome = NONE
    for seed in seeds:
        world = World(seed)
        broken = violation(world)
        outcome += Outcome(1, [broken], Counter()) if broken else Outcome(1, [], world.counts)
    return outcome


def violation(world: World) -> Violation | None:
    """Run it, and say how it broke. A crash of the product is a finding like any other."""
    try:
        world.run()
    except Broken as broken:
        return Violation(world.seed, broken.checker, str(broken))
    except Exception as error:  # noqa: BLE001
        where = traceback.extract_tb(error.__traceback__)[-1]
        detail = f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"  # noqa: PTH119
        return Violation(world.seed, "crash", detail)
    return None


def run_in_parallel(
    seeds: range,
    processes: int | None = None,
    enough: Callable[[Outcome], bool] = lambda _: False,
) -> Outcome:
    """In as many processes as there are processors; what is begun is ended when what came of it so far is `enough`.

    The seeds that were run are the first ones of `seeds`, whenever it ends.
    """
    processes = processes or os.cpu_count() or 1
    groups = _groups(seeds)
    outcome = NONE
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawned, initializer=_end_with_the_parent) as pool:
        pending: set[Future[Outcome]] = {pool.submit(run, group) for group in islice(groups, 2 * processes)}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for each in done:
                outcome += each.result()
            if not enough(outcome):
                pending |= {pool.submit(run, group) for group in islice(groups, len(done))}
    return outcome._replace(violations=sorted(outcome.violations))


def _end_with_the_parent() -> None:
    """However that ends: a pool's processes would wait for work for ever. Ctrl-C is for the parent to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_wait_and_end, args=(parent,), daemon=True).start()


def _wait_and_end(parent: "multiprocessing.process.BaseProcess") -> None:
    parent.join()
    os._exit(1)


def _groups(seeds: range) -> Iterator[range]:
    for at in range(0, len(seeds), SEEDS_AT_ONCE):
        yield seeds[at : at + SEEDS_AT_ONCE]
