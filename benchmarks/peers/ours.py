"""continuity: broker, sequencer, projector, database and an API process, with projects of ten tasks.

One API process, as `continuity up` starts it. On two cores a second one halves the batches of its neighbour: with it 8
callers got 407 answers a second instead of 509, and 256 got 1,654 instead of 1,967 (in turn on one machine).
"""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks import stack
from benchmarks.peers.drivers.loop import OBJECTS
from benchmarks.peers.peer import Driver, Operation, Place
from benchmarks.peers.programs import free_ports
from benchmarks.workload import CHECKPOINT, fill, planned, wait_until_answered
from continuity.config import Settings
from continuity.keys import LOCAL_KEY_FILE, ensure_local_key

NAME = "continuity"
NATIVE = Operation("native", "continuity, native", "`update_checkpoint` by the native client, waiting for *committed*")
HTTP = Operation("http", "continuity, HTTP", "`PUT …/checkpoint`, answered once it is committed")
OPERATIONS = (NATIVE, HTTP)


def unavailable() -> str | None:
    """It is here."""
    return None


def install(_: Path, __: Console) -> None:
    """It is here."""


@contextmanager
def running(place: Place) -> Iterator[Mapping[str, Driver]]:
    """All services on topics and a database of their own, and the projects that the callers share out."""
    ensure_local_key(place.settings.data_dir)
    with stack.corner(place.settings) as corner:
        own = corner.with_values(api_port=free_ports(1)[0], api_url="")
        # The projects are of this block alone; names say so to whoever reads a log.
        plans = [planned(f"{corner.topic_prefix}-{number}") for number in range(OBJECTS)]
        with stack.services(own, "sequencer", "projector", "api"):
            total = fill(own, (each for _, requests in plans for each in requests))
            wait_until_answered(own, total)
            yield _drivers(place, own, [project for project, _ in plans])


def _drivers(place: Place, own: Settings, projects: list[tuple[str, list[str]]]) -> dict[str, Driver]:
    known = place.scratch / "projects.json"
    known.write_text(json.dumps(projects), encoding="utf-8")
    paths = place.scratch / "paths.json"
    found = [[f"/v1/projects/{name}/tasks/{task}/checkpoint" for task in tasks] for name, tasks in projects]
    paths.write_text(json.dumps(found), encoding="utf-8")
    python = Path(sys.executable)
    key = str(place.settings.data_dir / LOCAL_KEY_FILE)
    http = {"urls": [own.api_url], "method": "PUT", "paths": str(paths), "body": CHECKPOINT, "key_file": key}
    native = {"settings": own.environment(), "projects": str(known)}
    return {
        "native": Driver("benchmarks.peers.drivers.drive_continuity", python, native),
        "http": Driver("benchmarks.peers.drivers.drive_http", python, http),
    }
