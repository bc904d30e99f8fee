"""One part of the stack as data: how it is started, when it is ready, how it is stopped. Does nothing by itself."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from continuity.embedded.process import Account


def _always() -> bool:
    return True


def _nothing() -> None:
    return


@dataclass(frozen=True)
class Part:
    """A process that the supervisor keeps running.

    `prepare` runs before every start and may take seconds; `ready` is asked until it is true and answers in about a
    second at most. Both raise ContinuityError when they know that it cannot work. `needs` names the parts that have to
    be ready before this one starts.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    port: int
    needs: tuple[str, ...] = ()
    account: Account | None = None
    prepare: Callable[[], None] = _nothing
    ready: Callable[[], bool] = _always
    ready_seconds: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 20.0
