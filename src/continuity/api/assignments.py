"""Which project each claim of a fleet was sent to, and which projects may have work: over Postgres.

The table is the API's own memory and not derived from the log, so it lives in a schema that no rebuild touches. It is
needed for as long as somebody may repeat a claim: rows older than a week go. Losing it loses no work: a repeat may then
be given another task, and the first one's claim runs out. The projector makes it, and clears it out: the API's role may
do neither, and sees the rows of the tenant that is named with each statement.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from continuity import postgres, roles
from continuity.config import Settings
from continuity.errors import Retryable

CONNECTIONS_MAX: Final = 8
CONNECTION_WAIT_SECONDS: Final = 5.0
STATEMENT_SECONDS_MAX: Final = 5.0
CANDIDATES_MAX: Final = 20

Connection = psycopg.AsyncConnection[Any]
log = logging.getLogger(__name__)


class Assignments:
    """Implements `api.ports.AssignmentPort`. Make it, `start` it in the event loop that uses it, `close` it.

    A claim holds one connection while it is decided: as many are decided at once as there are connections, the others
    wait for one, boundedly.
    """

    def __init__(self, settings: Settings, *, connections_max: int = CONNECTIONS_MAX) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            postgres.connection_string(
                settings.postgres_dsn, statement_seconds=STATEMENT_SECONDS_MAX, role=roles.INTAKE
            ),
            kwargs={"autocommit": True, "prepare_threshold": 0},
            min_size=1,
            max_size=connections_max,
            timeout=CONNECTION_WAIT_SECONDS,
            max_waiting=1_024,
            reconnect_timeout=0,
            open=False,
            name="assignments",
        )

    async def start(self) -> None:
        """Begin to connect. Does not wait: a database that is away now may come."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Disconnect."""
        await self._pool.close()

    @asynccontextmanager
    async def held(self, tenant: str, command_id: str) -> AsyncIterator["Held"]:
        """The assignment of one claim, for one request at a time: a lock that ends with the connection."""
        async with self._connection() as connection:
            lock = "SELECT pg_advisory_lock(hashtextextended(%s, 0))"
            await _run(connection, tenant, lock, f"{tenant}/{command_id}")
            try:
                row = await _run(connection, tenant, _statement("assigned"), tenant, command_id)
                yield Held(connection, tenant, command_id, row[0] if row else None)
            finally:
                await _unlocked(connection)

    async def assigned(self, tenant: str, command_id: str) -> str | None:
        """The project that a claim was sent to last, or None."""
        async with self._connection() as connection:
            row = await _run(connection, tenant, _statement("assigned"), tenant, command_id)
            return row[0] if row else None

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with self._pool.connection() as connection:
                yield connection
        except PoolTimeout:
            raise Retryable("Postgres is away, or too many claims are being decided.") from None


class Held:
    """One claim's assignment, held: an `api.ports.Assignment`."""

    def __init__(self, connection: Connection, tenant: str, command_id: str, project: str | None) -> None:
        self._connection = connection
        self._tenant = tenant
        self._command_id = command_id
        self.project = project

    async def candidates(self) -> list[str]:
        """The projects in which there may be something to claim, best first. What rows say is a hint, not checked."""
        # On this connection: whoever holds one must not wait for another.
        found = await _all(self._connection, self._tenant, _statement("candidates"), self._tenant, CANDIDATES_MAX)
        return [project for (project,) in found]

    async def move(self, project: str) -> None:
        """Store where the claim is sent next. Fails if the lock went with its connection."""
        await _run(self._connection, self._tenant, _statement("assign"), self._tenant, self._command_id, project)
        self.project = project


async def _run(connection: Connection, tenant: str, query: str, *parameters: Any) -> tuple[Any, ...] | None:
    return next(iter(await _all(connection, tenant, query, *parameters)), None)


async def _all(connection: Connection, tenant: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement, as the tenant: a pipeline is a transaction, and one round trip."""
    with postgres.translated():
        async with connection.pipeline():
            await connection.execute(roles.SET_TENANT.encode(), (tenant,))
            cursor = await connection.execute(query.encode(), parameters)
        return await cursor.fetchall() if cursor.description else []


async def _unlocked(connection: Connection) -> None:
    # One that cannot say so any more must not go back to the pool with the lock on it: closed, it has none.
    try:
        await connection.execute("SELECT pg_advisory_unlock_all()")
    except psycopg.Error as error:
        log.warning("A claim's lock goes with its connection: %s", error)
        with suppress(psycopg.Error):
            await connection.close()


@lru_cache
def _statement(name: str) -> str:
    return files("continuity.api").joinpath("sql", f"{name}.sql").read_text()
