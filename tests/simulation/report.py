"""The pages of a campaign and of the planted bugs, as Markdown, written from what was seen and from nothing else."""

import platform
from collections.abc import Iterable, Mapping

from tests.simulation.campaign import Outcome
from tests.simulation.planting import Caught

ABOUT_WORLDS = """\
A seed is a world: at least 200 commands of clients and executors of two tenants in four or more projects, on one
partition, with up to four owners at once. `./dev simulate --shrink SEED` shortens one that breaks, and shows its trace.
What is simulated is the log, the database, the blobs, the network and the clock. Core, sequencer, the projector's
judgement and the reading back of states are the product's own.
"""
ABOUT_PLANTING = """\
`./dev simulate --planted` puts each of these into a copy of the product, alone, and looks until something sees it.
*Seeds*: how many worlds that took, from seed 0. What lies outside the simulated world is looked for by the tests that
are named, on the real database.
"""


def page(outcome: Outcome, seeds: range, seconds: float) -> str:
    """What a campaign came to: violations, faults, and states reached."""
    found = f"{outcome.runs:,} worlds, **{len(outcome.violations)} violations**, {seconds:,.0f} s"
    where = f"{platform.machine()}, Python {platform.python_version()}"
    lines = [
        "# Simulated years",
        "",
        f"`./dev simulate --seeds {seeds[0]}..{seeds[-1]}`: {found} on {where}.",
        "",
        ABOUT_WORLDS,
        *_table("What was inflicted", outcome.faults),
        *_table("What it led to", outcome.states),
    ]
    lines += [f"- seed {broken.seed}: {broken.checker}: {broken.detail}" for broken in outcome.violations]
    return "\n".join(lines) + "\n"


def planted_page(caught: Iterable[Caught]) -> str:
    """Which planted bug was caught by what, and how soon."""
    lines = [
        "# Planted bugs",
        "",
        ABOUT_PLANTING,
        "| bug | the rule that it breaks | caught by | seeds |",
        "|---|---|---|---:|",
    ]
    for planted, by, seeds in sorted(caught, key=lambda each: each.planted.name):
        where = f"../tests/simulation/planted/{planted.name}.patch"
        lines.append(
            f"| [{planted.name}]({where}) | {planted.rule} | {f'`{by}`' if by else '**nothing**'} | {seeds or ''} |"
        )
    return "\n".join(lines) + "\n"


def _table(title: str, counts: Mapping[str, int]) -> list[str]:
    rows = [f"| {name} | {number:,} |" for name, number in counts.items()]
    return [f"## {title}", "", "| | times |", "|---|---:|", *rows, ""]
