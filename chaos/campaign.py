"""Which fault comes when: cycles of faults alone, then storms of all kinds, drawn by a seed; and what each came to.

In each cycle the stack first comes to rest, and sequencers are struck while nothing else is wrong: the failover figures
are of those alone. Then the cards of the deck are dealt, several at once on different targets, until the cycle is over.
"""

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from rich.console import Console

from chaos.faults import ALONE, IN_STORMS, ON_DISKS
from chaos.strike import Field, Kind, Struck

MINUTES = 20.0
CYCLE_SECONDS = 100.0
RECOVERY_SECONDS_MAX = 120.0
STRIKE_SECONDS_MAX = 180.0
INTERVAL_SECONDS_MIN = 0.3
INTERVAL_SECONDS = 1.5
AT_ONCE_MAX = 8
FAULTS_MIN = 500
"""Of all kinds together, in a run of the default length or longer."""
OVERTIME = 1.3
"""What was not seen is struck again, for so much longer at most."""
MISSES_MAX = 200


@dataclass(slots=True)
class Fault:
    """A strike that was made. `recovery_seconds`: until all that it touched answered again; None when it never did."""

    kind: str
    target: str
    at_seconds: float
    evidence: str | None
    alone: bool
    recovery_seconds: float | None = None


def kinds_of(*, with_disks: bool) -> list[Kind]:
    """All kinds that a run strikes, those that come alone first."""
    alone = {kind.name: kind for kind in ALONE}
    return [*alone.values(), *IN_STORMS, *(ON_DISKS if with_disks else ())]


def minimum_of(kind: Kind, minutes: float) -> int:
    """How many of a kind have to be seen in a run of that length."""
    return math.floor(kind.minimum * min(minutes / MINUTES, 1.0))


def faults_min(minutes: float) -> int:
    """How many have to be seen in all. A short run has its cycles' quiet parts as well, and promises no number."""
    return FAULTS_MIN if minutes >= MINUTES else 0


class Campaign:
    """One run's faults. `faults` is what was struck, seen or not."""

    def __init__(self, field: Field, minutes: float, console: Console, log: Path, *, with_disks: bool) -> None:
        self.faults: list[Fault] = []
        self.problems: list[str] = []
        self._field = field
        self._minutes = minutes
        self._console = console
        self._log = log
        self._random = random.Random(field.random.random())
        scale = minutes / MINUTES
        storms = [kind for kind in kinds_of(with_disks=with_disks) if not kind.alone]
        self._deck = [kind for kind in storms for _ in range(math.ceil(kind.wanted * scale))]
        self._random.shuffle(self._deck)
        self._kinds = storms
        self._on_the_way: set[asyncio.Task[None]] = set()
        self._striking: list[Kind] = []
        self._began = 0.0
        self._misses = 0

    @property
    def seen(self) -> Counter[str]:
        """Faults whose effect was seen, by kind."""
        return Counter(fault.kind for fault in self.faults if fault.evidence is not None)

    async def run(self, stop: Callable[[], bool]) -> None:
        """Strike until the time is over and each kind was seen often enough, or too much time is over."""
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        seconds = self._minutes * 60
        cycles = max(1, round(seconds / CYCLE_SECONDS))
        for cycle in range(cycles):
            if stop():
                break
            await self._alone(stop)
            end = self._began + seconds * (cycle + 1) / cycles
            await self._storm(end, math.ceil(len(self._deck) / (cycles - cycle)), stop)
            self._console.print(
                f"  {loop.time() - self._began:5.0f} s: cycle {cycle + 1} of {cycles},"
                f" {sum(self.seen.values())} faults seen of {len(self.faults)} struck"
            )
        give_up_at = self._began + seconds * OVERTIME
        while (missing := self._missing()) and loop.time() < give_up_at and not stop():
            self._deck = [*missing, *self._deck]
            # In the pace of the cycles before: all that is missing would otherwise come at once, or drag on.
            pace = min(give_up_at, loop.time() + len(missing) * INTERVAL_SECONDS)
            await self._storm(pace, len(missing), stop)
        await self._settle()

    def _missing(self) -> list[Kind]:
        seen = self.seen
        missing = [kind for kind in self._kinds for _ in range(minimum_of(kind, self._minutes) - seen[kind.name])]
        too_few = faults_min(self._minutes) - sum(seen.values()) - len(missing)
        return missing + self._deck[: max(too_few, 0)]

    async def _alone(self, stop: Callable[[], bool]) -> None:
        for kind in ALONE:
            if stop():
                return
            await self._settle()
            self._field.world.heal()
            if (missing := await self._field.world.calm()) is not None:
                self.problems.append(f"At rest, {missing}.")
                return
            # Nobody is told apart from the fault before: whatever came from that has been answered by now.
            waiting = [line.recovery(self._field.now()) for line in self._field.of("partition-")]
            await asyncio.wait(waiting, timeout=RECOVERY_SECONDS_MAX)
            owners = [name for name in kind.targets if await self._field.world.members[name].partitions()]
            if target := self._field.free(owners):
                await self._strike(kind, target)

    async def _storm(self, end: float, cards: int, stop: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        while cards > 0 and loop.time() < end and not stop():
            drawn = self._draw()
            if drawn is not None:
                kind, target = drawn
                task = asyncio.create_task(self._strike(kind, target))
                self._on_the_way.add(task)
                task.add_done_callback(self._done)
                cards -= 1
            interval = max(INTERVAL_SECONDS_MIN, 0.9 * (end - loop.time()) / max(cards, 1))
            await asyncio.sleep(min(interval, max(end - loop.time(), 0)))

    def _draw(self) -> tuple[Kind, str] | None:
        """The next card that can be played now, and whom it strikes."""
        if len(self._striking) >= AT_ONCE_MAX:
            return None
        heavy = any(kind.heavy for kind in self._striking)
        for number, kind in enumerate(self._deck):
            target = None if kind.heavy and heavy else self._field.free(kind.targets)
            if target is not None:
                del self._deck[number]
                return kind, target
        return None

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._on_the_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.problems.append(f"A strike failed: {type(error).__name__}: {error}")

    async def _strike(self, kind: Kind, target: str) -> None:
        at = self._field.now()
        self._striking.append(kind)
        try:
            with self._field.held(target):
                struck = await asyncio.wait_for(kind.strike(self._field, target), STRIKE_SECONDS_MAX)
        finally:
            self._striking.remove(kind)
        fault = Fault(kind.name, target, round(at - self._began, 2), struck.evidence, kind.alone)
        self.faults.append(fault)
        if not struck.is_seen:
            self._note(fault)
            self._misses += 1
            if not kind.alone and self._misses <= MISSES_MAX:
                self._deck.insert(min(len(self._deck), AT_ONCE_MAX), kind)
            return
        # The target may be struck again meanwhile: its recovery then takes as long as that lets it.
        await self._recovered(fault, struck)
        self._note(fault)

    async def _recovered(self, fault: Fault, struck: Struck) -> None:
        if struck.recovery_seconds is not None:
            fault.recovery_seconds = round(struck.recovery_seconds, 3)
            return
        waiting = [line.recovery(struck.since) for line in struck.lines]
        with suppress(TimeoutError):
            async with asyncio.timeout(RECOVERY_SECONDS_MAX):
                moments = await asyncio.gather(*waiting)
            fault.recovery_seconds = round(max(moments, default=struck.since) - struck.since, 3)
        if fault.recovery_seconds is None:
            self.problems.append(f"{time.strftime('%H:%M:%S')} {fault.kind} ({fault.target}) was not recovered from.")

    def _note(self, fault: Fault) -> None:
        with self._log.open("ab") as file:
            file.write(orjson.dumps({"noted": time.strftime("%H:%M:%S"), **asdict(fault)}) + b"\n")

    async def _settle(self) -> None:
        if self._on_the_way:
            await asyncio.wait(self._on_the_way, timeout=STRIKE_SECONDS_MAX + RECOVERY_SECONDS_MAX)


def recoveries(faults: Sequence[Fault], kind: str) -> list[float]:
    """The recovery times of a kind, in order."""
    return sorted(each.recovery_seconds for each in faults if each.kind == kind and each.recovery_seconds is not None)
