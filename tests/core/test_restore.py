"""Reading back: exactly what was committed, or an error that names the event. Nothing in between."""

from collections.abc import Iterator
from typing import Any

import pytest

from continuity import codec
from continuity.core import canonical, seal
from continuity.core.ids import ZERO_HASH
from continuity.core.limits import IDEMPOTENCY_WINDOW_EVENTS
from continuity.core.records import LOG_FIELDS, Event
from continuity.core.restore import restore
from continuity.core.seal import Damaged
from continuity.core.state import State
from tests.spec import (
    WORKFLOW,
    acquire,
    add_task,
    amend_task,
    begin_step,
    block_task,
    claim,
    complete_step,
    complete_task,
    create_goal,
    entity,
    fail_step,
    given,
    pause_task,
    release,
    reopen_task,
    set_goal_priority,
    set_goal_status,
    start_task,
    under,
    update_checkpoint,
)  # fmt: skip

STORY = given(
    create_goal("goal"), add_task("task"), amend_task("task", title="t"), start_task("task"), update_checkpoint("task"),
    block_task("task"), pause_task("task"), start_task("task"), complete_task("task"), reopen_task("task"),
    claim("ada", "task"), begin_step("fetch", 1), fail_step("fetch", 1, 1, error="rain"), begin_step("fetch", 1),
    complete_step("fetch", 2, 1, ref="blob:1"), under(1, complete_task("task")), acquire("ada"), release(2),
    set_goal_priority("goal", 3), set_goal_status("goal", "done"),
)  # fmt: skip
EVENTS = list(STORY.events)
CHAINED = [name for name in Event.__annotations__ if name not in LOG_FIELDS]


def damaged(events: list[Event], base: State | None = None) -> Damaged:
    with pytest.raises(Damaged) as damage:
        restore(WORKFLOW, events, base)
    assert damage.value.field in damage.value.detail
    assert damage.value.detail.endswith(".")
    return damage.value


def replaced(index: int, event: Any) -> list[Event]:
    return [*EVENTS[:index], event, *EVENTS[index + 1 :]]


def mutations(value: Any) -> Iterator[Any]:
    """Values of the same kind that are almost `value`."""
    if value is None:
        yield from ("", "x")
    elif isinstance(value, int):
        yield from (value + 1, value - 1, -value - 1, value ^ 1 << 40)
    else:
        yield from ("", value + " ", value[1:], value[:-1])
        for at in {0, len(value) // 2, len(value) - 1} if value else ():
            for bit in range(7):
                changed = chr(ord(value[at]) ^ 1 << bit)
                yield value[:at] + changed + value[at + 1 :]


# What is committed comes back


def test_all_events_give_the_state() -> None:
    assert restore(WORKFLOW, EVENTS) == STORY.state
    assert restore(WORKFLOW, []) == State(WORKFLOW)


@pytest.mark.parametrize("split", range(len(EVENTS) + 1))
def test_on_top_of_any_base(split: int) -> None:
    base = restore(WORKFLOW, EVENTS[:split])
    assert restore(WORKFLOW, EVENTS[split:], base) == STORY.state


def test_a_grant_whose_id_has_moved_on_to_another_task_is_found_there() -> None:
    """A claim that is repeated when its id is forgotten and its first grant gone: one id, and a second task."""
    asked = claim("ada", name="mine")
    story = given(create_goal("goal"), add_task("a"), add_task("b"), claim("bob", "b"), asked)
    story = story.when(release(1)).when(under(2, pause_task("a"))).when(release(2))
    for n in range(IDEMPOTENCY_WINDOW_EVENTS):
        story = story.when(set_goal_priority("goal", n))
    story = story.when(asked)
    assert list(story.state.grants) == [entity("b")]
    assert restore(WORKFLOW, story.events[5:], restore(WORKFLOW, story.events[:5])) == story.state


def test_the_logs_own_fields_are_not_of_the_fact() -> None:
    stamped: list[Any] = [
        dict(event) | {"epoch": 9, "sequencer_id": "s", "epoch_seq": n, "source_generation": 2, "source_offset": n}
        for n, event in enumerate(EVENTS)
    ]
    assert restore(WORKFLOW, stamped) == STORY.state


# Anything else does not


@pytest.mark.parametrize("name", CHAINED)
def test_a_changed_field_never_passes(name: str) -> None:
    for index, event in enumerate(EVENTS):
        for value in mutations(event[name]):  # type: ignore[literal-required]
            if value == event[name]:  # type: ignore[literal-required]
                continue
            changed: Any = dict(event) | {name: value}
            damage = damaged(replaced(index, changed))
            assert damage.event_seq == changed["event_seq"], "the error names another event"


def test_a_flipped_bit_never_passes() -> None:
    """Of the record as it lies in a topic: it is unreadable, or damaged, or the bit was of the log's own fields."""
    index = 4
    raw = codec.encode_event(EVENTS[index])
    unread = passed = 0
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            event = codec.decode_event(bytes(flipped))
        except codec.Undecodable:
            unread += 1
            continue
        if all(event[name] == EVENTS[index][name] for name in CHAINED):  # type: ignore[literal-required]
            assert event != EVENTS[index]
            passed += 1
            continue
        damaged(replaced(index, event))
    own_bytes_max = sum(len(str(EVENTS[index][name])) for name in LOG_FIELDS)  # type: ignore[literal-required,misc]
    assert 0 < passed <= own_bytes_max * 8
    assert unread > 0


@pytest.mark.parametrize("index", range(len(EVENTS)))
def test_a_missing_event_is_named_by_the_next(index: int) -> None:
    left = EVENTS[:index] + EVENTS[index + 1 :]
    if index == len(EVENTS) - 1:
        assert restore(WORKFLOW, left).head_seq == index  # only who knows the head can tell
    else:
        damage = damaged(left)
        assert (damage.event_seq, damage.field) == (index + 2, "event_seq")


@pytest.mark.parametrize("index", range(len(EVENTS)))
def test_a_doubled_event_is_noticed(index: int) -> None:
    assert damaged([*EVENTS[: index + 1], *EVENTS[index:]]).event_seq == index + 1


@pytest.mark.parametrize("index", range(len(EVENTS) - 1))
def test_swapped_events_are_noticed(index: int) -> None:
    swapped = [*EVENTS[:index], EVENTS[index + 1], EVENTS[index], *EVENTS[index + 2 :]]
    assert damaged(swapped).event_seq == index + 2


def resealed(event: Event, **fields: Any) -> Any:
    """A forgery that agrees with itself."""
    changed: Any = dict(event) | fields
    changed["checksum"] = seal.digest(changed["payload"])
    changed["event_hash"] = seal.event_hash(changed)
    return changed


def test_a_forged_event_breaks_the_chain_at_the_next() -> None:
    forged = resealed(EVENTS[3], operator_id="eve")
    seal.verify(forged)
    damage = damaged(replaced(3, forged))
    assert (damage.event_seq, damage.field) == (5, "prev_hash")


@pytest.mark.parametrize("index", range(len(EVENTS)))
def test_a_forged_delta_does_not_reach_the_checksum(index: int) -> None:
    for delta in (
        [],
        [*canonical.loads(EVENTS[index]["delta"])[:-1]],
        [{"op": "add", "path": "/goals/x", "value": {}}],
    ):
        damage = damaged(replaced(index, resealed(EVENTS[index], delta=canonical.text(delta))))
        assert (damage.event_seq, damage.field) == (index + 1, "state_checksum")


@pytest.mark.parametrize(
    "delta",
    [
        "", "{", "null", "1", "{}", '"x"', "[1]", "[null]", '["x"]', "[[]]", "[{}]", '[{"op":"add"}]',
        '[{"op":"add","path":7,"value":1}]', '[{"op":"add","path":"","value":1}]',
        '[{"op":"add","path":"/goals","value":{}}]', '[{"op":"add","path":"/tasks/x","value":null}]',
        '[{"op":"add","path":"/colours/x","value":{}}]', '[{"op":"add","path":"/head_seq/x","value":{}}]',
        '[{"op":"add","path":"/open_tasks/x","value":7}]', '[{"op":"replace","path":"/token_counter","value":7}]',
        '[{"op":"add","path":"/window/x","value":{}}]', '[{"op":"add","path":"/goals/x/y/z","value":1}]',
        '[{"op":"add","path":"/goals/x"}]', '[{"op":"add","path":"/tasks/x","value":{}}]',
        '[{"op":"add","path":"/tasks/x","value":7}]', '[{"op":"remove","path":"/goals/x"}]',
        '[{"path":"/goals/x","value":{}}]', '[{"op":"copy","path":"/goals/x","value":{}}]', "[ ]",
        "[" * 300 + "]" * 300,
    ],
)  # fmt: skip
def test_whatever_a_delta_says_it_is_damage_and_not_a_crash(delta: str) -> None:
    for index in (0, 4):
        damage = damaged(replaced(index, resealed(EVENTS[index], delta=delta)))
        assert damage.field in ("delta", "state_checksum")


@pytest.mark.parametrize("fields", [{"command_id": "x"}, {"command_digest": "x"}, {"timestamp": -1}])
def test_a_forged_head_is_damage_and_not_a_crash(fields: Any) -> None:
    """An event that agrees with itself and cannot be kept in the window."""
    forged = resealed(EVENTS[-1], **fields)
    assert damaged(replaced(len(EVENTS) - 1, forged)).event_seq == len(EVENTS)


def test_a_base_that_is_not_the_chains_own_is_noticed() -> None:
    base = restore(WORKFLOW, EVENTS[:3])
    damaged(EVENTS[3:], base._replace(head_hash=ZERO_HASH))
    damaged(EVENTS[3:], base._replace(head_seq=2))
    rotten = base.with_changes(
        change._replace(document={**(change.document or {}), "text": "?"}) for change in STORY.everything("goals")
    )
    assert damaged(EVENTS[3:], rotten).field == "state_checksum"


def test_another_workflows_events_are_noticed() -> None:
    with pytest.raises(Damaged) as damage:
        restore("00000000-0000-5000-8000-000000000001", EVENTS)
    assert damage.value.field == "workflow_id"
