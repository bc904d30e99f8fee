"""Every checker of the fault campaign finds what it is there for, planted into a history that is otherwise good."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from chaos import checks
from chaos.evidence import Answers, Fact, Row
from chaos.record import Told, Wish
from continuity.core.ids import ZERO_HASH, workflow_id
from continuity.core.next_step import next_step
from continuity.core.records import Change
from continuity.core.state import State

WORKFLOW = workflow_id("local", "atlas")
TASK = "3f0f7d3e-6f0e-5d59-9d3c-8f6a1f0f7f10"
RESULT: dict[str, Any] = {"result_ref": "ada-1", "result_checksum": "a" * 64}


def digest(seq: int) -> str:
    return sha256(str(seq).encode()).hexdigest() if seq else ZERO_HASH


def fact(seq: int, event_type: str = "goal_created", token: int | None = None, **payload: Any) -> Fact:
    names = f"event-{seq}", event_type, f"command-{seq}"
    return Fact(WORKFLOW, seq, *names, token, digest(seq - 1), digest(seq), payload)


def granted(seq: int, number: int, owner: str, task: str | None = TASK, voided: int | None = None) -> Fact:
    gone = [{"token": voided, "task_id": task}] if voided else []
    payload = {"token": number, "owner_id": owner, "task_id": task, "voided": gone}
    return fact(seq, "task_claimed" if task else "lease_acquired")._replace(payload=payload)


GOOD = [
    fact(1),
    fact(2, "task_added", task_id=TASK),
    granted(3, 1, "ada"),
    fact(4, "step_begun", 1, step_id="pay", task_id=TASK),
    fact(5, "step_completed", 1, step_id="pay", task_id=TASK, **RESULT),
    granted(6, 2, "ben", voided=1),
    fact(7, "task_completed", 2, task_id=TASK),
    granted(8, 3, "cleo", None),
    fact(9, "lease_released", 3, task_id=None),
]
JOURNAL = [Row(each.workflow_id, each.event_seq, each.event_id, each.command_id, each.event_hash) for each in GOOD]


def wish(seq: int, command_type: str = "create_goal", told: Told | None = None, **body: Any) -> Wish:
    told = told or Told("accepted", seq, f"event-{seq}")
    return Wish(f"command-{seq}", command_type, body, "local", "atlas", WORKFLOW, doors=["native"], told=told)


def wishes() -> list[Wish]:
    asked = {each: wish(each) for each in range(1, 10)}
    asked[3] = wish(3, "claim_task", Told("accepted", 3, "event-3", token=1))
    asked[5] = wish(5, "complete_step", step_id="pay", **RESULT)
    asked[6] = wish(6, "claim_task", Told("duplicate", 6, "event-6", token=2))
    return [*asked.values(), wish(77, told=Told("refused", code="lease_held"))]


def state(**result: str) -> State:
    step = {"step_id": "pay", "status": "completed", "attempts": [{"status": "completed"}], **(result or RESULT)}
    goal = {"goal_id": "g", "status": "active", "priority": 0, "created_seq": 1}
    return State(WORKFLOW).with_changes([Change("goals", "g", goal), Change("steps", "pay", step)])


def answers(**said: Any) -> Answers:
    folded = state()
    told = {"as_of_seq": 0, "state_checksum": folded.checksum, "tasks": [], "checkpoints": []}
    goals = list(folded.goals.values())
    return Answers("api-0", WORKFLOW, {**told, "goals": goals, **said}, dict(next_step(folded)))


def everything() -> Iterator[str]:
    asked = wishes()
    states = {WORKFLOW: state()}
    yield from checks.lost(asked, GOOD, JOURNAL)
    yield from checks.acknowledged_without_event(asked)
    yield from checks.doubled(GOOD, JOURNAL)
    yield from checks.refused_and_yet_a_fact(asked, GOOD)
    yield from checks.outcomes_asked_for_later(asked, GOOD, {"command-77": None})
    yield from checks.nobody_asked({each.command_id: each for each in asked}, GOOD)
    yield from checks.holes(GOOD)
    yield from checks.journal_is_the_topic(GOOD, JOURNAL)
    yield from checks.tokens_that_do_not_grow(GOOD)
    yield from checks.tokens_told_twice(asked)
    yield from checks.holders_at_once(GOOD)
    yield from checks.steps_completed_twice(GOOD)
    yield from checks.results_that_are_others(asked, states)
    yield from checks.answers_that_differ([answers()], states)


def test_a_good_history_is_found_good() -> None:
    assert list(everything()) == []


def test_an_acknowledgement_that_the_topic_does_not_have_is_lost() -> None:
    assert [*checks.lost(wishes(), [each for each in GOOD if each.event_seq != 4], JOURNAL)]


def test_an_acknowledgement_that_the_journal_does_not_have_is_lost() -> None:
    assert [*checks.lost(wishes(), GOOD, JOURNAL[:-1])]


def test_another_commands_event_in_the_place_that_was_told_is_a_loss() -> None:
    assert [*checks.lost(wishes(), [*GOOD[:3], GOOD[3]._replace(command_id="x"), *GOOD[4:]], JOURNAL)]


def test_an_acknowledgement_without_an_event_is_none() -> None:
    assert [*checks.acknowledged_without_event([wish(1, told=Told("accepted"))])]


def test_a_command_that_is_two_events_is_doubled() -> None:
    twice = fact(10)._replace(command_id="command-1")
    assert [*checks.doubled([*GOOD, twice], JOURNAL)]
    assert [*checks.doubled(GOOD, [*JOURNAL, JOURNAL[0]])]


def test_a_refused_command_that_is_an_event_is_found_unless_its_tries_could_pass_each_other() -> None:
    refused = wish(1, told=Told("refused", code="fenced"))
    assert [*checks.refused_and_yet_a_fact([refused], GOOD)]
    assert not [*checks.refused_and_yet_a_fact([replace(refused, doors=["api-0", "native"])], GOOD)]


def test_an_outcome_that_is_told_otherwise_later_is_found() -> None:
    unclear = [wish(1, told=Told("unclear"))]
    good = {"command-1": {"status": "accepted", "event_seq": 1}}
    assert not [*checks.outcomes_asked_for_later(unclear, GOOD, good)]
    assert [*checks.outcomes_asked_for_later(unclear, GOOD, {"command-1": None})]
    assert [*checks.outcomes_asked_for_later(unclear, [], good)]


def test_an_event_that_nobody_asked_for_is_found() -> None:
    assert [*checks.nobody_asked({"command-1": wish(1)}, GOOD[:2])]


def test_a_hole_in_the_chain_is_found() -> None:
    assert [*checks.holes([*GOOD[:3], *GOOD[4:]])]
    assert [*checks.holes([GOOD[0], GOOD[1]._replace(prev_hash=ZERO_HASH)])]


def test_a_journal_with_less_other_or_more_than_the_topic_is_found() -> None:
    assert [*checks.journal_is_the_topic(GOOD, JOURNAL[1:])]
    assert [*checks.journal_is_the_topic(GOOD, [JOURNAL[0]._replace(event_hash="x"), *JOURNAL[1:]])]
    assert [*checks.journal_is_the_topic(GOOD[1:], JOURNAL)]


@pytest.mark.parametrize("token", [1, 2])
def test_a_token_that_does_not_grow_is_found(token) -> None:
    assert [*checks.tokens_that_do_not_grow([granted(1, 2, "ada"), granted(2, token, "ben", voided=2)])]


def test_a_token_that_two_were_told_is_found() -> None:
    told = [wish(each, "claim_task", Told("accepted", each, f"event-{each}", token=1)) for each in (1, 2)]
    assert [*checks.tokens_told_twice(told)]


def test_two_holders_of_one_task_are_found() -> None:
    assert [*checks.holders_at_once([granted(1, 1, "ada"), granted(2, 2, "ben")])]


def test_a_claim_beside_anothers_lease_is_found() -> None:
    assert [*checks.holders_at_once([granted(1, 1, "ada", None), granted(2, 2, "ben")])]
    assert not [*checks.holders_at_once([granted(1, 1, "ada", None), granted(2, 2, "ada")])]


def test_work_under_a_token_that_nobody_holds_is_found() -> None:
    assert [*checks.holders_at_once([*GOOD[:6], fact(7, "task_completed", 1, task_id=TASK)])]


def test_a_step_that_is_completed_twice_is_found() -> None:
    assert [*checks.steps_completed_twice([*GOOD, fact(10, "step_completed", 3, step_id="pay", **RESULT)])]


def test_a_result_that_is_not_the_acknowledged_one_is_found() -> None:
    stored = {WORKFLOW: state(result_ref="ben-2", result_checksum="b" * 64)}
    assert [*checks.results_that_are_others(wishes(), stored)]
    told = Told("answered", result={"status": "already_completed", **RESULT})
    assert [*checks.results_that_are_others([wish(4, "begin_step", told, step_id="pay")], stored)]


@pytest.mark.parametrize(
    "said", [{"as_of_seq": 1}, {"state_checksum": "x"}, {"goals": []}, {"tasks": [{"task_id": TASK}]}]
)
def test_an_answer_that_is_not_the_fold_is_found(said) -> None:
    assert [*checks.answers_that_differ([answers(**said)], {WORKFLOW: state()})]


def test_a_next_step_that_is_not_that_of_the_fold_is_found() -> None:
    other = answers()._replace(next_step={**answers().next_step, "action": "start"})
    assert [*checks.answers_that_differ([other], {WORKFLOW: state()})]
