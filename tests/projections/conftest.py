"""A projection of its own for each test: installed tables, and a writer that needs no broker."""

import secrets
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from continuity import postgres
from continuity.api import assembly
from continuity.api.reads import _statement
from continuity.config import Settings
from continuity.core.next_step import NextStep
from continuity.postgres import SCHEMA, BoundedConnection
from continuity.projections import Projector
from continuity.projections import schema as tables
from continuity.projections.batch import Batch, judged
from continuity.projections.rebuild import RETIRED, SHADOW
from continuity.projections.record import Record
from continuity.projections.writer import Writer, Written, read_positions


class Projection:
    """Projects records without a broker, and reads back what the API reads."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.connection: BoundedConnection = postgres.connect(dsn, synchronous_commit="off")
        tables.ensure(self.connection)
        self.reload()

    def reload(self) -> None:
        stored = read_positions(self.connection, range(2), "events-1")
        self.positions = dict(stored.by_partition)
        self.writer = Writer(self.connection, stored.generation)

    def project(self, records: list[Record], condemned: dict[str, str] | None = None) -> Written:
        batch: Batch = judged(self.positions, records)
        written = self.writer.write(batch, condemned or {})
        self.positions.update(batch.after)
        return written

    def next_step(self, workflow: str, tenant: str = "acme") -> NextStep:
        row = self.connection.execute(_statement("next_step"), (workflow, tenant)).fetchone()
        assert row is not None
        return assembly.next_step_of(row)

    def state(self, workflow: str, tenant: str = "acme") -> Any:
        found, *rows = (
            self.connection.execute(_statement(name), (workflow, tenant)).fetchall()
            for name in ("head", "goals", "tasks", "checkpoints", "entities")
        )
        return assembly.state_of(assembly.head_of(found[0]), *rows)

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(query.encode(), parameters).fetchall()

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that is stored, in an order of its own, to compare two projections."""
        names = (
            "events", "workflows", "goals", "tasks", "task_dependencies", "checkpoints", "entities", "workflow_leases",
            "task_claims", "step_attempts", "completed_steps", "late_results", "operators", "projection_offsets",
        )  # fmt: skip
        return {name: sorted(self.rows(f"SELECT * FROM {name}"), key=repr) for name in names}


@pytest.fixture(scope="session")
def projections_database(stack: Settings) -> Iterator[str]:
    """One database for all tests that drop the tables themselves: making and dropping one takes a second."""
    name = f"projections_{secrets.token_hex(3)}"
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield make_conninfo(stack.postgres_dsn, dbname=name)
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def empty_database(projections_database: str) -> str:
    """A database without our tables."""
    with psycopg.connect(projections_database, autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        for schema in (SCHEMA, SHADOW, RETIRED):
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())
    return projections_database


@pytest.fixture
def projection(empty_database: str) -> Iterator[Projection]:
    made = Projection(empty_database)
    yield made
    made.connection.close()


@pytest.fixture
def stepping(projection: Projection) -> tuple[Projection, Projector]:
    """A projection, and a projector over it that is given records instead of reading them from a broker."""
    projector = Projector(Settings(postgres_dsn=projection.dsn))
    projector._connection = projection.connection
    projector._writer = projection.writer
    projector.positions = projection.positions
    return projection, projector
