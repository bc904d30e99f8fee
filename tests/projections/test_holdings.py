"""The published tables of leases, claims, attempts and completions: their form, and what they may never do."""

from typing import Any

import pytest

from continuity import contract
from continuity.core import canonical
from continuity.errors import IntegrityError
from continuity.rows import checked
from tests.projections.conftest import Projection
from tests.projections.histories import TTL_SECONDS, Log, Project, executed, late_result, scripted
from tests.projections.ledger import INSTANT, selecting
from tests.projections.test_corruption import ROT, resealed

pytestmark = pytest.mark.stack

WORKFLOW, TIME = ("workflow_id", "uuid", "NO"), "timestamp with time zone"
CONTRACT = {
    "workflow_leases": [
        WORKFLOW, ("owner_id", "text", "NO"), ("acquired_at", TIME, "NO"), ("lease_expires_at", TIME, "NO"),
        ("fencing_token", "bigint", "NO"), ("heartbeat_at", TIME, "NO"),
    ],
    "task_claims": [
        WORKFLOW, ("task_id", "uuid", "NO"), ("owner_id", "text", "NO"), ("acquired_at", TIME, "NO"),
        ("lease_expires_at", TIME, "NO"), ("fencing_token", "bigint", "NO"), ("heartbeat_at", TIME, "NO"),
    ],
    "step_attempts": [
        WORKFLOW, ("step_id", "character varying(100)", "NO"), ("attempt_id", "integer", "NO"),
        ("started_at", TIME, "NO"), ("fencing_token", "bigint", "YES"),
    ],
    "completed_steps": [
        WORKFLOW, ("step_id", "character varying(100)", "NO"), ("attempt_id", "integer", "NO"),
        ("completed_at", TIME, "NO"), ("result_snapshot_ref", "text", "YES"),
        ("result_checksum", "character varying(64)", "YES"),
    ],
}  # fmt: skip
ATTEMPT = "(workflow_id, step_id, attempt_id)"
CONSTRAINTS = {
    "workflow_leases": {"PRIMARY KEY (workflow_id)"},
    "task_claims": {"PRIMARY KEY (workflow_id, task_id)"},
    "step_attempts": {f"PRIMARY KEY {ATTEMPT}"},
    "completed_steps": {
        "PRIMARY KEY (workflow_id, step_id)", f"FOREIGN KEY {ATTEMPT} REFERENCES step_attempts{ATTEMPT}",
    },
}  # fmt: skip
KINDS: dict[str, type[Any]] = {
    "workflow_leases": contract.LeaseRow,
    "task_claims": contract.ClaimRow,
    "step_attempts": contract.AttemptRow,
    "completed_steps": contract.CompletionRow,
    "late_results": contract.LateResultRow,
}


@pytest.mark.parametrize("table", CONTRACT)
def test_the_tables_begin_as_they_are_published(projection: Projection, table):
    columns = projection.rows(
        "SELECT column_name, data_type || coalesce('(' || character_maximum_length || ')', ''), is_nullable"
        " FROM information_schema.columns WHERE table_schema = 'continuity' AND table_name = %s"
        " ORDER BY ordinal_position",
        table,
    )
    assert columns[: len(CONTRACT[table])] == CONTRACT[table]
    constraints = projection.rows(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('p', 'f')",
        table,
    )
    assert {text for (text,) in constraints} == CONSTRAINTS[table]


def test_leases_are_found_by_their_expiry(projection: Projection):
    ((text,),) = projection.rows("SELECT indexdef FROM pg_indexes WHERE indexname = 'idx_leases_expiry'")
    assert text.endswith("ON continuity.workflow_leases USING btree (lease_expires_at)")


def projected(projection: Projection, *projects: Project) -> Log:
    log = Log()
    for project in projects:
        for event in project.events:
            log.add(event)
    projection.project(log.records())
    return log


def more(projection: Projection, log: Log, *events: Any) -> Any:
    at = log.end()[0]
    for event in events:
        log.add(event)
    return projection.project(log.records(at))


def test_a_lease_that_is_released_leaves_its_row_and_its_token(projection: Projection):
    project = scripted("released")
    log = projected(projection, project)
    lease = selecting("workflow_leases")
    assert projection.rows(lease, project.workflow) == []
    taken = more(projection, log, project.do("acquire_lease", owner_id="one", ttl_seconds=TTL_SECONDS))
    assert taken.events == 1
    at = project.now
    expires_at = at + TTL_SECONDS * 1_000_000
    assert projection.rows(lease, project.workflow) == [("one", at, expires_at, 1, at, None)]
    more(projection, log, project.do("release_lease", token=1))
    assert projection.rows(lease, project.workflow) == [("one", at, project.now, 1, at, project.now)]
    more(projection, log, project.do("acquire_lease", owner_id="two", ttl_seconds=TTL_SECONDS))
    ((owner, _, _, token, _, ended_at),) = projection.rows(lease, project.workflow)
    assert (owner, token, ended_at) == ("two", 2, None)


def test_a_lease_that_was_held_and_released_in_one_batch_has_its_row(projection: Projection):
    project = scripted("brief")
    project.do("acquire_lease", owner_id="one", ttl_seconds=TTL_SECONDS)
    project.do("release_lease", token=1)
    projected(projection, project)
    ((_, _, expires_at, token, _, ended_at),) = projection.rows(selecting("workflow_leases"), project.workflow)
    assert (expires_at, token, ended_at) == (project.now, 1, project.now)


def test_an_expired_lease_ended_when_it_ran_out_and_not_when_somebody_went_over_it(projection: Projection):
    project = scripted("expired")
    project.do("acquire_lease", owner_id="one", ttl_seconds=TTL_SECONDS)
    ran_out = project.now + TTL_SECONDS * 1_000_000
    project.now = ran_out + 3_600_000_000
    doing = next(task["task_id"] for task in project.state.tasks.values() if task["status"] == "doing")
    project.do("complete_task", task_id=doing)
    projected(projection, project)
    ((_, _, expires_at, _, _, ended_at),) = projection.rows(selecting("workflow_leases"), project.workflow)
    assert expires_at == ended_at == ran_out


def test_a_completion_and_its_event_are_one_transaction(projection: Projection):
    project = executed("atomic")
    log = Log()
    for event in project.events:
        log.add(event)
    for record in log.records():
        projection.project([record])
    found = projection.rows(
        "SELECT e.event_type, e.xmin = coalesce(c.xmin, a.xmin) FROM events e"
        " LEFT JOIN step_attempts a ON a.started_at = e.timestamp AND a.step_id = e.step_id"
        " LEFT JOIN completed_steps c ON c.completed_at = e.timestamp AND c.step_id = e.step_id"
        " WHERE e.event_type IN ('step_begun', 'step_completed')"
    )
    assert sorted(found) == [("step_begun", True)] * 3 + [("step_completed", True)]


def of_another_state(project: Project, operations: list[Any]) -> Any:
    """The project's last event with another delta: it agrees with its own digests."""
    return resealed(project.events[-1], delta=canonical.text(operations))


def begun_anew(project: Project) -> list[Any]:
    attempts = project.state.steps["fetch"]["attempts"]
    again = [*attempts, {**attempts[0], "attempt_id": 2}]
    return [{"op": "replace", "path": "/steps/fetch/attempts", "value": again}]


FORBIDDEN: dict[str, Any] = {
    "a token counter that falls": lambda _: [{"op": "replace", "path": "/token_counter", "value": 1}],
    "a step that goes": lambda _: [{"op": "remove", "path": "/steps/null"}],
    "a step that is completed again": begun_anew,
    "a completion that changes": lambda _: [{"op": "replace", "path": "/steps/fetch/result_ref", "value": "b:2"}],
    "a completion by no attempt": lambda project: [
        {"op": "add", "path": "/steps/new", "value": {**project.state.steps["fetch"], "step_id": "new",
         "attempts": [{**project.state.steps["fetch"]["attempts"][0], "attempt_id": None}]}},
    ],
    "a grant that is none": lambda _: [{"op": "add", "path": "/grants/workflow", "value": {"token": 99}}],
    "a silent death of a task with a name": lambda _: [{"op": "add", "path": "/silent_deaths/x", "value": 1}],
}  # fmt: skip


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_may_never_be_stops_its_workflow_and_no_other(stepping, what):
    projection, projector = stepping
    project, sound, log = executed("forbidden"), executed("sound"), Log()
    project.do("create_goal", text="the last")
    for event in [*project.events[:-1], of_another_state(project, FORBIDDEN[what](project)), *sound.events]:
        log.add(event)
    projector.project(log.records())
    with pytest.raises(IntegrityError, match="is stopped") as raised:
        projection.state(project.workflow)
    assert (raised.value.workflow_id, raised.value.event_seq) == (project.workflow, len(project.events))
    assert projection.state(sound.workflow)["as_of_seq"] == len(sound.events)


def test_a_second_completion_stops_its_workflow_whatever_the_entities_say(stepping):
    """The table itself holds it, for ever: here the step's row was lost, and it is begun and completed anew."""
    projection, projector = stepping
    project, log = executed("twice"), Log()
    attempt = project.state.steps["fetch"]["attempts"][0]
    anew = {**project.state.steps["fetch"], "attempts": [{**attempt, "attempt_id": 2}]}
    project.do("create_goal", text="the last")
    for event in project.events[:-1]:
        log.add(event)
    projector.project(log.records())
    projection.connection.execute("DELETE FROM entities WHERE key = 'fetch'")
    at = log.end()[0]
    log.add(of_another_state(project, [{"op": "add", "path": "/steps/fetch", "value": anew}]))
    projector.project(log.records(at))
    with pytest.raises(IntegrityError, match="completed_steps_pkey"):
        projection.state(project.workflow)
    assert [row[:2] for row in projection.rows(selecting("completed_steps"), project.workflow)] == [("fetch", 1)]


ALL_COLUMNS = [(table, name) for table, kind in KINDS.items() for name in (*kind._fields, "digest")]


def rows_of(projection: Projection, table: str) -> None:
    """Read all rows of a published table by their digests."""
    kind = KINDS[table]
    names = [INSTANT.format(name) if name in contract.INSTANTS else name for name in kind._fields]
    for *columns, digest in projection.rows(f"SELECT {', '.join(names)}, digest FROM {table}"):
        checked(kind(*columns), digest)


@pytest.mark.parametrize(("table", "column"), ALL_COLUMNS)
def test_every_column_of_the_published_tables_is_covered_by_the_digest(projection: Projection, table, column):
    project = executed("rotten")
    log = projected(projection, project)
    at = log.end()[0]
    log.mark(payload=canonical.text({"late_results": [late_result(project)]}))
    projection.project(log.records(at))
    ((count,),) = projection.rows(f"SELECT count(*) FROM {table}")
    assert count > 0
    rows_of(projection, table)
    projection.connection.execute(
        "ALTER TABLE completed_steps DROP CONSTRAINT IF EXISTS completed_steps_workflow_id_step_id_attempt_id_fkey"
    )
    ((kind,),) = projection.rows(
        "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s",
        table, column,
    )  # fmt: skip
    rot = {**ROT, "character varying": ROT["text"]}[kind].format(column)
    one = f"ctid = (SELECT min(ctid) FROM {table} WHERE {column} IS NOT NULL)"
    assert projection.connection.execute(f"UPDATE {table} SET {column} = {rot} WHERE {one}".encode()).rowcount == 1
    with pytest.raises(IntegrityError) as raised:
        rows_of(projection, table)
    assert raised.value.workflow_id
    assert raised.value.field
