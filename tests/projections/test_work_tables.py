"""The work tables are what the core says: next step, state, and all that an index stands on."""

import itertools
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from continuity.api.reads import _statement as api_statement
from continuity.core import canonical
from continuity.core.evolve import evolve
from continuity.core.next_step import is_ready, next_step
from continuity.core.records import Event
from continuity.core.restore import restore
from continuity.core.state import State
from continuity.projections.record import standing_on
from continuity.projections.schema import statement as projector_statement
from continuity.rows import EVENT_COLUMNS, event_of
from tests.projections.conftest import Projection
from tests.projections.histories import ACTIONS, Log, Project, busy, executed, scripted
from tests.projections.ledger import selecting, told

pytestmark = pytest.mark.stack
NAMES = (f"p{number}" for number in itertools.count())
REAL_DATABASE = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes here: switch it on to hunt
)


@REAL_DATABASE
@given(st.lists(ACTIONS, min_size=30, max_size=90), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_the_next_step_from_sql_is_the_cores_after_every_batch(projection: Projection, actions, sizes):
    project = busy(next(NAMES), actions)
    log = continued(projection)
    for event in project.events:
        log.add(event)
    size = itertools.cycle(sizes)
    done = 0
    while done < len(project.events):
        at = projection.positions[0].next_offset
        projection.project(log.records(at)[: next(size)])
        done = projection.positions[0].acceptance.epoch_seq
        if done:
            check_agrees(projection, project, project.states[done])
            check_holdings(projection, project, project.states[done])


def check_holdings(projection: Projection, project: Project, state: State, inherited: Iterable[Event] = ()) -> None:
    """What is held and executed: the state's documents, and the published tables as the events tell them."""
    found = projection.rows("SELECT collection, key, doc FROM entities WHERE workflow_id = %s", project.workflow)
    documents = {name: getattr(state, name) for name in ("grants", "steps", "silent_deaths")}
    assert {(collection, key): doc for collection, key, doc in found} == {
        (name, key): canonical.text(document) for name, those in documents.items() for key, document in those.items()
    }
    ((counter,),) = projection.rows("SELECT token_counter FROM workflows WHERE workflow_id = %s", project.workflow)
    assert counter == state.token_counter
    for table, rows in told(project.events[: state.head_seq], inherited).items():
        assert set(projection.rows(selecting(table), project.workflow)) == rows, table


def check_agrees(projection: Projection, project: Project, state: State) -> None:
    """The stored work is `state`: the answer, the documents, and the columns that indexes stand on."""
    answer = projection.next_step(project.workflow)
    assert canonical.dumps(answer) == canonical.dumps(next_step(state))
    found = projection.state(project.workflow)
    assert found["state_checksum"] == state.checksum
    assert {goal["goal_id"]: goal for goal in found["goals"]} == dict(state.goals)
    assert {task["task_id"]: task for task in found["tasks"]} == dict(state.tasks)
    assert {checkpoint["task_id"]: checkpoint for checkpoint in found["checkpoints"]} == dict(state.checkpoints)
    tasks = projection.rows(
        "SELECT task_id, status, unmet_count, checkpoint_seq FROM tasks WHERE workflow_id = %s", project.workflow
    )
    for task_id, status, unmet_count, checkpoint_seq in tasks:
        task = state.tasks[task_id]
        unmet = {needed for needed in task["depends_on"] if state.tasks[needed]["status"] != "done"}
        assert (status, unmet_count) == (task["status"], len(unmet))
        assert (unmet_count == 0) == is_ready(state, task)
        checkpoint = state.checkpoints.get(task_id)
        assert checkpoint_seq == (checkpoint and checkpoint["seq"])
    edges = projection.rows(
        "SELECT task_id, depends_on FROM task_dependencies WHERE workflow_id = %s", project.workflow
    )
    assert set(edges) == {(task["task_id"], needed) for task in state.tasks.values() for needed in task["depends_on"]}


@REAL_DATABASE
@given(st.lists(ACTIONS, min_size=20, max_size=60), st.integers(0, 100), st.lists(ACTIONS, max_size=10))
def test_a_delta_may_take_back_what_was(projection: Projection, actions, back, more):
    """As an event does that returns the work to how it stood: entities go, and come again with their old fields."""
    project = busy(next(NAMES), actions)
    log = continued(projection)
    for event in project.events:
        log.add(event)
    log.add(project.returned_to(project.states[1 + back % (len(project.events) - 1)]))
    for action in more:
        accepted = project.act(action)
        if accepted is not None:
            log.add(accepted)
    projection.project(log.records(projection.positions[0].next_offset))
    check_agrees(projection, project, project.state)
    check_holdings(projection, project, project.state)


@REAL_DATABASE
@given(st.lists(ACTIONS, min_size=20, max_size=60), st.integers(0, 100), st.lists(ACTIONS, max_size=20), st.booleans())
def test_a_fork_begins_with_all_that_its_origin_had(projection: Projection, actions, back, more, at_once):
    """Its first event has an empty delta, and stands on the state that the projector is given."""
    origin = busy(next(NAMES), actions)
    seq = 1 + back % len(origin.events)
    project = origin.forked(next(NAMES), seq)
    for action in more:
        project.act(action)
    log = continued(projection)
    for event in project.events:
        log.add(event)
    opening, first, *rest = log.records(projection.positions[0].next_offset)
    first = standing_on(first, project.states[0])
    for records in [[opening, first, *rest]] if at_once else [[opening, first], rest]:
        projection.project(records)
    check_agrees(projection, project, project.state)
    check_holdings(projection, project, project.state, origin.events[:seq])


def continued(projection: Projection) -> Log:
    """A log that goes on where the projection stands, in a new epoch."""
    log = Log(sequencer_id=str(uuid4()))
    log.epoch[0] = projection.positions[0].acceptance.epoch
    log.source_offset = projection.positions[0].acceptance.source_offset
    log.values[0] = [b""] * projection.positions[0].next_offset
    log.open()
    return log


def test_events_deltas_and_rows_fold_to_one_state(projection: Projection):
    log, projects = Log(), [*(scripted(f"p{number}", number + 1) for number in range(4)), executed("p4")]
    for step in itertools.zip_longest(*(project.events for project in projects)):
        for event in filter(None, step):
            log.add(event)
    projection.project(log.records())
    for project in projects:
        rows = projection.rows(
            f"SELECT {EVENT_COLUMNS} FROM events WHERE workflow_id = %s ORDER BY event_seq", project.workflow
        )
        journal = [event_of(row) for row in rows]
        by_payload = State(project.workflow)
        for event in journal:
            by_payload = evolve(by_payload, event)
        by_delta = restore(project.workflow, journal)
        assert by_payload == by_delta == project.state
        check_agrees(projection, project, by_delta)
        check_holdings(projection, project, by_delta)


def test_the_journal_gives_back_each_event_as_it_was_written(projection: Projection):
    log, project = Log(), busy("texts", [("create_goal", 0, n, []) for n in range(5)])
    for event in project.events:
        log.add(event)
    projection.project(log.records())
    rows = projection.rows(f"SELECT {EVENT_COLUMNS}, log_partition, log_offset FROM events ORDER BY event_seq")
    stored = {row[-1]: (row[-2], event_of(row[:-2])) for row in rows}
    written = {record.offset: (record.partition, record.event) for record in log.records()[1:]}
    assert stored == written


def test_rows_and_operators_name_what_people_look_for(projection: Projection):
    log, project = Log(), scripted("people")
    for event in project.events:
        log.add(event)
    projection.project(log.records())
    ((tenant, operator, kind, count),) = projection.rows(
        "SELECT tenant, operator_id, operator_kind, events FROM operators"
    )
    assert (tenant, operator, kind, count) == ("acme", "ada", "human", len(project.events))
    ((doc,),) = projection.rows("SELECT doc FROM goals")
    assert orjson.loads(doc)["text"] == "ship it"


@pytest.fixture(params=[10, 2_000])
def large(request: pytest.FixtureRequest, projection: Projection) -> Project:
    """A project of so many tasks, of which every other depends on the one before, in ten goals."""
    log, project = Log(), Project("large")
    goals = [project.do("create_goal", text="large", priority=number) for number in range(10)]
    previous: list[Any] = []
    for number in range(request.param):
        goal: Any = goals[number % 10]
        needed = previous[-1:] if number % 2 else []
        added: Any = project.do("add_task", goal_id=goal["goal_id"], title=f"task {number}", depends_on=needed)
        previous.append(added["task_id"])
    for event in project.events:
        log.add(event)
    projection.project(log.records())
    check_agrees(projection, project, project.state)
    return project


READ, WRITTEN = api_statement, projector_statement


@pytest.mark.parametrize(
    ("text", "parameters", "pages_max"),
    [
        (READ("next_step"), ["{workflow}", "acme"], 12),
        (READ("head"), ["{workflow}", "acme"], 4),
        (READ("projects"), ["acme", "", 10], 4),
        (READ("first_events"), ["acme", "", 10], 4),
        (WRITTEN("load_tasks"), ["{{{workflow}}}", "{{{task}}}"], 6),
        (WRITTEN("load_entities"), ["{{{workflow}}}", "{{steps}}", "{{fetch}}"], 6),
        (WRITTEN("load_leases"), ["{{{workflow}}}"], 4),
        (WRITTEN("load_claims"), ["{{{workflow}}}", "{{{task}}}"], 6),
        (WRITTEN("load_dependents"), ["{{{workflow}}}", "{{{task}}}"], 6),
        (WRITTEN("best_tasks"), ["{{{workflow}}}", "{{{goal}}}"], 16),
        (WRITTEN("next_steps"), ["{{{workflow}}}"], 20),
    ],
)
def test_statements_touch_as_many_pages_for_ten_tasks_as_for_thousands(
    projection: Projection, large: Project, text, parameters, pages_max
):
    names = {"workflow": large.workflow, "task": next(iter(large.state.tasks)), "goal": next(iter(large.state.goals))}
    given = [each.format(**names) if isinstance(each, str) else each for each in parameters]
    ((explained,),) = projection.rows(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}", *given)
    plan = explained[0]["Plan"]
    assert "Seq Scan" not in orjson.dumps(plan).decode()
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= pages_max
