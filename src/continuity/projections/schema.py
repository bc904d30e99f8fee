"""The tables of the projections, made from `sql/schema.sql`. Nothing in them is a source of anything.

Therefore there are no migrations: another version is refused, and `continuity rebuild` makes the tables anew from the
log. A rebuild fills a schema of its own beside the live one; `install` takes the name of the one to make.
"""

from functools import lru_cache
from importlib.resources import files
from uuid import uuid4

from psycopg import Connection, sql

from continuity import postgres, roles
from continuity.postgres import SCHEMA, SCHEMA_VERSION

INSTALL_LOCK = 0x636F6E74
"""Two services that start together must not make the tables at the same time."""


@lru_cache
def statement(name: str) -> str:
    """The text of `sql/NAME.sql`."""
    return files("continuity.projections").joinpath("sql", f"{name}.sql").read_text()


def ensure(connection: "Connection[tuple[object, ...]]") -> None:
    """Make the live tables if there are none, as the login role, which is then their owner.

    Raises ConfigError when there are some of another version, or when the login role may not do what it takes.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (INSTALL_LOCK,))
        roles.ensure(connection)
        found = postgres.schema_version(connection)
        if found is None:
            install(connection, SCHEMA)
            _be_found_by_people(connection)
            found = SCHEMA_VERSION
        postgres.check_version(found)
        if not connection.execute("SELECT to_regclass('continuity_intake.assignments')").fetchone()[0]:  # type: ignore[index]
            connection.execute(statement("intake").encode())


def install(connection: "Connection[tuple[object, ...]]", schema: str) -> str:
    """Make empty tables in a new schema, in the caller's transaction; the generation drawn for it."""
    roles.ensure(connection)
    generation = str(uuid4())
    connection.execute(sql.SQL("CREATE SCHEMA {0}").format(sql.Identifier(schema)))
    connection.execute(sql.SQL("SET LOCAL search_path TO {0}").format(sql.Identifier(schema)))
    connection.execute(statement("schema").encode())
    connection.execute(statement("access").encode())
    connection.execute("INSERT INTO schema_version (version, generation) VALUES (%s, %s)", (SCHEMA_VERSION, generation))
    return generation


def drop(connection: "Connection[tuple[object, ...]]", schema: str) -> None:
    """Remove a schema and all in it, if it is there."""
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {0} CASCADE").format(sql.Identifier(schema)))


def _be_found_by_people(connection: "Connection[tuple[object, ...]]") -> None:
    """Let whoever opens `psql` as this role see the tables without naming the schema."""
    connection.execute(
        sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {0} SET search_path TO {1}, public").format(
            sql.Identifier(connection.info.dbname), sql.Identifier(SCHEMA)
        )
    )
