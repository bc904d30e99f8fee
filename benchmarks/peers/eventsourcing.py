"""eventsourcing: the library that stores the events of aggregates, here in Postgres."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks import venvs
from benchmarks.peers import databases
from benchmarks.peers.peer import CONNECTIONS_MAX, REQUIREMENTS, Driver, Operation, Place

NAME = "eventsourcing"
OPERATIONS = (Operation("save", "eventsourcing", "`application.save` of one new event of an aggregate in memory"),)


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
        found = databases.environment(place.settings, name)
        own = {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": name,
            "POSTGRES_HOST": found["PGHOST"],
            "POSTGRES_PORT": found["PGPORT"],
            "POSTGRES_USER": found["PGUSER"],
            "POSTGRES_PASSWORD": "",  # libpq looks into its file then
            "POSTGRES_POOL_SIZE": str(CONNECTIONS_MAX),
            "POSTGRES_MAX_OVERFLOW": "0",
            "POSTGRES_MAX_WAITING": "0",  # any number of callers
        }
        module = "benchmarks.peers.drivers.drive_eventsourcing"
        yield {"save": Driver(module, venvs.python(place.installed), {"environment": own}, found)}
