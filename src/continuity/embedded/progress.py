"""What the start reports while it works: one small value, so that it can cross a pipe and be shown in any way. Pure."""

from collections.abc import Callable
from typing import NamedTuple


class Step(NamedTuple):
    """Something the start is doing, or has done. `done` of `total` bytes where it is a download, else both 0."""

    part: str
    message: str
    done: int = 0
    total: int = 0


Progress = Callable[[Step], None]


def silent(_step: Step) -> None:
    """Report nothing."""
