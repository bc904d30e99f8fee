"""What a fault is to the campaign, and what those of all kinds share: targets that are held, and effects that are seen.

A kind strikes one target, sees whether that had its effect, and heals what it did. It counts only when it was seen.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from chaos.probes import Line
from chaos.world import World

TARGET_READY_SECONDS_MAX = 90.0


class Struck(NamedTuple):
    """What a strike came to. Recovery is counted from `since` (of the loop's clock), on `lines`.

    Where the strike has waited for it itself, `recovery_seconds` is what it has measured.
    """

    target: str
    evidence: str | None
    since: float
    lines: Sequence[Line]
    recovery_seconds: float | None = None

    @property
    def is_seen(self) -> bool:
        """Whether the fault had its effect."""
        return self.evidence is not None


class Field:
    """The world, its lines, and who is being struck: nobody is struck twice at once."""

    def __init__(self, world: World, lines: dict[str, Line], drawn: random.Random) -> None:
        self.world = world
        self.lines = lines
        self.random = drawn
        self.taken: set[str] = set()

    def free(self, targets: Sequence[str]) -> str | None:
        """One of these that nobody strikes now, drawn."""
        found = [each for each in targets if each not in self.taken]
        return self.random.choice(found) if found else None

    @contextmanager
    def held(self, *targets: str) -> Iterator[None]:
        """Keep others off these targets."""
        assert not self.taken & set(targets), f"{targets} are struck already"
        self.taken |= set(targets)
        try:
            yield
        finally:
            self.taken -= set(targets)

    def of(self, *names: str) -> list[Line]:
        """The lines whose names begin like that."""
        return [line for name, line in self.lines.items() if name.startswith(names)]

    def partitions(self, owned: Sequence[int]) -> list[Line]:
        """The lines of partitions; of all when it is not known which."""
        return [self.lines[f"partition-{number}"] for number in owned] or self.of("partition-")

    def now(self) -> float:
        """The loop's clock."""
        return asyncio.get_running_loop().time()

    async def until(self, condition: Callable[[], object], seconds: float = TARGET_READY_SECONDS_MAX) -> bool:
        """Wait for it, at most so long; whether it came."""
        deadline = self.now() + seconds
        while not await asyncio.to_thread(condition):
            if self.now() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True


class Kind(NamedTuple):
    """A kind of fault. `minimum` and `wanted` are for a run of 20 minutes; `targets` are what it may strike.

    A kind that is `heavy` takes the whole stack with it: one of those at a time. `alone` kinds are never drawn: they
    are struck while nothing else is wrong.
    """

    name: str
    minimum: int
    wanted: int
    targets: tuple[str, ...]
    strike: Callable[[Field, str], Awaitable[Struck]]
    heavy: bool = False
    alone: bool = False
