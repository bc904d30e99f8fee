"""Another version of the tables than the installed program's: the embedded stack makes them anew by itself."""

import os

import psycopg
import pytest

from continuity import Continuity, embedded, keys, postgres

pytestmark = pytest.mark.stack


def test_tables_of_an_older_version_are_made_anew_when_the_stack_starts(new_home):
    settings = new_home()
    try:
        running = embedded.up(settings, owner_pid=os.getpid())
        key = keys.local_key(settings.data_dir)
        with Continuity("p", url=running.api_url, key=key) as work:
            work.create_goal("Outlive the upgrade", 1)
            before = work.get_next_step()
        with psycopg.connect(running.postgres_dsn, autocommit=True) as connection:
            connection.execute("UPDATE continuity.schema_version SET version = version - 1")
        embedded.down(settings)
        running = embedded.up(settings, owner_pid=os.getpid())
        with Continuity("p", url=running.api_url, key=key) as work:
            assert work.get_next_step() == before
        with psycopg.connect(running.postgres_dsn) as connection:
            assert postgres.schema_version(connection) == postgres.SCHEMA_VERSION
    finally:
        embedded.down(settings)
