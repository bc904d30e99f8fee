"""`./dev simulate`: the real core, sequencer and projector in worlds of faults, a whole world for each seed.

The last line of stdout is, with --json, one object. The exit code is 1 when a checker broke, or a planted bug got by.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.simulation import planting, progress
from tests.simulation.campaign import Outcome, run_in_parallel
from tests.simulation.report import page, planted_page
from tests.simulation.shrink import shrink

SEEDS = "0..999"


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, and say what came of it."""
    asked = _parser().parse_args(arguments)
    console = Console(stderr=True)
    if asked.planted is not None:
        return _plant(asked, console)
    if asked.shrink is not None:
        return _shrink(asked.shrink, as_json=asked.json)
    return _simulate(asked, console)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev simulate", description=__doc__)
    parser.epilog = "Ctrl-C ends it soon, and says what came of the seeds so far."
    parser.add_argument("--seeds", type=_range, default=_range(SEEDS), metavar="A..B", help=f"both included ({SEEDS})")
    parser.add_argument("--processes", type=int, metavar="N", help="as many as there are processors")
    parser.add_argument("--until-broken", action="store_true", help="end at the first seed that breaks")
    parser.add_argument("--shrink", type=int, metavar="SEED", help="make a broken seed short, and show its trace")
    parser.add_argument("--planted", nargs="*", metavar="NAME", help="plant the bugs one by one; see which are caught")
    parser.add_argument("--progress", type=Path, metavar="FILE", help="keep it there, and go on from what is there")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the page as well")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    return parser


def _range(text: str) -> range:
    first, dots, last = text.partition("..")
    try:
        found = range(int(first), int(last if dots else first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of seeds: write 0..999, or 7") from None
    if not found or found[0] < 0:
        raise argparse.ArgumentTypeError(f"{text!r} has no seeds in it")
    return found


def _simulate(asked: argparse.Namespace, console: Console) -> int:
    try:
        before = progress.load(asked.progress, asked.seeds) if asked.progress else progress.Progress()
    except progress.OtherCampaign as error:
        console.print(str(error))
        return 2
    began = time.monotonic()
    interrupted = Event()
    usual = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    with console.status("simulating") as status:

        def enough(so_far: Outcome) -> bool:
            so_far = before.outcome + so_far
            broken = f", {len(so_far.violations)} broke" if so_far.violations else ""
            status.update(f"{so_far.runs:,} of {len(asked.seeds):,} worlds{broken}")
            return interrupted.is_set() or (asked.until_broken and bool(so_far.violations))

        outcome = before.outcome + run_in_parallel(asked.seeds[before.outcome.runs :], asked.processes, enough)
    signal.signal(signal.SIGINT, usual)
    seconds = round(before.seconds + time.monotonic() - began, 1)
    if asked.progress:
        progress.save(asked.progress, asked.seeds, progress.Progress(outcome, seconds))
    if asked.report:
        asked.report.write_text(page(outcome, asked.seeds[: outcome.runs], seconds), encoding="utf-8")
    if asked.json:
        first = outcome.violations[0]._asdict() if outcome.violations else None
        told: dict[str, Any] = {"runs": outcome.runs, "violations": len(outcome.violations), "faults": outcome.faults}
        sys.stdout.write(json.dumps(told | {"states": outcome.states, "seconds": seconds, "first": first}) + "\n")
    else:
        _show(outcome, seconds)
    return 1 if outcome.violations else 0


def _show(outcome: Outcome, seconds: float) -> None:
    console = Console()
    for title, counts in (("What was inflicted", outcome.faults), ("What it led to", outcome.states)):
        table = Table(title=title, title_justify="left", box=None)
        table.add_column(justify="right")
        table.add_column()
        for name, number in counts.items():
            table.add_row(f"{number:,}", name)
        console.print(table)
    for broken in outcome.violations:
        console.print(f"[red]seed {broken.seed} broke[/] {broken.checker}: {broken.detail}", highlight=False)
        console.print(f"  ./dev simulate --shrink {broken.seed}")
    console.print(f"{outcome.runs:,} worlds in {seconds:,.0f} s, {len(outcome.violations)} violations")


def _shrink(seed: int, *, as_json: bool) -> int:
    found = shrink(seed)
    if as_json:
        told = None if found is None else found._asdict() | {"without": sorted(found.without)}
        sys.stdout.write(json.dumps({"seed": seed, "broken": told}) + "\n")
        return 0 if found is None else 1
    if found is None:
        sys.stdout.write(f"Seed {seed} does not break.\n")
        return 0
    needed = f"{found.steps} steps, without {', '.join(sorted(found.without)) or 'leaving anything out'}"
    sys.stdout.write("\n".join([*found.trace, "", f"{found.checker} broke after {needed}:", found.detail, ""]))
    return 1


def _plant(asked: argparse.Namespace, console: Console) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that it ends what it has begun
    known = {each.name: each for each in planting.all_planted()}
    if unknown := [name for name in asked.planted if name not in known]:
        console.print(f"There is no planted bug {unknown[0]}. There are: {', '.join(known)}")
        return 2
    caught = []
    for name in asked.planted or known:
        caught.append(planting.catch(known[name]))
        by, seeds = caught[-1].by, caught[-1].seeds
        console.print(f"{name}: {f'caught by {by}' if by else '[red]got by[/]'}{f', seed {seeds}' if seeds else ''}")
    if asked.report:
        asked.report.write_text(planted_page(caught), encoding="utf-8")
    missed = [each.planted.name for each in caught if each.by is None]
    if asked.json:
        rows = [{"name": each.planted.name, "caught_by": each.by, "seeds": each.seeds} for each in caught]
        sys.stdout.write(json.dumps({"planted": len(caught), "missed": missed, "rows": rows}) + "\n")
    else:
        sys.stdout.write(f"{len(caught) - len(missed)} of {len(caught)} planted bugs were caught.\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
