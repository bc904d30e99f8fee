"""The roles in Postgres: what each part of the product may do there, whatever its statements say. A flat adapter.

Nobody logs in as one of them. A service logs in as before, and becomes its role for as long as the connection lasts:
connect with the option `role`. Roles belong to a whole cluster, so databases that share one share them, too; what they
may do is granted in each database (`projections/sql/access.sql`, `projections/sql/intake.sql`).
"""

from typing import Any, Final

from psycopg import Connection, errors, sql

from continuity.errors import ConfigError

PROJECTOR: Final = "continuity_projector"
"""Writes the projections of all tenants. Of the journal, and of what is said once for ever, it may add rows only."""
READER: Final = "continuity_reader"
"""Reads everything, of all tenants: the sequencer, and checks of the whole system. Writes nothing."""
TENANT: Final = "continuity_tenant"
"""Reads the rows of one tenant, the one that the setting TENANT_SETTING names; without it none. Writes nothing."""
INTAKE: Final = "continuity_intake"
"""The same, and remembers where this tenant's claims were sent."""
ROLES: Final = (PROJECTOR, READER, TENANT, INTAKE)

TENANT_SETTING: Final = "continuity.tenant"
"""Compared by the policies. Whoever can run a statement of their own can set it, and callers cannot: it is no lock
against them, but a second net under our own statements, for the day on which one forgets its WHERE."""

SET_TENANT: Final = f"SELECT set_config('{TENANT_SETTING}', %s, true)"
"""Names the tenant until the transaction ends, so that no connection keeps it for the next request."""

MISSING: Final = """
SELECT name, pg_has_role(current_user, role.oid, 'SET') FROM unnest(%s::text[]) AS wanted (name)
LEFT JOIN pg_roles AS role ON role.rolname = wanted.name
WHERE role.oid IS NULL OR NOT pg_has_role(current_user, role.oid, 'SET')
"""

RACES: Final = (errors.DuplicateObject, errors.UniqueViolation, errors.InternalError_)
"""What the loser of two services that make the same role at once is told, from whichever databases they do it."""


def ensure(connection: "Connection[Any]") -> None:
    """Make the roles that are missing, and let the login role become each. Raises ConfigError with what to run."""
    for left in (2, 1, 0):
        missing = connection.execute(MISSING.encode(), (list(ROLES),)).fetchall()
        if not missing:
            return
        statements = _statements(connection, missing)
        try:
            with connection.transaction():  # a savepoint, where the caller is in a transaction
                for statement in statements:
                    connection.execute(statement.encode())
        except errors.InsufficientPrivilege as error:
            raise ConfigError(
                f"The roles in Postgres cannot be made: {error.diag.message_primary}.",
                fix=f"Run once, as a superuser: {' '.join(statements)}",
            ) from error
        except RACES:
            if not left:
                raise


def become(connection: "Connection[Any]", role: str) -> None:
    """Work as this role until the connection ends. Whoever makes no tables says so when connecting, by `role`."""
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))


def _statements(connection: "Connection[Any]", missing: list[tuple[str, bool | None]]) -> list[str]:
    """What to run for the roles that are not there (None) or that the login role may not become (False)."""
    login = connection.execute("SELECT quote_ident(current_user)").fetchone()[0]  # type: ignore[index]
    names = ", ".join(name for name, _ in missing)
    # Without INHERIT: the login role itself gets none of their rights, so who forgets to become one sees no tenant.
    return [
        *(f"CREATE ROLE {name} NOLOGIN;" for name, is_allowed in missing if is_allowed is None),
        f"GRANT {names} TO {login} WITH INHERIT FALSE, SET TRUE;",
    ]
