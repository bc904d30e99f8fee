"""Connections to Postgres: bounded in time, with the plans that we claim, and errors named for what the caller does.

A flat adapter: whoever reads or writes the projections comes through here. All that Postgres holds is derived from the
log, so a schema of another version is never migrated: it is dropped and made anew (`continuity rebuild`).
"""

import select
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

import psycopg
from psycopg import errors, sql
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.types.string import TextLoader
from psycopg.waiting import Wait

from continuity.errors import ConfigError, ContinuityError, IntegrityError, Retryable
from continuity.roles import ROLES

SCHEMA: Final = "continuity"
SCHEMA_VERSION: Final = 4
"""Grows with every change of `projections/sql/schema.sql` and `access.sql`."""

CHANNEL: Final = "continuity_projected"
"""Notified of each commit of the projector with `workflow_id:head_seq` pairs, separated by spaces."""

CONNECT_SECONDS_MAX: Final = 2
"""libpq's own minimum. (A port that nobody listens on is refused at once.)"""

STATEMENT_SECONDS_MAX: Final = 5
WAIT_INTERVAL_SECONDS: Final = 0.1

EVENTS: Final = {Wait.R: select.POLLIN, Wait.W: select.POLLOUT, Wait.RW: select.POLLIN | select.POLLOUT}

Result = TypeVar("Result")


def array(values: Iterable[object]) -> str:
    """Ids, names or numbers as an array parameter of a statement."""
    # They have no character that would need escaping, and the library's list adapter costs 4 µs an element.
    # The quotes are for a step that somebody names "null".
    joined = '","'.join(map(str, values))
    return f'{{"{joined}"}}' if joined else "{}"


class BoundedConnection(psycopg.Connection[Any]):
    """A connection on which no wait is longer than `wait_seconds_max`.

    `statement_timeout` is kept by the server, so it does not end a wait for a server that is stopped or unreachable.
    A connection that timed out is in an unknown state: close it.

    `meanwhile`, if set, is called again and again while the server works: it does one small piece of other work and
    says whether there is more. (A thread would do, too, but each wake-up would wait for the interpreter's lock.)
    """

    wait_seconds_max: float = STATEMENT_SECONDS_MAX + 1
    meanwhile: Callable[[], bool] | None = None

    def wait(self, gen: PQGen[Result], interval: float = WAIT_INTERVAL_SECONDS, timeout: float | None = None) -> Result:
        """Run one exchange with the server."""
        limit = self.wait_seconds_max if timeout is None else timeout
        if self.meanwhile is not None:
            gen = _working(gen, self.pgconn.socket, self.meanwhile)
        return super().wait(gen, interval, limit)


def _working(gen: PQGen[Result], descriptor: int, meanwhile: Callable[[], bool]) -> PQGen[Result]:
    """The same exchange; as long as there is other work, it is done where the exchange would sleep."""
    poll = select.poll()
    more = True
    try:
        wanted = next(gen)
        poll.register(descriptor, EVENTS[wanted])
        while True:
            while more and not poll.poll(0):
                more = meanwhile()
            wanted = gen.send((yield wanted))
            poll.modify(descriptor, EVENTS[wanted])
    except StopIteration as finished:
        return cast("Result", finished.value)


def connection_string(
    dsn: str, *, schema: str = SCHEMA, statement_seconds: float = STATEMENT_SECONDS_MAX, **options: str
) -> str:
    """`dsn` with our bounds and session settings; `options` are further settings of the session."""
    session = {
        "search_path": schema,
        "statement_timeout": str(round(statement_seconds * 1000)),
        "timezone": "UTC",
        # Our statements look rows up by key. The planner must not choose a scan because a table was small, or never
        # analysed, when the statement was prepared.
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "plan_cache_mode": "force_generic_plan",
        "jit": "off",
        **options,
    }
    return make_conninfo(
        dsn,
        connect_timeout=CONNECT_SECONDS_MAX,
        keepalives_idle=10,
        keepalives_interval=3,
        keepalives_count=3,
        application_name="continuity",
        options=" ".join(f"-c {name}={value}" for name, value in session.items()),
    )


def connect(
    dsn: str, *, schema: str = SCHEMA, statement_seconds: float = STATEMENT_SECONDS_MAX, **options: str
) -> BoundedConnection:
    """An autocommitting connection. Raises Retryable when the database does not answer, ConfigError when it refuses."""
    with translated():
        connection = BoundedConnection.connect(
            connection_string(dsn, schema=schema, statement_seconds=statement_seconds, **options), autocommit=True
        )
    connection.wait_seconds_max = statement_seconds + 1
    read_ids_as_text(connection)
    return connection


def read_ids_as_text(connection: "psycopg.Connection[Any] | psycopg.AsyncConnection[Any]") -> None:
    """Ids are strings everywhere in Python: a UUID object would cost two microseconds and be turned back at once."""
    connection.adapters.register_loader("uuid", TextLoader)


def check_version(found: int | None) -> None:
    """Compare the version of the installed schema; None where there is none yet."""
    if found is None:
        raise Retryable("The projections have not been made yet.", fix="Start the projector: it makes them.")
    if found != SCHEMA_VERSION:
        raise ConfigError(
            f"The projections have schema version {found}, this program works with {SCHEMA_VERSION}.",
            fix="Run `continuity rebuild`: it makes them anew from the log.",
        )


def schema_version(connection: "psycopg.Connection[Any]", schema: str = SCHEMA) -> int | None:
    """The version of an installed schema; None where there is none."""
    name = sql.Identifier(schema, "schema_version")
    if not connection.execute("SELECT to_regclass(%s)", (name.as_string(),)).fetchone()[0]:  # type: ignore[index]
        return None
    row = connection.execute(sql.SQL("SELECT version FROM {}").format(name)).fetchone()
    return row[0] if row else None


@contextmanager
def translated(workflow_id: str | None = None) -> Iterator[None]:
    """Turn the library's errors into ours. With `workflow_id`, a damaged page is that workflow's IntegrityError."""
    try:
        yield
    except psycopg.Error as error:
        raise translation(error, workflow_id) from error


def translation(error: psycopg.Error, workflow_id: str | None = None) -> ContinuityError:
    """What a caller can do about an error of the library."""
    said = (error.diag.message_primary or str(error)).strip().splitlines()[0].rstrip(".")
    if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted) and workflow_id is not None:
        return IntegrityError(f"The database found a damaged page: {said}.", workflow_id=workflow_id, field="page")
    if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName | errors.UndefinedColumn):
        return Retryable(f"The projections are not there, or are of another version: {said}.", fix=_MISSING)
    if (denied := _denied(error, said)) is not None:
        return denied
    if isinstance(error, errors.DiskFull):
        return Retryable(f"Postgres has no room left: {said}.", fix="Make room on its disk.", retry_after_seconds=10)
    if isinstance(error, errors.QueryCanceled | errors._WaitTimeout):  # noqa: SLF001 - ours to translate
        return Retryable("Postgres did not answer in time.", retry_after_seconds=2)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Retryable(f"Postgres is away: {said}.")
    return ContinuityError(f"Postgres refused a statement: {said}.", fix="This is a defect: please report it.")


def _denied(error: psycopg.Error, said: str) -> ContinuityError | None:
    """What nobody may do who logs in as we do. libpq reports a refused login as a plain OperationalError."""
    if any(f'role "{role}" does not exist' in said for role in ROLES):
        return Retryable("The roles in Postgres have not been made yet.", fix="Start the projector: it makes them.")
    if isinstance(error, errors.InsufficientPrivilege) or "permission denied to set role" in said:
        return ConfigError(f"Postgres does not allow it: {said}.", fix=_NOT_ALLOWED)
    if isinstance(error, errors.InvalidAuthorizationSpecification | errors.InvalidCatalogName) or (
        "authentication failed" in said or "does not exist" in said
    ):
        return ConfigError(f"Postgres refuses the connection: {said}.", fix="Correct CONTINUITY_POSTGRES_DSN.")
    return None


_NOT_ALLOWED = "Grant what docs/operations.md names; after an upgrade, `continuity rebuild` does so, with the tables."
_MISSING = "Start the projector, or run `continuity rebuild` when the version is another one."
