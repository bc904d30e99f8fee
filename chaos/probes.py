"""Small commands all the time, one line for each thing that may be away: when it works again is read off them.

A line is a partition (commands by the native client), an API (commands over HTTP) or the projection (a read that waits
for what was just written). Each keeps asking however long an answer takes.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import pairwise

PERIOD_SECONDS = 0.1
OUTSTANDING_MAX = 30
REMEMBERED = 3_000
"""Answers of the last five minutes: a strike asks for its recovery when it is over, which may be after it."""


class Line:
    """One thing that is asked again and again: `ask(number)` is true when it was answered."""

    def __init__(
        self, name: str, ask: Callable[[int], Awaitable[bool]], period_seconds: float = PERIOD_SECONDS
    ) -> None:
        self.name = name
        self._ask = ask
        self._period_seconds = period_seconds
        self._waiting: list[tuple[float, asyncio.Future[float]]] = []
        self._on_the_way: set[asyncio.Task[None]] = set()
        self._answers: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)

    async def run(self, stop: Callable[[], bool]) -> None:
        """Ask until told to stop; not more than so many at once."""
        number = 0
        while not stop():
            if len(self._on_the_way) < OUTSTANDING_MAX:
                task = asyncio.create_task(self._once(number))
                self._on_the_way.add(task)
                task.add_done_callback(self._on_the_way.discard)
                number += 1
            await asyncio.sleep(self._period_seconds)
        await asyncio.gather(*self._on_the_way)

    def recovery(self, since: float) -> "asyncio.Future[float]":
        """Done with the moment of the first answer to what was asked after `since` (both of the loop's clock)."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        if (known := min((told for asked, told in self._answers if asked >= since), default=None)) is not None:
            future.set_result(known)
        else:
            self._waiting.append((since, future))
        return future

    def longest_silence_seconds(self, since: float) -> float:
        """The longest time between one answer and the next, of all that ended after `since`."""
        told = sorted(told for _, told in self._answers)
        return max((after - before for before, after in pairwise(told) if after >= since), default=0.0)

    async def _once(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        if not await self._ask(number):
            return
        now = loop.time()
        self._answers.append((asked_at, now))
        for since, future in self._waiting:
            if asked_at >= since and not future.done():
                future.set_result(now)
        self._waiting = [each for each in self._waiting if not each[1].done()]
