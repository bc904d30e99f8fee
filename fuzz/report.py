"""How a run looks: a table by operation, what is wrong, and the page."""

from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from rich.console import Console

from fuzz.runs import LOCK, Run
from fuzz.tally import Tally


@dataclass
class Result:
    """All that is told. `failed` are sentences about what kept the instrument itself from its work."""

    wanted: int
    seed: int
    machine: str
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    failed: list[str] = field(default_factory=list)
    runs: int = 0

    def add(self, run: Run) -> None:
        """Count a run, too."""
        self.runs += 1
        self.tally.add(run.tally)
        if run.failed:
            self.failed.append(run.failed)

    @property
    def is_good(self) -> bool:
        """Whether nothing was found, and enough was asked to say so."""
        found = self.tally.server_errors or self.tally.violations or self.failed
        return not found and self.tally.requests >= self.wanted

    def to_json(self) -> dict[str, Any]:
        """The last line of `--json`."""
        return {
            "requests": self.tally.requests,
            "server_errors": self.tally.server_errors,
            "violations": len(self.tally.violations) + len(self.failed),
            "statuses": self.tally.statuses,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
        }


def show(result: Result, console: Console) -> None:
    """Print the table, and what is wrong."""
    for operation, requests, statuses in _rows(result.tally):
        console.print(f"{requests:>6} {operation}: {statuses}", markup=False, soft_wrap=True)
    console.print(_summary(result))
    for each in result.tally.violations:
        console.print(f"[red]violation[/] {each.operation}: {each.title} ({each.check})")
    for sentence in result.failed:
        console.print(f"[red]failed[/] {sentence}")


def write(result: Result, page: Path) -> None:
    """The page."""
    rows = "\n".join(f"| `{name}` | {requests} | {statuses} |" for name, requests, statuses in _rows(result.tally))
    statuses = "\n".join(
        f"| {status} {HTTPStatus(int(status)).phrase} | {count:,} |" for status, count in result.tally.statuses.items()
    )
    version = (LOCK.with_suffix(".in")).read_text(encoding="utf-8").strip().replace("==", " ")
    text = PAGE.format(
        version=version,
        wanted=result.wanted,
        seed=result.seed,
        runs=result.runs,
        summary=_summary(result),
        machine=result.machine,
        statuses=statuses,
        rows=rows,
    )
    page.write_text(text, encoding="utf-8")


def _summary(result: Result) -> str:
    tally = result.tally
    return (
        f"{tally.requests:,} requests to {len(tally.operations)} operations in {result.seconds:,.0f} s."
        f" Server errors: {tally.server_errors}, violations: {len(tally.violations) + len(result.failed)}."
    )


def _rows(tally: Tally) -> list[tuple[str, str, str]]:
    found = []
    for operation in tally.operations:
        statuses = tally.of_operation(operation)
        told = ", ".join(f"{status}: {count:,}" for status, count in statuses.items())
        found.append((operation, f"{sum(statuses.values()) + tally.unanswered[operation]:,}", told))
    return found


PAGE = """# The API, asked at random

`./dev fuzz --requests {wanted} --seed {seed}`: {version} draws requests from the API's own OpenAPI document, valid ones
and ones that are wrong in some place, and sends them to a real stack with broker, database, sequencer, projector and
API. Most of them go to projects, goals, tasks and steps that exist, with tokens that count, so that they get further
than *not found*. Each answer is held against the document.

{summary}

{machine}

## What is checked

- No answer is a server error, and every request is answered.
- Status, media type, headers and body are as the document says for that operation, each line of a batch included.
- What is valid by the document is never refused for its form; what is not is refused, with 422 as a rule.
- Without a key, or with a wrong one, the answer is 401. A method that a path does not have is answered 405, with those
  that it has in `Allow`.
- What one call has made, the calls that follow from it find.

## Answers

| status | how often |
|---|---|
{statuses}

## By operation

Methods that the document does not have are counted with the operation whose path they were sent to.

| operation | requests | answered with |
|---|---|---|
{rows}
"""
