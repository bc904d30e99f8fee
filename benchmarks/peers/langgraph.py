"""LangGraph: graphs of agents as a library, with a checkpoint of each step in Postgres."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks import venvs
from benchmarks.peers import databases
from benchmarks.peers.peer import CONNECTIONS_MAX, REQUIREMENTS, Driver, Operation, Place

NAME = "langgraph"
OPERATIONS = (
    Operation("invoke", "LangGraph invoke", "`ainvoke` of a graph with one node, on a thread that has checkpoints"),
    Operation("put", "LangGraph put", "the checkpointer's `aput` alone"),
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
            "benchmarks.peers.drivers.drive_langgraph",
            venvs.python(place.installed),
            {"url": databases.url(place.settings, name), "pool_size": CONNECTIONS_MAX},
            databases.environment(place.settings, name),
        )
        yield dict.fromkeys(("invoke", "put"), driver)
