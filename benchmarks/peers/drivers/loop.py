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
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
        call = operations[each.operation]
        await _awaited(each.concurrency, each.warm_up_seconds, call)
        if each.seconds:  # else a warm-up on its own
            _print(each, *await _awaited(each.concurrency, each.seconds, call))


def run_in_threads(
    plan: Plan, operations: Mapping[str, BlockingCall], around: Mapping[str, Around] | None = None
) -> None:
    """Measure operations that block, one thread a caller."""
    for each in plan.measurements:
        call, outside = operations[each.operation], (around or {}).get(each.operation, _nothing)
        _threaded(each.concurrency, each.warm_up_seconds, call, outside)
        if each.seconds:
            _print(each, *_threaded(each.concurrency, each.seconds, call, outside))


async def _awaited(callers: int, seconds: float, call: Call) -> tuple[list[float], float]:
    durations: list[float] = []
    began = time.perf_counter()
    end = began + seconds

    async def caller(index: int) -> None:
        number = 0
        while (now := time.perf_counter()) < end:
            await call(index, own(index, callers, number))
            durations.append(time.perf_counter() - now)
            number += 1

    await asyncio.gather(*map(caller, range(callers)))
    return durations, time.perf_counter() - began


def _threaded(callers: int, seconds: float, call: BlockingCall, around: Around) -> tuple[list[float], float]:
    durations: list[float] = []
    failures: list[BaseException] = []
    began = time.perf_counter()
    end = began + seconds

    def caller(index: int) -> None:
        def calls() -> None:
            number = 0
            while (now := time.perf_counter()) < end:
                call(index, own(index, callers, number))
                durations.append(time.perf_counter() - now)
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
    return durations, time.perf_counter() - began


def _nothing(calls: Callable[[], None]) -> None:
    calls()


def _print(asked: Measurement, durations: Sequence[float], elapsed: float) -> None:
    ordered = sorted(durations)
    seen = {
        "operation": asked.operation,
        "concurrency": asked.concurrency,
        "count": len(ordered),
        "seconds": round(elapsed, 4),
        "p50_ms": round(ordered[len(ordered) // 2] * 1e3, 4),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1e3, 4),
    }
    print(json.dumps(seen), flush=True)


def leave() -> None:
    """End at once: what a library still keeps running behind is of no interest any more."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
