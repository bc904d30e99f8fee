"""Reads of who executes what: the next step of an owner, late results, outcomes with their grants, where to claim."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from continuity.api.assignments import Assignments
from continuity.api.reads import Reads
from continuity.config import Settings
from continuity.core import canonical
from continuity.core.next_step import next_step
from continuity.errors import IntegrityError
from tests.projections.conftest import Projection, empty_database, projection, projections_database
from tests.projections.histories import ACTIONS, TTL_SECONDS, Log, Project, busy, executed, late_result

__all__ = ["empty_database", "projection", "projections_database"]
pytestmark = pytest.mark.stack

OWNERS = ("one", "two", "three", "four", "five", "nobody")


def reading(projection, look):
    async def run():
        async with Reads(Settings(postgres_dsn=projection.dsn), connections_max=2) as reads:
            return await look(reads)

    return asyncio.run(run())


def projected(projection, *projects, payload=None):
    log = Log()
    for project in projects:
        for event in project.events:
            log.add(event)
    if payload is not None:
        log.mark(payload=canonical.text(payload))
    projection.project(log.records())


def test_the_next_step_of_an_owner_is_the_cores(projection: Projection):
    project = executed("shared")
    projected(projection, project)

    async def look(reads):
        return [await reads.next_step("acme", "shared", for_owner=owner) for owner in OWNERS]

    answers = reading(projection, look)
    expected = [next_step(project.state, owner) for owner in OWNERS]
    assert list(map(canonical.dumps, answers)) == list(map(canonical.dumps, expected))
    assert len({canonical.dumps(answer) for answer in answers}) > 1, "owners are told apart"


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(actions=st.lists(ACTIONS, min_size=20, max_size=40), number=st.integers(0, 10**9))
def test_it_is_the_cores_in_any_project(projection: Projection, actions, number):
    project = busy(f"busy-{number}", actions)
    if not project.events:
        return
    projection.reload()
    log = Log()
    for event in project.events:
        log.add(event)
    projection.connection.execute("TRUNCATE projection_offsets, events, workflows, goals, tasks, checkpoints, entities")
    projection.connection.execute("TRUNCATE task_dependencies, workflow_leases, task_claims, step_attempts CASCADE")
    projection.reload()
    projection.project(log.records())
    owners = {grant["owner_id"] for grant in project.state.grants.values()} | {"nobody"}

    async def look(reads):
        return {owner: await reads.next_step("acme", project.name, for_owner=owner) for owner in owners}

    for owner, answer in reading(projection, look).items():
        assert canonical.dumps(answer) == canonical.dumps(next_step(project.state, owner))


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM entities WHERE collection = 'grants'",
        "UPDATE entities SET collection = 'grantz' WHERE collection = 'grants'",
        "UPDATE entities SET doc = replace(doc, 'five', 'zero')",
        "DELETE FROM tasks WHERE status = 'todo'",
    ],
)
def test_who_holds_what_is_not_believed_unchecked(projection: Projection, damage):
    projected(projection, executed("shared"))
    assert projection.connection.execute(damage.encode()).rowcount
    with pytest.raises(IntegrityError):
        reading(projection, lambda reads: reads.next_step("acme", "shared", for_owner="six"))


def test_late_results_are_shown_to_their_tenant_newest_first_and_checked(projection: Projection):
    project = executed("shared")
    first, second = (
        late_result(project),
        late_result(
            project,
            command_id="00000000-0000-4000-8000-000000000002",
            task_id=None,
            timestamp="2027-01-15T09:00:00.000001Z",
        ),
    )
    projected(projection, project, payload={"late_results": [first, second]})

    async def look(reads):
        every = await reads.late_results("acme", "shared", limit=9)
        of_task = await reads.late_results("acme", "shared", task_id=first["task_id"], limit=9)
        newest = await reads.late_results("acme", "shared", limit=1)
        assert await reads.late_results("other", "shared", limit=9) is None
        return every, of_task, newest

    every, of_task, newest = reading(projection, look)
    assert [late["command_id"] for late in every] == [second["command_id"], first["command_id"]]
    assert of_task == every[1:]
    assert newest == every[:1]
    assert of_task[0]["refused_at"] == first["timestamp"]
    assert set(of_task[0]) == {
        "task_id", "step_id", "attempt_id", "result_ref", "result_checksum", "fencing_token", "operator_id",
        "command_id", "refused_at",
    }  # fmt: skip
    projection.connection.execute(b"UPDATE late_results SET result_ref = 'b:other'")
    with pytest.raises(IntegrityError, match="late result"):
        reading(projection, lambda reads: reads.late_results("acme", "shared", limit=9))


LOST = (
    "DELETE FROM late_results WHERE {first}",
    "DELETE FROM late_results",
    "UPDATE late_results SET workflow_id = gen_random_uuid() WHERE {first}",
    "UPDATE late_results SET tenant = 'acmf' WHERE {first}",
    "UPDATE late_results SET task_id = gen_random_uuid() WHERE {first}",
    "UPDATE late_results SET task_id = NULL WHERE {first}",
    "UPDATE late_results SET refused_at = refused_at - interval '1 year' WHERE {second}",
    "UPDATE workflows SET late_results = late_results - 1",
    "UPDATE workflows SET late_results = late_results + 1",
)


@pytest.mark.parametrize("damage", LOST)
@pytest.mark.parametrize("asked", ["all", "of a task", "the newest"])
def test_a_late_result_that_is_lost_or_has_rotted_out_of_its_list_is_missed(projection: Projection, damage, asked):
    project = executed("shared")
    ids = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(2)]
    told = [
        late_result(project, command_id=command_id, timestamp=f"2027-01-15T08:00:0{number}Z")
        for number, command_id in enumerate(ids)
    ]
    projected(projection, project, payload={"late_results": told})
    task_id = told[0]["task_id"]
    limits = {"all": {"limit": 9}, "of a task": {"limit": 9, "task_id": task_id}, "the newest": {"limit": 1}}
    ask = limits[asked]
    assert reading(projection, lambda reads: reads.late_results("acme", "shared", **ask))
    first, second = (f"command_id = '{each}'" for each in ids)
    assert projection.connection.execute(damage.format(first=first, second=second).encode()).rowcount > 0
    with pytest.raises(IntegrityError) as raised:
        reading(projection, lambda reads: reads.late_results("acme", "shared", **ask))
    assert raised.value.workflow_id == project.workflow
    assert raised.value.field


def test_the_outcome_of_a_command_tells_its_grant_or_step_again(projection: Projection):
    project = executed("shared")
    projected(projection, project)
    by_type = {event["event_type"]: event for event in project.events}

    async def look(reads):
        return {kind: await reads.command("acme", event["command_id"]) for kind, event in by_type.items()}

    outcomes = reading(projection, look)
    payload = canonical.loads(by_type["task_claimed"]["payload"])
    assert outcomes["task_claimed"]["lease"] == {
        name: payload[name] for name in ("token", "owner_id", "task_id", "ttl_seconds", "expires_at")
    }
    assert outcomes["lease_acquired"]["lease"]["task_id"] is None
    assert outcomes["step_begun"]["step"]["attempt_id"] == 2
    assert outcomes["step_completed"]["step"] == {
        "status": "completed", "step_id": "fetch", "attempt_id": 1, "result_ref": "b:1", "result_checksum": "a" * 64,
    }  # fmt: skip
    assert outcomes["step_failed"]["step"]["status"] == "failed"
    assert not {"lease", "step"} & outcomes["goal_created"].keys()


def candidates(projection, tenant="acme"):
    async def run():
        assignments = Assignments(Settings(postgres_dsn=projection.dsn), connections_max=1)
        await assignments.start()
        try:
            async with assignments.held(tenant, "00000000-0000-4000-8000-000000000001") as held:
                return await held.candidates()
        finally:
            await assignments.close()

    return asyncio.run(run())


def with_tasks(name, priority=0, tasks=1, tenant="acme"):
    project = Project(name, tenant)
    goal = project.do("create_goal", text="x", priority=priority)
    assert goal is not None
    for number in range(tasks):
        project.do("add_task", goal_id=goal["goal_id"], title=f"task {number}")
    return project


def claimed(project):
    assert project.do("claim_task", owner_id="one", ttl_seconds=TTL_SECONDS)
    return project


def test_candidates_are_projects_with_something_to_claim_the_most_important_first(projection: Projection):
    left = with_tasks("left-behind")
    left.do("start_task", task_id=next(iter(left.state.tasks)))
    paused = with_tasks("paused")
    paused.do("set_goal_status", goal_id=next(iter(paused.state.goals)), status="paused")
    leased = with_tasks("leased", priority=9)
    leased.do("acquire_lease", owner_id="one", ttl_seconds=TTL_SECONDS)
    projects = (
        with_tasks("a-low", 1), with_tasks("b-high", 5), with_tasks("c-low", 1), left, claimed(with_tasks("all-held")),
        claimed(with_tasks("half-held", 2, tasks=2)), paused, leased, with_tasks("empty", tasks=0),
        with_tasks("foreign", 9, tenant="other"),
    )  # fmt: skip
    projected(projection, *projects)
    # The one under somebody's lease comes last: it may be the caller's own.
    assert candidates(projection) == ["left-behind", "b-high", "half-held", "a-low", "c-low", "leased"]
    assert candidates(projection, "other") == ["foreign"]
    assert candidates(projection, "nobody") == []


def test_a_task_whose_claim_seems_to_have_run_out_is_worth_asking_for(projection: Projection):
    project = with_tasks("run-out")
    projected(projection, claimed(project))
    assert candidates(projection) == []
    projection.connection.execute(b"UPDATE task_claims SET lease_expires_at = now() - interval '1 s'")
    assert candidates(projection) == ["run-out"]


def test_a_stopped_project_is_no_candidate(projection: Projection):
    projected(projection, with_tasks("stopped"))
    projection.connection.execute(b"UPDATE workflows SET stopped_reason = 'damaged'")
    assert candidates(projection) == []
