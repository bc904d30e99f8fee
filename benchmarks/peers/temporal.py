"""Temporal: workflows behind a server of its own, which keeps their histories in Postgres."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks import venvs
from benchmarks.peers import databases, programs
from benchmarks.peers.peer import REQUIREMENTS, Driver, Operation, Place
from continuity.config import Settings
from continuity.embedded import database

NAME = "temporal"
MODULE = "go.temporal.io/server"
SERVER_VERSION = "v1.31.2"
PROGRAMS = {"server": "cmd/server", "sql": "cmd/tools/sql"}
BUILD_SECONDS_MAX = 3_600
PLUGIN = "postgres12_pgx"
SHARDS, CONNECTIONS = 4, 20
"""As in the server's own configuration for development."""
OPERATIONS = (Operation("update", "Temporal", "`execute_update` on a running workflow, complete; one worker process"),)


def unavailable() -> str | None:
    """Its server is built with Go."""
    return None if shutil.which("go") else "its server is built with Go, which is not on the PATH"


def install(installed: Path, console: Console) -> None:
    """The client's environment, and the server's programs, built with one process at low priority: for minutes."""
    venvs.ensure(REQUIREMENTS / f"{NAME}.lock", installed, console)
    binaries = installed / SERVER_VERSION
    for name, package in PROGRAMS.items():
        if not (binaries / name).exists():
            console.print(f"  building {MODULE}/{package} {SERVER_VERSION}: takes minutes, once")
            venvs.run(
                ["nice", "-n", "10", "go", "install", "-p", "1", f"{MODULE}/{package}@{SERVER_VERSION}"],
                seconds_max=BUILD_SECONDS_MAX,
                environment={**os.environ, "GOBIN": str(binaries)},
            )


@contextmanager
def running(place: Place) -> Iterator[Mapping[str, Driver]]:
    """The server with all its parts in one process, on two new databases, and one worker."""
    binaries = place.installed / SERVER_VERSION
    ports = programs.free_ports(9)
    target = f"127.0.0.1:{ports[0]}"
    log = place.scratch / "temporal.log"
    module = "benchmarks.peers.drivers.drive_temporal"
    python = venvs.python(place.installed)
    with ExitStack() as opened:
        names = [
            opened.enter_context(databases.fresh(place.settings, f"temporal_{each}")) for each in ("main", "visibility")
        ]
        for name, schema in zip(names, ("temporal", "visibility"), strict=True):
            _make_schema(binaries / "sql", place.settings, name, schema)
        config = place.scratch / "temporal.yaml"
        config.touch(mode=0o600)  # the database's password is in it
        config.write_text(json.dumps(configuration(place.settings, names, ports)), encoding="utf-8")
        opened.callback(config.unlink)
        opened.enter_context(
            programs.started(
                [binaries / "server", "--config-file", config, "--allow-no-auth", "start"],
                log=log,
                environment={**os.environ, "TEMPORAL_VERSION_CHECK_DISABLED": "1"},
                ready=lambda: programs.listens(ports[0]),
            )
        )
        programs.drive(Driver(module, python, {"target": target, "only": "namespace"}), [], place.scratch)
        worker = place.scratch / "temporal-worker.log"
        opened.enter_context(
            programs.started(
                [python, "-m", "benchmarks.peers.drivers.serve_temporal", target],
                log=worker,
                environment={**os.environ, "PYTHONPATH": str(programs.ROOT)},
                ready=lambda: "ready" in worker.read_text(encoding="utf-8", errors="replace"),
            )
        )
        yield {"update": Driver(module, python, {"target": target})}


def configuration(settings: Settings, names: list[str], ports: list[int]) -> dict[str, object]:
    """The server's configuration, loopback alone (JSON is YAML): two databases, the ports of its four services."""
    stores = {
        kind: {"sql": {"pluginName": PLUGIN, "databaseName": name, **_login(settings)}}
        for kind, name in zip(("main", "visibility"), names, strict=True)
    }
    services = {
        name: {"rpc": {"grpcPort": grpc, "membershipPort": member, "bindOnLocalHost": True}}
        for name, grpc, member in zip(
            ("frontend", "history", "matching", "worker"), ports[0:4], ports[4:8], strict=True
        )
    }
    here = f"127.0.0.1:{ports[0]}"
    cluster = {"enabled": True, "initialFailoverVersion": 1, "rpcName": "frontend", "rpcAddress": here}
    return {
        "log": {"stdout": True, "level": "warn"},
        "persistence": {
            "defaultStore": "main",
            "visibilityStore": "visibility",
            "numHistoryShards": SHARDS,
            "datastores": stores,
        },
        "global": {"membership": {"maxJoinDuration": "30s", "broadcastAddress": "127.0.0.1"}},
        "services": services,
        "clusterMetadata": {
            "enableGlobalNamespace": False,
            "failoverVersionIncrement": 10,
            "masterClusterName": "active",
            "currentClusterName": "active",
            "clusterInformation": {"active": cluster},
        },
        "dcRedirectionPolicy": {"policy": "noop"},
        "publicClient": {"hostPort": here},
    }


def _login(settings: Settings) -> dict[str, object]:
    found = databases.environment(settings, "")
    return {
        "connectAddr": f"{found['PGHOST']}:{found['PGPORT']}",
        "connectProtocol": "tcp",
        "user": found["PGUSER"],
        "password": database.password(settings),
        "maxConns": CONNECTIONS,
        "maxIdleConns": CONNECTIONS,
        "maxConnLifetime": "1h",
    }


def _make_schema(tool: Path, settings: Settings, name: str, schema: str) -> None:
    found = databases.environment(settings, name)
    environment = {
        **os.environ,
        "SQL_HOST": found["PGHOST"],
        "SQL_PORT": found["PGPORT"],
        "SQL_USER": found["PGUSER"],
        "SQL_PASSWORD": database.password(settings),
        "SQL_DATABASE": name,
        "SQL_PLUGIN": PLUGIN,
    }
    venvs.run([str(tool), "setup-schema", "--version", "0.0"], environment=environment)
    update = ["update-schema", "--schema-name", f"postgresql/v12/{schema}"]
    venvs.run([str(tool), *update], environment=environment)
