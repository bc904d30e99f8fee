"""What all tests share: one real broker and one real database for the whole run, and a corner of both for each test.

They start when the first test asks for them, and end with the run however it ends: the supervisor watches this process.
Unit tests that ask for neither start nothing.
"""

import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from continuity import embedded, topics
from continuity.config import Settings
from tests import containers
from tests.eventually import eventually as wait_until

hypothesis.settings.register_profile("long", max_examples=6_000)
RUN = secrets.token_hex(3)
NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def data_home() -> Iterator[Callable[[], Path]]:
    """Makes data folders outside pytest's own, which are closed to the user that the database runs as."""
    made: list[Path] = []

    def make() -> Path:
        folder = Path(tempfile.mkdtemp(prefix="continuity-test-"))
        folder.chmod(0o711)
        made.append(folder)
        return folder / "home"

    yield make
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_home(data_home: Callable[[], Path]) -> Callable[[], Settings]:
    """Makes settings of a data folder of one's own, with any free port: tests in other processes have stacks, too."""
    return lambda: Settings(data_dir=data_home(), api_port=0, explicit=frozenset({"api_port"}))


@pytest.fixture(scope="session")
def stack(data_home: Callable[[], Path]) -> Iterator[Settings]:
    """The settings of the real broker and database; without services. Containers where there is an engine."""
    settings = Settings(data_dir=data_home(), topic_prefix=f"first-{RUN}", partitions=2)
    if containers.is_there():
        with containers.running(settings) as started:
            yield started
        return
    try:
        yield embedded.up(settings, services=(), owner_pid=os.getpid())
    finally:
        embedded.down(settings)


@pytest.fixture
def database(stack: Settings) -> Iterator[str]:
    """The connection string of a new, empty database, which goes when the test ends."""
    name = f"test_{RUN}_{next(NUMBERS)}"
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield make_conninfo(stack.postgres_dsn, dbname=name)
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def settings(stack: Settings, database: str, tmp_path: Path) -> Iterator[Settings]:
    """Settings of this test alone: topics under a prefix of their own, an empty database, a data folder, no ports."""
    own = stack.with_values(
        topic_prefix=f"test-{RUN}-{next(NUMBERS)}",
        postgres_dsn=database,
        data_dir=tmp_path / "home",
        blobs=str(tmp_path / "home" / "blobs"),
        sequencer_port=0,
        projector_port=0,
    )
    own.data_dir.mkdir(mode=0o700)
    topics.create(own)
    yield own
    topics.delete(own)


@pytest.fixture
def eventually() -> Callable[..., object]:
    """`eventually(condition, deadline_seconds, what)`: wait until it is truthy, and return that value."""
    return wait_until
