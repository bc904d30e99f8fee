"""Steps: begun in attempts under an unexpired token, completed at most once, for ever."""

from typing import Any

import pytest

from continuity.core import limits
from continuity.core.ids import instant
from continuity.core.limits import IDEMPOTENCY_WINDOW_EVENTS
from continuity.core.records import Command
from tests.spec import (
    SECOND,
    Story,
    acquire,
    add_task,
    begin_step,
    checksum,
    claim,
    complete_step,
    complete_task,
    create_goal,
    entity,
    fail_step,
    given,
    grown,
    release,
    renew,
    rollback,
    set_goal_priority,
    under,
    update_checkpoint,
)  # fmt: skip

TTL = 60
WORK = (create_goal("goal"), add_task("task"), add_task("other"))


def leased(*steps: Command) -> Story:
    """The project, held under token 1, after these."""
    return given(*WORK, acquire("ada", TTL), *steps)


def begun(**fields: Any) -> Story:
    """Step `fetch`, open under token 1."""
    return leased(begin_step("fetch", 1, **fields))


def taken_over(story: Story, owner: str = "bob") -> Story:
    """The same, once the project's lease has run out and another owner has it."""
    return story.at(story.expiry()).when(acquire(owner, TTL)).then_event("lease_acquired")


def pay(token: int, key: str = "order-7") -> Command:
    return begin_step("pay", token, kind="non_idempotent", key=key)


# Beginning


def test_beginning_allocates_the_first_attempt() -> None:
    story = leased()
    until = story.expiry()
    at = story.now
    asked = begin_step("fetch", 1, task="task")
    story = story.when(asked).then_event(
        "step_begun",
        step_id="fetch",
        task_id=entity("task"),
        goal_id=entity("goal"),
        fencing_token=1,
        payload={
            "step_id": "fetch", "step_type": "idempotent", "task_id": entity("task"), "external_key": None,
            "attempt_id": 1, "token": 1, "lease_expires_at": instant(until),
        },
    )  # fmt: skip
    story.then_told(status="begun", step_id="fetch", attempt_id=1, ambiguous=False, earlier_attempts=[])
    assert story.step() == {
        "step_id": "fetch", "step_type": "idempotent", "task_id": entity("task"), "external_key": None,
        "status": "open",
        "attempts": [{"attempt_id": 1, "token": 1, "seq": 5, "started_at": instant(at), "status": "open"}],
    }  # fmt: skip
    story.when(asked).then_duplicate(5)


def test_a_step_without_a_task_belongs_to_the_project_or_to_the_claim() -> None:
    assert begun().step()["task_id"] is None
    story = given(*WORK, claim("ada", "task"), begin_step("fetch", 1))
    story.then_event("step_begun", task_id=entity("task"), goal_id=entity("goal"))
    assert story.step()["task_id"] == entity("task")


def test_beginning_needs_a_token_also_where_nobody_holds_anything() -> None:
    given(*WORK).when(begin_step()).then_refused("token_needed")
    given(*WORK).when(begin_step("fetch", 1)).then_refused("fenced")
    leased().when(begin_step()).then_refused("token_needed", "ada")
    given(*WORK, claim("ada", "task")).when(begin_step()).then_refused("token_needed")


def test_beginning_needs_an_unexpired_token() -> None:
    story = leased()
    until = story.expiry()
    story.at(until - 1).when(begin_step("fetch", 1)).then_event("step_begun")
    refused = story.at(until).when(begin_step("fetch", 1)).then_refused("lease_expired", "1", instant(until))
    assert refused.state is story.state
    refused.when(renew(1)).when(begin_step("fetch", 1)).then_event("step_begun")


def test_the_expiry_that_counted_stands_in_the_payload() -> None:
    story = leased().later(TTL / 2).when(renew(1))
    until = story.expiry()
    assert until > leased().expiry()
    late = story.at(until - 1).when(begin_step("fetch", 1)).then_event("step_begun")
    assert late.payload["lease_expires_at"] == instant(until)
    failed_over = leased().later(2 * TTL).failover()
    after = failed_over.when(begin_step("fetch", 1))
    assert after.payload["lease_expires_at"] == instant(failed_over.now + TTL * SECOND)


def test_an_unknown_task_is_refused_by_name() -> None:
    leased().when(begin_step("fetch", 1, task="nobody's")).then_refused("unknown_task", entity("nobody's"))


def test_a_claim_covers_the_steps_of_its_task_and_no_other() -> None:
    """Or two executors could be in one step, each under a token that is current."""
    story = given(*WORK, claim("ada", "task"), claim("bob"))
    story.when(begin_step("fetch", 1, task="other")).then_refused("lease_held", "bob")
    free = story.when(release(2))
    refused = free.when(begin_step("fetch", 1, task="other")).then_refused(
        "token_needed", entity("other"), entity("task")
    )
    assert refused.state is free.state
    free.when(begin_step("fetch", 1, task="task")).then_event("step_begun")


def test_a_step_of_a_claimed_task_needs_the_claims_token() -> None:
    story = given(*WORK, claim("ada", "task", TTL), claim("bob", "other", TTL), begin_step("fetch", 1))
    for asked in (complete_step("fetch", 1), fail_step("fetch", 1), begin_step("fetch", task="task")):
        story.when(asked).then_refused("token_needed", "ada", instant(story.expiry("task")))
        story.when(under(2, asked)).then_refused("lease_held", "ada", instant(story.expiry("task")))


# Attempts


def test_one_attempt_at_a_time_under_a_token() -> None:
    story = begun()
    refused = story.when(begin_step("fetch", 1)).then_refused("step_in_progress", "fetch", "1")
    assert refused.state is story.state
    failed = story.when(fail_step("fetch", 1, 1, error="rain"))
    failed.when(begin_step("fetch", 1)).then_told(attempt_id=2)


def test_a_new_token_is_a_new_attempt() -> None:
    for story in (taken_over(begun()), begun().when(acquire("ada", TTL))):
        after = story.when(begin_step("fetch", 2)).then_event("step_begun", fencing_token=2)
        after.then_told(attempt_id=2, ambiguous=False)
        assert [attempt["status"] for attempt in after.step()["attempts"]] == ["open", "open"]
        for asked in (complete_step("fetch", 1, 2), fail_step("fetch", 1, 2)):
            after.when(asked).then_refused("fenced", "attempt 2", "token 2")
        after.when(begin_step("fetch", 2)).then_refused("step_in_progress", "2")
        after.when(complete_step("fetch", 2, 2)).then_event("step_completed")


def test_the_new_token_does_not_complete_the_old_attempt() -> None:
    story = taken_over(begun())
    for asked in (complete_step("fetch", 1, 2), fail_step("fetch", 1, 2)):
        refused = story.when(asked).then_refused("fenced", "token 1")
        assert refused.state is story.state


def test_a_stale_executors_completion_is_never_applied() -> None:
    story = taken_over(begun())
    for later in (story, story.when(begin_step("fetch", 2)), story.when(release(2))):
        for asked in (complete_step("fetch", 1, 1, ref="blob:late"), fail_step("fetch", 1, 1)):
            refused = later.when(asked).then_refused("fenced")
            assert refused.state is later.state


def test_failing_closes_an_attempt() -> None:
    story = (
        begun()
        .when(asked := fail_step("fetch", 1, 1, error="rain"))
        .then_event(
            "step_failed",
            step_id="fetch",
            fencing_token=1,
            payload={"step_id": "fetch", "task_id": None, "attempt_id": 1, "error": "rain"},
        )
    )
    story.then_told(status="failed", attempt_id=1)
    attempt = story.step()["attempts"][0]
    assert (story.step()["status"], attempt["status"], attempt["error"]) == ("failed", "failed", "rain")
    assert attempt["ended_at"] == instant(story.state.head_timestamp)
    story.when(asked).then_duplicate(6)
    for closed in (complete_step("fetch", 1, 1), fail_step("fetch", 1, 1)):
        story.when(closed).then_refused("attempt_closed", "failed")
    assert "error" not in begun().when(fail_step("fetch", 1, 1)).step()["attempts"][0]


def test_a_repeated_failure_is_told_what_it_did_whatever_came_after() -> None:
    asked = fail_step("fetch", 1, 1)
    story = begun().when(asked)
    again = story.when(begin_step("fetch", 1))
    again.when(asked).then_duplicate(6)
    again.when(complete_step("fetch", 2, 1)).when(asked).then_duplicate(6)


def test_what_does_not_exist_is_refused_by_name() -> None:
    for asked in (complete_step("fetch", 1, 1), fail_step("fetch", 1, 1)):
        leased().when(asked).then_refused("unknown_step", "fetch")
    for asked in (complete_step("fetch", 2, 1), fail_step("fetch", 2, 1)):
        begun().when(asked).then_refused("unknown_attempt", "2")


@pytest.mark.parametrize("asked", [complete_step("fetch", 1), fail_step("fetch", 1)])
def test_an_attempt_ends_under_its_token_only(asked: Command) -> None:
    begun().when(asked).then_refused("token_needed", "ada")
    expired = begun().later(TTL)
    expired.when(asked).then_refused("token_needed", "token")
    released = begun().when(release(1))
    released.when(asked).then_refused("token_needed")
    expired.when(under(1, asked)).then_told(attempt_id=1)  # ran out, and nobody took over


def test_a_step_is_what_it_was_begun_as() -> None:
    story = leased(begin_step("fetch", 1, task="task", key="k"), fail_step("fetch", 1, 1))
    for other in (
        begin_step("fetch", 1, task="task", key="k", kind="pure"),
        begin_step("fetch", 1, task="task", key="other"),
        begin_step("fetch", 1, task="task"),
        begin_step("fetch", 1, task="other", key="k"),
        begin_step("fetch", 1, key="k"),
    ):
        refused = story.when(other).then_refused("step_conflict", "idempotent", "k", entity("task"))
        assert refused.state is story.state
    story.when(begin_step("fetch", 1, task="task", key="k")).then_told(attempt_id=2)


# What must not happen twice


def test_what_is_not_idempotent_has_one_external_key_on_every_attempt() -> None:
    story = leased(pay(1)).then_told(external_key="order-7", attempt_id=1, ambiguous=False, earlier_attempts=[])
    story = taken_over(story)
    story.when(pay(2, "order-8")).then_refused("step_conflict", "order-7")
    before = story.step("pay")["attempts"]
    story.when(asked := pay(2)).then_told(
        external_key="order-7", attempt_id=2, ambiguous=True, earlier_attempts=before
    ).when(asked).then_duplicate(7)


def test_a_second_attempt_is_ambiguous_though_the_first_says_that_it_failed() -> None:
    """That it failed is the executor's word; what the world felt of it only the other side knows."""
    story = leased(pay(1), fail_step("pay", 1, 1, error="timeout"), pay(1))
    told = story.then_told(ambiguous=True, attempt_id=2).result["earlier_attempts"]
    assert [(each["attempt_id"], each["status"], each["error"]) for each in told] == [(1, "failed", "timeout")]


@pytest.mark.parametrize("kind", ["pure", "idempotent"])
def test_a_second_attempt_of_anything_else_is_not(kind: str) -> None:
    story = leased(begin_step("fetch", 1, kind=kind), fail_step("fetch", 1, 1), begin_step("fetch", 1, kind=kind))
    story.then_told(ambiguous=False, attempt_id=2)
    assert len(story.result["earlier_attempts"]) == 1


# Completing


def test_completing_stores_the_result() -> None:
    story = begun().when(asked := complete_step("fetch", 1, 1, ref="blob:1"))
    story.then_event(
        "step_completed",
        step_id="fetch",
        fencing_token=1,
        payload={
            "step_id": "fetch", "task_id": None, "attempt_id": 1, "result_ref": "blob:1",
            "result_checksum": checksum("blob:1"),
        },
    )  # fmt: skip
    story.then_told(status="completed", attempt_id=1, result_ref="blob:1", result_checksum=checksum("blob:1"))
    step = story.step()
    assert (step["status"], step["result_ref"], step["result_checksum"]) == ("completed", "blob:1", checksum("blob:1"))
    assert step["attempts"][0]["ended_at"] == instant(story.state.head_timestamp)
    story.when(asked).then_duplicate(6)
    assert "result_ref" not in begun().when(complete_step("fetch", 1, 1)).step()


def completed() -> Story:
    return begun().when(complete_step("fetch", 1, 1, ref="blob:1"))


STORED = {
    "status": "already_completed", "step_id": "fetch", "attempt_id": 1, "result_ref": "blob:1",
    "result_checksum": checksum("blob:1"),
}  # fmt: skip


def test_a_completed_step_is_answered_with_its_stored_result() -> None:
    story = completed()
    at = instant(story.state.head_timestamp)
    for asked in (begin_step("fetch", 1), complete_step("fetch", 1, 1, ref="blob:1")):
        answered = story.when(asked).then_answered(**STORED, completed_at=at)
        assert answered.state is story.state
    other = taken_over(story).when(begin_step("fetch", 2)).then_answered(**STORED)
    other.when(complete_step("fetch", 1, 2, ref="blob:1")).then_answered(**STORED)
    begun().when(complete_step("fetch", 1, 1)).when(begin_step("fetch", 1)).then_answered(result_ref=None)


def test_an_answer_is_no_accepted_command_and_renews_nothing() -> None:
    story = completed().later(TTL / 2)
    assert story.when(begin_step("fetch", 1)).expiry() == story.expiry()


@pytest.mark.parametrize(
    "asked",
    [
        complete_step("fetch", 1, 1, ref="blob:2"), complete_step("fetch", 1, 1), complete_step("fetch", 2, 1, ref="x"),
        fail_step("fetch", 1, 1), fail_step("fetch", 2, 1),
    ],
)  # fmt: skip
def test_a_step_is_completed_at_most_once(asked: Command) -> None:
    story = completed()
    refused = story.when(asked).then_refused("step_completed", "fetch")
    assert refused.state is story.state


def after_others(story: Story, seconds: int = 0) -> Story:
    for n in range(IDEMPOTENCY_WINDOW_EVENTS):
        story = story.when(set_goal_priority("goal", n))
    return story.later(seconds)


def test_for_ever_means_beyond_the_window_releases_and_takeovers() -> None:
    first = complete_step("fetch", 1, 1, ref="blob:1", name="first")
    story = after_others(begun().when(first)).at(begun().now)
    assert story.state.window.find(first.command_id, story.state.head_seq) is None
    story.when(first).then_answered(**STORED)
    again = story.when(release(1)).when(acquire("bob", 3_600)).later(1_000)
    again.when(first).then_refused("fenced")
    again.when(begin_step("fetch", 2)).then_answered(**STORED)
    again.when(complete_step("fetch", 1, 2, ref="blob:1")).then_answered(**STORED)
    again.when(complete_step("fetch", 1, 2, ref="blob:2")).then_refused("step_completed")


def test_a_late_repeat_of_a_beginning_begins_nothing_while_the_attempt_is_open() -> None:
    asked = begin_step("fetch", 1, name="first")
    story = after_others(given(*WORK, acquire("ada", 3_600), asked))
    assert story.state.window.find(asked.command_id, story.state.head_seq) is None
    refused = story.when(asked).then_refused("step_in_progress")
    assert refused.state is story.state
    gone = story.later(3_600)
    gone.when(asked).then_refused("lease_expired")
    gone.when(acquire("bob")).when(asked).then_refused("fenced")


def test_a_late_repeat_of_a_failure_closes_no_other_attempt() -> None:
    asked = fail_step("fetch", 1, 1)
    story = given(*WORK, acquire("ada", 3_600), begin_step("fetch", 1), asked, begin_step("fetch", 1))
    after_others(story).when(asked).then_refused("fenced", "attempt 2")


def test_a_step_survives_its_task() -> None:
    story = given(*WORK, claim("ada", "task"), begin_step("fetch", 1), under(1, complete_task("task")))
    story.when(complete_step("fetch", 1, 1)).then_refused("fenced")
    assert story.step()["status"] == "open"


def test_a_step_is_a_sign_of_life_and_an_open_one_is_looked_up() -> None:
    story = given(*WORK, claim("ada", "task"))
    assert story.grant("task")["acted"] is False
    story = story.when(begin_step("fetch", 1))
    assert story.grant("task")["acted"] is True
    assert set(story.state.lookup.open_steps) == {"fetch"}
    for asked in (complete_step("fetch", 1, 1), fail_step("fetch", 1, 1)):
        assert set(story.when(asked).state.lookup.open_steps) == set()


def test_a_project_step_is_no_sign_of_life_of_any_task() -> None:
    story = given(*WORK, claim("ada", "task"), acquire("ada"), begin_step("fetch", 2))
    story.then_event("step_begun", task_id=None, goal_id=None)
    assert story.grant("task")["acted"] is False


def test_a_step_whose_task_was_rolled_back_is_still_completed() -> None:
    """What was done in the world stays done."""
    asked = complete_step("fetch", 1, 1)
    story = given(*WORK, claim("ada", "other"), begin_step("fetch", 1), under(1, rollback(2)))
    done = story.when(asked).then_event("step_completed", task_id=entity("other"), goal_id=None)
    done.when(asked).then_duplicate(7)
    story.when(fail_step("fetch", 1, 1)).when(begin_step("fetch", 1)).then_refused("unknown_task")


# Limits


def test_a_project_has_at_most_20000_steps_completed_ones_included() -> None:
    story = grown([create_goal("goal"), acquire("ada", 86_400)])
    story = grown((begin_step(f"s{n}", 1) for n in range(limits.STEPS_MAX - 1)), story)
    story = grown([complete_step("s0", 1, 1), fail_step("s1", 1, 1), begin_step("last", 1)], story)
    story.at_rest(begin_step("one-more", 1)).then_refused("too_many_steps", "20000")
    story.at_rest(begin_step("s0", 1)).then_answered(status="already_completed")
    story.at_rest(begin_step("s1", 1)).then_told(attempt_id=2)
    story.at_rest(complete_step("last", 1, 1)).then_event("step_completed")


def test_a_step_has_at_most_100_attempts() -> None:
    steps = [each for n in range(1, limits.ATTEMPTS_MAX) for each in (begin_step("fetch", 1), fail_step("fetch", n, 1))]
    story = leased().when(acquire("ada", 86_400))
    story = grown((under(2, each) for each in steps), story)
    full = story.when(begin_step("fetch", 2)).then_told(attempt_id=100)
    full.when(fail_step("fetch", 100, 2)).when(begin_step("fetch", 2)).then_refused("too_many_attempts", "fetch", "100")
    full.when(complete_step("fetch", 100, 2)).then_event("step_completed").when(begin_step("fetch", 2)).then_answered(
        attempt_id=100
    )


def test_a_hundred_attempts_with_the_longest_errors_can_still_be_completed() -> None:
    """A step's attempts are written as a whole, so errors add up: their length is chosen so that they never hinder."""
    story = leased().when(acquire("ada", 86_400))
    error = "\x01" * limits.STEP_ERROR_CHARACTERS_MAX  # six bytes each, in JSON
    for attempt in range(1, limits.ATTEMPTS_MAX):
        story = grown([begin_step("fetch", 2), fail_step("fetch", attempt, 2, error=error)], story)
    story = grown([begin_step("fetch", 2)], story)
    done = story.at_rest(complete_step("fetch", limits.ATTEMPTS_MAX, 2, ref="r" * 500)).then_event("step_completed")
    assert len(done.events[-1]["delta"].encode()) < limits.DELTA_BYTES_MAX


def test_checkpoints_between_steps_change_no_step() -> None:
    story = begun()
    assert story.when(under(1, update_checkpoint("task"))).step() == story.step()
