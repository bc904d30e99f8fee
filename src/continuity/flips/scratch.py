"""A database and a folder for one campaign, filled and ready to be damaged; both go at the end.

It is another database than the product's, so nothing that is done there can reach the live tables.
"""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from psycopg import IsolationLevel, errors, sql
from psycopg.conninfo import make_conninfo

from continuity import postgres
from continuity.blobs import Folder
from continuity.config import Settings
from continuity.errors import ConfigError
from continuity.flips.subject import Subject, made
from continuity.postgres import SCHEMA, BoundedConnection
from continuity.projections import schema as tables

STATEMENT_SECONDS_MAX: Final = 60
EVENTS: Final = 240
RLS: Final = "SELECT relname::text FROM pg_class WHERE relnamespace = %s::regnamespace AND relforcerowsecurity"


class Scratch(NamedTuple):
    """What a campaign needs."""

    connection: BoundedConnection
    settings: Settings
    blobs: Folder
    subject: Subject

    @classmethod
    @contextmanager
    def made(cls, settings: Settings, *, events: int = EVENTS, seed: int = 0) -> "Iterator[Scratch]":
        """In the cluster that the settings name. Raises Retryable, and ConfigError when it may not make a database."""
        name = f"continuity_flips_{secrets.token_hex(4)}"
        own = make_conninfo(settings.postgres_dsn, dbname=name)
        with tempfile.TemporaryDirectory(prefix="continuity-flips-") as folder, _database(settings.postgres_dsn, name):
            connection = postgres.connect(own, statement_seconds=STATEMENT_SECONDS_MAX, synchronous_commit="off")
            try:
                _install(connection)
                subject, *_ = made(connection, Path(folder), events, seed)
                connection.isolation_level = IsolationLevel.REPEATABLE_READ
                there = settings.with_values(postgres_dsn=own, blobs=folder, s3_bucket="")
                yield cls(connection, there, Folder(Path(folder)), subject)
            finally:
                connection.close()


def _install(connection: BoundedConnection) -> None:
    with connection.transaction():
        tables.install(connection, SCHEMA)
    # Rot obeys no policy. The readers, who work as other roles, still do.
    for (table,) in connection.execute(RLS.encode(), (SCHEMA,)).fetchall():
        obeying = sql.SQL("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY").format(sql.Identifier(SCHEMA, table))
        connection.execute(obeying)


@contextmanager
def _database(dsn: str, name: str) -> Iterator[None]:
    connection = postgres.connect(dsn, statement_seconds=STATEMENT_SECONDS_MAX)
    try:
        try:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except errors.InsufficientPrivilege as error:
            fix = "Give CONTINUITY_POSTGRES_DSN of a role that has CREATEDB."
            raise ConfigError("A campaign works in a database of its own, and may not make one.", fix=fix) from error
        try:
            yield
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    finally:
        connection.close()
