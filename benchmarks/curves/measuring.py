"""`./dev bench --curves`: how figures grow with the work, on a stack of its own, drawn and as rows."""

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

import uvloop
from rich.console import Console

from benchmarks import stack
from benchmarks.curves import drawing, events, lag, soak, tasks, warm, workflows
from benchmarks.curves.curve import Curve
from benchmarks.effort import Effort
from continuity.config import Settings

Measure = Callable[[Settings, Effort, Console], Coroutine[None, None, list[Curve]]]


async def _decisions(_: Settings, effort: Effort, __: Console) -> list[Curve]:
    return [tasks.decisions(effort)]


MEASURES: dict[str, Measure] = {
    "decisions": _decisions,
    "tasks": tasks.live,
    "workflows": workflows.by_workflows,
    "sequencers": workflows.by_sequencers,
    "memory": warm.measure,
    "lag": lag.measure,
    "events": events.measure,
    "soak": soak.measure,
}


def measure(names: Sequence[str], effort: Effort, console: Console) -> list[Curve]:
    """All that are named, or all; on one broker and database, one after the other."""
    found: list[Curve] = []
    with stack.running(Settings.partitions) as settings:
        for name, each in MEASURES.items():
            if not names or name in names:
                console.print(f"[bold]{name}[/]")
                found += uvloop.run(each(settings, effort, console))
    return found


def write(curves: Sequence[Curve], page: Path, names: Sequence[str], machine: str) -> None:
    """A page, and a picture of each curve in a folder of the page's name; `names` as for `measure`."""
    folder = page.with_suffix("")
    command = " ".join(["./dev bench --curves", *(f"--only {name}" for name in names)])
    folder.mkdir(exist_ok=True)
    lines = [
        f"# {page.stem.capitalize()}",
        "",
        f"`{command}` on {machine}. Client, broker, database and services share the machine. *End to end*",
        "is the last point against the first one: flat means 1.5 at most.",
    ]
    for curve in curves:
        (folder / f"{curve.name}.svg").write_text(drawing.drawn(curve), encoding="utf-8")
        lines += [
            "",
            f"## {curve.title}",
            "",
            f"![{curve.title}, by {curve.x_label}]({folder.name}/{curve.name}.svg)",
            "",
        ]
        lines += _table(curve)
        for row in curve.rows():
            met = {True: ", met", False: ", **missed**", None: ""}[row.met]
            lines.append(f"- {row.name}: {row.value:,.2f} {row.unit}{met}")
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _table(curve: Curve) -> list[str]:
    if any(len(line) > len(workflows.SIZES) for line in curve.lines.values()):
        return []  # a course over time: the picture shows it
    found = [f"| {curve.x_label} | {curve.y_label} |", "|---:|---:|"]
    found += [f"| {x:,.0f} | {y:,.2f} |" for line in curve.lines.values() for x, y in line]
    return [*found, ""]
