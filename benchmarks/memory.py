"""Resident memory with ten thousand warm workflows, each with ten tasks and their checkpoints.

Postgres' processes share most of their pages, so for them the proportional share is added up; for all others what is
resident. All services are fresh, and everything is decided and projected.
"""

import http.client

import psutil
from rich.console import Console

from benchmarks.effort import Effort
from benchmarks.rows import Row
from benchmarks.stack import corner, services
from benchmarks.workload import fill, planned, wait_until_answered, wait_until_projected
from continuity import embedded
from continuity.config import Settings

MB = 1_000_000
DATABASE = "postgres"


def measure(stack: Settings, *, effort: Effort, console: Console) -> list[Row]:
    """Have the sequencer decide on all of them, and look."""
    count = effort.warm_workflows
    with corner(stack) as own, services(own, "sequencer", "projector", "api") as started:
        total = fill(own, (each for number in range(count) for each in planned(f"warm-{number}")[1]))
        wait_until_answered(own, total)
        wait_until_projected(own)
        warm = gauge(own.sequencer_port, "continuity_warm_workflows")
        if warm != count:
            raise RuntimeError(f"{warm:,.0f} workflows are warm, {count:,} were meant to be.")
        status = embedded.status(stack)
        pids = {each.name: each.pid for each in started}
        pids |= {part["name"]: part["pid"] for part in status["parts"] if part["pid"] is not None}
        if status["supervisor_pid"] is not None:
            pids["supervisor"] = status["supervisor_pid"]
        found = {name: _megabytes(name, pid) for name, pid in pids.items()}
    console.print(
        f"  {count:,} workflows, {total:,} events: "
        + ", ".join(f"{name} {size:,.0f} MB" for name, size in found.items())
    )
    return [
        Row(f"memory, sequencer, {count:,} warm workflows", found["sequencer"], "MB", "<=", 300),
        Row(f"memory, whole stack, {count:,} warm workflows", sum(found.values()), "MB", "<=", 1_500),
    ]


def gauge(port: int, name: str) -> float:
    """What a service says of itself."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


def _megabytes(name: str, pid: int) -> float:
    if name == "supervisor":
        return float(psutil.Process(pid).memory_info().rss) / MB
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    if name == DATABASE:
        return float(sum(each.memory_full_info().pss for each in family)) / MB
    return float(sum(each.memory_info().rss for each in family)) / MB
