"""`./dev bench --peers`: our committed command beside what others offer, on one machine, all synced to disk.

In a turn each system is started alone (the broker and the database stay), driven at every concurrency, and stopped;
the next turn goes through them from another one on, so that a machine that drifts favours nobody. What cannot be had,
or fails, is left out with a word.
"""

import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from benchmarks import stack
from benchmarks.peers import databases, dbos, eventsourcing, floor, langgraph, ours, programs, restate, temporal
from benchmarks.peers.drivers.loop import Measurement
from benchmarks.peers.peer import CONNECTIONS_MAX, Operation, Peer, Place
from benchmarks.peers.programs import Failed
from benchmarks.peers.summary import Key
from benchmarks.rows import Latencies
from continuity.config import Settings

PARTITIONS = Settings.partitions
SYSTEMS: tuple[Peer, ...] = (ours, temporal, restate, dbos, langgraph, eventsourcing, floor)


class Effort(NamedTuple):
    """How long to look, in seconds.

    An operation is warmed up at 64 callers when its system was started, longer in the first turn: the broker compiles
    what it does often. Then each concurrency has a short warm-up of its own.
    """

    turns: int
    first_warm_up: float
    later_warm_up: float
    short_warm_up: float
    measured: float


FULL = Effort(turns=3, first_warm_up=15, later_warm_up=5, short_warm_up=1, measured=6)
QUICK = Effort(turns=2, first_warm_up=5, later_warm_up=2, short_warm_up=0.5, measured=2)


class Compared(NamedTuple):
    """What was seen of each operation in each turn; and which systems failed, and how."""

    turns: dict[Key, list[Latencies]]
    failed: dict[str, str]


def folder(settings: Settings, name: str) -> Path:
    """Where a system is installed."""
    return settings.cache_dir / "peers" / name


def available(systems: Sequence[Peer], settings: Settings, console: Console) -> tuple[list[Peer], dict[str, str]]:
    """Those that are installed now, and why the others are not."""
    had: list[Peer] = []
    left_out: dict[str, str] = {}
    for each in systems:
        reason = each.unavailable()
        if reason is None:
            try:
                each.install(folder(settings, each.NAME), console)
            except Failed as failed:
                reason = str(failed)
        if reason is None:
            had.append(each)
        else:
            left_out[each.NAME] = reason
            console.print(f"  {each.NAME} is left out: {reason}", markup=False)
    return had, left_out


def compare(systems: Sequence[Peer], effort: Effort, console: Console) -> Compared:
    """All turns. One that fails is left out of the turns that follow, and counts with those that it finished."""
    found: dict[Key, list[Latencies]] = defaultdict(list)
    for operation in (each for system in systems for each in system.OPERATIONS):
        for callers in operation.concurrencies:
            found[operation, callers] = []  # in this order, whatever order the turns have
    failed: dict[str, str] = {}
    with stack.running(PARTITIONS) as settings:
        databases.check_durable(settings)
        for turn in range(effort.turns):
            for system in rotated(systems, turn, effort.turns):
                if system.NAME in failed:
                    continue
                console.print(f"[bold]{system.NAME}[/], turn {turn + 1} of {effort.turns}")
                try:
                    _measure(system, settings, _plan(effort, turn), found, console)
                except Failed as error:
                    failed[system.NAME] = f"failed in turn {turn + 1}: {error}"
                    console.print(f"  {failed[system.NAME]}", markup=False)
    return Compared({key: seen for key, seen in found.items() if seen}, failed)


def rotated(systems: Sequence[Peer], turn: int, turns: int) -> list[Peer]:
    """The order of a turn: all of them, from another one on than in every other turn."""
    at = turn * len(systems) // turns
    return [*systems[at:], *systems[:at]]


class _Plan(NamedTuple):
    warm_up: float
    short_warm_up: float
    measured: float

    def of(self, operation: Operation) -> list[Measurement]:
        """The warm-up on its own first."""
        warm = Measurement(operation.key, CONNECTIONS_MAX, self.warm_up, 0)
        return [
            warm,
            *(
                Measurement(operation.key, callers, self.short_warm_up, self.measured)
                for callers in operation.concurrencies
            ),
        ]


def _plan(effort: Effort, turn: int) -> _Plan:
    return _Plan(effort.later_warm_up if turn else effort.first_warm_up, effort.short_warm_up, effort.measured)


def _measure(
    system: Peer, settings: Settings, plan: _Plan, found: dict[Key, list[Latencies]], console: Console
) -> None:
    scratch = Path(tempfile.mkdtemp(dir=settings.data_dir.parent, prefix=f"{system.NAME}-"))
    began = time.monotonic()
    try:
        with system.running(Place(folder(settings, system.NAME), settings, scratch)) as drivers:
            console.print(f"  ready after {time.monotonic() - began:.0f} s; load {os.getloadavg()[0]:.1f}")
            for operation in system.OPERATIONS:
                for seen in programs.drive(drivers[operation.key], plan.of(operation), scratch):
                    found[operation, seen.concurrency].append(seen.latencies)
                    console.print(f"  {operation.name} c={seen.concurrency}: {seen.latencies}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
