"""Rollback and fork: decisions that go back to an older state, and histories that stay."""

from collections.abc import Iterator
from typing import Any

import pytest

from continuity.core import canonical, ids, limits
from continuity.core.decide import decide
from continuity.core.evolve import evolve
from continuity.core.history import base_digest, forked, origin
from continuity.core.next_step import next_step
from continuity.core.outcome import Accepted, Duplicate, Outcome, Rejected
from continuity.core.records import Change
from continuity.core.restore import advance
from continuity.core.state import COLLECTIONS, State
from tests.spec import (
    NOON,
    PROJECT,
    SECOND,
    TENANT,
    Story,
    add_task,
    block_task,
    command,
    complete_task,
    create_goal,
    entity,
    given,
    rollback,
    start_task,
    update_checkpoint,
)  # fmt: skip

FORK = "apollo-again"


def history_of(story: Story) -> list[State]:
    """The state after each event, the empty one first."""
    states = [State(story.state.workflow_id)]
    for event in story.events:
        states.append(evolve(states[-1], event))
    return states


def rolled_back(story: Story, to_seq: int, now: int = NOON + 3_600 * SECOND, **fields: Any) -> Outcome:
    past = history_of(story)[to_seq] if to_seq < story.state.head_seq else None
    return decide(story.state, command("rollback", {"to_seq": to_seq}, **fields), now, past=past)


def worked() -> Story:
    return given(
        create_goal("goal"),
        add_task("one"),
        start_task("one"),
        add_task("two"),
        complete_task("one"),
        start_task("two"),
    )


def test_a_rollback_brings_work_back_and_keeps_history() -> None:
    story = worked()
    past = history_of(story)[3]
    outcome = rolled_back(story, 3)
    assert isinstance(outcome, Accepted)
    after = outcome.state
    assert (after.goals, after.tasks, after.checkpoints) == (past.goals, past.tasks, past.checkpoints)
    assert after.head_seq == story.state.head_seq + 1
    assert outcome.event["prev_hash"] == story.state.head_hash
    assert outcome.event["event_type"] == "rolled_back"
    assert evolve(story.state, outcome.event) == advance(story.state, outcome.event) == after
    changing = ("as_of_seq", "state_checksum")
    now, then = dict(next_step(after)), dict(next_step(past))
    assert {k: v for k, v in now.items() if k not in changing} == {k: v for k, v in then.items() if k not in changing}


def test_a_rollback_can_be_rolled_back() -> None:
    story = worked()
    first = rolled_back(story, 2)
    assert isinstance(first, Accepted)
    undo = decide(first.state, command("rollback", {"to_seq": 6}), NOON, past=story.state)
    assert isinstance(undo, Accepted)
    assert undo.state.work == story.state.work
    assert undo.state.checksum == story.state.checksum


@pytest.mark.parametrize("to_seq", [6, 7, 1_000])
def test_there_is_nothing_behind_the_head(to_seq: int) -> None:
    outcome = rolled_back(worked(), to_seq)
    assert isinstance(outcome, Rejected)
    assert outcome.code == "no_such_seq"


def test_a_repeat_is_a_duplicate() -> None:
    story = worked()
    asked = command("rollback", {"to_seq": 2})
    first = decide(story.state, asked, NOON, past=history_of(story)[2])
    assert isinstance(first, Accepted)
    again = decide(first.state, asked, NOON, past=history_of(story)[2])
    assert isinstance(again, Duplicate)
    assert again.event_seq == first.event["event_seq"]


def test_leases_tokens_and_steps_stay_as_they_are() -> None:
    story = worked()
    holding = command("acquire_lease", {"owner_id": "ada", "ttl_seconds": 60})
    granted = decide(story.state, holding, NOON)
    assert isinstance(granted, Accepted)
    token = granted.event["fencing_token"]
    step = command("begin_step", {"step_id": "pay", "step_type": "pure"}, fencing_token=token)
    begun = decide(granted.state, step, NOON)
    assert isinstance(begun, Accepted)
    past = history_of(story)[1]
    back = decide(begun.state, command("rollback", {"to_seq": 1}, fencing_token=token), NOON, past=past)
    assert isinstance(back, Accepted)
    assert (back.state.grants, back.state.steps) == (begun.state.grants, begun.state.steps)
    assert back.state.token_counter == token
    assert dict(back.state.tasks) == {}


def test_it_is_refused_while_another_holds_the_lease_or_a_claim() -> None:
    story = worked()
    for body in (
        {"owner_id": "bob", "ttl_seconds": 60},
        {"owner_id": "bob", "ttl_seconds": 60, "task_id": entity("two")},
    ):
        kind = "claim_task" if "task_id" in body else "acquire_lease"
        held = decide(story.state, command(kind, body), NOON)
        assert isinstance(held, Accepted)
        past = history_of(story)[2]
        refused = decide(held.state, command("rollback", {"to_seq": 2}), NOON + 59 * SECOND, past=past)
        assert isinstance(refused, Rejected)
        assert refused.code in ("lease_held", "token_needed")
        assert "bob" in refused.detail
        later = decide(held.state, command("rollback", {"to_seq": 2}), NOON + 3_600 * SECOND, past=past)
        assert isinstance(later, Accepted)
        assert not later.state.grants, "what had run out is voided"
        assert evolve(held.state, later.event) == later.state


def test_a_fork_stands_on_the_others_state_and_cites_it() -> None:
    story = worked()
    past = history_of(story)[4]
    workflow = ids.workflow_id(TENANT, FORK)
    asked = command("fork_project", {"from_project": PROJECT, "at_seq": 4}, project=FORK, workflow_id=workflow)
    outcome = decide(State(workflow), asked, NOON, past=past)
    assert isinstance(outcome, Accepted)
    event, after = outcome.event, outcome.state
    base = forked(past, workflow)
    assert (event["event_seq"], event["delta"], event["state_checksum"]) == (1, "[]", base.checksum)
    payload = canonical.loads_canonical(event["payload"])
    assert (payload["origin_hash"], payload["origin_state_checksum"]) == (past.head_hash, past.checksum)
    assert payload["base_digest"] == base_digest(base)
    assert after.work == base.work
    assert evolve(base, event) == advance(base, event) == after


def test_a_forks_base_is_its_origins_work_with_numbers_that_count_back() -> None:
    past = history_of(worked())[4]

    def numbers(value: Any) -> Iterator[int]:
        for key, each in value.items():
            if key in ("created_seq", "changed_seq", "seq"):
                yield each
            elif isinstance(each, dict):
                yield from numbers(each)
            elif key == "attempts":
                for attempt in each:
                    yield from numbers(attempt)

    base = forked(past, ids.workflow_id(TENANT, FORK))
    assert [*numbers(base.work)] == [number - past.head_seq for number in numbers(past.work)]
    assert {*numbers(base.work)} >= {0, -3}
    again = forked(base._replace(head_seq=-past.head_seq), past.workflow_id)
    assert again.work == past.work, "and nothing else is changed"
    rebuilt = State(base.workflow_id).with_changes(
        Change(name, key, document) for name in COLLECTIONS for key, document in getattr(base, name).items()
    )
    assert (rebuilt.checksum, rebuilt.lookup, rebuilt.size_bytes) == (base.checksum, base.lookup, base.size_bytes)


def test_what_a_fork_did_last_is_where_it_goes_on() -> None:
    """Its own events begin at 1 again, and yet come after all that it inherited."""
    origin = given(create_goal("goal"), add_task("one"), add_task("two"), add_task("three"), start_task("one"))
    workflow = ids.workflow_id(TENANT, FORK)
    body = {"from_project": PROJECT, "at_seq": origin.state.head_seq}
    asked = [
        command("fork_project", body),
        start_task("two"),
        complete_task("one"),
        complete_task("two"),
        add_task("four"),
    ]
    chosen, state = [], State(workflow)
    for each in asked:
        outcome = decide(state, each._replace(project=FORK, workflow_id=workflow), NOON, past=origin.state)
        assert isinstance(outcome, Accepted), outcome
        state = outcome.state
        chosen.append(next_step(state)["task_id"])
    # What was started after the fork; then, of those that wait, the one that was there before.
    one, two, three = (entity(name) for name in ("one", "two", "three"))
    assert chosen == [one, two, two, three, three]
    assert next(iter(state.lookup.todo[state.tasks[three]["goal_id"]])) == three


def test_a_fork_goes_its_own_way() -> None:
    story = worked()
    workflow = ids.workflow_id(TENANT, FORK)
    asked = command("fork_project", {"from_project": PROJECT, "at_seq": 4}, project=FORK, workflow_id=workflow)
    outcome = decide(State(workflow), asked, NOON, past=history_of(story)[4])
    assert isinstance(outcome, Accepted)
    there = block_task("one")._replace(project=FORK, workflow_id=workflow)
    assert isinstance(decide(outcome.state, there, NOON), Accepted)
    again = decide(outcome.state, asked._replace(command_id=ids.NIL[:-1] + "7"), NOON, past=history_of(story)[4])
    assert isinstance(again, Rejected)
    assert again.code == "project_exists"


def test_a_command_says_which_state_it_goes_back_to() -> None:
    story = worked()
    for asked, expected in (
        (command("rollback", {"to_seq": 3}), (story.state.workflow_id, 3)),
        (command("fork_project", {"from_project": "other", "at_seq": 9}), (ids.workflow_id(TENANT, "other"), 9)),
        (create_goal("goal"), None),
    ):
        assert origin(asked) == expected


def test_a_delta_has_at_most_512_kib_of_bytes() -> None:
    """Eleven checkpoints of 48 kB each: to forget them is a small change, to bring them back together is too large."""
    names = [f"task {number}" for number in range(11)]
    left_off = "\x01" * limits.WHERE_LEFT_OFF_CHARACTERS_MAX  # six bytes each, in JSON
    story = given(create_goal("goal"), *(add_task(name) for name in names))
    before = story.state.head_seq
    for name in names:
        story = story.when(update_checkpoint(name, left_off=left_off))
        assert len(story.events[-1]["delta"].encode()) <= limits.DELTA_BYTES_MAX
    forgotten = story.when(rollback(before)).then_event("rolled_back")
    forgotten.when(rollback(before + len(names))).then_refused("delta_too_large")
    forgotten.when(rollback(before + len(names) - 1)).then_event("rolled_back")
