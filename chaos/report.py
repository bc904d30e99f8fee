"""What a run came to: as a table for a terminal, as one JSON object, and as a page with its drawing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Column, Table

from chaos import plot
from chaos.campaign import Fault, faults_min, minimum_of, recoveries
from chaos.faults import FAILOVER, HANDOVER, RESTARTED
from chaos.strike import Kind

TARGETS = ((FAILOVER, 10.0), (RESTARTED, 10.0), (HANDOVER, 1.0))
"""Seconds that the 99th percentile of a failover may take, that fault alone."""
SHOWN_MAX = 20


class Line(NamedTuple):
    """One kind in the table."""

    kind: str
    seen: int
    minimum: int
    p50: float | None
    p99: float | None
    longest: float | None


@dataclass
class Result:
    """All that is told of a run. `lost`, `doubled` and `violations` are sentences, one for each."""

    seed: int
    minutes: float
    seconds: float = 0.0
    machine: str = ""
    kinds: Sequence[Kind] = ()
    faults: list[Fault] = field(default_factory=list)
    commands: int = 0
    acknowledged: int = 0
    refused: int = 0
    unclear: int = 0
    events: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def seen(self) -> int:
        """Faults whose effect was seen."""
        return sum(fault.evidence is not None for fault in self.faults)

    @property
    def lines(self) -> list[Line]:
        """The table, a line for each kind."""
        lines = []
        for kind in self.kinds:
            times = recoveries(self.faults, kind.name)
            seen = sum(fault.kind == kind.name and fault.evidence is not None for fault in self.faults)
            minimum = minimum_of(kind, self.minutes)
            lines.append(Line(kind.name, seen, minimum, *(at(times, share) for share in (0.5, 0.99, 1.0))))
        return lines

    @property
    def too_few(self) -> list[str]:
        """Kinds that were not seen often enough."""
        few = [f"{each.kind}: {each.seen} of {each.minimum}" for each in self.lines if each.seen < each.minimum]
        whole = faults_min(self.minutes)
        return few + ([f"all kinds: {self.seen} of {whole}"] if self.seen < whole else [])

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong, and enough was seen to say so."""
        return not (self.lost or self.doubled or self.violations or self.too_few) and self.acknowledged > 0

    def to_json(self) -> dict[str, Any]:
        """The last line of `--json`."""
        return {
            "faults": self.seen,
            "acknowledged": self.acknowledged,
            "lost": len(self.lost),
            "doubled": len(self.doubled),
            "violations": len(self.violations),
            "by_kind": {each.kind: each.seen for each in self.lines},
            "recovery_seconds": {
                each.kind: {"p50": each.p50, "p99": each.p99, "max": each.longest}
                for each in self.lines
                if each.p50 is not None
            },
            "seconds": round(self.seconds, 1),
            "seed": self.seed,
        }


def at(times: Sequence[float], share: float) -> float | None:
    """The value at that share of an ordered list, the larger neighbour; None of an empty one."""
    return times[min(int(len(times) * share), len(times) - 1)] if times else None


def show(result: Result, console: Console) -> None:
    """Print the table, and what is wrong."""
    table = Table(Column("fault", no_wrap=True), "seen", "at least", "recovery p50, s", "p99", "max")
    for line in result.lines:
        few = "[red]" if line.seen < line.minimum else ""
        figures = ["" if each is None else f"{each:.2f}" for each in (line.p50, line.p99, line.longest)]
        table.add_row(line.kind, f"{few}{line.seen}", str(line.minimum), *figures)
    console.print(table)
    console.print(_summary(result))
    for name, found in (("lost", result.lost), ("doubled", result.doubled), ("violation", result.violations)):
        for each in found[:SHOWN_MAX]:
            console.print(f"[red]{name}[/] {each}", soft_wrap=True)
        if len(found) > SHOWN_MAX:
            console.print(f"[red]{name}[/] … and {len(found) - SHOWN_MAX} more")
    for each in result.too_few:
        console.print(f"[red]too few[/] {each}")
    for kind, target in TARGETS:
        if (p99 := at(recoveries(result.faults, kind.name), 0.99)) is not None:
            verdict = "[green]met[/]" if p99 <= target else "[red]missed[/]"
            console.print(f"{kind.name}: p99 {p99:.2f} s, target <= {target:g} s, {verdict}")
    for name, why in result.skipped.items():
        console.print(f"skipped: {name}: {why}")


def write(result: Result, page: Path) -> None:
    """The page, and beside it the drawing, `<page>-recovery.svg`."""
    picture = page.with_name(f"{page.stem}-recovery.svg")
    of_kinds = {kind.name: recoveries(result.faults, kind.name) for kind in result.kinds}
    picture.write_text(plot.drawn("Recovery after each fault", of_kinds), encoding="utf-8")
    rows = [
        f"| {each.kind} | {each.seen} | {_seconds(each.p50)} | {_seconds(each.p99)} | {_seconds(each.longest)} |"
        for each in result.lines
    ]
    alone = []
    for kind, target in TARGETS:
        times = recoveries(result.faults, kind.name)
        if times:
            p99 = at(times, 0.99)
            alone.append(f"| {kind.name} | {len(times)} | {_seconds(p99)} | <= {target:g} s |")
    text = PAGE.format(
        summary=_summary(result),
        seed=result.seed,
        minutes=f"{result.minutes:g}",
        machine=result.machine,
        alone="\n".join(alone) or "| none in this run | 0 | | |",
        rows="\n".join(rows),
        picture=picture.name,
        skipped="\n".join(f"- {name}: {why}" for name, why in result.skipped.items()) or "Nothing.",
    )
    page.write_text(text, encoding="utf-8")


PAGE = """# Faults on the real stack

`./dev chaos --minutes {minutes} --seed {seed}`: bounded load of mixed commands from many clients over the native client
and HTTP, in projects of two tenants, while the parts of the stack are killed, stopped, cut off from one another, slowed
and given disks that are full or read-only. Afterwards everything that clients were told is held against topic, journal
and APIs. A fault counts only when its effect was seen.

{summary}

{machine}

## Failover of a sequencer, that fault alone

The longest time without an acknowledgement, of small commands every 0.1 s, in any partition that the sequencer owned,
until all of these have an owner again.

| fault | how often | p99 | target |
|---|---|---|---|
{alone}

## Recovery by fault

Until everything that the fault touched answered again what was asked after it: from the signal for what was killed,
from its end for what lasts. In storms several faults overlap, so these times contain those of their neighbours.

| fault | seen | p50 | p99 | max |
|---|---|---|---|---|
{rows}

![A dot for each fault, by kind, on a logarithmic scale of seconds]({picture})

## Not struck

{skipped}
"""


def _summary(result: Result) -> str:
    return (
        f"{result.seen} faults in {result.seconds:,.0f} s: {result.commands:,} commands, {result.acknowledged:,}"
        f" acknowledged, {result.refused:,} refused, {result.unclear:,} without an answer; {result.events:,} events."
        f" Lost: {len(result.lost)}, doubled: {len(result.doubled)}, violations: {len(result.violations)}."
    )


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"
