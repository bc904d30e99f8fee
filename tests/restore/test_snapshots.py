"""When a snapshot is taken, what it is, which are kept, and what the projection does while none can be stored."""

from itertools import pairwise
from typing import Any

import pytest
from prometheus_client import REGISTRY

from continuity.config import Settings
from continuity.core import canonical, seal, snapshot
from continuity.core.restore import restore
from continuity.core.snapshot import Head, Policy, Since, Unsound
from continuity.errors import ConfigError, Retryable
from continuity.projections import snapshots as room
from continuity.projections.snapshots import PAUSE_SECONDS, WAIT_SECONDS
from tests.projections.histories import Project, scripted
from tests.restore.conftest import Keeping, Kept, long_history, same

stack = pytest.mark.stack


# The document: pure


def test_the_document_is_the_canonical_form_of_the_work(history: Project) -> None:
    for state in (history.states[0], history.states[3], history.state):
        assert snapshot.document(state) == canonical.dumps(state.work)


def test_what_is_read_from_a_document_is_the_state_with_all_its_indices(history: Project) -> None:
    for state in history.states[::29]:
        head = Head(state.head_seq, state.head_hash, state.head_timestamp)
        work = canonical.loads(snapshot.document(state))
        assert snapshot.state_of(state.workflow_id, work, head, state.checksum, state.window.slots) == state


def test_a_document_of_another_state_is_unsound(history: Project) -> None:
    state = history.state
    head = Head(state.head_seq, state.head_hash, state.head_timestamp)
    work = canonical.loads(snapshot.document(state))
    key = next(iter(work["tasks"]))
    others: tuple[Any, ...] = (
        {}, [], 7, None, {**work, "goals": {}}, {**work, "more": {}}, {**work, "token_counter": 1},
        {**work, "token_counter": True}, {**work, "goals": []}, {**work, "tasks": {key: 7}},
        {**work, "tasks": {key: {}}}, {**work, "grants": {"workflow": {}}}, {**work, "steps": {"s": None}},
    )  # fmt: skip
    for other in others:
        with pytest.raises(Unsound):
            snapshot.state_of(state.workflow_id, other, head, state.checksum, state.window.slots)
    with pytest.raises(Unsound, match="commands"):
        snapshot.state_of(state.workflow_id, work, head, state.checksum, state.window.slots[:-40])


# The policy: pure


@pytest.mark.parametrize(
    ("head_seq", "size_bytes", "since", "due"),
    [
        (100, 1_000, Since(100, 5), True),
        (99, 1_000, Since(99, 10**9), False),
        (150, 1_000, Since(50, 5), False),
        (150, 1_000, Since(100, 5), True),
        (100, 1_000, Since(0, 0), False),
        (100, 1_000_000, Since(100, 5), True),
        (100, 1_000_001, Since(100, 100_000), False),
        (7, 1_000_001, Since(7, 100_001), True),
        (7, 16_000_000, Since(7, 1_599_999), False),
    ],
)
def test_a_snapshot_is_due_by_events_or_for_a_large_state_by_bytes(
    head_seq: int, size_bytes: int, since: Since, due: object
) -> None:
    assert Policy().is_due(head_seq, size_bytes, since) is due


@pytest.mark.parametrize("kept", [0, -1, 1_001])
def test_to_keep_none_or_all_cannot_be_said(kept: int) -> None:
    with pytest.raises(ConfigError, match="CONTINUITY_SNAPSHOTS_KEPT"):
        Settings(snapshots_kept=kept)


# What is written


def everything(kept: Kept) -> list[tuple[Any, ...]]:
    return kept.rows("SELECT * FROM snapshots ORDER BY workflow_id, last_event_seq")


@stack
def test_every_hundredth_event_has_one_and_it_says_what_it_is(keeping: Keeping, history: Project) -> None:
    kept = keeping()
    kept.project(history.events)
    assert kept.seqs() == [100, 200, 300]
    for row in kept.rows(
        "SELECT snapshot_id, workflow_id, step_number, last_event_seq, state_s3_key, state_checksum, number,"
        " (extract(epoch FROM created_at) * 1000000)::bigint, octet_length(window_bytes) FROM snapshots"
    ):
        state = history.states[row[3]]
        number = row[3] // 100
        assert row == (
            snapshot.snapshot_id(history.workflow, row[3]), history.workflow, 0, row[3], None, state.checksum, number,
            state.head_timestamp, 40 * min(256, row[3]),
        )  # fmt: skip


@stack
def test_the_rows_do_not_depend_on_batches_nor_on_restarts(keeping: Keeping, history: Project) -> None:
    found = []
    for batch in (1_000, 1, 7, 100):
        kept = keeping(every_events=25)
        kept.connection.execute("TRUNCATE snapshots, events, workflows, goals, tasks, checkpoints, projection_offsets")
        kept.reopen()
        for at in range(0, len(history.events), 110):
            kept.project(history.events[at : at + 110], batch)
            kept.reopen()
        found.append(everything(kept))
    assert len(found[0]) > 9
    assert all(each == found[0] for each in found)


@stack
def test_the_longest_replay_of_a_head_is_below_a_hundred(keeping: Keeping, history: Project) -> None:
    kept = keeping()
    most = 0
    for at in range(0, len(history.events), 33):
        kept.project(history.events[at : at + 33])
        most = max(most, kept.restored(history.workflow).replayed)
    assert 50 < most < 100


@stack
def test_a_large_state_has_one_for_each_tenth_of_it_in_journal(keeping: Keeping) -> None:
    history = long_history("large", tasks_count=200)
    kept = keeping(small_bytes_max=2_000, inline_bytes_max=1_000, keep=1_000)
    kept.project(history.events, batch=50)
    seqs = kept.seqs()
    assert 20 < len(seqs) < 200
    assert kept.rows("SELECT count(*) FROM snapshots WHERE state_s3_key IS NULL") == [(0,)]
    for before, after in pairwise(seqs):
        sizes = [snapshot.journal_bytes(event) for event in history.events[before:after]]
        assert sum(sizes) * 10 >= history.states[after].size_bytes
        assert sum(sizes[:-1]) * 10 < history.states[after].size_bytes
    assert same(kept.restored(history.workflow).state, history.state)


@stack
def test_a_state_of_the_inline_limit_is_inline_and_one_byte_more_is_a_blob(keeping: Keeping, history: Project) -> None:
    size = len(snapshot.document(history.states[100]))
    for limit, inline in ((size, True), (size - 1, False)):
        kept = keeping(inline_bytes_max=limit)
        kept.connection.execute("TRUNCATE snapshots, events, workflows, goals, tasks, checkpoints, projection_offsets")
        kept.reopen()
        kept.project(history.events[:100])
        assert kept.rows("SELECT state_inline IS NOT NULL, state_s3_key IS NULL, size_bytes FROM snapshots") == [
            (inline, inline, size)
        ]


@stack
def test_a_batch_that_is_not_committed_leaves_no_trace(keeping: Keeping, history: Project) -> None:
    kept = keeping(every_events=20)
    kept.project(history.events[:90])
    records = kept.log
    for event in history.events[90:130]:
        records.add(event)
    batch = records.records(91)
    positions = dict(kept.positions)
    with kept.connection.transaction(force_rollback=True):
        kept.write(batch)
    kept.positions = positions
    kept.write(batch)
    kept.project(history.events[130:])
    assert kept.seqs() == list(range(140, 340, 20))
    assert same(kept.restored(history.workflow).state, history.state)


# The check


@stack
def test_an_event_that_does_not_lead_to_its_state_stops_its_workflow_and_no_other(keeping: Keeping) -> None:
    wrong, sound = scripted("wrong"), scripted("sound")
    event: Any = {**wrong.events[6], "state_checksum": "0" * 64}
    event["event_hash"] = seal.event_hash(event)
    kept = keeping(every_events=2)
    written = kept.project([*wrong.events[:6], event, *sound.events])
    assert set(written[0].stopped) == {wrong.workflow}
    assert "state_checksum" in written[0].stopped[wrong.workflow]
    assert kept.rows("SELECT max(event_seq) FROM events WHERE workflow_id = %s", wrong.workflow) == [(6,)]
    assert same(kept.restored(wrong.workflow).state, wrong.states[6])
    assert same(kept.restored(sound.workflow).state, sound.state)


@stack
def test_cold_workflows_go_on_where_they_were(keeping: Keeping, history: Project) -> None:
    kept = keeping(workflows_max=2, every_events=20)
    others = [long_history(f"other-{number}", 45) for number in range(3)]
    for at in range(0, 45, 5):
        for project in (history, *others):
            kept.project(project.events[at : at + 5])
            assert len(kept.snapshots._warm) <= 2
    for project in (history, *others):
        assert same(kept.restored(project.workflow).state, project.states[45])
    assert kept.seqs() == sorted([20, 40] * 4)


@stack
def test_the_memory_of_warm_states_is_bounded(
    keeping: Keeping, history: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "STATE_BYTES_MAX", 3 * history.states[40].size_bytes)
    kept = keeping(every_events=20)
    others = [long_history(f"other-{number}", 45) for number in range(5)]
    for project in others:
        kept.project(project.events)
        assert kept.snapshots._size_bytes == sum(warm.fold.size_bytes for warm in kept.snapshots._warm.values())
    assert 1 <= len(kept.snapshots._warm) <= 3


# Pruning


@stack
def test_the_newest_and_every_tenth_are_kept(keeping: Keeping, history: Project) -> None:
    kept = keeping(every_events=5, keep=3)
    kept.project(history.events, batch=9)
    assert kept.seqs() == [50, 100, 150, 200, 250, 300, 320, 325, 330]
    for seq in (1, 49, 130, 329):
        assert same(kept.restored(history.workflow, seq).state, history.states[seq])
    assert kept.restored(history.workflow, 130).base_seq == 100


@stack
@pytest.mark.parametrize("prefix", ["", "snapshot:"])
def test_what_a_completed_step_cites_is_never_pruned(keeping: Keeping, history: Project, prefix: str) -> None:
    kept = keeping(every_events=5, keep=2)
    kept.project(history.events[:15])
    cited = snapshot.snapshot_id(history.workflow, 15)
    kept.connection.execute("INSERT INTO step_attempts VALUES (%s, 'fetch', 1, now(), 1, '')", (history.workflow,))
    kept.connection.execute(
        "INSERT INTO completed_steps VALUES (%s, 'fetch', 1, now(), %s, NULL, '')", (history.workflow, prefix + cited)
    )
    kept.project(history.events[15:45])
    assert kept.seqs() == [15, 40, 45]
    assert kept.restored(history.workflow, 17).base_seq == 15


# The blob store is away


@stack
def test_a_short_outage_is_waited_for_and_changes_nothing(keeping: Keeping, history: Project) -> None:
    kept = keeping(inline_bytes_max=0)
    kept.blobs.is_away = Retryable("no answer")
    with pytest.raises(Retryable, match="no answer"):
        kept.project(history.events[:120])
    assert kept.rows("SELECT count(*) FROM events") == [(0,)]
    kept.now += WAIT_SECONDS / 2
    with pytest.raises(Retryable):
        kept.write(kept.log.records())
    kept.blobs.is_away = None
    kept.reopen()
    kept.write(kept.log.records())
    assert kept.seqs() == [100]


@stack
def test_a_long_outage_costs_snapshots_and_not_the_projection(keeping: Keeping, history: Project) -> None:
    kept = keeping(inline_bytes_max=0)
    skipped = REGISTRY.get_sample_value("continuity_snapshots_skipped_total") or 0
    kept.blobs.is_away = ConfigError("no such bucket")
    with pytest.raises(Retryable):
        kept.project(history.events[:120])
    kept.now += WAIT_SECONDS + 1
    kept.reopen()
    kept.write(kept.log.records())
    assert kept.rows("SELECT count(*) FROM events") == [(120,)]
    assert kept.seqs() == []
    assert kept.blobs.written == 2, "one question a pause, and not one an event"
    kept.blobs.is_away = None
    kept.now += PAUSE_SECONDS
    kept.project(history.events[120:125])
    assert kept.seqs() == [121], "the overdue one is taken as soon as it can be"
    assert (REGISTRY.get_sample_value("continuity_snapshots_skipped_total") or 0) - skipped == 21
    kept.project(history.events[125:])
    assert same(kept.restored(history.workflow).state, history.state)
    assert kept.seqs() == [121, 200, 300]


@stack
def test_a_restart_during_an_outage_reads_the_journal_instead(keeping: Keeping, history: Project) -> None:
    kept = keeping(inline_bytes_max=0)
    kept.project(history.events[:220])
    kept.reopen()
    kept.blobs.is_away = Retryable("no answer")
    with pytest.raises(Retryable):
        kept.project(history.events[220:240])
    kept.now += WAIT_SECONDS + 1
    kept.reopen()
    kept.write(kept.log.records(221))
    assert kept.rows("SELECT count(*) FROM events") == [(240,)]
    with pytest.raises(Retryable):
        kept.restored(history.workflow)


# Figures


def value(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0


@stack
def test_the_figures_say_what_happened(keeping: Keeping, history: Project) -> None:
    kept = keeping()
    kept.project(history.events[:130])
    journal = sum(snapshot.journal_bytes(event) for event in history.events[100:130])
    assert value("journal_size_since_snapshot_bytes") == journal
    kept.now += 42
    assert value("time_since_last_snapshot_sec") == 42
    before = value("events_replayed_per_restore_sum"), value("events_replayed_per_restore_count")
    times = value("restore_time_ms_count"), value("restore_time_ms_sum")
    kept.restored(history.workflow)
    assert value("events_replayed_per_restore_sum") - before[0] == 30
    assert value("events_replayed_per_restore_count") - before[1] == 1
    assert value("restore_time_ms_count") - times[0] == 1
    assert 0 < value("restore_time_ms_sum") - times[1] < 10_000
    kept.project(history.events[130:200])
    assert value("journal_size_since_snapshot_bytes") == 0
    assert value("time_since_last_snapshot_sec") == 0


def test_what_the_core_folds_is_what_restores(history: Project) -> None:
    assert restore(history.workflow, history.events) == history.state
