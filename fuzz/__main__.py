"""`./dev fuzz [--requests N] [--seed S] [--json] [--report FILE.md]`: the API on a real stack against its document.

The stack lives in a temporary folder, listens on loopback, is bounded in time, and is gone at the end however it ends.
The exit code is 0 only when no answer was a server error or against the document, and enough was asked to say so.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.peers.programs import Failed
from benchmarks.rows import machine
from continuity.config import Settings
from continuity.service import end_on
from fuzz import report, runs
from fuzz.report import Result

REQUESTS = 10_000
SEED = 1
SECONDS_MAX = 7_200


def understood(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__)
    parser.add_argument("--requests", type=_count, default=REQUESTS, metavar="N", help=f"at least ({REQUESTS:,})")
    parser.add_argument("--seed", type=int, default=SEED, metavar="S", help=f"draws the requests ({SEED})")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line of stdout")
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write a page")
    return parser.parse_args(words)


def carried_out(result: Result, console: Console) -> None:
    """Ask, count, and show what was found as it was printed."""

    def told(run: runs.Run) -> None:
        result.add(run)
        if run.exit_code:
            console.print(run.printed, markup=False, soft_wrap=True)

    began = time.monotonic()
    try:
        program = runs.installed(Settings(), console)
        runs.until_enough(result.wanted, result.seed, program, told, console)
    except Failed as failed:
        result.failed.append(str(failed))
    result.seconds = time.monotonic() - began


def main() -> int:
    """Run and show."""
    arguments = understood()
    end_on(signal.SIGTERM, signal.SIGALRM)
    signal.alarm(SECONDS_MAX)
    console = Console(stderr=arguments.json, highlight=False)
    result = Result(arguments.requests, arguments.seed, machine())
    console.print(result.machine)
    try:
        carried_out(result, console)
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return 130
    report.show(result, console)
    if arguments.report is not None:
        report.write(result, arguments.report)
    if arguments.json:
        print(json.dumps(result.to_json()))
    return 0 if result.is_good else 1


def _count(word: str) -> int:
    number = int(word)
    if number < 1:
        raise ValueError(word)
    return number


if __name__ == "__main__":
    sys.exit(main())
