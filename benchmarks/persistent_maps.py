"""`python -m benchmarks.persistent_maps`: what the state's maps cost, as a dict that is copied and as persistent maps.

Measures `dict`, `rpds.HashTrieMap` and, where it is installed, `immutables.Map`, holding entities by UUID string, on
this machine. See docs/decisions/persistent-maps.md.
"""

import itertools
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any, NamedTuple

import psutil
from rpds import HashTrieMap

SIZES = (10, 1_000, 10_000)
ROUNDS = 9
LOOPS = 2_000


class Kind(NamedTuple):
    """A map: how to make one of a dict, and how to get another one with one entry replaced."""

    name: str
    make: Callable[[dict[str, Any]], Any]
    insert: Callable[[Any, str, Any], Any]


def kinds() -> list[Kind]:
    """The maps that are installed here."""
    found = [
        Kind("dict, copied", dict, lambda known, key, value: {**known, key: value}),
        Kind(f"rpds {version('rpds-py')}", HashTrieMap, lambda known, key, value: known.insert(key, value)),
    ]
    try:
        immutables = import_module("immutables")
    except ImportError:
        return found
    kind = Kind(f"immutables {version('immutables')}", immutables.Map, lambda known, key, value: known.set(key, value))
    return [*found, kind]


def keys(count: int) -> list[str]:
    """UUID-shaped keys."""
    return [f"{number * 2654435761 % 2**32:08x}-0000-5000-8000-{number:012x}" for number in range(count)]


def nanoseconds(call: Callable[[str], object], names: Sequence[str], loops: int) -> float:
    """Median over rounds of the processor time of one call."""
    rounds = []
    for _ in range(ROUNDS):
        begin = time.process_time_ns()
        for number in range(loops):
            call(names[number * 7919 % len(names)])
        rounds.append((time.process_time_ns() - begin) / loops)
    return statistics.median(rounds)


def in_fresh_process(measure: Callable[[int, int], float], kind: int, count: int) -> float:
    """Memory is measured as growth of a process that has freed nothing yet."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (kind, count))


def whole_bytes(kind: int, count: int) -> float:
    """Memory of one map among many; keys and values are shared and not counted."""
    make, names, copies = kinds()[kind].make, keys(count), 1_000_000 // count
    plain = dict.fromkeys(names)
    before = psutil.Process().memory_info().rss
    held = [make(plain) for _ in range(copies)]
    grown = psutil.Process().memory_info().rss - before
    return grown / len(held)


def version_bytes(kind: int, count: int) -> float:
    """Memory of one more version that differs in one entry, while all versions are held."""
    names, chosen = keys(count), kinds()[kind]
    held = [chosen.make(dict.fromkeys(names))]
    before = psutil.Process().memory_info().rss
    for number in range(300 if count == SIZES[-1] else 10_000):
        held.append(chosen.insert(held[-1], names[number * 7919 % count], number // 7 % 2))
    grown = psutil.Process().memory_info().rss - before
    return grown / (len(held) - 1)


def main() -> None:
    """Print the table."""
    print(f"Python {platform.python_version()}, {platform.machine()}; processor times, medians of {ROUNDS} rounds")
    print("| map | entries | get | replace one, keeping the old map | one map | one more version |")
    print("|---" * 6 + "|")
    for count, (number, kind) in itertools.product(SIZES, enumerate(kinds())):
        names = keys(count)
        known = kind.make(dict.fromkeys(names, "todo"))
        replace = partial(_replaced, kind, known)
        get = nanoseconds(known.__getitem__, names, LOOPS * 10)
        insert = nanoseconds(replace, names, LOOPS if count < SIZES[-1] else LOOPS // 10)
        whole = in_fresh_process(whole_bytes, number, count)
        more = in_fresh_process(version_bytes, number, count)
        print(f"| {kind.name} | {count:,} | {get:,.0f} ns | {insert:,.0f} ns | {whole:,.0f} B | {more:,.0f} B |")


def _replaced(kind: Kind, known: Any, key: str) -> Any:
    return kind.insert(known, key, None)


if __name__ == "__main__":
    main()
