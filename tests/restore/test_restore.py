"""A state is read back exactly as it was committed, on top of a snapshot, or not at all."""

from pathlib import Path
from typing import Any

import pytest

from continuity import restoring
from continuity.blobs import ref_of
from continuity.core import canonical, seal, snapshot
from continuity.core.history import forked as base_of
from continuity.core.seal import digest
from continuity.core.state import State
from continuity.errors import IntegrityError, Retryable
from continuity.postgres import connect
from continuity.projections.schema import statement
from continuity.projections.snapshots import _parameters
from continuity.restoring import COLUMNS, SnapshotRow, restore_all
from tests.projections.histories import Project, scripted
from tests.restore.conftest import Keeping, Kept, same

pytestmark = pytest.mark.stack
EVERY = 20


@pytest.fixture
def kept(keeping: Keeping, history: Project) -> Kept:
    made = keeping(every_events=EVERY, keep=100)
    made.project(history.events, batch=37)
    return made


@pytest.fixture
def large(keeping: Keeping, history: Project) -> Kept:
    """Every snapshot lies in a blob."""
    made = keeping(every_events=EVERY, keep=100, inline_bytes_max=0)
    made.project(history.events)
    return made


# What is committed comes back


def test_every_event_can_be_gone_back_to_and_no_restore_replays_much(kept: Kept, history: Project) -> None:
    for seq in range(len(history.events) + 1):
        found = kept.restored(history.workflow, seq)
        assert same(found.state, history.states[seq]), seq
        assert found.replayed == seq % EVERY
        assert found.base_seq == seq - seq % EVERY
        assert found.healed == ()
    assert same(kept.restored(history.workflow).state, history.state)


def test_a_blob_gives_the_same_as_a_row(large: Kept, history: Project) -> None:
    assert large.rows("SELECT count(*) FROM snapshots WHERE state_inline IS NOT NULL") == [(0,)]
    for seq in (EVERY, EVERY + 1, 5 * EVERY - 1, len(history.events)):
        assert same(large.restored(history.workflow, seq).state, history.states[seq])
    assert large.blobs.read == 4


def test_what_is_unknown_is_empty_and_what_is_not_projected_is_awaited(kept: Kept, history: Project) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    assert kept.restored(nobody).state == State(nobody)
    assert kept.restored(history.workflow, 0).state == State(history.workflow)
    with pytest.raises(Retryable, match=f"{len(history.events)} is the last"):
        kept.restored(history.workflow, len(history.events) + 1)


def test_many_workflows_are_read_in_one_look(keeping: Keeping) -> None:
    kept = keeping(every_events=4)
    projects = [scripted(f"p{number}", 1 + number % 5) for number in range(70)]
    kept.project([event for project in projects for event in project.events])
    stopped, headless, rotten = projects[:3]
    kept.change("UPDATE workflows SET stopped_reason = 'why not' WHERE workflow_id = %s", stopped.workflow)
    kept.change("UPDATE events SET delta = '[]' WHERE workflow_id = %s AND event_seq = 9", rotten.workflow)
    kept.change("UPDATE workflows SET head_seq = 3 WHERE workflow_id = %s", headless.workflow)
    with kept.reader.transaction():
        look = restore_all(kept.reader, kept.blobs, [project.workflow for project in projects])
    assert dict(look.stopped) == {stopped.workflow: "why not"}
    assert set(look.failed) == {rotten.workflow, headless.workflow}
    assert {key: found.state for key, found in look.restored.items()} == {
        project.workflow: project.state for project in projects[3:]
    }


def test_a_restore_is_one_look_while_the_projector_goes_on(keeping: Keeping, history: Project) -> None:
    """Between the head and the journal, a projector commits: the journal is longer, and no damage."""
    kept = keeping(every_events=EVERY)
    kept.project(history.events[:50])
    reader = connect(kept.dsn)
    original = reader.execute
    asked: list[str] = []

    def execute(query: Any, *arguments: Any, **options: Any) -> Any:
        asked.append(query.decode())
        if len(asked) == 2:
            kept.project(history.events[50:100])
        return original(query, *arguments, **options)

    reader.execute = execute  # type: ignore[method-assign]
    reader.isolation_level = kept.reader.isolation_level
    assert same(restoring.restore(reader, kept.blobs, history.workflow).state, history.states[50])
    assert len(asked) > 2
    assert same(kept.restored(history.workflow).state, history.states[100])
    reader.close()


# A document is a value, whatever a database makes of its bytes


def test_the_order_of_keys_in_jsonb_is_no_corruption(kept: Kept, history: Project) -> None:
    (text,) = kept.rows("SELECT state_inline::text FROM snapshots WHERE last_event_seq = 100")[0]
    document = snapshot.document(history.states[100])
    assert text.encode() != document, "JSONB kept the bytes: this proves nothing"
    assert canonical.dumps(canonical.loads(text)) == document
    assert kept.restored(history.workflow, 100).healed == ()


def test_an_inline_state_is_hashed_as_text_and_not_as_what_the_driver_makes_of_it(kept: Kept, history: Project) -> None:
    (value,) = kept.rows("SELECT state_inline FROM snapshots WHERE last_event_seq = 100")[0]
    assert isinstance(value, dict), "the driver hands out a dict"
    assert digest(str(value)) != history.states[100].checksum
    assert kept.restored(history.workflow, 100).base_seq == 100


# Damage is gone round, or named; it is never served

ROTTEN_SNAPSHOTS = [
    "state_inline = jsonb_set(state_inline, '{goals}', '{}')", "state_inline = '{}'", "state_inline = '[1]'",
    "state_inline = NULL, state_s3_key = repeat('0', 64)", "state_checksum = repeat('0', 64)",
    "head_hash = repeat('0', 64)", "window_bytes = ''",
    "window_bytes = set_bit(window_bytes, 77, 1 - get_bit(window_bytes, 77))",
    "created_at = created_at + interval '1 microsecond'", "step_number = 7", "number = 99", "size_bytes = 1",
    "snapshot_id = gen_random_uuid()", "digest = ''",
]  # fmt: skip


@pytest.mark.parametrize("rot", ROTTEN_SNAPSHOTS)
def test_a_damaged_snapshot_is_passed_over_and_told(kept: Kept, history: Project, rot: str) -> None:
    kept.change(f"UPDATE snapshots SET {rot} WHERE last_event_seq IN (80, 100)")
    found = kept.restored(history.workflow, 105)
    assert same(found.state, history.states[105])
    assert (found.base_seq, found.replayed) == (60, 45)
    assert len(found.healed) == 2
    assert f"The snapshot of workflow {history.workflow} at event 100 is damaged in" in found.healed[0]


def test_a_forged_snapshot_that_agrees_with_itself_is_not_the_events(kept: Kept, history: Project) -> None:
    """A state of another event, with a row digest and a checksum of its own that are right."""
    row = SnapshotRow(*kept.rows(f"SELECT {COLUMNS} FROM snapshots WHERE last_event_seq = 80")[0])
    forged = row._replace(
        snapshot_id=snapshot.snapshot_id(history.workflow, 100), last_event_seq=100,
        window_bytes=row.window_bytes + bytes(20 * 40),
    )  # fmt: skip
    kept.connection.execute(statement("write_snapshot"), _parameters(forged))
    found = kept.restored(history.workflow, 105)
    assert same(found.state, history.states[105])
    assert found.base_seq == 80
    assert "Event 100" in found.healed[0]


@pytest.mark.parametrize("damage", ["missing", "flipped", "cut", "empty"])
def test_a_damaged_blob_is_passed_over_and_told(large: Kept, history: Project, damage: str) -> None:
    (ref,) = large.rows("SELECT state_s3_key FROM snapshots WHERE last_event_seq = 100")[0]
    path = large.blobs.path_of(ref)
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        changed = {"flipped": bytes([content[0] ^ 1]) + content[1:], "cut": content[:-100], "empty": b""}[damage]
        path.write_bytes(changed)
    found = large.restored(history.workflow, 105)
    assert same(found.state, history.states[105])
    assert found.base_seq == 80
    assert ref in found.healed[0]


def test_no_snapshot_at_all_is_the_whole_journal(kept: Kept, history: Project) -> None:
    kept.change("UPDATE snapshots SET digest = ''")
    found = kept.restored(history.workflow)
    assert same(found.state, history.state)
    assert (found.base_seq, found.replayed) == (0, len(history.events))
    assert len(found.healed) == len(history.events) // EVERY


ROTTEN_EVENTS = {
    "payload = payload || '{\"x\": 1}'": "payload", "payload = '7'": "payload", "checksum = repeat('0', 64)": "payload",
    "delta = replace(delta, 'doing', 'done')": "event_hash", "state_checksum = repeat('0', 64)": "event_hash",
    "event_hash = repeat('0', 64)": "event_hash", "prev_hash = repeat('0', 64)": "prev_hash",
    "event_type = 'task_paused'": "event_hash", "timestamp = timestamp + interval '1 microsecond'": "event_hash",
    "workflow_id = gen_random_uuid()": "event_seq", "command_id = gen_random_uuid()": "event_hash",
}  # fmt: skip


@pytest.mark.parametrize("rot", ROTTEN_EVENTS)
def test_a_damaged_event_is_named_and_healed_from_the_log_alone(kept: Kept, history: Project, rot: str) -> None:
    kept.change(f"UPDATE events SET {rot} WHERE event_seq = 87 AND event_type = 'task_started'")
    with pytest.raises(IntegrityError) as raised:
        kept.restored(history.workflow, 90)
    named = (raised.value.workflow_id, raised.value.event_seq, raised.value.field)
    expected = 88 if rot.startswith("workflow_id") else 87
    assert named == (history.workflow, expected, ROTTEN_EVENTS[rot])
    assert same(kept.restored(history.workflow, 86).state, history.states[86])
    assert same(kept.restored(history.workflow, 105).state, history.states[105]), "a snapshot lies behind it"
    healed = kept.restored(history.workflow, 90, log=lambda _: history.events)
    assert same(healed.state, history.states[90])
    assert raised.value.detail in healed.healed


SWAPPED = """
UPDATE events SET event_seq = -event_seq WHERE event_seq IN (86, 87);
UPDATE events SET event_seq = 173 + event_seq WHERE event_seq < 0;
"""
DOUBLED = """
CREATE TEMP TABLE copied AS SELECT * FROM events WHERE event_seq = 86;
DELETE FROM events WHERE event_seq = 87;
UPDATE copied SET event_seq = 87, event_id = gen_random_uuid();
INSERT INTO events SELECT * FROM copied;
"""


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("DELETE FROM events WHERE event_seq = 86", (87, "event_seq")),
        ("DELETE FROM events WHERE event_seq >= 86", (86, "event_seq")),
        ("DELETE FROM events WHERE event_seq = 80", (81, "event_seq")),  # which a snapshot was taken after
        (SWAPPED, (86, "prev_hash")),
        (DOUBLED, (87, "prev_hash")),
    ],
)
def test_missing_swapped_and_doubled_events_are_named(kept: Kept, history: Project, damage: str, named: Any) -> None:
    kept.connection.execute(damage.encode())
    with pytest.raises(IntegrityError) as raised:
        kept.restored(history.workflow, 90)
    assert (raised.value.workflow_id, raised.value.event_seq, raised.value.field) == (history.workflow, *named)
    assert same(kept.restored(history.workflow, 90, log=lambda _: history.events).state, history.states[90])


def test_a_journal_that_lost_its_end_is_named_though_all_that_is_left_is_sound(kept: Kept, history: Project) -> None:
    kept.change("DELETE FROM events WHERE event_seq > 325")
    with pytest.raises(IntegrityError, match="ends at event 325, and not at event 330"):
        kept.restored(history.workflow)


def test_a_log_that_is_another_ones_heals_nothing(kept: Kept, history: Project) -> None:
    kept.change("UPDATE events SET delta = '[]' WHERE event_seq = 87")
    forged: Any = [*history.events[:86], {**history.events[86], "delta": "[]"}, *history.events[87:]]
    for log in (forged, history.events[:80], history.events[5:]):
        with pytest.raises(IntegrityError):
            kept.restored(history.workflow, 90, log=lambda _, log=log: log)


def test_an_event_type_of_a_newer_version_fails_loudly(keeping: Keeping) -> None:
    project = scripted("newer")
    event: Any = {**project.events[-1], "event_type": "task_delegated"}
    event["event_hash"] = seal.event_hash(event)
    kept = keeping()
    kept.project([*project.events[:-1], event])
    with pytest.raises(IntegrityError, match="task_delegated"):
        kept.restored(project.workflow)
    assert same(kept.restored(project.workflow, event["event_seq"] - 1).state, project.states[-2])


# Forks


@pytest.fixture
def forked(kept: Kept, history: Project) -> Project:
    """A fork of the history at an event between two snapshots, with some work of its own."""
    fork = history.forked("branch", 87)
    kept.blobs.put(snapshot.document(base_of(history.states[87], fork.workflow)))
    assert fork.do("create_goal", text="another way", priority=2)
    kept.project(fork.events)
    return fork


def test_a_fork_stands_on_what_it_cites(kept: Kept, forked: Project) -> None:
    for seq in (1, 2):
        found = kept.restored(forked.workflow, seq)
        assert same(found.state, forked.states[seq])
        assert found.replayed == seq


def test_a_fork_needs_nothing_of_its_origin(kept: Kept, forked: Project, history: Project) -> None:
    kept.change("UPDATE events SET delta = '[]' WHERE workflow_id = %s", history.workflow)
    kept.change("DELETE FROM snapshots WHERE workflow_id = %s", history.workflow)
    assert same(kept.restored(forked.workflow).state, forked.state)


def base_path(kept: Kept, forked: Project) -> Path:
    return kept.blobs.path_of(ref_of(snapshot.document(forked.states[0])))


def test_a_fork_whose_base_is_lost_or_damaged_stands_on_its_origins_history(
    kept: Kept, forked: Project, history: Project
) -> None:
    path = base_path(kept, forked)
    for damage in (lambda: path.write_bytes(b"{}"), path.unlink):
        damage()
        assert same(kept.restored(forked.workflow).state, forked.state)
    kept.change("UPDATE events SET delta = '[]' WHERE workflow_id = %s AND event_seq = 85", history.workflow)
    with pytest.raises(IntegrityError, match="Event 85"):
        kept.restored(forked.workflow)


def test_a_fork_of_another_past_than_it_cites_is_no_fork(kept: Kept, forked: Project, history: Project) -> None:
    base_path(kept, forked).write_bytes(snapshot.document(base_of(history.states[86], forked.workflow)))
    assert same(kept.restored(forked.workflow).state, forked.state)
