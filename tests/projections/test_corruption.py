"""Damage stops the workflow that it is in, is named, and is never an answer; the others go on."""

from typing import Any

import pytest

from continuity.core import seal
from continuity.core.records import Event
from continuity.errors import IntegrityError
from tests.projections.conftest import Projection
from tests.projections.histories import Log, executed, scripted

pytestmark = pytest.mark.stack


def resealed(event: Event, **fields: Any) -> Any:
    """An event with other fields that agrees with its own digests: only the chain can tell."""
    changed: Any = {**event, **fields}
    changed["checksum"] = seal.digest(changed["payload"])
    changed["event_hash"] = seal.event_hash(changed)
    return changed


NOBODY = "00000000-0000-0000-0000-000000000000"
FLAWS: dict[str, Any] = {
    "a changed payload": lambda event: {**event, "payload": event["payload"].replace("half", "hulf")},
    "a changed delta": lambda event: {**event, "delta": event["delta"].replace("half", "hulf")},
    "another hash before it": lambda event: resealed(event, prev_hash="f" * 64),
    "a number left out": lambda event: resealed(event, event_seq=event["event_seq"] + 1),
    "a delta of another state": lambda event: resealed(event, delta=f'[{{"op":"remove","path":"/tasks/{NOBODY}"}}]'),
    "a delta of a newer version": lambda event: resealed(event, delta='[{"op":"add","path":"/leases/x","value":{}}]'),
    "a delta that is none": lambda event: resealed(event, delta='{"op": 1}'),
    "another tenant's workflow": lambda event: resealed(event, tenant="other"),
    "a type too long for its column": lambda event: resealed(event, event_type="x" * 60),
    "U+0000 in a name": lambda event: resealed(event, session_id="a\0b"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_damaged_event_stops_its_workflow_and_no_other(stepping, flaw):
    projection, projector = stepping
    damaged, sound = scripted("damaged"), scripted("sound")
    log, at = Log(), 6  # the checkpoint, whose payload and delta say "half"
    for number, event in enumerate(damaged.events):
        log.add(FLAWS[flaw](event) if number == at else event)
        log.add(sound.events[number])
    projector.project(log.records())
    assert projection.next_step(sound.workflow)["as_of_seq"] == len(sound.events)
    with pytest.raises(IntegrityError) as raised:
        projection.next_step(damaged.workflow)
    assert raised.value.workflow_id == damaged.workflow
    assert raised.value.event_seq == at + 1
    seqs = projection.rows("SELECT max(event_seq) FROM events WHERE workflow_id = %s", damaged.workflow)
    assert seqs == [(at,)], "nothing from the damaged event on is in the journal"
    assert projector.counts["stopped"] == 1
    ((tables_end,),) = projection.rows("SELECT next_offset FROM projection_offsets WHERE partition = 0")
    assert tables_end == log.end()[0], "the position has passed all of it"


COLUMNS = {
    "workflows": (
        "head_seq", "head_hash", "head_timestamp", "state_checksum", "token_counter", "next_rule", "next_task_id",
        "next_key", "project",
    ),
    "tasks": (
        "goal_id", "status", "created_seq", "changed_seq", "unmet_count", "checkpoint_seq", "doc", "digest", "task_id",
    ),
    "checkpoints": ("seq", "doc", "digest", "task_id"),
}  # fmt: skip
ROT = {
    "bigint": "{0} + 1", "integer": "{0} + 1", "smallint": "3 - {0}", "text": "overlay({0} placing 'X' from 3 for 1)",
    "uuid": "'00000000-0000-4000-8000-000000000000'", "bytea": "set_bit({0}, 9, 1 - get_bit({0}, 9))",
    "timestamp with time zone": "{0} + interval '1 microsecond'", "bigint[]": "array_append({0}, 1)",
}  # fmt: skip


@pytest.mark.parametrize(("table", "column"), [(table, column) for table, names in COLUMNS.items() for column in names])
def test_a_rotten_row_is_never_an_answer(projection: Projection, table, column):
    project, other = scripted("rotten"), scripted("sound")
    log = Log()
    for event in project.events + other.events:
        log.add(event)
    projection.project(log.records())
    task = projection.next_step(project.workflow)["task_id"]
    ((kind,),) = projection.rows(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s",
        table, column,
    )  # fmt: skip
    of_task = "" if table == "workflows" else f"AND task_id = '{task}'"
    rot = f"UPDATE {table} SET {column} = {ROT[kind].format(column)} WHERE workflow_id = '{project.workflow}' {of_task}"
    projection.connection.execute(rot.encode())
    with pytest.raises(IntegrityError) as raised:
        projection.next_step(project.workflow)
    assert raised.value.workflow_id == project.workflow
    assert raised.value.field
    with pytest.raises(IntegrityError):
        projection.state(project.workflow)
    assert projection.next_step(other.workflow)["as_of_seq"] == len(other.events)


KEYS = {"grants": "collection = 'grants'", "steps": "key = 'fetch'", "silent_deaths": "collection = 'silent_deaths'"}


@pytest.mark.parametrize("column", ["collection", "key", "doc", "digest", "workflow_id"])
@pytest.mark.parametrize("collection", KEYS)
def test_a_rotten_grant_step_or_death_is_never_part_of_a_state(projection: Projection, collection, column):
    project, sound, log = executed("rotten"), executed("sound"), Log()
    for event in project.events + sound.events:
        log.add(event)
    projection.project(log.records())
    rot = {
        "doc": "regexp_replace(doc, '[0-9]', '7' || '0')", "digest": ROT["bytea"].format("digest"),
        "workflow_id": ROT["uuid"].format("workflow_id"),
    }.get(column, ROT["text"].format(column))  # fmt: skip
    assert projection.state(project.workflow)["state_checksum"] == project.state.checksum
    ((key, place),) = projection.rows(
        f"SELECT key, ctid::text FROM entities WHERE workflow_id = %s AND {KEYS[collection]} ORDER BY ctid LIMIT 1",
        project.workflow,
    )
    projection.connection.execute(f"UPDATE entities SET {column} = {rot} WHERE ctid = '{place}'".encode())
    with pytest.raises(IntegrityError) as raised:
        projection.state(project.workflow)
    assert raised.value.workflow_id == project.workflow
    assert raised.value.field
    if column in ("doc", "digest"):
        assert key in raised.value.field
    assert projection.state(sound.workflow)["state_checksum"] == sound.state.checksum


@pytest.mark.parametrize("table", ["goals", "tasks", "checkpoints", *KEYS])
def test_a_missing_row_is_never_a_state(projection: Projection, table):
    project, log = executed("hollow"), Log()
    for event in project.events:
        log.add(event)
    projection.project(log.records())
    assert projection.state(project.workflow)["state_checksum"] == project.state.checksum
    name, which = ("entities", KEYS[table]) if table in KEYS else (table, "true")
    gone = f"DELETE FROM {name} WHERE ctid = (SELECT min(ctid) FROM {name} WHERE {which})"
    assert projection.connection.execute(gone.encode()).rowcount == 1
    with pytest.raises(IntegrityError, match="do not make up its state"):
        projection.state(project.workflow)


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("entities", "doc = replace(doc, 'two', 'eve')"),
        ("workflow_leases", "fencing_token = fencing_token - 1"),
        ("workflows", "token_counter = token_counter - 1"),
    ],
)
def test_what_is_held_is_not_built_upon_once_it_is_rotten(stepping, table, change):
    projection, projector = stepping
    project, other, log = scripted("rotten"), scripted("sound"), Log()
    for each in (project, other):
        each.do("acquire_lease", owner_id="two", ttl_seconds=30)
        for event in each.events:
            log.add(event)
    projector.project(log.records())
    rot = f"UPDATE {table} SET {change} WHERE workflow_id = '{project.workflow}'"
    assert projection.connection.execute(rot.encode()).rowcount > 0
    at = log.end()[0]
    for each in (project, other):
        each.do("release_lease", token=1)
        log.add(each.events[-1])
    projector.project(log.records(at))
    assert projector.counts["stopped"] == 1
    with pytest.raises(IntegrityError, match="is stopped"):
        projection.next_step(project.workflow)
    assert projection.state(other.workflow)["state_checksum"] == other.state.checksum


@pytest.mark.parametrize(
    ("table", "column"), [("tasks", "doc"), ("checkpoints", "doc"), ("goals", "doc"), ("workflows", "head_seq")]
)
def test_a_row_that_rots_before_the_next_batch_is_not_built_upon(stepping, table, column):
    projection, projector = stepping
    project, other, log = scripted("rotten"), scripted("sound"), Log()
    for each in (project, other):
        task_id = each.events[-1]["task_id"]
        each.do("update_checkpoint", task_id=task_id, where_left_off="more", next_step="the rest", context_refs=[])
    for event in project.events[:-1] + other.events[:-1]:
        log.add(event)
    projector.project(log.records())
    change = "head_seq + 1" if column == "head_seq" else "replace(doc, '\"', '''')"
    rot = f"UPDATE {table} SET {column} = {change} WHERE workflow_id = '{project.workflow}'"
    projection.connection.execute(rot.encode())
    at = log.end()[0]
    log.add(project.events[-1])
    log.add(other.events[-1])
    projector.project(log.records(at))
    assert projector.counts["stopped"] == 1
    with pytest.raises(IntegrityError, match="is stopped"):
        projection.next_step(project.workflow)
    assert projection.next_step(other.workflow)["as_of_seq"] == len(other.events)
