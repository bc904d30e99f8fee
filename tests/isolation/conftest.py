"""A database with the work of two tenants in every table, written as the services write it: in their roles."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from continuity import postgres, roles
from continuity.blobs import Folder
from continuity.core import canonical
from continuity.core.snapshot import Policy
from continuity.postgres import BoundedConnection
from continuity.projections import schema as tables
from continuity.projections.batch import judged
from continuity.projections.schema import statement
from continuity.projections.snapshots import Snapshots
from continuity.projections.writer import Writer, read_positions
from tests.projections.histories import Log, Project, executed, late_result

OURS, THEIRS, NOBODY = "acme", "other", "nobody"
REFUSED_ID = "00000000-0000-4000-8000-0000000000ff"


class Shared(NamedTuple):
    """The database, the blobs of its snapshots, and the one project of each tenant: both have the same name."""

    dsn: str
    blobs: Folder
    ours: Project
    theirs: Project


As = Callable[..., BoundedConnection]


@pytest.fixture
def shared(database: str, tmp_path: Path) -> Shared:
    made = Shared(database, Folder(tmp_path / "blobs"), _worked(OURS), _worked(THEIRS))
    log = Log()
    for project in (made.ours, made.theirs):
        for event in project.events:
            log.add(event)
        log.mark(payload=canonical.text({"late_results": [late_result(project)]}))
    with postgres.connect(database, synchronous_commit="off") as connection:
        tables.ensure(connection)
        roles.become(connection, roles.PROJECTOR)
        stored = read_positions(connection, range(2), "events-1")
        snapshots = Snapshots(connection, made.blobs, Policy(every_events=5))
        writer = Writer(connection, stored.generation, snapshots=snapshots)
        written = writer.write(judged(stored.by_partition, log.records()), {})
        assert not written.stopped
        for number, tenant in enumerate((OURS, THEIRS)):
            connection.execute(statement("write_rejection"), _rejection(number, tenant))
    for tenant in (OURS, THEIRS):
        with postgres.connect(database, statement_seconds=5, **as_role(roles.INTAKE, tenant)) as connection:
            connection.execute(
                "INSERT INTO continuity_intake.assignments (tenant, command_id, project) VALUES (%s, %s, 'same')",
                (tenant, REFUSED_ID),
            )
    return made


@pytest.fixture
def connected(shared: Shared) -> Iterator[As]:
    """`connected(role, tenant)`: a connection in a role, as a service has it; with no role, as the login role."""
    with ExitStack() as stack:

        def connect(role: str | None = None, tenant: str | None = None) -> BoundedConnection:
            return stack.enter_context(postgres.connect(shared.dsn, statement_seconds=5, **as_role(role, tenant)))

        yield connect


def as_role(role: str | None, tenant: str | None) -> dict[str, str]:
    """The options of a connection in a role, for as long as it lasts as one tenant."""
    options = {"role": role, roles.TENANT_SETTING: tenant}
    return {name: value for name, value in options.items() if value is not None}


def _worked(tenant: str) -> Project:
    project = executed("same", tenant)
    goal = next(iter(project.state.goals))
    assert project.do("add_task", goal_id=goal, title="ready for whoever comes")
    return project


def _rejection(number: int, tenant: str) -> list[Any]:
    what = ["start_task", tenant, "same", None, "ada", "human", None, "unknown_task", "No.", "Look."]
    return [0, 1, number, 1, REFUSED_ID, *what, "2027-01-15T08:00:00Z", None]
