"""Shows a start while it happens: a line for each part on a terminal, plain lines elsewhere. Writes to stderr only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from continuity.embedded import Progress, Step, silent


@contextmanager
def following(*, quiet: bool = False) -> Iterator[Progress]:
    """A callback for steps; what is on the screen is finished when the block ends."""
    if quiet:
        yield silent
    elif sys.stderr.isatty():
        with _moving() as progress:
            yield progress
    else:
        yield _line


@contextmanager
def counting(what: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A callback for `(done, total)`, shown as one bar on a terminal and not at all elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415 - only on a terminal
    from rich.progress import Progress as Display  # noqa: PLC0415

    with Display(console=Console(stderr=True)) as display:
        row = display.add_task(what, total=None)
        yield lambda done, total: display.update(row, completed=done, total=total)


def _line(step: Step) -> None:
    # A download reports often: a log wants its end only.
    if not step.total or step.done == step.total:
        print(f"{step.part:<10} {step.message}", file=sys.stderr, flush=True)


@contextmanager
def _moving() -> Iterator[Progress]:
    from rich.console import Console  # noqa: PLC0415 - only on a terminal
    from rich.progress import Progress as Display  # noqa: PLC0415
    from rich.progress import SpinnerColumn, TaskID, TextColumn  # noqa: PLC0415

    rows: dict[str, TaskID] = {}
    columns = SpinnerColumn(finished_text="[green]✓"), TextColumn("{task.fields[part]:<10}", style="bold")
    with Display(*columns, TextColumn("{task.description}"), console=Console(stderr=True)) as display:

        def show(step: Step) -> None:
            if step.part not in rows:
                rows[step.part] = display.add_task(step.message, total=None, part=step.part)
            text = step.message
            if step.total:
                text += f"  {step.done / 1e6:.0f} of {step.total / 1e6:.0f} MB"
            done = step.message.startswith("ready")
            display.update(rows[step.part], description=text, total=1 if done else None, completed=int(done))

        yield show
