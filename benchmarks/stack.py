"""The real broker and database in a temporary folder, and the services as processes that a measurement starts.

Everything listens on loopback. It is gone at the end however that comes: the supervisor watches this process, and on
Linux so do the services.
"""

import http.client
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGTERM
from typing import NamedTuple
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from continuity import embedded, topics
from continuity.config import Settings
from continuity.embedded import process

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 20.0
POLL_SECONDS = 0.05


class Running(NamedTuple):
    """A service that is ready."""

    name: str
    pid: int


@contextmanager
def running(partitions: int) -> Iterator[Settings]:
    """Broker and database, without services."""
    folder = Path(tempfile.mkdtemp(prefix="continuity-bench-"))
    folder.chmod(0o711)
    settings = Settings(data_dir=folder / "home", partitions=partitions, log_level="warning")
    try:
        yield embedded.up(settings, services=(), owner_pid=os.getpid())
    finally:
        embedded.down(settings)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def corner(stack: Settings) -> Iterator[Settings]:
    """Topics and a database of one's own on a running stack; they go at the end."""
    name = f"bench-{uuid4().hex[:8]}"
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    own = stack.with_values(topic_prefix=name, postgres_dsn=make_conninfo(stack.postgres_dsn, dbname=name))
    topics.create(own)
    try:
        yield own
    finally:
        topics.delete(own)
        with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def services(settings: Settings, *names: str) -> Iterator[list[Running]]:
    """The named services (sequencer, projector, api), each a process of its own as `continuity up` starts it."""
    with ExitStack() as started:
        waiting = [started.enter_context(_service(settings, name)) for name in names]
        yield [ready() for ready in waiting]  # all start at once, as some wait for others


@contextmanager
def _service(settings: Settings, name: str) -> Iterator[Callable[[], Running]]:
    service = next(each for each in embedded.SERVICES if each.name == name)
    log = settings.data_dir / f"{name}.log"
    child = process.spawn(
        [word.replace("{python}", sys.executable) for word in service.command],
        log=log,
        environment={**os.environ, **settings.environment()},
        folder=settings.data_dir,
        account=None,
        death_signal=SIGTERM,
    )

    def ready() -> Running:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not _answers(getattr(settings, service.port_setting), service.ready_path):
            if child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The {name} did not become ready:\n{log.read_text()[-2_000:]}")
            time.sleep(POLL_SECONDS)
        return Running(name, child.pid)

    try:
        yield ready
    finally:
        child.terminate()
        try:
            child.wait(STOP_SECONDS_MAX)
        finally:
            child.kill()
            child.wait()


def _answers(port: int, path: str | None) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", path or "/")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
