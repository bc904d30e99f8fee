"""Restate: durable handlers behind a server of its own, which keeps its log and state in RocksDB."""

import hashlib
import json
import os
import platform
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from rich.console import Console

from benchmarks import venvs
from benchmarks.peers import programs
from benchmarks.peers.drivers.loop import OBJECTS
from benchmarks.peers.peer import REQUIREMENTS, Driver, Operation, Place

NAME = "restate"
PACKAGE = "@restatedev/restate-server"
LOCK = REQUIREMENTS / "restate-server"
SERVICES = 2
OK = 200
REQUEST_SECONDS = 30
OPERATIONS = (
    Operation("call", "Restate", "call of a virtual object's handler that sets its state, over HTTP; two services"),
)

# Its defaults, but for where it listens and what it tells the world. That the log is synced before an answer is the
# default, too, and is said again because the comparison rests on it.
SERVER = {
    "RESTATE_LOG_SERVER__ROCKSDB_DISABLE_WAL_FSYNC": "false",
    "RESTATE_BIFROST__DEFAULT_PROVIDER": "replicated",
    "RESTATE_DISABLE_TELEMETRY": "true",
    "RESTATE_LOG_FILTER": "warn",
    "RESTATE_LOG_DISABLE_ANSI_CODES": "true",
    "DO_NOT_TRACK": "1",
}


def unavailable() -> str | None:
    """Its server comes by npm."""
    return None if shutil.which("npm") else "its server comes by npm, which is not on the PATH"


def install(installed: Path, console: Console) -> None:
    """The server for this machine, without scripts of the package, and the environment of its services."""
    venvs.ensure(REQUIREMENTS / f"{NAME}.lock", installed, console)
    if not server(installed).exists():
        console.print(f"  installing {PACKAGE} into {installed}")
        shutil.copytree(LOCK, server_folder(installed), dirs_exist_ok=True)
        venvs.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(server_folder(installed))]
        )


def server_folder(installed: Path) -> Path:
    """Named for what is pinned, so that another version is installed anew."""
    return installed / f"server-{hashlib.sha256((LOCK / 'package-lock.json').read_bytes()).hexdigest()[:12]}"


def server(installed: Path) -> Path:
    """The program, as npm lays it down for this kind of machine."""
    system = sys.platform
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine())
    return server_folder(installed) / f"node_modules/{PACKAGE}-{system}-{machine}/bin/restate-server"


@contextmanager
def running(place: Place) -> Iterator[Mapping[str, Driver]]:
    """The server on a new folder, and two processes with a virtual object each."""
    node, ingress, admin, *handlers = programs.free_ports(3 + SERVICES)
    folder = place.scratch / "restate"
    with ExitStack() as opened:
        opened.callback(shutil.rmtree, folder, ignore_errors=True)
        opened.enter_context(
            programs.started(
                [server(place.installed), "--base-dir", folder, "--node-name", "floor"],
                log=place.scratch / "restate.log",
                environment={
                    **os.environ,
                    **SERVER,
                    "RESTATE_BIND_IP": "127.0.0.1",
                    "RESTATE_LISTEN_MODE": "tcp",
                    "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
                    "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{node}",
                    "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
                    "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
                },
                ready=lambda: (
                    _answers(f"http://127.0.0.1:{admin}/health")
                    and _answers(f"http://127.0.0.1:{ingress}/restate/health")
                ),
            )
        )
        for number, port in enumerate(handlers):
            opened.enter_context(_service(place, number, port))
            _register(admin, port)
        paths = place.scratch / "restate-paths.json"
        paths.write_text(json.dumps([[f"/Work{item % SERVICES}/{item}/change"] for item in range(OBJECTS)]))
        url = f"http://127.0.0.1:{ingress}"
        address = {"urls": [url], "method": "POST", "paths": str(paths), "body": "PAYLOAD"}
        yield {"call": Driver("benchmarks.peers.drivers.drive_http", venvs.python(place.installed), address)}


@contextmanager
def _service(place: Place, number: int, port: int) -> Iterator[None]:
    with programs.started(
        [
            *(venvs.python(place.installed), "-m", "hypercorn", "--worker-class", "uvloop"),
            *("--bind", f"127.0.0.1:{port}", "benchmarks.peers.drivers.serve_restate:app"),
        ],
        log=place.scratch / f"restate-service-{number}.log",
        environment={**os.environ, "PYTHONPATH": str(programs.ROOT), "RESTATE_OBJECT": f"Work{number}"},
        ready=lambda: programs.listens(port),
    ):
        yield


def _register(admin: int, port: int) -> None:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{admin}/deployments",
        json.dumps({"uri": f"http://127.0.0.1:{port}"}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        urllib.request.urlopen(asked, timeout=REQUEST_SECONDS).close()  # noqa: S310 - http, as written above
    except urllib.error.HTTPError as error:
        raise programs.Failed(f"Restate did not take the service: {error.read()[: programs.WORDS]!r}") from error


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - http, as written above
        return bool(answer.status == OK)
    return False
