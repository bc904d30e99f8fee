"""What a system has to offer to be measured: whether it can be had, how it is installed, how it runs."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rich.console import Console

from continuity.config import Settings

REQUIREMENTS = Path(__file__).parent / "requirements"
"""`<name>.lock` for each system that has an environment of its own."""
CONCURRENCIES = (1, 8, 64, 256)
PAYLOAD_BYTES = 226
"""As much as the JSON of the checkpoint that our own commands bring (`workload.CHECKPOINT`)."""
CONNECTIONS_MAX = 64
"""Of a peer to the database, which allows a hundred in all; on a few cores more of them make nothing faster."""


class Operation(NamedTuple):
    """One column of the comparison. `key` is what the driver calls it, `means` what one call of it does."""

    key: str
    name: str
    means: str
    concurrencies: tuple[int, ...] = CONCURRENCIES


class Place(NamedTuple):
    """Where a system is installed, and the stack (database, broker, a scratch folder) beside which it runs."""

    installed: Path
    settings: Settings
    scratch: Path


class Driver(NamedTuple):
    """How one operation is driven: the module, the Python that runs it, its address, and variables of its own."""

    module: str
    python: Path
    address: Mapping[str, Any]
    environment: Mapping[str, str] = {}


class Peer(Protocol):
    """A module for each system has these."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a module's constant
        """Its name, and its folder's."""

    @property
    def OPERATIONS(self) -> tuple[Operation, ...]:  # noqa: N802 - a module's constant
        """What is measured."""

    def unavailable(self) -> str | None:
        """Why it cannot be had on this machine, or None."""

    def install(self, installed: Path, console: Console) -> None:
        """Have it in that folder; at once, where it is there already. Raises Failed."""

    def running(self, place: Place) -> AbstractContextManager[Mapping[str, Driver]]:
        """Its servers and nobody else's, ready, with a driver for each operation's key. They end with the context."""
