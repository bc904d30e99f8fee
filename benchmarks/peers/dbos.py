"""DBOS: durable workflows as a library, with their state in Postgres."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks import venvs
from benchmarks.peers import databases
from benchmarks.peers.peer import CONNECTIONS_MAX, REQUIREMENTS, Driver, Operation, Place

NAME = "dbos"
OPERATIONS = (
    Operation("workflow", "DBOS workflow", "a workflow with one step, called and awaited"),
    Operation("step", "DBOS step", "one more step within a workflow that runs"),
)


def unavailable() -> str | None:
    """Nothing is needed but Python."""
    return None


def install(installed: Path, console: Console) -> None:
    """Its environment."""
    venvs.ensure(REQUIREMENTS / f"{NAME}.lock", installed, console)


@contextmanager
def running(place: Place) -> Iterator[Mapping[str, Driver]]:
    """It has no server."""
    with databases.fresh(place.settings, NAME) as name:
        driver = Driver(
            "benchmarks.peers.drivers.drive_dbos",
            venvs.python(place.installed),
            {"url": databases.url(place.settings, name), "pool_size": CONNECTIONS_MAX},
            databases.environment(place.settings, name),
        )
        yield dict.fromkeys(("workflow", "step"), driver)
