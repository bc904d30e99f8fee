"""Reads of the projected work, over Postgres: what the HTTP layer, and a tool without one, asks.

The tenant stands in every statement: another tenant's project looks like none. Should one forget it, the database
holds: the connections' role sees the rows of the tenant that its transaction names, and there is no transaction that
does not begin with that (`_one`, `_together`). Reads change nothing, so one that fails because a connection had died is
asked once more. The checking of what comes back is in `api.assembly`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from importlib.resources import files
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg import AsyncConnection, IsolationLevel, errors
from psycopg.abc import PQGen
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from continuity import postgres, roles
from continuity.answers import ActiveWorkState, CommandOutcome, LateResult, ProjectSummary
from continuity.api import assembly
from continuity.api.arrivals import POLL_SECONDS, Arrivals
from continuity.config import Settings
from continuity.core.ids import workflow_id as workflow_of
from continuity.core.next_step import NextStep
from continuity.core.records import Event
from continuity.errors import Retryable
from continuity.postgres import SCHEMA
from continuity.rows import EVENT_COLUMNS, WORKFLOW_ID, Head, missing

CONNECTIONS_MAX: Final = 8
CONNECTION_WAIT_SECONDS: Final = 2.0
STATEMENT_SECONDS_MAX: Final = 5.0
MIN_SEQ_WAIT_SECONDS: Final = 3.0
ROWS_IN_LOOP_MAX: Final = 200
"""Checking more rows than this would keep the event loop from other requests: a thread does it."""

EVENTS: Final = f"""
SELECT {EVENT_COLUMNS} FROM events
WHERE workflow_id = %s AND tenant = %s AND event_seq > %s ORDER BY event_seq LIMIT %s
"""  # noqa: S608 - a list of our own columns
EVENTS_OF_COMMAND: Final = f"""
SELECT {EVENT_COLUMNS} FROM events
WHERE command_id = %s AND tenant = %s ORDER BY log_partition, log_offset LIMIT 1
"""  # noqa: S608 - the first is the one that was answered; later ones are repeats beyond the idempotency window
EVENT_OF_WORKFLOW: Final = "SELECT 1 FROM events WHERE workflow_id = %s AND tenant = %s LIMIT 1"

Columns = tuple[Any, ...]
Answer = TypeVar("Answer")
AsOf = TypeVar("AsOf", ActiveWorkState, NextStep)
Result = TypeVar("Result")


class Connection(AsyncConnection[Any]):
    """One of the pool. No wait is longer than its bound, also when the server is stopped and cannot say so."""

    async def wait(self, gen: PQGen[Result], interval: float = 1.0, timeout: float | None = None) -> Result:  # noqa: ASYNC109 - the library's signature
        """Run one exchange with the server."""
        return await super().wait(gen, interval, timeout or STATEMENT_SECONDS_MAX + 1)


class Reads:
    """Implements `api.ports.ReadPort`. Make it, `start` it in the event loop that uses it, `close` it.

    None means: the tenant has no such project. Raises Retryable (`not_yet` when `min_seq` has not been projected
    within `min_seq_wait_seconds`, `unavailable` when the database is away) and IntegrityError.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        connections_max: int = CONNECTIONS_MAX,
        schema: str = SCHEMA,
        min_seq_wait_seconds: float = MIN_SEQ_WAIT_SECONDS,
    ) -> None:
        self._min_seq_wait_seconds = min_seq_wait_seconds
        self._arrivals = Arrivals(settings.postgres_dsn)
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            postgres.connection_string(
                settings.postgres_dsn, schema=schema, statement_seconds=STATEMENT_SECONDS_MAX, role=roles.TENANT
            ),
            connection_class=Connection,
            kwargs={"autocommit": True, "prepare_threshold": 0},
            configure=_configure,
            min_size=connections_max,
            max_size=connections_max,
            timeout=CONNECTION_WAIT_SECONDS,
            max_waiting=1_024,
            reconnect_timeout=0,  # try for ever: what is asked meanwhile is answered with Retryable
            open=False,
            name="reads",
        )

    async def start(self) -> None:
        """Begin to connect. Does not wait: a database that is away now may come."""
        await self._pool.open(wait=False)
        await self._arrivals.start()

    async def close(self) -> None:
        """Disconnect."""
        await self._arrivals.close()
        await self._pool.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def ready(self) -> None:
        """Raise Retryable or ConfigError, with the reason, if nothing can be read now."""

        async def version(connection: Connection) -> None:
            exists = await _one(connection, "", "SELECT to_regclass('schema_version')", ())
            row = await _one(connection, "", "SELECT version FROM schema_version", ()) if exists and exists[0] else None
            postgres.check_version(row[0] if row else None)

        await self._asked(version)

    async def next_step(
        self, tenant: str, project: str, *, min_seq: int = 0, for_owner: str | None = None
    ) -> NextStep | None:
        """What to do next: equal, byte for byte in canonical JSON, to `core.next_step` at the same event.

        With `for_owner` the whole state is read, as `state` does it: who holds what must not be believed unchecked.
        """
        workflow_id = workflow_of(tenant, project)
        if for_owner is not None:
            make = partial(assembly.next_step_for, for_owner)
            return await self._of_all_rows(workflow_id, tenant, min_seq, make)

        async def look(connection: Connection) -> NextStep | None:
            # It names the tenant itself: asked most, it is answered a third sooner than with two statements.
            cursor = await connection.execute(_statement("next_step").encode(), (workflow_id, tenant))
            row: Columns | None = await cursor.fetchone()
            return None if row is None else assembly.next_step_of(row)

        return await self._at_least(tenant, workflow_id, min_seq, look, lambda step: step["as_of_seq"])

    async def state(self, tenant: str, project: str, *, min_seq: int = 0) -> ActiveWorkState | None:
        """The whole work state at one event, compared with the state's checksum."""
        return await self._of_all_rows(workflow_of(tenant, project), tenant, min_seq, assembly.state_of)

    async def late_results(
        self, tenant: str, project: str, *, task_id: str | None = None, limit: int, min_seq: int = 0
    ) -> list[LateResult] | None:
        """At most `limit` results that came too late, of one task or of all, the newest first.

        All of the project are read for it, as `state` reads all rows: only then none can be missing.
        """
        workflow_id = workflow_of(tenant, project)

        async def look(connection: Connection) -> tuple[int, list[LateResult]] | None:
            async with _together(connection, tenant):
                found = await connection.execute(_statement("head"), (workflow_id, tenant))
                late = await connection.execute(_statement("late_results"), (workflow_id, tenant))
                row, rows = await found.fetchone(), await late.fetchall()
            if row is None:
                return None
            head = assembly.head_of(row)
            if len(rows) <= ROWS_IN_LOOP_MAX:
                return head.head_seq, assembly.late_results_of(head, rows, task_id, limit)
            return head.head_seq, await asyncio.to_thread(assembly.late_results_of, head, rows, task_id, limit)

        answer = await self._at_least(tenant, workflow_id, min_seq, look, lambda page: page[0])
        return None if answer is None else answer[1]

    async def events(
        self, tenant: str, project: str, *, after_seq: int, limit: int, min_seq: int = 0
    ) -> list[Event] | None:
        """At most `limit` events after `after_seq`, in their order, each verified, with no hole between them."""
        workflow_id = workflow_of(tenant, project)

        async def look(connection: Connection) -> tuple[Head, list[Event]] | None:
            async with _together(connection, tenant):
                found = await connection.execute(_statement("head"), (workflow_id, tenant))
                page = await connection.execute(EVENTS.encode(), (workflow_id, tenant, after_seq, limit))
                row, rows = await found.fetchone(), await page.fetchall()
            if row is None:
                return None
            head = assembly.head_of(row)
            if len(rows) <= ROWS_IN_LOOP_MAX:
                return head, assembly.events_of(head, rows, after_seq, limit)
            return head, await asyncio.to_thread(assembly.events_of, head, rows, after_seq, limit)

        found = await self._at_least(tenant, workflow_id, min_seq, look, lambda page: page[0].head_seq)
        return None if found is None else found[1]

    async def head_seq(self, tenant: str, project: str, *, min_seq: int = 0) -> int | None:
        """The number of the last projected event."""
        workflow_id = workflow_of(tenant, project)

        async def look(connection: Connection) -> int | None:
            row = await _one(connection, tenant, _statement("head"), (workflow_id, tenant))
            return None if row is None else assembly.head_of(row).head_seq

        return await self._at_least(tenant, workflow_id, min_seq, look, lambda seq: seq)

    async def projects(self, tenant: str, *, after: str, limit: int) -> list[ProjectSummary]:
        """At most `limit` projects of the tenant whose names come after `after`, by name: none is missing."""
        page = (tenant, after, limit)

        async def look(connection: Connection) -> list[ProjectSummary]:
            async with _together(connection, tenant):
                found = await connection.execute(_statement("projects"), page)
                begun = await connection.execute(_statement("first_events"), page)
                rows, events = await found.fetchall(), await begun.fetchall()
            return assembly.projects_of(rows, events, limit)

        return await self._asked(look)

    async def command(self, tenant: str, command_id: str) -> CommandOutcome | None:
        """What became of a command: its event, or for seven days its refusal. None: nothing is known of it (yet)."""

        async def look(connection: Connection) -> CommandOutcome | None:
            row = await _one(connection, tenant, EVENTS_OF_COMMAND, (command_id, tenant))
            if row is not None:
                return assembly.accepted_outcome(assembly.event_in(row[WORKFLOW_ID], row))
            row = await _one(connection, tenant, _statement("rejection"), (command_id, tenant))
            return None if row is None else assembly.refused_outcome(command_id, row)

        return await self._asked(look)

    async def _of_all_rows(self, workflow_id: str, tenant: str, min_seq: int, make: Callable[..., AsOf]) -> AsOf | None:
        """What `make` makes of the head and of all rows of goals, tasks, checkpoints and entities, at one event."""

        async def look(connection: Connection) -> AsOf | None:
            key = (workflow_id, tenant)
            async with _together(connection, tenant):
                # The head comes first: see `projections.rebuild`, which swaps the tables.
                found, *cursors = [
                    await connection.execute(_statement(name), key)
                    for name in ("head", "goals", "tasks", "checkpoints", "entities")
                ]
                row = await found.fetchone()
                rows = [await cursor.fetchall() for cursor in cursors]
            if row is None:
                return None
            head = assembly.head_of(row)
            if sum(map(len, rows)) <= ROWS_IN_LOOP_MAX:
                return make(head, *rows)
            return await asyncio.to_thread(make, head, *rows)

        return await self._at_least(tenant, workflow_id, min_seq, look, lambda made: made["as_of_seq"])

    async def _at_least(
        self,
        tenant: str,
        workflow_id: str,
        min_seq: int,
        look: Callable[[Connection], Awaitable[Answer | None]],
        seq_of: Callable[[Answer], int],
    ) -> Answer | None:
        """The answer as of `min_seq` or later."""
        answer = await self._asked(look, workflow_id)
        if answer is None and await self._asked(partial(_has_events, tenant, workflow_id), workflow_id):
            # They came with its head. Either both did a moment ago, or the row of the head is lost.
            answer = await self._asked(look, workflow_id)
            if answer is None:
                raise missing(workflow_id, "the head")
        if min_seq == 0 or (answer is not None and seq_of(answer) >= min_seq):
            return answer
        clock = asyncio.get_running_loop()
        deadline = clock.time() + self._min_seq_wait_seconds
        while True:
            with self._arrivals.expected(workflow_id, min_seq) as arrived:
                answer = await self._asked(look, workflow_id)
                if answer is not None and seq_of(answer) >= min_seq:
                    return answer
                left = deadline - clock.time()
                if left <= 0:
                    raise _not_yet(min_seq, 0 if answer is None else seq_of(answer))
                await asyncio.wait([arrived], timeout=min(left, POLL_SECONDS))

    async def _asked(self, look: Callable[[Connection], Awaitable[Answer]], workflow_id: str | None = None) -> Answer:
        try:
            try:
                return await self._looked(look)
            except psycopg.OperationalError as error:
                if not _connection_died(error):
                    raise
                # The server has restarted: the pool's other connections are as dead as that one.
                await self._pool.check()
                return await self._looked(look)
        except PoolTimeout:
            raise Retryable("Postgres is away, or all connections to it are busy.") from None
        except psycopg.Error as error:
            raise postgres.translation(error, workflow_id) from error

    async def _looked(self, look: Callable[[Connection], Awaitable[Answer]]) -> Answer:
        async with self._pool.connection() as connection:
            return await look(connection)


def _connection_died(error: psycopg.OperationalError) -> bool:
    """Whether the connection was lost, as opposed to the server refusing, or not answering in time."""
    if isinstance(error, PoolTimeout | errors._WaitTimeout):  # noqa: SLF001 - the library's name for our bound
        return False
    return error.sqlstate is None or isinstance(error, errors.AdminShutdown | errors.CrashShutdown)


async def _configure(connection: Connection) -> None:
    postgres.read_ids_as_text(connection)
    await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)  # of the reads that take several statements
    await connection.set_read_only(True)


@asynccontextmanager
async def _together(connection: Connection, tenant: str) -> AsyncIterator[None]:
    """One moment of the database, as the tenant; all that is asked goes out at once, and the setting with it."""
    async with connection.transaction(), connection.pipeline():
        await connection.execute(roles.SET_TENANT.encode(), (tenant,))
        yield


async def _one(connection: Connection, tenant: str, query: str, parameters: Columns) -> Columns | None:
    """The first row of one statement, as the tenant: a pipeline is a transaction, and one round trip."""
    async with connection.pipeline():
        await connection.execute(roles.SET_TENANT.encode(), (tenant,))
        cursor = await connection.execute(query.encode(), parameters)
    row: Columns | None = await cursor.fetchone()
    return row


async def _has_events(tenant: str, workflow_id: str, connection: Connection) -> bool:
    return await _one(connection, tenant, EVENT_OF_WORKFLOW, (workflow_id, tenant)) is not None


@lru_cache
def _statement(name: str) -> str:
    return files("continuity.api").joinpath("sql", f"{name}.sql").read_text()


def _not_yet(min_seq: int, seq: int) -> Retryable:
    return Retryable(
        f"The projection is at event {seq}, and event {min_seq} was asked for.",
        fix="Repeat the read.",
        code="not_yet",
        retry_after_seconds=1,
    )
