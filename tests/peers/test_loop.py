"""What counts as done in a second: calls that end in it, whoever else is kept waiting."""

import asyncio
import json

import pytest

from benchmarks.peers.drivers import loop
from benchmarks.peers.drivers.loop import Measurement, Plan

WARM_UP_SECONDS, SECONDS = 2, 5
TAKES = (1, 1, 1, 1, 100)
"""They end at 1, 2, 3, 4 and 104; what is measured are the seconds from 2 to 7."""


@pytest.fixture
def clock(monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr("benchmarks.peers.drivers.loop.time.perf_counter", lambda: seconds[0])
    return seconds


def seen_by(run, capsys):
    run(Plan([Measurement("warm", 1, 0.5, 0), Measurement("call", 1, WARM_UP_SECONDS, SECONDS)], {}, ""))
    return json.loads(capsys.readouterr().out)


def calls(clock):
    durations = iter((0.5, *TAKES))

    def call(_caller, _number):
        clock[0] += next(durations)

    return call


def test_a_call_that_hangs_takes_nothing_from_the_rate_and_shows_in_the_times(clock, capsys):
    call = calls(clock)

    async def awaited(caller, number):
        call(caller, number)

    seen = seen_by(lambda plan: asyncio.run(loop.run(plan, dict.fromkeys(("warm", "call"), awaited))), capsys)
    assert (seen["count"], seen["seconds"]) == (3, SECONDS)
    assert (seen["p50_ms"], seen["p99_ms"]) == (1_000, 100_000)


def test_callers_in_threads_are_counted_alike(clock, capsys):
    seen = seen_by(lambda plan: loop.run_in_threads(plan, dict.fromkeys(("warm", "call"), calls(clock))), capsys)
    assert (seen["count"], seen["seconds"], seen["p99_ms"]) == (3, SECONDS, 100_000)
