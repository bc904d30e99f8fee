"""A crash between any two statements of a batch repeats nothing and loses nothing."""

import itertools
from typing import Any

import psycopg
import pytest

from continuity import postgres
from continuity.projections.batch import judged
from continuity.projections.writer import Writer
from tests.projections.conftest import Projection
from tests.projections.histories import Log, executed, scripted

pytestmark = pytest.mark.stack


class Crashed(Exception):
    """The process is gone."""


class Fragile:
    """A connection that is cut before its n-th statement; the server sees no more than a vanished client."""

    def __init__(self, connection: "psycopg.Connection[Any]", statements: int) -> None:
        self._connection = connection
        self._left = statements

    def _count(self) -> None:
        if self._left == 0:
            self._connection.pgconn.finish()
            raise Crashed
        self._left -= 1

    def execute(self, *args: Any) -> Any:
        self._count()
        return self._connection.execute(*args)

    def cursor(self) -> Any:
        self._count()
        return self._connection.cursor()

    def transaction(self) -> Any:
        return self._connection.transaction()


def records_of_two_projects():
    log, projects = Log(), [scripted("one"), executed("two")]
    for step in itertools.zip_longest(*(project.events for project in projects)):
        for event in filter(None, step):
            log.add(event)
    return log.records()


def test_a_crash_before_any_statement_leaves_the_batch_before(projection: Projection):
    records = records_of_two_projects()
    first, second = records[:9], records[9:]
    projection.project(first)
    before, batch = projection.everything(), judged(projection.positions, second)
    for statements in itertools.count():
        connection = postgres.connect(projection.dsn)
        fragile: Any = Fragile(connection, statements)
        try:
            Writer(fragile, projection.writer._generation).write(batch, {})
        except Crashed:
            assert projection.everything() == before, f"after {statements} statements"
        else:
            break
        finally:
            connection.close()
    assert statements > 15, "the batch has more statements than that"
    after = projection.everything()
    assert len(after["events"]) == len(records) - 1
    projection.reload()
    projection.project(records)
    assert projection.everything() == after, "reading from the start again changes nothing"


def test_a_lost_commit_is_found_out_by_the_position(projection: Projection):
    """The commit reached the server, its confirmation did not reach us: the same batch again is not written twice."""
    records = records_of_two_projects()
    batch = judged(projection.positions, records)
    projection.writer.write(batch, {})
    after = projection.everything()
    with pytest.raises(Exception, match="is not the one that this projector left"):
        projection.writer.write(batch, {})
    assert projection.everything() == after


def test_batches_of_any_size_end_in_the_same_rows(projection: Projection):
    records = records_of_two_projects()
    projection.project(records)
    whole = projection.everything()
    projection.connection.execute("DROP SCHEMA continuity CASCADE")
    one_by_one = Projection(projection.dsn)
    for record in records:
        one_by_one.project([record])
    try:
        assert one_by_one.everything() == whole
    finally:
        one_by_one.connection.close()
