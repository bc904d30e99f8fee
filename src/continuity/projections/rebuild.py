"""Making all tables anew from the log, while reads and the live projector go on, and putting them in place at once.

A shadow schema is filled by the very same projector. Then, in one transaction, the live positions are held still, the
shadow catches up with them, and the two schemas change names: a reader sees the one or the other.

What makes this safe is the order in which everybody touches the tables. A projector starts each transaction with
`projection_offsets`, a transaction that reads several tables does, too, or starts with `workflows` (the API); the swap
locks them in that order. So none that has begun on the old tables meets the new ones: the swap waits for it, or it
waits for the swap and finds the new ones from its first statement on.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from psycopg import Connection, errors, sql

from continuity import kafka, postgres
from continuity.config import Settings
from continuity.errors import ConfigError, Retryable
from continuity.postgres import SCHEMA
from continuity.projections import schema as tables
from continuity.projections.heartbeats import Heartbeats
from continuity.projections.projector import Projector
from continuity.projections.rejections import Rejections

SHADOW: Final = f"{SCHEMA}_rebuild"
RETIRED: Final = f"{SCHEMA}_retired"
REBUILD_LOCK: Final = 0x7265626C
STATEMENT_SECONDS_MAX: Final = 60
LOCK_SECONDS_MAX: Final = 2
"""Longer than a read takes. Whoever comes after a waiting lock waits, too, so it must not wait for long."""
SWAP_TRIES_MAX: Final = 20
IDLE_SECONDS_MAX: Final = 30.0
POLL_SECONDS: Final = 1.0

Progress = Callable[[int, int], None]
log = logging.getLogger("rebuild")


class Rebuilt(NamedTuple):
    """What a rebuild found in the log."""

    records: int
    events: int
    workflows_stopped: int
    seconds: float


def rebuild(settings: Settings, progress: Progress = lambda _done, _total: None) -> Rebuilt:
    """Rebuild all projections. `progress(records done, records in the log)` is called about once per batch.

    Works with or without a live projector, and from a schema of any version. Raises Retryable (the broker or the
    database is away, or another rebuild is running; what is live stays as it was) and ConfigError (the events topic
    has lost its beginning: then the projections cannot be made from it).
    """
    started = time.monotonic()
    connection = postgres.connect(settings.postgres_dsn, statement_seconds=STATEMENT_SECONDS_MAX)
    shadow = Projector(settings, schema=SHADOW)
    refused, alive = Rejections(settings, schema=SHADOW), Heartbeats(settings, schema=SHADOW)
    try:
        with postgres.translated():
            ends = _ends(settings)
            _begin(connection)
            shadow.open()
            _follow(shadow, ends, progress)
            for each in (refused, alive):
                each.open()
                each.follow()
            _repeated(connection, lambda: _swap(connection, shadow, alive))
            _repeated(connection, lambda: _retire(connection))
        counts = shadow.counts
        records = sum(position.next_offset for position in shadow.positions.values())
        return Rebuilt(records, counts["projected"], counts["stopped"], time.monotonic() - started)
    finally:
        shadow.close()
        refused.close()
        alive.close()
        connection.close()


def _begin(connection: "Connection[Any]") -> None:
    connection.execute(f"SET lock_timeout = '{LOCK_SECONDS_MAX}s'".encode())
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (REBUILD_LOCK,))
    except errors.LockNotAvailable:
        raise Retryable("Another rebuild is running.", fix="Wait until it has ended.") from None
    with connection.transaction():
        tables.drop(connection, SHADOW)  # left by one that was interrupted
        tables.drop(connection, RETIRED)
        tables.install(connection, SHADOW)


def _ends(settings: Settings) -> dict[int, int]:
    """The end of each partition as it is now. All that ever was must still be there."""
    _, partitions = kafka.topic_id(settings, settings.events_topic)
    consumer = kafka.reader(settings, "rebuild")
    try:
        ends = {}
        for partition in range(partitions):
            low, ends[partition] = kafka.watermarks(consumer, settings.events_topic, partition)
            if low > 0:
                raise ConfigError(
                    f"Partition {partition} of {settings.events_topic} begins at offset {low}: older events are gone.",
                    fix="Restore the topic. Until then keep the projections: they are all that knows those events.",
                )
        return ends
    finally:
        consumer.close()


def _follow(shadow: Projector, ends: dict[int, int], progress: Progress) -> None:
    """Project up to `ends`."""
    total = sum(ends.values())
    heard_at = time.monotonic()
    while any(shadow.positions[partition].next_offset < end for partition, end in ends.items()):
        if shadow.step(POLL_SECONDS):
            heard_at = time.monotonic()
            progress(sum(min(shadow.positions[each].next_offset, end) for each, end in ends.items()), total)
        elif time.monotonic() - heard_at > IDLE_SECONDS_MAX:
            detail = f"The broker has sent nothing for {IDLE_SECONDS_MAX:.0f} s."
            raise Retryable(detail, fix="Start the rebuild again.")


def _repeated(connection: "Connection[Any]", work: Callable[[], None]) -> None:
    """A transaction that needs the tables for itself, again as long as somebody is using them."""
    for _ in range(SWAP_TRIES_MAX):
        try:
            with connection.transaction():
                work()
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            log.info("the tables are in use: trying again")
        else:
            return
    raise Retryable("Long reads kept the tables in use.", fix="Start the rebuild again when there are fewer of them.")


def _swap(connection: "Connection[Any]", shadow: Projector, alive: Heartbeats) -> None:
    """Give the shadow's tables the live name, from one statement of a reader to the next."""
    _catch_up(connection, shadow)
    alive.follow()  # the live ones stand still, too: no expiry that somebody has read may go back
    live, retired = sql.Identifier(SCHEMA), sql.Identifier(RETIRED)
    if postgres.schema_version(connection) is not None:
        _lock(connection, SCHEMA)
        connection.execute(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(live, retired))
    connection.execute(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(sql.Identifier(SHADOW), live))


def _retire(connection: "Connection[Any]") -> None:
    """Drop the old tables, once nobody whose statement was prepared for them is in one."""
    if postgres.schema_version(connection, RETIRED) is not None:
        _lock(connection, RETIRED)
        tables.drop(connection, RETIRED)


def _lock(connection: "Connection[Any]", schema: str) -> None:
    for table in ("projection_offsets", "workflows"):  # in this order, as everybody
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(schema, table)))


def _catch_up(connection: "Connection[Any]", shadow: Projector) -> None:
    """Hold the live positions still, reads go on, and bring the shadow to where they are: no reader may go back."""
    version = postgres.schema_version(connection)
    if version is None:
        return
    live = sql.Identifier(SCHEMA, "projection_offsets")
    connection.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(live))
    if version != postgres.SCHEMA_VERSION:
        return  # its positions may mean something else
    found = connection.execute(sql.SQL("SELECT partition, next_offset FROM {}").format(live)).fetchall()
    ends = {partition: offset for partition, offset in found if partition in shadow.positions}
    _follow(shadow, ends, lambda _done, _total: None)
