"""Each check says yes to what a replay leaves behind, and no to what it must never leave behind."""

import asyncio
import random
from typing import Any

import pytest

from continuity.core import canonical
from continuity.core.ids import workflow_id
from continuity.core.seal import Damaged
from continuity.replay import check
from continuity.replay.mapping import Deviation
from continuity.replay.rehearsal import rehearse
from continuity.replay.sending import send_all
from tests.replay.core_log import CoreLog
from tests.replay.histories import add, deps, notes, planned, priority, status

WORKFLOW = workflow_id("local", "tests")
REFUSAL = Deviation(7, "refused", "unmet_dependencies", "Task t1 waits for 1 tasks, first t2.")


@pytest.fixture(scope="module")
def made():
    return planned(
        add("g1"), add("t1", parent="g1"), add("t2", "doing"), deps("t1", "t2"), notes("t2", 40), priority("t2", 0),
        status("t1", "todo", "done"), status("t2", "doing", "done", t=2),
    )  # fmt: skip


@pytest.fixture(scope="module")
def log():
    return CoreLog(random.Random(3))


@pytest.fixture(scope="module")
def sent(made, log):
    return asyncio.run(send_all(made, log, {}, workers=8))


@pytest.fixture
def events(sent, log):
    assert sent.refused == {7: REFUSAL}
    return list(log.events)


@pytest.fixture
def rows(log, sent) -> Any:
    assert sent.known == 0
    state = log.state
    found: dict[str, Any] = {name: list(getattr(state, name).values()) for name in ("goals", "tasks", "checkpoints")}
    return {**found, "as_of_seq": state.head_seq, "state_checksum": state.checksum}


def with_other(document: Any, **changed: Any) -> Any:
    """A copy with some fields changed."""
    return {**document, **changed}


def test_every_fact_has_one_end(made, sent, events):
    found = check.check_facts(made, sent, events)
    assert found.ok, found.saw
    assert check.facts(made, sent) == (6, 1, 1)


def test_a_lost_a_doubled_and_a_foreign_event_are_seen(made, sent, events):
    swapped = [with_other(events[1], event_seq=1), with_other(events[0], event_seq=2), *events[2:]]
    for wrong, says in (
        (swapped, "skipped; 2 elsewhere"),
        (events[:-1], "skipped; 1 lost"),
        ([*events, events[0]], "skipped; 1 doubled"),
        ([*events, with_other(events[0], command_id=WORKFLOW)], "skipped; 1 foreign, 1 elsewhere"),
    ):
        found = check.check_facts(made, sent, wrong)
        assert not found.ok
        assert found.saw.endswith(says)


def test_the_deviations_are_the_expected_ones(made, sent):
    due = rehearse(made).deviations
    found, difference = check.check_deviations(check.deviations(made, sent, due), due)
    assert found.ok
    assert not any(difference)


def test_one_more_and_one_less_are_seen(made, sent):
    due = rehearse(made).deviations
    found = check.deviations(made, sent, due)
    more, _ = check.check_deviations(found, [each for each in due if each != REFUSAL])
    less, difference = check.check_deviations([each for each in found if each != REFUSAL], due)
    assert not more.ok
    assert not less.ok
    assert difference.missing == (REFUSAL,)


def test_another_reason_is_another_refusal():
    other = REFUSAL._replace(reason="Task t1 waits for 2 tasks, first t2.")
    found, difference = check.check_deviations([other], [REFUSAL])
    assert not found.ok
    assert difference == ((other,), (REFUSAL,))


@pytest.mark.parametrize("code", ["unknown_task", "unknown_goal", "unknown_dependency"])
def test_an_id_that_should_exist_is_never_expected(code):
    listed = Deviation(3, "refused", code, "The project has no such thing.")
    found, difference = check.check_deviations([listed], [listed])
    assert not found.ok
    assert not any(difference)


def test_what_an_earlier_replay_saw_refused_has_to_be_on_the_list(made, sent):
    again = sent._replace(refused={}, settled=frozenset({7}))
    due = rehearse(made).deviations
    assert check.check_deviations(check.deviations(made, again, due), due)[0].ok
    assert not check.check_deviations(check.deviations(made, again, made.skips), made.skips)[0].ok


def test_the_journal_is_the_topic(events):
    assert check.check_journal(events, events).ok
    assert not check.check_journal(events, events[:-1]).ok
    assert not check.check_journal(events, [*events[:1], with_other(events[1], source_offset=999), *events[2:]]).ok


def test_both_folds_and_the_rows_are_one_state(events, rows):
    folds = check.fold(WORKFLOW, events, [])
    assert check.check_folds(folds, rows).ok


@pytest.mark.parametrize("collection", ["goals", "tasks", "checkpoints"])
def test_a_missing_row_and_a_changed_one_are_seen(events, rows, collection):
    folds = check.fold(WORKFLOW, events, [])
    first, *others = rows[collection]
    assert not check.check_folds(folds, with_other(rows, **{collection: others})).ok
    name = next(name for name, value in first.items() if isinstance(value, int))
    assert not check.check_folds(folds, with_other(rows, **{collection: [with_other(first, **{name: -1}), *others]})).ok


@pytest.mark.parametrize("change", [{"state_checksum": "0" * 64}, {"as_of_seq": 1}])
def test_another_head_is_seen(events, rows, change):
    assert not check.check_folds(check.fold(WORKFLOW, events, []), with_other(rows, **change)).ok


def test_a_damaged_event_ends_the_fold(events):
    damaged = with_other(events[2], delta="[]")
    with pytest.raises(Damaged):
        check.fold(WORKFLOW, [*events[:2], damaged, *events[3:]], [])


def test_the_next_step_is_compared_byte_by_byte(events):
    at = check.positions(len(events))
    assert at == list(range(1, len(events) + 1))
    steps = check.fold(WORKFLOW, events, at).next_steps
    live = steps[at[-1]]
    assert check.check_next_steps(steps, dict(steps), live).ok
    assert not check.check_next_steps(steps, dict(steps), steps[at[0]]).ok
    last = canonical.loads(steps[at[-1]])
    changed = {**steps, at[-1]: canonical.dumps({**last, "as_of_seq": 0})}
    assert not check.check_next_steps(steps, changed, live).ok
    assert not check.check_next_steps(steps, {seq: step for seq, step in steps.items() if seq != at[0]}, live).ok


def test_the_positions_are_spread_evenly_and_end_at_the_head():
    assert check.positions(3892)[:2] == [77, 155]
    assert len(check.positions(3892)) == 50
    assert check.positions(3892)[-1] == 3892
    assert check.positions(3) == [1, 2, 3]
    assert check.positions(0) == []
