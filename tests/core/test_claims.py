"""Claims: one executor for each task. What is next, who takes over from whom, and when a task is given up."""

from typing import Any

import pytest

from continuity.core.commands import COMMANDS
from continuity.core.ids import instant
from continuity.core.limits import IDEMPOTENCY_WINDOW_EVENTS, SILENT_DEATHS_MAX
from continuity.core.records import Command
from tests.spec import (
    NOON,
    SECOND,
    Story,
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
    grown,
    pause_task,
    release,
    renew,
    reopen_task,
    rollback,
    set_goal_priority,
    set_goal_status,
    start_task,
    under,
    update_checkpoint,
)  # fmt: skip

TTL = 60
TWO = (create_goal("goal"), add_task("a"), add_task("b"))


def claimed(owner: str = "ada") -> Story:
    """Task a, claimed under token 1."""
    return given(*TWO, claim(owner, "a", TTL))


def gives(story: Story, task: str, owner: str = "cyd") -> Story:
    """The next task for `owner` is that one."""
    return story.when(claim(owner, None, TTL)).then_event("task_claimed", task_id=entity(task))


# A claim


def test_a_claim_starts_a_todo_task_in_the_same_event() -> None:
    story = given(*TWO).when(asked := claim("ada", "a", TTL, "mine"))
    at = NOON + 3 * SECOND
    told = {
        "token": 1, "owner_id": "ada", "task_id": entity("a"), "ttl_seconds": TTL,
        "expires_at": instant(at + TTL * SECOND),
    }  # fmt: skip
    story.then_event(
        "task_claimed",
        from_status="todo",
        to_status="doing",
        task_id=entity("a"),
        goal_id=entity("goal"),
        fencing_token=1,
        payload=told | {"grant_id": entity("mine"), "from_status": "todo"},
    )
    story.then_told(**told, handover={"predecessor": None, "checkpoint": None, "open_attempts": []})
    assert (story.task("a")["status"], story.task("a")["changed_seq"]) == ("doing", 4)
    assert story.grant("a")["acted"] is False
    story.when(asked).then_duplicate(4)


def test_a_claim_of_a_doing_task_is_no_transition() -> None:
    story = given(*TWO, start_task("a"), update_checkpoint("a"))
    after = story.when(claim("ada", "a")).then_event("task_claimed", from_status=None, to_status=None)
    assert after.task("a") == story.task("a"), "its order among the others stays what it was"
    assert "from_status" not in after.payload


@pytest.mark.parametrize(
    ("before", "task", "code"),
    [
        ((), "nobody's", "unknown_task"),
        ((start_task("a"), block_task("a")), "a", "illegal_transition"),
        ((start_task("a"), complete_task("a")), "a", "illegal_transition"),
        ((set_goal_status("goal", "paused"),), "a", "goal_paused"),
        ((start_task("a"), set_goal_status("goal", "paused")), "a", "goal_paused"),
        ((amend_task("a", depends_on=[entity("b")]),), "a", "unmet_dependencies"),
    ],
)
def test_a_named_task_is_claimed_only_where_it_could_be_worked_on(before: Any, task: str, code: str) -> None:
    story = given(*TWO, *before)
    assert (
        story.when(claim("ada", task)).then_refused(code, entity(task) if code != "goal_paused" else "").state
        is story.state
    )


def test_what_another_holds_is_refused_with_the_holder_and_the_expiry() -> None:
    story = claimed()
    until = instant(NOON + 3 * SECOND + TTL * SECOND)
    story.when(claim("bob", "a")).then_refused("lease_held", entity("a"), "ada", until)
    story.when(acquire("bob")).then_refused("lease_held", entity("a"), "ada", until)
    story.when(acquire("ada")).then_event("lease_acquired")


def test_one_project_has_several_executors() -> None:
    story = claimed().when(claim("bob", "b", TTL)).then_told(token=2)
    story.when(under(1, complete_task("a"))).then_event("task_completed", fencing_token=1)
    story.when(under(2, complete_task("b"))).then_event("task_completed", fencing_token=2)
    for token, task, holder in ((1, "b", "bob"), (2, "a", "ada")):
        refused = story.when(under(token, complete_task(task)))
        refused.then_refused("lease_held", entity(task), holder, instant(story.expiry(task)))
        assert refused.state is story.state
    story.when(complete_task("a")).then_refused("token_needed", entity("a"), "ada", instant(story.expiry("a")))


def test_a_task_that_nobody_holds_needs_no_token() -> None:
    story = claimed().when(start_task("b")).then_event("task_started", fencing_token=None)
    story.when(under(1, complete_task("b"))).then_event("task_completed", fencing_token=1)


def test_the_claim_ends_with_its_task() -> None:
    story = claimed().when(under(1, complete_task("a")))
    assert story.grant("a") is None
    story.when(under(1, reopen_task("a"))).then_refused("fenced")
    story.when(reopen_task("a")).then_event("task_reopened")
    for asked in (pause_task("a"), block_task("a"), update_checkpoint("a")):
        assert claimed().when(under(1, asked)).grant("a")["token"] == 1, "and with no other transition"


def test_the_same_owner_claims_again_and_gets_a_new_token() -> None:
    story = claimed().when(claim("ada", "a", 30)).then_told(token=2, ttl_seconds=30)
    assert [gone["reason"] for gone in story.payload["voided"]] == ["replaced"]
    assert story.deaths("a") == 0, "it did not vanish"
    story.when(under(1, update_checkpoint("a"))).then_refused("fenced", "1")
    story.when(under(2, update_checkpoint("a"))).then_event("checkpoint_updated")


def test_a_lease_and_the_claim_of_another_exclude_each_other() -> None:
    leased = given(*TWO, acquire("ada", TTL))
    leased.when(claim("bob", "a")).then_refused("lease_held", "ada")
    claimed("bob").when(acquire("ada")).then_refused("lease_held", "bob")
    own = leased.when(claim("ada", "a", TTL)).then_told(token=2)
    assert "voided" not in own.payload
    late = leased.later(TTL).when(claim("bob", "a")).then_told(token=2)
    assert [(gone["token"], gone["task_id"]) for gone in late.payload["voided"]] == [(1, None)]
    assert late.grant() is None
    late.when(under(1, update_checkpoint("b"))).then_refused("fenced")


def test_an_expired_claim_does_not_gate_a_command_without_a_token_which_ends_it() -> None:
    story = claimed().later(TTL)
    for asked in (update_checkpoint("a"), under(2, update_checkpoint("a"))):
        before = story if asked.fencing_token is None else claimed().when(claim("bob", "b")).later(TTL)
        after = before.when(asked).then_event("checkpoint_updated", fencing_token=asked.fencing_token)
        assert [(gone["token"], gone["reason"]) for gone in after.payload["voided"]] == [(1, "expired")]
        assert after.grant("a") is None
        assert after.deaths("a") == 0, "a checkpoint: somebody works on it"
        after.when(under(1, complete_task("a"))).then_refused("fenced")


# Which is next


def test_first_what_was_left_behind_the_one_changed_last() -> None:
    story = given(*TWO, add_task("c"), start_task("a"), start_task("b"), update_checkpoint("a"))
    gives(gives(gives(story, "a"), "b"), "c").when(claim("ada")).then_refused("nothing_to_claim")


def test_a_task_is_left_behind_once_its_holder_is_gone() -> None:
    story = given(*TWO, claim("ada", "a", TTL), claim("bob", "b", TTL))
    story.when(claim("cyd")).then_refused("nothing_to_claim")
    until = story.expiry("a")
    story.at(until - 1).when(claim("cyd")).then_refused("nothing_to_claim")
    late = gives(story.at(until), "a")
    gives(late, "b", "dan")
    gives(story.at(until + SECOND), "b")  # both are gone: the one that was changed last


def test_what_is_doing_comes_before_a_goal_of_higher_priority() -> None:
    story = given(*TWO, start_task("a"), create_goal("urgent", priority=9), add_task("c", "urgent"))
    gives(gives(story, "a"), "c")


def test_then_the_oldest_ready_task_of_the_most_important_goal() -> None:
    story = given(*TWO, create_goal("low", priority=-5), add_task("c", "low"), add_task("d", "low"))
    gives(gives(gives(story, "a"), "b"), "c")
    gives(story.when(set_goal_priority("low", 1)), "c")
    gives(story.when(set_goal_priority("low", 0)), "a")
    tie = given(
        create_goal("one"), create_goal("two"), add_task("x", "two"), add_task("y", "one"), add_task("z", "two")
    )
    gives(gives(gives(tie, "x"), "y"), "z")


def test_oldest_means_created_not_changed() -> None:
    gives(given(*TWO, start_task("a"), pause_task("a"), amend_task("a", title="x")), "a")


def test_what_is_not_ready_or_not_wanted_is_passed_over() -> None:
    gives(given(*TWO, amend_task("a", depends_on=[entity("b")])), "b")
    gives(given(*TWO, start_task("a"), block_task("a")), "b")
    gives(given(*TWO, start_task("a"), complete_task("a")), "b")
    other = (create_goal("other", priority=-1), add_task("c", "other"))
    gives(given(*TWO, *other, set_goal_status("goal", "paused")), "c")
    gives(given(*TWO, *other, start_task("a"), set_goal_status("goal", "paused")), "c")
    gives(given(*TWO, claim("ada", "a"), under(1, pause_task("a"))), "b")  # paused, and still held


def test_never_a_blocked_one() -> None:
    """`next_step` says unblock; a claim hands out what can be worked on."""
    story = given(create_goal("goal"), add_task("a"), start_task("a"), block_task("a"))
    story.when(claim("ada")).then_refused("nothing_to_claim")
    held = given(create_goal("goal"), add_task("a"), claim("ada", "a", TTL), under(1, block_task("a"))).later(TTL)
    held.when(claim("bob")).then_refused("nothing_to_claim")
    held.when(claim("bob", "a")).then_refused("illegal_transition")


def test_the_next_one_is_never_one_that_the_owner_holds_already() -> None:
    gives(given(*TWO, claim("cyd", "a")), "b")


def test_while_another_holds_the_project_there_is_no_next_one() -> None:
    given(*TWO, acquire("ada")).when(claim("bob")).then_refused("lease_held", "ada")
    gives(given(*TWO, acquire("ada")), "a", "ada")


def test_two_hundred_claims_give_two_hundred_tasks_and_then_there_is_none() -> None:
    tasks = [f"t{n}" for n in range(200)]
    story = grown([create_goal("goal"), *(add_task(each) for each in tasks)])
    story = grown((claim(f"worker {n}") for n in range(200)), story)
    told = [(event["task_id"], event["fencing_token"]) for event in story.events[201:]]
    assert told == [(entity(task), n + 1) for n, task in enumerate(tasks)]
    story.at_rest(claim("one more")).then_refused("nothing_to_claim")
    assert {grant["owner_id"] for grant in story.state.grants.values()} == {f"worker {n}" for n in range(200)}


# Taking over


def test_taking_over_names_the_predecessor_its_checkpoint_and_its_open_attempts() -> None:
    story = given(
        *TWO,
        claim("ada", "a", TTL),
        claim("bob", "b", TTL),
        begin_step("pay", 1, kind="non_idempotent", key="order-7"),
        begin_step("fetch", 1),
        complete_step("fetch", 1, 1),
        begin_step("ask", 1),
        fail_step("ask", 1, 1),
        begin_step("elsewhere", 2),
        under(1, update_checkpoint("a", "pay the rest", "half of it is paid")),
    )
    story = story.when(renew(2)).at(story.expiry("a"))
    after = gives(story, "a")
    gone = {
        "token": 1, "owner_id": "ada", "task_id": entity("a"), "expires_at": instant(story.now), "reason": "expired",
    }  # fmt: skip
    assert after.payload["voided"] == [gone]
    after.then_told(
        token=3,
        handover={
            "predecessor": gone,
            "checkpoint": story.checkpoint("a"),
            "open_attempts": [{"step_id": "pay", "step_type": "non_idempotent", "attempt_id": 1}],
        },
    )
    after.when(under(1, update_checkpoint("a"))).then_refused("fenced")


def test_taking_over_a_project_names_everything_that_was_left_open() -> None:
    story = given(
        *TWO, acquire("ada", TTL), begin_step("s2", 1, task="a"), begin_step("s1", 1), under(1, start_task("a")),
        under(1, start_task("b")), under(1, update_checkpoint("b")), under(1, update_checkpoint("a")),
    )  # fmt: skip
    after = story.later(TTL).when(acquire("bob"))
    handover = after.result["handover"]
    assert handover["predecessor"]["owner_id"] == "ada"
    assert handover["checkpoint"] == story.checkpoint("a"), "of what was worked on last"
    assert [(each["step_id"], each["attempt_id"]) for each in handover["open_attempts"]] == [("s1", 1), ("s2", 1)]


def test_after_a_release_there_is_a_checkpoint_and_no_predecessor() -> None:
    story = claimed().when(under(1, update_checkpoint("a"))).when(release(1))
    after = gives(story, "a")
    after.then_told(handover={"predecessor": None, "checkpoint": story.checkpoint("a"), "open_attempts": []})


def test_a_holder_that_renewed_is_not_taken_over() -> None:
    story = claimed().later(TTL / 2).when(renew(1, "a"))
    renewed_until = story.expiry("a")
    story.at(renewed_until - 1).when(claim("bob", "a")).then_refused("lease_held", instant(renewed_until))
    taken = story.at(renewed_until).when(claim("bob", "a"))
    assert taken.payload["voided"][0]["expires_at"] == instant(renewed_until)


def test_a_failover_delays_a_takeover_by_at_most_one_ttl_and_never_causes_one() -> None:
    story = claimed().later(TTL - 5).when(renew(1)).later(TTL - 5).failover()
    opened = story.now
    story.when(claim("bob", "a")).then_refused("lease_held", instant(opened + TTL * SECOND))
    first = story.when(claim("bob", "b"))
    first.at(opened + TTL * SECOND - 1).when(claim("cyd", "a")).then_refused("lease_held")
    first.at(opened + TTL * SECOND).when(claim("cyd", "a")).then_event("task_claimed")


# Silent deaths


def died(times: int, *works: Command) -> Story:
    """Task a, whose holders vanished so many times in a row; each does `works` under its token first."""
    story = given(create_goal("goal"), add_task("a"), add_task("b"))
    for n in range(times):
        story = gives(story, "a", f"worker {n}")
        for asked in works:
            again = asked._replace(command_id=claim().command_id)
            story = story.when(under(story.token, again))
            assert story.events[-1]["command_id"] == again.command_id
        story = story.at(story.expiry("a"))
    return story


@pytest.mark.parametrize("times", range(1, SILENT_DEATHS_MAX))
def test_silent_deaths_are_counted_at_each_takeover(times: int) -> None:
    story = died(times)
    assert story.deaths("a") == times - 1, "that the last one is gone shows only at the next claim"
    assert gives(story, "a").deaths("a") == times


@pytest.mark.parametrize("named", [None, "a"])
def test_the_fifth_silent_death_blocks_the_task_in_one_event(named: str | None) -> None:
    story = died(SILENT_DEATHS_MAX)
    after = story.when(asked := claim("cyd", named))
    after.then_event(
        "task_blocked", from_status="doing", to_status="blocked", task_id=entity("a"), goal_id=entity("goal"),
        fencing_token=None,
    ).then_told(token=None)  # fmt: skip
    assert "executors_keep_failing" in after.task("a")["blockers"][0]["text"]
    assert [gone["owner_id"] for gone in after.payload["voided"]] == ["worker 4"]
    assert (after.grant("a"), after.deaths("a"), after.token) == (None, 0, SILENT_DEATHS_MAX)
    after.when(under(5, update_checkpoint("a"))).then_refused("fenced")
    after.when(asked).then_duplicate(len(after.events), "event_type", *(() if named else ("task_id", "goal_id")))
    gives(after, "b")  # the next one is a new decision
    unblocked = after.when(start_task("a"))
    gives(unblocked, "a").then_told(token=6)


def test_the_fifth_can_be_found_gone_by_another_decision_than_a_claim() -> None:
    story = died(SILENT_DEATHS_MAX).when(acquire("ada", TTL)).when(release(6))
    assert (story.deaths("a"), story.grant("a")) == (SILENT_DEATHS_MAX, None)
    after = story.when(claim("cyd")).then_event("task_blocked", task_id=entity("a"))
    assert "voided" not in after.payload


def test_who_claims_anew_what_it_holds_has_not_vanished() -> None:
    """After a rollback to before it was started, a task is handed out once more, whatever was counted."""
    story = died(SILENT_DEATHS_MAX).when(rollback(3))
    assert (story.task("a")["status"], story.deaths("a")) == ("todo", SILENT_DEATHS_MAX)
    story = gives(story, "a", "cyd")
    again = story.when(claim("cyd", "a"))
    assert [gone["reason"] for gone in again.payload["voided"]] == ["replaced"]
    again.at(again.expiry("a")).when(claim("cyd", "a")).then_event("task_blocked")


def test_deaths_that_are_counted_while_nobody_holds_anything_are_reset_too() -> None:
    story = died(3).when(acquire("ada", TTL)).when(release(4))
    assert (story.deaths("a"), len(story.state.grants)) == (3, 0)
    assert story.when(under(None, update_checkpoint("a"))).deaths("a") == 0


@pytest.mark.parametrize(
    "activity",
    [
        (update_checkpoint("a"),),
        (begin_step("fetch"),),
        (pause_task("a"), start_task("a")),
        (block_task("a"), start_task("a")),
    ],
)
def test_who_did_anything_did_not_die_silently(activity: tuple[Command, ...]) -> None:
    story = died(4)
    story = gives(story, "a")  # the fifth
    assert story.deaths("a") == 4
    for asked in activity:
        story = story.when(under(story.token, asked))
    assert (story.deaths("a"), story.grant("a")["acted"]) == (0, True)
    story = gives(story.at(story.expiry("a")), "a")
    assert story.deaths("a") == 0
    assert gives(story.at(story.expiry("a")), "a").deaths("a") == 1, "its successor is counted for itself"


def test_holders_that_work_are_never_counted() -> None:
    story = died(7, update_checkpoint("a"))
    gives(story, "a")


@pytest.mark.parametrize("asked", [renew(None), amend_task("a", title="x"), create_goal("more")])
def test_what_is_no_work_on_the_task_does_not_count_as_life(asked: Command) -> None:
    story = claimed().when(under(1, asked))
    assert story.grant("a")["acted"] is False
    assert gives(story.at(story.expiry("a")), "a").deaths("a") == 1


def test_a_release_is_no_death_and_no_proof_of_life() -> None:
    story = died(2)
    story = gives(story, "a").when(release(3))
    assert story.deaths("a") == 2
    assert gives(story, "a").deaths("a") == 2


def test_a_completed_task_forgets_its_deaths() -> None:
    story = gives(died(3), "a").when(under(4, complete_task("a")))
    assert story.deaths("a") == 0


# Rollbacks


def test_a_claim_whose_task_was_rolled_back_can_be_released_and_repeated() -> None:
    """What is held is no work: a rollback takes the task away and leaves the grant."""
    asked = claim("ada", "b")
    story = given(*TWO, asked, under(1, rollback(2)))
    assert entity("b") not in story.state.tasks
    story.when(asked).then_duplicate(4, "goal_id")
    story.when(under(1, update_checkpoint("b"))).then_refused("unknown_task")
    story.when(renew(1)).then_answered(task_id=entity("b"))
    story.when(release(1)).then_event("lease_released", task_id=entity("b"), goal_id=None)
    story.later(TTL).when(acquire("bob")).then_event("lease_acquired")


def test_a_repeat_of_work_on_a_task_that_was_rolled_back_is_still_known() -> None:
    asked = start_task("b")
    story = given(*TWO, asked, rollback(2))
    story.when(asked).then_duplicate(4, "goal_id")
    story.when(TWO[2]).then_duplicate(3)


def test_an_id_that_was_rolled_back_and_used_again_is_another_task() -> None:
    story = after_others(given(*TWO, rollback(2))).when(create_goal("other")).when(add_task("b", "other"))
    story.then_event("task_added")
    back = story.when(rollback(3))
    assert back.task("b")["goal_id"] == entity("goal")
    back.when(start_task("b")).then_event("task_started")


# Late repeats


def after_others(story: Story) -> Story:
    for n in range(IDEMPOTENCY_WINDOW_EVENTS):
        story = story.when(set_goal_priority("goal", n))
    return story


@pytest.mark.parametrize("named", [None, "a"])
def test_a_claim_repeated_with_its_id_gives_the_same_claim_while_it_lives(named: str | None) -> None:
    asked = claim("ada", named, 3_600, "mine")
    story = given(*TWO).when(asked)
    for later in (story, story.later(3_600), after_others(story), after_others(story).when(update_checkpoint("b"))):
        again = later.when(asked).then_duplicate(4)
        assert again.state is later.state
        assert again.result["token"] == 1


@pytest.mark.parametrize("named", [None, "a"])
def test_in_the_window_a_claim_that_ended_is_known_and_not_given_again(named: str | None) -> None:
    asked = claim("ada", named, TTL, "mine")
    story = given(*TWO, asked)
    gone = ("result", "event_type", *(() if named else ("task_id", "goal_id")))
    for ended in (
        story.when(release(1)),
        story.when(under(1, complete_task("a"))),
        story.later(TTL).when(claim("bob", "a")),
    ):
        again = ended.when(asked).then_duplicate(4, *gone)
        assert again.state is ended.state


def test_beyond_the_window_a_claim_that_ended_takes_nothing_from_anybody() -> None:
    asked = claim("ada", "a", TTL, "mine")
    story = given(*TWO, asked)
    taken = after_others(story.later(TTL).when(claim("bob", "a", 3_600)))
    taken.when(asked).then_refused("lease_held", "bob")
    done = after_others(story.when(under(1, complete_task("a"))))
    done.when(asked).then_refused("illegal_transition")
    free = after_others(story.when(release(1)))
    free.when(asked).then_event("task_claimed", fencing_token=2).when(asked).then_duplicate(len(free.events) + 1)


@pytest.mark.parametrize(
    "other",
    [
        claim("ada", "b", 3_600, "mine"), claim("ada", "nobody's", 3_600, "mine"), claim("bob", "a", 3_600, "mine"),
        claim("ada", "a", 60, "mine"), acquire("ada", 3_600, "mine"),
    ],
)  # fmt: skip
def test_beyond_the_window_the_id_of_a_claim_is_still_taken(other: Command) -> None:
    story = after_others(given(*TWO, claim("ada", "a", 3_600, "mine")))
    refused = story.when(other).then_refused("idempotency_key_reused", "event 4")
    assert refused.state is story.state


def test_every_command_that_names_a_task_was_looked_at() -> None:
    """A new one has to be gated, or free on purpose: see `test_leases`."""
    on_tasks = {name for name, kind in COMMANDS.items() if "task_id" in kind.__dataclass_fields__}
    assert on_tasks == {
        "amend_task", "start_task", "pause_task", "block_task", "complete_task", "reopen_task", "update_checkpoint",
        "renew_lease", "release_lease", "claim_task", "begin_step",
    }  # fmt: skip
