"""Leases: one executor for a whole project. The token decides whether a command counts, the clock who may take over."""

from typing import Any

import pytest

from continuity.core.decide import GATED
from continuity.core.ids import instant
from continuity.core.limits import IDEMPOTENCY_WINDOW_EVENTS
from continuity.core.liveness import Liveness
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
    pause_task,
    release,
    renew,
    reopen_task,
    set_goal_priority,
    set_goal_status,
    start_task,
    under,
    update_checkpoint,
)  # fmt: skip

WORK = (create_goal("goal"), add_task("task"), add_task("other"))
TTL = 60


def held(owner: str = "ada") -> Story:
    """The project, held by `owner` under token 1."""
    return given(*WORK, acquire(owner, TTL))


def ran_out() -> Story:
    """The same, once the grant has run out and nobody took it."""
    story = held()
    return story.at(story.expiry())


# Acquiring


def test_a_free_project_is_acquired_with_a_new_token() -> None:
    story = given(*WORK).when(asked := acquire("ada", TTL, "mine"))
    at = NOON + 3 * SECOND
    expected = {
        "token": 1,
        "owner_id": "ada",
        "task_id": None,
        "ttl_seconds": TTL,
        "expires_at": instant(at + TTL * SECOND),
    }
    story.then_event(
        "lease_acquired", fencing_token=1, task_id=None, goal_id=None, payload=expected | {"grant_id": entity("mine")}
    )
    story.then_told(**expected, handover={"predecessor": None, "checkpoint": None, "open_attempts": []})
    assert story.grant() == expected | {
        "grant_id": entity("mine"), "acquired_at": instant(at), "seq": 4, "acted": False,
    }  # fmt: skip
    story.when(asked).then_duplicate(4)


@pytest.mark.parametrize("seconds", [0, 1, TTL - 2])
def test_another_owner_has_to_wait_and_is_told_for_whom_and_until_when(seconds: int) -> None:
    story = held().later(seconds)
    until = instant(NOON + 3 * SECOND + TTL * SECOND)
    refused = story.when(acquire("bob")).then_refused("lease_held", "ada", until)
    assert refused.state is story.state
    story.when(claim("bob")).then_refused("lease_held", "ada", until)
    story.when(claim("bob", "task")).then_refused("lease_held", "ada", until)


def test_the_instant_of_the_expiry_is_the_first_at_which_it_can_be_taken() -> None:
    story = held()
    until = story.expiry()
    assert until == NOON + 3 * SECOND + TTL * SECOND
    story.at(until - 1).when(acquire("bob")).then_refused("lease_held")
    taken = story.at(until).when(acquire("bob")).then_event("lease_acquired", fencing_token=2)
    gone = {"token": 1, "owner_id": "ada", "task_id": None, "expires_at": instant(until), "reason": "expired"}
    assert taken.payload["voided"] == [gone]
    assert taken.result["handover"]["predecessor"] == gone
    assert taken.grant()["owner_id"] == "bob"


def test_the_same_owner_acquires_again_and_gets_a_new_token() -> None:
    story = held().when(acquire("ada", 30)).then_event("lease_acquired", fencing_token=2)
    assert story.payload["voided"][0]["reason"] == "replaced"
    assert (story.grant()["token"], story.grant()["ttl_seconds"]) == (2, 30)
    story.when(under(1, start_task("task"))).then_refused("fenced", "1")
    story.when(under(2, start_task("task"))).then_event("task_started", fencing_token=2)
    late = ran_out().when(acquire("ada")).then_event("lease_acquired", fencing_token=2)
    assert late.payload["voided"][0]["reason"] == "expired"


def test_tokens_only_grow_after_release_expiry_takeover_and_force() -> None:
    """A row that is deleted on release would begin at 1 again: the counter is state, whatever is held."""
    story = held()
    assert story.token == 1
    story = story.when(release(1))
    assert (story.grant(), story.state.token_counter) == (None, 1)
    story = story.when(acquire("ada", TTL)).then_told(token=2)
    story = story.at(story.expiry()).when(acquire("bob", TTL)).then_told(token=3)
    story = story.when(acquire("bob", TTL)).then_told(token=4)
    story = story.when(release(force=True)).when(claim("ada", "task", TTL)).then_told(token=5)
    story = story.when(under(5, complete_task("task"))).when(acquire("cyd")).then_told(token=6)
    for old in range(1, 6):
        story.when(under(old, start_task("other"))).then_refused("fenced", str(old))


def test_an_acquisition_over_an_expired_claim_voids_it() -> None:
    story = given(*WORK, claim("ada", "task", TTL), claim("bob", "other", TTL))
    story.when(acquire("cyd")).then_refused("lease_held", entity("task"), "ada")
    story = story.later(TTL).when(acquire("cyd")).then_event("lease_acquired", fencing_token=3)
    assert [gone["token"] for gone in story.payload["voided"]] == [1, 2]
    assert [story.grant(task) for task in ("task", "other")] == [None, None]
    assert [story.deaths(task) for task in ("task", "other")] == [1, 1]


def test_a_refusal_names_the_oldest_of_several_holders() -> None:
    """Not whichever a hash map gives first: the same state gives the same answer in every process."""
    tasks = [f"t{n}" for n in range(30)]
    story = given(
        create_goal("goal"), *(add_task(each) for each in tasks), *(claim(f"o{n}", f"t{n}") for n in range(30))
    )
    for oldest in range(29):
        story.when(acquire("ada")).then_refused("lease_held", f"held by o{oldest} ", entity(f"t{oldest}"))
        story = story.when(release(oldest + 1))


def test_an_owner_can_hold_the_project_beside_its_own_claims() -> None:
    story = given(*WORK, claim("ada", "task"), acquire("ada"), claim("ada", "other"))
    assert sorted(grant["token"] for grant in story.state.grants.values()) == [1, 2, 3]
    story.when(claim("bob")).then_refused("lease_held")
    for token in (1, 2):
        story.when(under(token, update_checkpoint("task"))).then_event("checkpoint_updated", fencing_token=token)


# The fence

TASK_COMMANDS: dict[str, tuple[tuple[Command, ...], Command]] = {
    "start_task": ((), start_task("task")),
    "pause_task": ((start_task("task"),), pause_task("task")),
    "block_task": ((start_task("task"),), block_task("task")),
    "complete_task": ((start_task("task"),), complete_task("task")),
    "reopen_task": ((start_task("task"), complete_task("task")), reopen_task("task")),
    "update_checkpoint": ((), update_checkpoint("task")),
}
STEP_COMMANDS: dict[str, tuple[tuple[Command, ...], Command]] = {
    "begin_step": ((), begin_step()),
    "complete_step": ((under(1, begin_step()),), complete_step()),
    "fail_step": ((under(1, begin_step()),), fail_step()),
}
FREE = {
    "create_goal": create_goal("more"), "add_task": add_task("more"), "amend_task": amend_task("task", title="x"),
    "set_goal_status": set_goal_status("goal", "paused"), "set_goal_priority": set_goal_priority("goal", 3),
}  # fmt: skip


def reached(name: str) -> tuple[Story, Command]:
    """A project that ada holds under token 1, where a command makes sense, and the command without a token."""
    before, asked = (TASK_COMMANDS | STEP_COMMANDS)[name]
    return given(*WORK, acquire("ada", TTL), *(under(1, each) for each in before)), asked


def test_these_are_the_commands_that_a_lease_gates() -> None:
    assert TASK_COMMANDS.keys() | STEP_COMMANDS.keys() == GATED


@pytest.mark.parametrize("name", sorted(GATED))
def test_while_a_lease_is_held_work_needs_its_token(name: str) -> None:
    story, asked = reached(name)
    refused = story.when(asked).then_refused("token_needed", "ada", instant(story.expiry()))
    assert refused.state is story.state
    story.when(under(2, asked)).then_refused("fenced", "2")
    accepted = story.when(under(1, asked))
    accepted.then_event(accepted.events[-1]["event_type"], fencing_token=1)


@pytest.mark.parametrize("name", TASK_COMMANDS)
def test_with_none_held_no_token_is_needed(name: str) -> None:
    before, asked = TASK_COMMANDS[name]
    story = given(*WORK, *before).when(asked)
    story.then_event(story.events[-1]["event_type"], fencing_token=None)


@pytest.mark.parametrize("name", FREE)
def test_creating_and_amending_stay_free(name: str) -> None:
    for story in (held(), ran_out()):
        after = story.when(FREE[name])
        after.then_event(after.events[-1]["event_type"], fencing_token=None)
        assert after.grant() == story.grant(), "what is free ends nobody's grant"
        assert "voided" not in after.payload
        story.when(under(7, FREE[name])).then_refused("fenced")


@pytest.mark.parametrize("name", sorted(GATED - {"begin_step"}))
def test_the_current_token_counts_after_its_expiry_while_nobody_took_over(name: str) -> None:
    story, asked = reached(name)
    late = story.later(10 * TTL)
    after = late.when(under(1, asked))
    after.then_event(after.events[-1]["event_type"], fencing_token=1)
    assert after.grant()["token"] == 1
    assert after.expiry() == late.now + TTL * SECOND, "and the holder is back"


@pytest.mark.parametrize("name", sorted(GATED))
def test_an_older_token_is_fenced_for_ever(name: str) -> None:
    story, asked = reached(name)
    taken = story.later(TTL).when(acquire("bob", TTL)).then_event("lease_acquired")
    for later in (
        taken,
        taken.when(release(2)),
        taken.later(TTL),
        taken.later(TTL).when(under(2, FREE["create_goal"])),
    ):
        refused = later.when(under(1, asked)).then_refused("fenced", "1")
        assert refused.state is later.state
    taken.when(under(1, asked)).then_refused("fenced", "bob", "2")


@pytest.mark.parametrize(
    "asked", [acquire("ada"), claim("ada"), renew(1), release(1), release(force=True), *FREE.values()]
)
def test_a_stale_token_fences_whatever_the_command_is(asked: Command) -> None:
    held().when(release(1)).when(under(1, asked)).then_refused("fenced")


def test_an_expired_lease_does_not_gate_a_command_without_a_token_which_ends_it() -> None:
    story = ran_out()
    story.at(story.now - 1).when(start_task("task")).then_refused("token_needed")
    gone = {"token": 1, "owner_id": "ada", "task_id": None, "expires_at": instant(story.expiry()), "reason": "expired"}
    after = story.when(start_task("task")).then_event(
        "task_started", fencing_token=None, payload={"task_id": entity("task"), "voided": [gone]}
    )
    assert after.grant() is None
    after.when(under(1, complete_task("task"))).then_refused("fenced")
    after.when(complete_task("task")).then_event("task_completed", payload={"task_id": entity("task")})


def test_a_refused_command_without_a_token_ends_nothing() -> None:
    story = ran_out()
    refused = story.when(complete_task("task")).then_refused("illegal_transition")
    assert refused.grant() == story.grant()
    refused.when(under(1, start_task("task"))).then_event("task_started")


def test_a_tokens_owner_is_told_apart_from_one_without_a_token() -> None:
    story = given(*WORK, claim("ada", "task"), claim("bob", "other"))
    story.when(start_task("other")).then_refused("token_needed", "bob")
    story.when(under(1, pause_task("other"))).then_refused("lease_held", "bob", instant(story.expiry("other")))


# Renewing


def test_a_renewal_moves_the_expiry_and_makes_no_event() -> None:
    story = held().later(TTL / 2)
    again = story.when(renew(1))
    until = story.now + TTL * SECOND
    again.then_answered(token=1, owner_id="ada", task_id=None, ttl_seconds=TTL, expires_at=instant(until))
    assert again.state is story.state
    assert again.expiry() == until
    again.at(until - 1).when(acquire("bob")).then_refused("lease_held", "ada", instant(until))
    taken = again.at(until).when(acquire("bob")).then_event("lease_acquired")
    assert taken.payload["voided"][0]["expires_at"] == instant(until), "history shows the expiry that counted"


def test_a_renewal_needs_the_current_token() -> None:
    held().when(renew(None)).then_refused("token_needed")
    held().when(renew(2)).then_refused("fenced")
    held().when(renew(1, "task")).then_refused("fenced", entity("task"))
    given(*WORK, claim("ada", "task")).when(renew(1, "other")).then_refused("fenced", entity("other"))
    given(*WORK, claim("ada", "task")).when(renew(1, "task")).then_answered(task_id=entity("task"))
    given(*WORK).when(renew(None)).then_refused("token_needed")


def test_an_expired_lease_that_nobody_took_can_be_renewed() -> None:
    story = ran_out().later(1000).when(renew(1)).then_answered(token=1)
    story.when(acquire("bob")).then_refused("lease_held")
    ran_out().when(acquire("bob")).when(renew(1)).then_refused("fenced")


@pytest.mark.parametrize("asked", [start_task("task"), create_goal("more"), begin_step("fetch", task="task")])
def test_every_accepted_command_under_a_token_renews_it(asked: Command) -> None:
    story = held().later(TTL / 2)
    assert story.when(under(1, asked)).expiry() == story.now + TTL * SECOND
    refused = story.when(under(1, complete_task("task"))).then_refused("illegal_transition")
    assert refused.expiry() == story.expiry(), "a refused one does not"


def test_a_renewal_is_no_longer_than_the_ttl_of_the_grant() -> None:
    story = held().when(acquire("ada", 5)).when(renew(2))
    story.then_answered(ttl_seconds=5, expires_at=instant(story.now - SECOND + 5 * SECOND))


# Failover


def test_a_failover_delays_a_takeover_by_at_most_one_ttl() -> None:
    story = ran_out().failover()
    opened = story.now
    first = story.when(acquire("bob")).then_refused("lease_held", "ada", instant(opened + TTL * SECOND))
    first.at(opened + TTL * SECOND - 1).when(acquire("bob")).then_refused("lease_held")
    taken = first.at(opened + TTL * SECOND).when(acquire("bob")).then_event("lease_acquired")
    assert taken.payload["voided"][0]["expires_at"] == instant(opened + TTL * SECOND)


def test_a_holder_that_renewed_keeps_its_lease_through_a_failover() -> None:
    story = held().later(TTL - 3).when(renew(1)).later(TTL - 3)
    assert story.grant()["expires_at"] < instant(story.now), "recorded, it has run out"
    story.failover().when(acquire("bob")).then_refused("lease_held")
    story.failover().when(renew(1)).then_answered(token=1)


def test_the_epoch_of_a_sequencer_opens_with_its_first_command() -> None:
    story = held().failover().later(5 * TTL)
    opened = story.now
    story.when(acquire("bob")).then_refused("lease_held", instant(opened + TTL * SECOND))


def test_a_failover_never_shortens_a_grant() -> None:
    story = held().failover()
    first = story.when(create_goal("more"))
    assert first.expiry() == max(held().expiry(), story.now + TTL * SECOND)
    granted = first.when(release(1)).when(acquire("ada", TTL))
    assert granted.expiry() == granted.now - SECOND + TTL * SECOND, "a grant of this epoch counts from its own event"


def test_a_grant_that_is_the_first_decision_of_an_epoch_lasts_one_ttl() -> None:
    story = given(*WORK).failover()
    story.when(acquire("ada", TTL)).then_told(expires_at=instant(story.now + TTL * SECOND))


@pytest.mark.parametrize(
    ("renewed", "opened_at", "expiry"),
    [
        ({}, 0, 160),
        ({7: 130}, 0, 190),
        ({7: 90}, 0, 160),
        ({}, 110, 170),
        ({}, 90, 160),
        ({7: 120}, 110, 180),
        ({8: 150}, 0, 160),
    ],
)
def test_the_expiry_that_counts_is_the_latest_of_three(renewed: dict[int, int], opened_at: int, expiry: int) -> None:
    """What was recorded, what was renewed in this epoch, and what may have been renewed before it."""
    grant = {"token": 7, "ttl_seconds": 60, "expires_at": instant(160 * SECOND)}
    liveness = Liveness({token: at * SECOND for token, at in renewed.items()}, opened_at * SECOND)
    assert liveness.expiry(grant) == expiry * SECOND


# Releasing


def test_a_release_ends_the_grant_of_its_token() -> None:
    story = (
        held()
        .when(asked := release(1))
        .then_event(
            "lease_released",
            fencing_token=1,
            task_id=None,
            payload={"token": 1, "owner_id": "ada", "task_id": None, "forced": False},
        )
    )
    story.when(asked).then_duplicate(5)
    story.when(start_task("task")).then_event("task_started", fencing_token=None)
    story.when(acquire("bob")).then_told(token=2)
    story.when(release(1)).then_refused("fenced")


def test_a_release_needs_the_token_or_force() -> None:
    held().when(release()).then_refused("token_needed")
    held().when(release(2)).then_refused("fenced")
    held().when(release(1, "task")).then_refused("fenced")
    given(*WORK).when(release()).then_refused("token_needed")
    ran_out().when(release(1)).then_event("lease_released")


def test_a_forced_release_is_an_event_with_its_operator() -> None:
    asked = release(force=True, operator_id="ops-1", operator_kind="human")
    story = (
        held()
        .when(asked)
        .then_event(
            "lease_released",
            operator_id="ops-1",
            payload={"token": 1, "owner_id": "ada", "task_id": None, "forced": True},
        )
    )
    story.when(under(1, start_task("task"))).then_refused("fenced")
    story.when(acquire("bob")).then_told(token=2)
    given(*WORK).when(release(force=True)).then_refused("not_held", "the project")
    given(*WORK, claim("ada", "task")).when(release(force=True)).then_refused("not_held")
    given(*WORK).when(release(None, "task", force=True)).then_refused("not_held", entity("task"))


def test_a_forced_release_of_a_claim_leaves_the_others() -> None:
    story = given(*WORK, claim("ada", "task"), claim("bob", "other")).when(release(None, "task", force=True))
    story.then_event("lease_released", task_id=entity("task"), goal_id=entity("goal"))
    assert (story.grant("task"), story.grant("other")["token"]) == (None, 2)
    assert story.deaths("task") == 0, "nobody vanished"


# Late repeats, and clocks


def after_others(story: Story) -> Story:
    for n in range(IDEMPOTENCY_WINDOW_EVENTS):
        story = story.when(set_goal_priority("goal", n))
    return story


def test_a_repeat_beyond_the_window_gives_the_same_lease_while_it_lives() -> None:
    asked = acquire("ada", 3_600, "mine")
    story = after_others(given(*WORK).when(asked))
    assert story.state.window.find(asked.command_id, story.state.head_seq) is None
    again = story.when(asked).then_duplicate(4)
    assert again.state is story.state
    assert story.later(7_200).when(asked).then_duplicate(4).result["token"] == 1, "expired, but nobody took it"
    ended = story.when(release(1)).when(asked)
    ended.then_event("lease_acquired", fencing_token=2)  # it is decided again, and harms nobody
    ended.when(claim("bob")).then_refused("lease_held", "ada")
    story.later(7_200).when(acquire("bob")).when(asked).then_refused("lease_held", "bob")


@pytest.mark.parametrize(
    "other",
    [
        acquire("bob", 3_600, "mine"), acquire("ada", 60, "mine"), claim("ada", None, 3_600, "mine"),
        claim("ada", "task", 3_600, "mine"), claim("ada", "nobody's", 3_600, "mine"),
    ],
)  # fmt: skip
def test_beyond_the_window_the_id_of_a_lease_is_still_taken(other: Command) -> None:
    story = after_others(given(*WORK, acquire("ada", 3_600, "mine")))
    refused = story.when(other).then_refused("idempotency_key_reused", "event 4")
    assert refused.state is story.state


def test_a_clock_that_ran_backwards_takes_nothing_from_a_holder() -> None:
    story = held()
    head = story.state.head_timestamp
    early = story.at(0).when(renew(1))
    early.then_answered(expires_at=instant(head + TTL * SECOND))
    early.at(0).when(acquire("bob")).then_refused("lease_held")
    story.at(0).when(acquire("ada")).then_event("lease_acquired", timestamp=head)


@pytest.mark.parametrize("asked", [acquire("ada"), claim("ada"), renew(1), release(1)])
def test_conditions_come_before_the_rules_of_leases_too(asked: Any) -> None:
    held().when(asked._replace(expected_seq=1, fencing_token=9)).then_refused("expected_seq_mismatch")
    held().when(asked._replace(fencing_token=9)).then_refused("fenced")
