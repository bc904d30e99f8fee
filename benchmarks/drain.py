"""Full topics, drained by one process: commands by a sequencer, then the events that it made by a projector.

A rate is taken from the outside: from the times that the broker wrote beside the events, and from the positions that
the projection has stored. What a process does at first does not count: it starts, and restores cold workflows.
"""

import time
from collections.abc import Iterator
from statistics import median

import psycopg
from rich.console import Console

from benchmarks.effort import Effort
from benchmarks.rows import Row
from benchmarks.stack import corner, services
from benchmarks.workload import checkpoint, fill, log_end, planned, projected, wait_until, wait_until_answered
from continuity import kafka
from continuity.config import Settings
from continuity.producers import Request

WARM_UP = 5_000


def measure(stack: Settings, *, effort: Effort, console: Console) -> list[Row]:
    """With nobody else at work on the broker and the database of `stack`, on topics that are new in each round."""
    decided, projected = [], []
    for turn in range(effort.drain_rounds):
        with corner(stack) as own:
            total = _fill(own, effort)
            decided.append(_decide(own, total))
            replies = log_end(own, own.replies_topic)
            projected.append(_project(own))
            console.print(
                f"  {total:,} commands, round {turn + 1}: sequencer {decided[-1]:,.0f}/s ({replies:,} replies),"
                f" projector {projected[-1]:,.0f}/s"
            )
    return [
        Row("sequencer draining, one process", median(decided), "1/s", ">=", 12_000),
        Row("projector draining", median(projected), "1/s", ">=", 8_000),
    ]


def _fill(own: Settings, effort: Effort) -> int:
    def commands() -> Iterator[Request]:
        projects = []
        for number in range(effort.projects):
            project, requests = planned(f"drain-{number}")
            projects.append(project)
            yield from requests
        for number in range(effort.drain_commands):
            yield checkpoint(projects[number % len(projects)], number // len(projects))

    return fill(own, commands())


def _decide(own: Settings, total: int) -> float:
    with services(own, "projector"):
        pass  # it makes the tables that a sequencer looks into
    with services(own, "sequencer"):
        wait_until(lambda: log_end(own, own.events_topic) >= total + own.partitions, "every command is decided")
        wait_until_answered(own, total)
    times = sorted(
        message.timestamp()[1]
        for number in range(own.partitions)
        for message in kafka.read_range(own, own.events_topic, number, 0, total + 1)
    )[WARM_UP:]
    return len(times) / max(times[-1] - times[0], 1) * 1_000


def _project(own: Settings) -> float:
    total = log_end(own, own.events_topic)
    with services(own, "projector"), psycopg.connect(own.postgres_dsn, autocommit=True) as connection:
        wait_until(lambda: projected(connection) >= WARM_UP, "the projector has begun")
        first, began = projected(connection), time.perf_counter()
        wait_until(lambda: projected(connection) >= total, "everything is projected")
        return (total - first) / (time.perf_counter() - began)
