"""`python -m continuity.flips [--count N] [--seed N] [--json]`: damage a copy, at random, and see what is answered.

It uses the Postgres of the settings (`continuity up`), or starts one of its own where none answers, in a temporary
folder. All that it makes is gone at the end, however it ends. Exit code 1: some damage was served, or not named, or
left an entry out of a list.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from continuity import embedded, postgres
from continuity.config import Settings
from continuity.errors import ConfigError, Retryable
from continuity.flips.campaign import BAD, VERDICTS, Campaign, Outcome, tally
from continuity.flips.scratch import Scratch
from continuity.service import end_on

COUNT: Final = 10_000
COUNT_MAX: Final = 1_000_000
SECONDS_MAX: Final = 3_600
SHOWN_MAX: Final = 20
TELL_EVERY: Final = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign and show what came of it."""
    parser = argparse.ArgumentParser(prog="python -m continuity.flips", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="how much is damaged, one after the other")
    parser.add_argument("--seed", type=int, default=0, help="the same number makes the same campaign")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line of stdout")
    given = parser.parse_args(arguments)
    if not 0 < given.count <= COUNT_MAX:
        parser.error(f"--count has to be from 1 to {COUNT_MAX:,}")
    end_on(signal.SIGTERM, signal.SIGALRM)
    signal.alarm(SECONDS_MAX)
    console = Console(stderr=given.json, highlight=False)
    began = time.monotonic()
    with _settings(console) as settings, Scratch.made(settings, seed=given.seed) as scratch:
        campaign = Campaign(scratch.connection, scratch.settings, scratch.blobs, scratch.subject, given.seed)
        outcomes = list(_told(campaign.run(given.count), console))
    signal.alarm(0)
    seconds = time.monotonic() - began
    bad = [outcome for outcome in outcomes if outcome.verdict in BAD]
    _show(outcomes, seconds, console)
    for outcome in bad[:SHOWN_MAX]:
        console.print(f"[red]{outcome.verdict}[/]: {outcome.damage}: {outcome.detail}", markup=True)
    if given.json:
        sys.stdout.write(json.dumps(_told_as_json(outcomes, seconds)) + "\n")
    return 1 if bad else 0


@contextmanager
def _settings(console: Console) -> Iterator[Settings]:
    settings = Settings.load()
    try:
        postgres.connect(settings.postgres_dsn).close()
    except (Retryable, ConfigError) as away:
        if "postgres_dsn" in settings.explicit:
            raise
        console.print(f"{away.detail} One of its own is started.")
    else:
        yield settings
        return
    folder = Path(tempfile.mkdtemp(prefix="continuity-flips-"))
    folder.chmod(0o711)  # the database may run as another user
    own = Settings(data_dir=folder / "home", cache_dir=settings.cache_dir)
    try:
        yield embedded.up(own, services=(), owner_pid=os.getpid())
    finally:
        embedded.down(own)
        shutil.rmtree(folder, ignore_errors=True)


def _told(outcomes: Iterator[Outcome], console: Console) -> Iterator[Outcome]:
    began, done = time.monotonic(), 0
    for outcome in outcomes:
        yield outcome
        done += outcome.verdict != "refused"
        if outcome.verdict != "refused" and done % TELL_EVERY == 0:
            console.print(f"  {done:,} after {time.monotonic() - began:,.0f} s")


def _show(outcomes: Sequence[Outcome], seconds: float, console: Console) -> None:
    counts = tally(outcomes)
    shown = [verdict for verdict in VERDICTS if any(each == verdict for _, each in counts)]
    table = Table("", *shown)
    for name in sorted({name for name, _ in counts}):
        table.add_row(name, *(f"{counts[name, verdict]:,}" for verdict in shown))
    total: Counter[str] = Counter(outcome.verdict for outcome in outcomes)
    table.add_row("all", *(f"{total[verdict]:,}" for verdict in shown))
    console.print(table)
    for verdict in shown:
        console.print(f"  {verdict}: {VERDICTS[verdict]}")
    done = len(outcomes) - total["refused"]
    bad = sum(total[each] for each in BAD)
    console.print(f"{done:,} damages in {seconds:,.0f} s: {bad:,} served, left out or not named")


def _told_as_json(outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    tables: dict[str, dict[str, int]] = {}
    for (name, verdict), count in sorted(tally(outcomes).items()):
        tables.setdefault(name, {})[verdict] = count
    bad = [outcome for outcome in outcomes if outcome.verdict in BAD]
    told = [{"verdict": each.verdict, "damage": str(each.damage), "detail": each.detail} for each in bad[:SHOWN_MAX]]
    done = sum(outcome.verdict != "refused" for outcome in outcomes)
    return {
        "ok": not bad,
        "damages": done,
        "served_left_out_or_not_named": len(bad),
        "seconds": round(seconds, 1),
        "tables": tables,
        "bad": told,
    }


if __name__ == "__main__":
    sys.exit(main())
