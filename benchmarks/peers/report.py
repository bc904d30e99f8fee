"""How a comparison looks: ratios first, the figures beside them, losses like wins; on a terminal and as a page."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from benchmarks.peers import restate, temporal
from benchmarks.peers.comparing import SYSTEMS, Effort
from benchmarks.peers.drivers.loop import OBJECTS
from benchmarks.peers.peer import CONCURRENCIES, PAYLOAD_BYTES, REQUIREMENTS
from benchmarks.peers.summary import OURS, Medians, compared, p50_ratio, rows, throughput_ratio
from benchmarks.rows import Row

NONE = "-"

Cells = list[list[str]]


def ratios(found: Medians) -> tuple[list[str], Cells]:
    """Head and lines: ours to theirs."""
    head = ["ours to", "by", *(f"c={each}" for each in CONCURRENCIES), "p50, c=1"]
    lines = [
        [
            peer.name,
            way.key,
            *(_ratio(throughput_ratio(found, way, peer, callers)) for callers in CONCURRENCIES),
            _ratio(p50_ratio(found, way, peer, 1)),
        ]
        for peer in compared(found)
        for way in OURS
    ]
    return head, [line for line in lines if set(line[2:]) != {NONE}]


def figures(found: Medians) -> tuple[list[str], Cells]:
    """Head and lines: calls a second, p50 and p99 of each."""
    head = ["1/s; p50, p99 in ms", *(f"c={each}" for each in CONCURRENCIES)]
    operations = dict.fromkeys(operation for operation, _ in found)
    return head, [
        [
            operation.name,
            *(
                f"{seen.per_second:,.0f}; {seen.p50_ms:,.2f}, {seen.p99_ms:,.1f}"
                if (seen := found.get((operation, callers)))
                else NONE
                for callers in CONCURRENCIES
            ),
        ]
        for operation in operations
    ]


def targets(found: Medians) -> tuple[list[str], Cells]:
    """Head and lines: every ratio that has a target."""
    wanted = [row for row in rows(found) if row.target is not None]
    return ["", "target", "seen", ""], [[row.name, _target(row), f"{row.value:.2f}", _mark(row)] for row in wanted]


def show(found: Medians, left_out: Mapping[str, str], console: Console) -> None:
    """Print all three tables."""
    titles = ("Ours to theirs: throughput (above 1: more), p50 (below 1: shorter)", "Figures", "Targets")
    for title, (head, lines) in zip(titles, (ratios(found), figures(found), targets(found)), strict=True):
        table = Table(*head, title=title, title_justify="left")
        for line in lines:
            table.add_row(*line)
        console.print(table)
    for name, reason in left_out.items():
        console.print(f"{name}: {reason}", markup=False)


def versions() -> list[str]:
    """What the peers are pinned to, by name and number."""
    wanted = [line for each in sorted(REQUIREMENTS.glob("*.in")) for line in each.read_text("utf-8").splitlines()]
    servers = json.loads((restate.LOCK / "package.json").read_text("utf-8"))["dependencies"]
    return [
        f"{temporal.MODULE} {temporal.SERVER_VERSION}",
        *(f"{name} {version}" for name, version in servers.items()),
        *(line.replace("==", " ") for line in wanted if "==" in line),
    ]


def page(found: Medians, left_out: Mapping[str, str], effort: Effort, machine: str) -> str:
    """The same as Markdown, with what one operation is, and how it was measured."""
    means = [
        [operation.name, operation.means]
        for system in SYSTEMS
        for operation in system.OPERATIONS
        if any(operation == each for each, _ in found)
    ]
    how = (
        f"Medians of {effort.turns} turns of {effort.measured:g} s for each concurrency, in the middle of a load that"
        " goes on: what ends in that time is counted. In a turn each system runs alone, and the next turn begins with"
        " another one. Everything is synced to disk before it is acknowledged:"
        " our topics with `flush.messages=1`, Postgres with `fsync` and `synchronous_commit`, Restate's log with its"
        f" write-ahead log synced. Each change brings {PAYLOAD_BYTES} bytes of state to one of {OBJECTS} objects; each"
        " caller has objects of its own and one call on the way. Callers, servers and databases share the machine's"
        " cores. A library among the peers runs in one process, as its callers do."
    )
    parts = [
        "# Beside others",
        f"Written by `./dev bench --peers --report docs/peers.md` on {datetime.now(UTC):%Y-%m-%d}: {machine}.",
        how,
        "## Ours to theirs",
        "Throughput of ours to theirs: above 1, more of ours is done. p50 of ours to theirs: below 1, ours is shorter.",
        _markdown(*ratios(found)),
        "## Figures",
        _markdown(*figures(found)),
        "## Targets",
        _markdown(*targets(found)),
        "## What one operation is",
        _markdown(["", "one call"], means, "---"),
        f"What was installed: {', '.join(versions())}.",
    ]
    if left_out:
        parts += ["## Left out", "\n".join(f"- {name}: {_last_line(reason)}" for name, reason in left_out.items())]
    return "\n\n".join(parts) + "\n"


def _last_line(reason: str) -> str:
    # A program's last words end with what went wrong; what comes before names this machine's folders.
    return reason.strip().splitlines()[-1]


def _ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def _target(row: Row) -> str:
    return str(row.to_json()["target"]).replace("<=", "≤").replace(">=", "≥")


def _mark(row: Row) -> str:
    return "met" if row.met else "missed"


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]], rule: str = "---:") -> str:
    rules = ["---", *(rule for _ in head[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rules, *lines))
