"""`./dev bench [--quick] [--json]`: every figure of docs/measurements.md, on a stack of its own, beside its target.

With `--peers` it compares a committed command with what other systems offer instead; with `--curves` it shows how the
figures grow with tasks, events, workflows and processes.
The stack lives in a temporary folder, listens on loopback, is bounded in time, and is gone at the end however it ends.
"""

import argparse
import json
import signal
import sys
from pathlib import Path

import uvloop
from rich.console import Console

from benchmarks import drain, flames, growth, memory, native, renewals, restore, rows, stack, web
from benchmarks.curves import measuring
from benchmarks.effort import FULL, QUICK, Effort
from benchmarks.peers import comparing, report, summary
from benchmarks.rows import Row
from benchmarks.workload import Project, fill, planned, wait_until_answered
from continuity.config import Settings
from continuity.keys import local_key
from continuity.producers import AsyncCommandClient
from continuity.service import end_on

PARTITIONS = Settings.partitions
SECONDS_MAX = 3_600
INSTALL_SECONDS_MAX = 7_200


async def live(settings: Settings, projects: list[Project], effort: Effort, console: Console) -> list[Row]:
    """What is measured with all services running. The last project is the large one."""
    key = local_key(settings.data_dir)
    assert key is not None
    *small, large = projects
    found: list[Row] = []
    api = web.Web(settings.api_url, key)
    async with AsyncCommandClient(settings) as client:
        try:
            found += await native.measure(client, small, effort=effort, console=console)
            found += await web.measure_writes(api, small, effort=effort, console=console)
            found += await web.measure_reads(api, small[0], large, effort=effort, console=console)
            found += await renewals.measure(client, small, effort=effort, console=console)
            found += await growth.measure_end_to_end(client, small[0], large, effort=effort, console=console)
        finally:
            api.close()
    return found


def measure(effort: Effort, console: Console) -> list[Row]:
    """All rows."""
    console.print("[bold]Decide path[/], in process")
    found = growth.measure_decision(rounds=effort.rounds, commands=2_000)
    with stack.running(PARTITIONS) as settings:
        console.print(
            f"[bold]All services[/]: {PARTITIONS} partitions, {effort.projects} workflows of 10 tasks with checkpoints,"
            f" one of {effort.large_tasks:,}"
        )
        with stack.corner(settings) as own, stack.services(own, "sequencer", "projector", "api"):
            found += uvloop.run(live(own, _seeded(own, effort), effort, console))
        console.print("[bold]Drains[/], one process at a time")
        found += drain.measure(settings, effort=effort, console=console)
        if effort.warm_workflows:
            console.print("[bold]Memory[/]")
            found += memory.measure(settings, effort=effort, console=console)
        console.print("[bold]Restores[/], in process")
        found += restore.measure(settings, effort=effort, console=console)
    return found


def _seeded(settings: Settings, effort: Effort) -> list[Project]:
    plans = [planned(f"bench-{number}") for number in range(effort.projects)]
    plans.append(planned("bench-large", effort.large_tasks))
    total = fill(settings, (each for _, requests in plans for each in requests))
    wait_until_answered(settings, total)
    return [project for project, _ in plans]


def compare(names: list[str], page: Path | None, *, quick: bool, console: Console) -> tuple[list[Row], bool]:
    """Our committed command beside its peers: all rows, and whether all went well that could be had.

    What is not there yet is installed first, which takes minutes.
    """
    signal.alarm(INSTALL_SECONDS_MAX)
    wanted = [each for each in comparing.SYSTEMS if not names or each.NAME in names]
    systems, left_out = comparing.available(wanted, Settings(), console)
    signal.alarm(SECONDS_MAX)
    effort = comparing.QUICK if quick else comparing.FULL
    machine = rows.machine()
    compared = comparing.compare(systems, effort, console)
    found = summary.medians(compared.turns)
    missing = {**left_out, **compared.failed}
    report.show(found, missing, console)
    if page:
        page.write_text(report.page(found, missing, effort, machine), encoding="utf-8")
    return summary.rows(found), not compared.failed


def grow(names: list[str], page: Path | None, effort: Effort, console: Console) -> list[Row]:
    """The curves, drawn where a page is wanted; the rows say which of them are flat."""
    machine = rows.machine()
    curves = measuring.measure(names, effort, console)
    if page:
        measuring.write(curves, page, names, machine)
    return [row for curve in curves for row in curve.rows()]


def main() -> int:
    """Measure and show. The exit code says whether measuring worked: a missed target is a row, not a failure."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="shorter rounds, without the memory of 10,000 workflows, and 20,000 events instead of a million",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line of stdout")
    parser.add_argument("--peers", action="store_true", help="beside other systems, in place of the figures")
    names = [each.NAME for each in comparing.SYSTEMS]
    parser.add_argument("--curves", action="store_true", help="how figures grow, in place of the figures")
    names += measuring.MEASURES
    parser.add_argument(
        "--only", action="append", choices=names, default=[], help="with --peers, --curves: this one; repeatable"
    )
    parser.add_argument("--flames", type=Path, metavar="FOLDER", help="draw where the services' time goes, and end")
    parser.add_argument("--report", type=Path, metavar="FILE", help="with --peers, --curves: the page to write")
    arguments = parser.parse_args()
    end_on(signal.SIGTERM, signal.SIGALRM)
    signal.alarm(SECONDS_MAX)
    console = Console(stderr=arguments.json, highlight=False)
    effort = QUICK if arguments.quick else FULL
    console.print(rows.machine())
    try:
        if arguments.flames:
            flames.record(arguments.flames, console)
            return 0
        if arguments.curves:
            found, well = grow(arguments.only, arguments.report, effort, console), True
        elif arguments.peers:
            found, well = compare(arguments.only, arguments.report, quick=arguments.quick, console=console)
        else:
            found, well = measure(effort, console), True
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return 130
    if not arguments.peers:
        rows.show(found, console)
    if arguments.json:
        print(json.dumps({"rows": [row.to_json() for row in found]}))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
