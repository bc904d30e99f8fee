"""The broker and the database as containers of the official images, for machines where a Docker engine answers."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import docker
import psycopg
from psycopg.conninfo import make_conninfo
from testcontainers.core.container import DockerContainer

from continuity import topics
from continuity.config import Settings
from continuity.embedded import broker, jars, ports
from continuity.errors import Retryable
from tests.eventually import eventually

KAFKA_IMAGE = f"apache/kafka:{jars.KAFKA_VERSION}"
POSTGRES_IMAGE = "postgres:18"
START_SECONDS = 180


def is_there() -> bool:
    """Whether an engine answers. `CONTINUITY_TEST_STACK=embedded` keeps the tests off it."""
    if os.environ.get("CONTINUITY_TEST_STACK") == "embedded":
        return False
    # Asked first, because the client of a missing engine leaves its socket open.
    if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").exists():
        return False
    with contextlib.suppress(docker.errors.DockerException):
        client = docker.from_env(timeout=5)
        try:
            return bool(client.ping())
        finally:
            client.close()
    return False


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[Settings]:
    taken: set[int] = set()
    kafka_port, controller_port, postgres_port = (
        ports.choose("kafka_port", "127.0.0.1", configured=None, remembered=None, usual=0, taken=taken)
        for _ in range(3)
    )
    password = secrets.token_hex(16)
    dsn = make_conninfo(host="127.0.0.1", port=postgres_port, user="continuity", dbname="continuity", password=password)
    settings = settings.with_values(
        kafka_port=kafka_port, kafka_bootstrap=f"127.0.0.1:{kafka_port}", postgres_dsn=dsn, postgres_port=postgres_port
    )
    with _kafka(settings, controller_port), _postgres(postgres_port, password):
        eventually(lambda: _answers(settings), START_SECONDS, "the containers of the broker and the database answer")
        yield settings


def _kafka(settings: Settings, controller_port: int) -> DockerContainer:
    values = broker.configuration(settings, Path("/var/lib/kafka/data"), controller_port)
    # Within its container the broker listens everywhere; outside, Docker opens the port on this machine only.
    values["listeners"] = values["listeners"].replace("127.0.0.1", "0.0.0.0")
    container = DockerContainer(KAFKA_IMAGE).with_kwargs(
        ports={settings.kafka_port: ("127.0.0.1", settings.kafka_port)}
    )
    for name, value in values.items():
        container.with_env("KAFKA_" + name.replace(".", "_").upper(), value)
    return container


def _postgres(port: int, password: str) -> DockerContainer:
    container = DockerContainer(POSTGRES_IMAGE).with_kwargs(ports={5432: ("127.0.0.1", port)})
    return container.with_envs(
        POSTGRES_USER="continuity",
        POSTGRES_PASSWORD=password,
        POSTGRES_DB="continuity",
        POSTGRES_INITDB_ARGS="--locale=C",
    )


def _answers(settings: Settings) -> bool:
    try:
        topics.create(settings, timeout_seconds=2.0)
        psycopg.connect(settings.postgres_dsn, connect_timeout=2).close()
    except (Retryable, psycopg.OperationalError):
        return False
    return True
