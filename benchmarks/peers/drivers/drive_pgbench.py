"""PostgreSQL itself: one `INSERT` of the payload, committed, by `pgbench` with prepared statements.

Address: `pgbench`, the program; the database by libpq's own variables.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers.drivers.loop import Measurement, Plan

SCRIPT = "INSERT INTO floor (object, state) VALUES (:client_id, '{payload}');\n"


class Transactions(NamedTuple):
    """The time of each in milliseconds, and the seconds from the first one's start to the last one's end."""

    times_ms: list[float]
    seconds: float


def run(program: str, asked: Measurement, script: Path, seconds: float) -> Path:
    """Run it for so long, in whole seconds, connecting included; the folder with its log."""
    folder = Path(tempfile.mkdtemp(dir=script.parent))
    threads = min(2, asked.concurrency)
    subprocess.run(
        [
            *(program, "--no-vacuum", "--protocol=prepared", f"--file={script}", f"--client={asked.concurrency}"),
            *(f"--jobs={threads}", f"--time={max(1, round(seconds))}", "--log", f"--log-prefix={folder / 'log'}"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        timeout=seconds + 30,
    )
    return folder


def transactions(folder: Path) -> Transactions:
    """What a log says. Raises RuntimeError when there were none, as on a machine too busy to connect in time."""
    lines = [line.split() for log in folder.glob("log.*") for line in log.read_text(encoding="ascii").splitlines()]
    if not lines:
        raise RuntimeError("pgbench came to no transaction in its time")
    times_us = [int(words[2]) for words in lines]
    ends = [int(words[4]) + int(words[5]) / 1e6 for words in lines]
    starts = (end - each / 1e6 for end, each in zip(ends, times_us, strict=True))
    return Transactions(sorted(each / 1e3 for each in times_us), max(ends) - min(starts))


def main() -> None:
    """Each measurement is a run of the program."""
    plan = Plan.given()
    with tempfile.TemporaryDirectory(prefix="pgbench-") as folder:
        script = Path(folder, "insert.sql")
        script.write_text(SCRIPT.format(payload=plan.payload), encoding="ascii")
        for each in plan.measurements:
            if each.warm_up_seconds:
                run(plan.address["pgbench"], each, script, each.warm_up_seconds)
            if not each.seconds:
                continue
            times_ms, seconds = transactions(run(plan.address["pgbench"], each, script, each.seconds))
            found = {
                "operation": each.operation,
                "concurrency": each.concurrency,
                "count": len(times_ms),
                "seconds": round(seconds, 4),
                "p50_ms": times_ms[len(times_ms) // 2],
                "p99_ms": times_ms[int(len(times_ms) * 0.99)],
            }
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
