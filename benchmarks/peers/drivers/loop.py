"""What every driver does alike: read its plan, keep so many callers busy for so long, print what they saw.

Standard library alone, as it runs in every environment. A driver is given its plan as one JSON object, and prints one
JSON line for each measurement. It ends by itself when its time is over, whatever hangs.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

OBJECTS = 256
"""Workflows, virtual objects, aggregates, threads of a conversation: whatever a change belongs to."""

Call = Callable[[int, int], Awaitable[None]]
"""One operation of caller number `0…` on object number `0…`."""
BlockingCall = Callable[[int, int], None]
Around = Callable[[Callable[[], None]], None]
"""Runs all calls of one caller inside of something, such as a workflow."""


class Measurement(NamedTuple):
    """One operation, by so many callers at once, for so long; the warm-up before it does not count."""

    operation: str
    concurrency: int
    warm_up_seconds: float
    seconds: float


class Plan(NamedTuple):
    """What to measure, in this order, and where; the address's words are the driver's own."""

    measurements: list[Measurement]
    address: dict[str, Any]
    payload: str
    """The state that each change brings: plain text, as long for one system as for another."""

    @classmethod
    def given(cls) -> "Plan":
        """The plan in the first argument. From here on this process has only the plan's time."""
        found = json.loads(sys.argv[1])
        signal.alarm(int(found["seconds_max"]))
        payload = ("It goes on where it was left. " * found["payload_bytes"])[: found["payload_bytes"]]
        return cls([Measurement(*each) for each in found["measurements"]], found["address"], payload)


def own(caller: int, callers: int, number: int) -> int:
    """The object of a caller's next call. No two callers share one, so that nobody waits for another's."""
    return caller + callers * (number % max(1, OBJECTS // callers))


async def run(plan: Plan, operations: Mapping[str, Call]) -> None:
    """Measure operations that are awaited."""
    for each in plan.measurements:
        watch = Watch(each.warm_up_seconds, each.seconds)
        await asyncio.gather(
            *(_awaited(index, each.concurrency, operations[each.operation], watch) for index in range(each.concurrency))
        )
        _print(each, watch)


def run_in_threads(
    plan: Plan, operations: Mapping[str, BlockingCall], around: Mapping[str, Around] | None = None
) -> None:
    """Measure operations that block, one thread a caller."""
    for each in plan.measurements:
        watch = Watch(each.warm_up_seconds, each.seconds)
        _threaded(each.concurrency, operations[each.operation], (around or {}).get(each.operation, _nothing), watch)
        _print(each, watch)


class Watch:
    """Times the calls of all callers of a measurement, which begins in the middle of them, as it ends.

    What a system does in a second is what ends within it. A caller whose call takes long, or hangs, is missing from
    then on, and is no reason to say that the others were slow.
    """

    def __init__(self, warm_up_seconds: float, seconds: float) -> None:
        self._from = time.perf_counter() + warm_up_seconds
        self._until = self._from + seconds
        self._calls: list[tuple[float, float]] = []

    def is_open(self) -> bool:
        """Whether there is time for another call."""
        return time.perf_counter() < self._until

    def ended(self, began: float) -> None:
        """A call that began then has ended now."""
        self._calls.append((began, time.perf_counter()))

    def count(self) -> int:
        """The calls that ended in the time that is measured."""
        return sum(self._from <= ended < self._until for _, ended in self._calls)

    def durations(self) -> list[float]:
        """Seconds of each call, the shortest first, also of one that ended too late to count. RuntimeError if none."""
        ordered = sorted(ended - began for began, ended in self._calls if ended >= self._from)
        if not ordered:
            raise RuntimeError("no call ended in the time that was measured")
        return ordered


def _print(asked: Measurement, watch: Watch) -> None:
    if not asked.seconds:
        return  # a warm-up on its own
    ordered = watch.durations()
    seen = {
        "operation": asked.operation,
        "concurrency": asked.concurrency,
        "count": watch.count(),
        "seconds": asked.seconds,
        "p50_ms": round(ordered[len(ordered) // 2] * 1e3, 4),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1e3, 4),
    }
    print(json.dumps(seen), flush=True)


async def _awaited(index: int, callers: int, call: Call, watch: Watch) -> None:
    number = 0
    while watch.is_open():
        began = time.perf_counter()
        await call(index, own(index, callers, number))
        watch.ended(began)
        number += 1


def _threaded(callers: int, call: BlockingCall, around: Around, watch: Watch) -> None:
    failures: list[BaseException] = []

    def caller(index: int) -> None:
        def calls() -> None:
            number = 0
            while watch.is_open():
                began = time.perf_counter()
                call(index, own(index, callers, number))
                watch.ended(began)
                number += 1

        try:
            around(calls)
        except BaseException as error:  # noqa: BLE001 - told by whoever joins the threads
            failures.append(error)

    threads = [threading.Thread(target=caller, args=(index,)) for index in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _nothing(calls: Callable[[], None]) -> None:
    calls()


def leave() -> None:
    """End at once: what a library still keeps running behind is of no interest any more."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
