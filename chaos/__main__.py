"""`./dev chaos [--minutes N] [--seed S] [--json]`: faults on the real stack, and what became of all that was told.

The stack lives in a temporary folder, listens on loopback, is bounded in time, and is gone at the end however it ends.
The exit code is 0 only when nothing was lost or doubled, nothing else is wrong, and every kind of fault was seen.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path

import uvloop
from rich.console import Console

from benchmarks.rows import machine
from chaos import disks, report, run, world
from chaos.campaign import MINUTES
from chaos.report import Result

SECONDS_BESIDES_MAX = 1_800
"""For the start, overtime, what still has to recover, and the checks."""


async def campaign(result: Result, console: Console, *, keep_it: bool, no_disks: str | None) -> None:
    """Run it; SIGTERM and SIGINT end it early, and what was told until then is checked."""
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    myself = asyncio.current_task()
    assert myself is not None

    def stop() -> None:
        if asked_to_stop.is_set():  # the second time somebody means it
            myself.cancel()
        console.print("stopping; what was told until now is checked, once more ends at once")
        asked_to_stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGALRM, myself.cancel)
    signal.alarm(int(result.minutes * 60) + SECONDS_BESIDES_MAX)
    with world.folder_of_run(keep_it=keep_it) as folder:
        if keep_it:
            console.print(f"everything is kept in {folder}")
        _complain_into(folder / "clients.log")
        await run.carried_out(result, console, folder=folder, no_disks=no_disks, stop=asked_to_stop.is_set)


def _complain_into(log: Path) -> None:
    """Let what libraries write to standard error go there: each lost connection of the native client is a line."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, sys.stderr.fileno())
    os.close(descriptor)


def main() -> int:
    """Run and show."""
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"how long faults are struck ({MINUTES:g})")
    parser.add_argument("--seed", type=int, help="draws which fault comes when; without it one is drawn and shown")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line of stdout")
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write a page, and a drawing beside it")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and the record of all commands")
    arguments = parser.parse_args()
    # A stream of its own: standard error itself is turned into a file later.
    stream = os.fdopen(os.dup(sys.stderr.fileno() if arguments.json else sys.stdout.fileno()), "w", encoding="utf-8")
    console = Console(file=stream, highlight=False)
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    result = Result(seed, arguments.minutes)
    result.machine = machine()
    console.print(result.machine)
    no_disks = disks.enter_namespace()
    try:
        uvloop.run(campaign(result, console, keep_it=arguments.keep, no_disks=no_disks))
    except (asyncio.CancelledError, KeyboardInterrupt):
        console.print("ended; nothing is left running")
        return 130
    except Exception:  # noqa: BLE001 - whatever it is, the faults until then are told with it
        console.print_exception()
        result.violations.append("The campaign itself failed: its traceback stands above.")
    report.show(result, console)
    if arguments.report is not None:
        report.write(result, arguments.report)
    if arguments.json:
        print(json.dumps(result.to_json()))
    return 0 if result.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
