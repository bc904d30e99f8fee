"""A database of one's own for a system, on the stack's Postgres, which syncs every commit to disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from continuity.config import Settings

DURABLE = ("fsync", "synchronous_commit", "full_page_writes")


def environment(settings: Settings, name: str) -> dict[str, str]:
    """The variables by which libpq finds that database; the password stays in its file."""
    found = conninfo_to_dict(settings.postgres_dsn)
    return {
        "PGHOST": str(found["host"]),
        "PGPORT": str(found["port"]),
        "PGUSER": str(found["user"]),
        "PGDATABASE": name,
        "PGPASSFILE": str(found["passfile"]),
    }


def url(settings: Settings, name: str) -> str:
    """The database's URL, without its password."""
    found = conninfo_to_dict(settings.postgres_dsn)
    return f"postgresql://{found['user']}@{found['host']}:{found['port']}/{name}"


@contextmanager
def fresh(settings: Settings, purpose: str) -> Iterator[str]:
    """The name of a new, empty database. It goes at the end."""
    name = f"{purpose}_{uuid4().hex[:8]}"
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield name
    finally:
        with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def check_durable(settings: Settings) -> None:
    """Raise RuntimeError unless a commit means that it is on disk, theirs and ours: else it would be no comparison."""
    if not settings.flush_every_message:
        raise RuntimeError("Our topics are not flushed for every message; a fair comparison needs it.")
    with psycopg.connect(settings.postgres_dsn) as connection:
        for name in DURABLE:
            found = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
            if found != ("on",):
                raise RuntimeError(f"Postgres runs with {name} = {found}; a fair comparison needs it on.")
