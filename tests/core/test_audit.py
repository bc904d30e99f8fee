"""The audit: whatever the decider decides passes, and what a forger writes with right hashes is named."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from continuity.core import canonical, seal
from continuity.core.audit import Audit, Problem, returns
from continuity.core.decide import decide
from continuity.core.delta import apply_delta, of_changes
from continuity.core.evolve import changes
from continuity.core.history import forked
from continuity.core.ids import event_id, instant
from continuity.core.outcome import Accepted
from continuity.core.records import Change, Command, Event
from continuity.core.restore import restore
from continuity.core.state import State
from tests.core.test_restore import EVENTS, STORY, mutations
from tests.projections.histories import Project, scripted
from tests.spec import (
    NOTHING,
    SECOND,
    WORKFLOW,
    Story,
    acquire,
    add_task,
    amend_task,
    begin_step,
    block_task,
    claim,
    command_id,
    complete_step,
    complete_task,
    create_goal,
    entity,
    fail_step,
    given,
    pause_task,
    release,
    reopen_task,
    rollback,
    set_goal_status,
    start_task,
    under,
    update_checkpoint,
)  # fmt: skip

WORK = (create_goal("goal"), add_task("a"), add_task("b"))


def audited(events: Iterable[Event], base: State = NOTHING) -> Problem | None:
    events = list(events)
    audit = Audit(base, [to_seq for event in events if (to_seq := returns(event)) is not None])
    for event in events:
        audit.add(event)
    return audit.problem


def resealed(event: Event, **fields: Any) -> Event:
    """The event with other fields, and every digest of its own made right again."""
    chained: Any = {name: value for name, value in {**event, **fields}.items() if name not in seal.UNCHAINED}
    chained["checksum"] = seal.digest(chained["payload"])
    return seal.seal(chained)


def forged(story: Story, event_type: str, payload: dict[str, Any], **fields: Any) -> Event:
    """An event after the story that no decider has decided: its delta does what the payload says."""
    state, seq, at = story.state, story.state.head_seq + 1, fields.get("timestamp", story.now)
    made = changes(state, event_type, payload, seq, instant(at))
    identity = fields.get("command_id", command_id(f"forged {seq}"))
    goal_id = payload.get("goal_id")
    if goal_id is None and payload.get("task_id") in state.tasks:
        goal_id = state.tasks[payload["task_id"]]["goal_id"]
    like = {
        "event_id": event_id(at, WORKFLOW, seq, identity), "event_seq": seq, "event_type": event_type,
        "payload": canonical.text(payload), "timestamp": at, "command_id": identity, "goal_id": goal_id,
        "task_id": payload.get("task_id"), "step_id": payload.get("step_id"), "from_status": None, "to_status": None,
        "fencing_token": None, "delta": canonical.text(of_changes(state, made)),
        "state_checksum": state.with_changes(made).checksum, "prev_hash": state.head_hash,
    }  # fmt: skip
    return resealed(EVENTS[0], **like | fields)


# What was decided passes.


def test_a_history_of_everything_passes() -> None:
    assert audited(EVENTS) is None


PEOPLE = ("ada", "bob")
DRAWN = st.lists(st.tuples(st.integers(0, 16), st.integers(0, 3), st.integers(0, 5), st.integers(0, 120)), max_size=40)


def asked(kind: int, which: int, token: int) -> Command:
    """One of all commands, about one of a few tasks and steps, perhaps under a token that may be stale."""
    task, step, owner = f"t{which}", f"s{which}", PEOPLE[which % 2]
    key = token or None
    kinds: tuple[Callable[[], Command], ...] = (
        lambda: add_task(task),
        lambda: add_task(f"t{which + 1}", after=(task,)),
        lambda: start_task(task),
        lambda: pause_task(task),
        lambda: block_task(task),
        lambda: complete_task(task),
        lambda: reopen_task(task),
        lambda: update_checkpoint(task),
        lambda: acquire(owner, 30),
        lambda: claim(owner, task if which else None, 30),
        lambda: claim(owner, None, 30),
        lambda: release(key, force=key is None),
        lambda: begin_step(step, key, task=task if which % 2 else None),
        lambda: complete_step(step, 1 + which % 2, key, ref="blob"),
        lambda: fail_step(step, 1 + which % 2, key),
        lambda: set_goal_status("goal", ("active", "paused", "done")[which % 3]),
        lambda: rollback(which * 2),
    )
    made = kinds[kind]()
    return made._replace(fencing_token=key) if made.fencing_token is None and (kind < 8 or kind == 16) else made


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@drawn(DRAWN)
def test_whatever_is_decided_passes(actions: list[tuple[int, int, int, int]]) -> None:
    """Executors that work, vanish, come back and go over one another: no rule of the audit is stricter than the law."""
    story = given(create_goal("goal"), add_task("t0"), add_task("t1"))
    for kind, which, back, seconds in actions:
        token = max(story.state.token_counter - back % 3, 0) if back else 0
        story = story.later(seconds).when(asked(kind, which, token))
    assert audited(story.events) is None


def test_five_silent_deaths_pass_with_the_blocked_task_at_their_end() -> None:
    story = given(create_goal("goal"), add_task("t"))
    for n in range(6):
        story = story.when(claim(f"agent-{n}")).later(90)
    story.then_event("task_blocked")
    assert audited(story.events) is None


def claimed_anew() -> Story:
    """Five have vanished, a rollback hands the task out once more, and its holder claims again what it holds."""
    story = given(create_goal("goal"), add_task("t"))
    for n in range(5):
        story = story.when(claim(f"agent-{n}")).later(90)
    return story.when(rollback(2)).when(claim("ada")).when(claim("ada", "t")).then_event("task_claimed")


def test_a_claim_that_its_holder_has_anew_passes_also_where_five_had_vanished() -> None:
    assert audited(claimed_anew().events) is None


def test_a_rollback_passes_and_one_to_another_state_than_it_names_does_not() -> None:
    story = given(*WORK, start_task("a"), complete_task("a"), rollback(3), start_task("a"), rollback(5))
    assert audited(story.events) is None
    for index in (5, 7):
        payload = canonical.loads(story.events[index]["payload"])
        for lie in ({"to_seq": 2}, {"to_hash": "0" * 64}, {"to_state_checksum": "0" * 64}, {"to_seq": index + 1}):
            event = resealed(story.events[index], payload=canonical.text(payload | lie))
            problem = audited([*story.events[:index], event])
            assert problem is not None
            assert (problem.event_seq, problem.field) == (index + 1, "payload")


def test_a_claim_and_an_attempt_end_also_when_a_rollback_has_undone_their_task() -> None:
    story = given(create_goal("goal"), add_task("a"), claim(task="a"), begin_step("one", 1), begin_step("two", 1))
    story = story.when(under(1, rollback(1)))
    for command in (complete_step("one", 1, 1, ref="r"), fail_step("two", 1, 1), release(1)):
        story = story.when(command)
    assert [event["event_type"] for event in story.events[-3:]] == ["step_completed", "step_failed", "lease_released"]
    assert {event["goal_id"] for event in story.events[-3:]} == {None}
    assert audited(story.events) is None


def test_a_rollback_that_changes_something_else_does_not_pass() -> None:
    story = given(*WORK, start_task("a"), rollback(3))
    last = story.events[-1]
    before = restore(WORKFLOW, story.events[:-1])
    more = of_changes(before, [Change("goals", entity("goal"), {**before.goals[entity("goal")], "priority": 9})])
    delta = [*canonical.loads(last["delta"]), *more]
    event = resealed(last, delta=canonical.text(delta), state_checksum=apply_delta(before, delta).checksum)
    restore(WORKFLOW, [*story.events[:-1], event])
    problem = audited([*story.events[:-1], event])
    assert problem is not None
    assert (problem.event_seq, problem.field) == (5, "payload")


def forked_project(seq: int) -> tuple[Project, State]:
    """A fork of a scripted project with some work of its own, and the state that it stands on."""
    origin = scripted("origin", 3)
    fork = origin.forked("branch", seq)
    assert fork.do("create_goal", text="another way", priority=2)
    return fork, forked(origin.states[seq], fork.workflow)


@pytest.mark.parametrize("seq", [1, 4, 8])
def test_a_fork_passes_on_the_state_that_it_cites_and_on_no_other(seq: int) -> None:
    fork, base = forked_project(seq)
    assert audited(fork.events, base) is None
    _, other = forked_project(seq + 1)
    problem = audited(fork.events, other)
    assert problem is not None
    assert problem.event_seq == 1
    problem = audited(fork.events, State(fork.workflow))
    assert problem is not None
    assert problem.event_seq == 1


def test_no_other_history_begins_with_a_state() -> None:
    _, base = forked_project(4)
    project = Project("branch")
    project.state = base
    assert project.do("create_goal", text="from nowhere")
    problem = audited(project.events, base)
    assert problem is not None
    assert (problem.event_seq, problem.field) == (1, "event_type")


# What was changed does not.


@pytest.mark.parametrize("name", seal.CHAINED)
def test_a_changed_field_is_found_even_with_a_right_hash(name: str) -> None:
    """The last event, as nothing after it can show the change.

    A forger is free to say who acted, and when within a millisecond, as long as it looks like what we write.
    """
    last = EVENTS[-1]
    free = {"operator_id", "session_id", "command_digest", "schema_version", "producer_version", "timestamp"}
    for value in mutations(last[name]):  # type: ignore[literal-required]
        if value == last[name] or name == "checksum":  # type: ignore[literal-required]
            continue  # the checksum is made right again
        event = resealed(last, **{name: value})
        problem = audited([*EVENTS[:-1], event])
        if problem is None:
            assert name in free, value
        else:
            assert problem.event_seq == event["event_seq"]
            assert name not in free or problem.field in (name, "event_id"), (value, problem)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("command_id", "00000000-0000-0000-0000-000000000000"), ("command_id", "x"), ("command_digest", "0" * 63),
        ("operator_kind", "ghost"), ("operator_id", ""), ("operator_id", "a\x07"), ("session_id", ""),
        ("session_id", "s" * 201), ("timestamp", -1), ("timestamp", 2**53),
    ],
)  # fmt: skip
def test_fields_that_only_say_who_and_when_have_their_form(name: str, value: Any) -> None:
    problem = audited([*EVENTS[:-1], resealed(EVENTS[-1], **{name: value})])
    assert problem is not None
    assert problem.field == name


def test_missing_doubled_and_swapped_events_are_named() -> None:
    for index in range(1, len(EVENTS) - 1):
        seq = EVENTS[index]["event_seq"]
        missing = audited(EVENTS[:index] + EVENTS[index + 1 :])
        doubled = audited(EVENTS[: index + 1] + EVENTS[index:])
        swapped = audited([*EVENTS[: index - 1], EVENTS[index], EVENTS[index - 1], *EVENTS[index + 1 :]])
        assert missing is not None
        assert (missing.event_seq, missing.field) == (seq + 1, "event_seq")
        assert doubled is not None
        assert (doubled.event_seq, doubled.field) == (seq, "event_seq")
        assert swapped is not None
        assert (swapped.event_seq, swapped.field) == (seq, "event_seq")


def test_after_the_first_problem_it_looks_no_further() -> None:
    audit = Audit(NOTHING)
    first = audit.add(resealed(EVENTS[0], timestamp=-1))
    assert first is not None
    assert audit.add(EVENTS[1]) is None
    assert (audit.problem, audit.events) == (first, 1)


# What no decider would decide.


def grant_of(story: Story, token: int, owner: str = "bob", task: str | None = None, **more: Any) -> dict[str, Any]:
    seq = story.state.head_seq + 1
    return {
        "grant_id": entity(f"forged {seq}"), "token": token, "owner_id": owner,
        "task_id": entity(task) if task else None, "ttl_seconds": 60, "expires_at": instant(story.now + 60 * SECOND),
    } | more  # fmt: skip


def begun(step: str, token: int, story: Story, **more: Any) -> dict[str, Any]:
    return {
        "step_id": step, "step_type": "idempotent", "task_id": None, "external_key": None, "attempt_id": 1,
        "token": token, "lease_expires_at": instant(story.now + 90 * SECOND),
    } | more  # fmt: skip


def added(task_id: str) -> dict[str, Any]:
    return {
        "task_id": task_id, "goal_id": entity("goal"), "title": "x", "acceptance_criteria": [], "depends_on": [],
    }  # fmt: skip


def expired(token: int, owner: str, task: str | None, at: int) -> dict[str, Any]:
    gone = {"token": token, "owner_id": owner, "task_id": entity(task) if task else None}
    return gone | {"expires_at": instant(at), "reason": "expired"}


Case = tuple[str, Story, Callable[[Story], Event], str]


def case(name: str, story: Story, forge: Callable[[Story], Event], field: str) -> Any:
    return pytest.param(story, forge, field, id=name)


LEASED = given(*WORK, acquire("ada"))
CLAIMED = given(*WORK, claim("ada", "a"))
STARTED = given(*WORK, start_task("a"))
STEPPED = LEASED.when(begin_step("s", 1))
COMPLETED = STEPPED.when(complete_step("s", 1, 1, ref="blob"))

VANISHED = given(*WORK)
for _number in range(5):
    VANISHED = VANISHED.when(claim(f"agent-{_number}", "a")).later(90)


@pytest.mark.parametrize(
    ("story", "forge", "field"),
    [
        case("a token is given twice", LEASED.when(release(1)), lambda s: forged(
            s, "lease_acquired", grant_of(s, 1), fencing_token=1), "fencing_token"),
        case("a token is left out", LEASED.when(release(1)), lambda s: forged(
            s, "lease_acquired", grant_of(s, 3), fencing_token=3), "fencing_token"),
        case("a lease goes over a live one", LEASED, lambda s: forged(
            s, "lease_acquired", grant_of(s, 2), fencing_token=2), "payload"),
        case("a live lease is called expired", LEASED, lambda s: forged(
            s, "lease_acquired", grant_of(s, 2, voided=[expired(1, "ada", None, s.now)]), fencing_token=2,
        ), "payload"),
        case("another's lease is called replaced", LEASED, lambda s: forged(
            s, "lease_acquired",
            grant_of(s, 2, voided=[expired(1, "ada", None, s.now) | {"reason": "replaced"}]), fencing_token=2,
        ), "payload"),
        case("it voids a token that nobody has", LEASED.later(90), lambda s: forged(
            s, "task_started", {"task_id": entity("a"), "voided": [expired(7, "ada", None, s.now)]},
            from_status="todo", to_status="doing"), "payload"),
        case("a claim beside another's lease", LEASED, lambda s: forged(
            s, "task_claimed", grant_of(s, 2, task="a", from_status="todo"), fencing_token=2,
            from_status="todo", to_status="doing"), "payload"),
        case("a task is claimed by two", CLAIMED, lambda s: forged(
            s, "task_claimed", grant_of(s, 2, task="a"), fencing_token=2), "payload"),
        case("it expires later than its ttl", given(*WORK), lambda s: forged(
            s, "lease_acquired", grant_of(s, 1, ttl_seconds=59), fencing_token=1), "payload"),
        case("work under a fenced token", LEASED.when(release(1)), lambda s: forged(
            s, "task_started", {"task_id": entity("a")}, fencing_token=1, from_status="todo", to_status="doing",
        ), "fencing_token"),
        case("work beside a lease", LEASED, lambda s: forged(
            s, "task_started", {"task_id": entity("a")}, from_status="todo", to_status="doing"), "fencing_token"),
        case("an illegal transition", given(*WORK), lambda s: forged(
            s, "task_completed", {"task_id": entity("a")}, from_status="todo", to_status="done"), "from_status"),
        case("a transition to elsewhere", STARTED, lambda s: forged(
            s, "task_completed", {"task_id": entity("a")}, from_status="doing", to_status="todo"), "to_status"),
        case("started with unmet dependencies", given(*WORK, add_task("c", after=("a",))), lambda s: forged(
            s, "task_started", {"task_id": entity("c")}, from_status="todo", to_status="doing"), "task_id"),
        case("a goal is done with open tasks", given(*WORK), lambda s: forged(
            s, "goal_status_set", {"goal_id": entity("goal"), "status": "done"}, from_status="active",
            to_status="done"), "to_status"),
        case("a goal is set to what it is", given(*WORK), lambda s: forged(
            s, "goal_status_set", {"goal_id": entity("goal"), "status": "active"}, from_status="active",
            to_status="active"), "to_status"),
        case("a task with an id of somebody's choice", given(*WORK), lambda s: forged(
            s, "task_added", added(entity("mine")), to_status="todo"), "task_id"),
        case("a task for a goal that is done", given(create_goal("goal"), set_goal_status("goal", "done")),
            lambda s: forged(s, "task_added", added(entity("forged 3")), to_status="todo"), "goal_id"),
        case("started in a paused goal", given(*WORK, set_goal_status("goal", "paused")), lambda s: forged(
            s, "task_started", {"task_id": entity("a")}, from_status="todo", to_status="doing"), "goal_id"),
        case("reopened in a goal that is done",
            given(create_goal("goal"), add_task("a"), start_task("a"), complete_task("a"),
                  set_goal_status("goal", "done")),
            lambda s: forged(s, "task_reopened", {"task_id": entity("a")}, from_status="done", to_status="doing"),
            "goal_id"),
        case("a checkpoint of a task that is done", STARTED.when(complete_task("a")), lambda s: forged(
            s, "checkpoint_updated", {"task_id": entity("a"), "where_we_left_off": "x", "next_step": "y",
                                      "needed_context_refs": []}), "task_id"),
        case("a grant with an id of somebody's choice", given(*WORK), lambda s: forged(
            s, "lease_acquired", grant_of(s, 1, grant_id=entity("mine")), fencing_token=1), "payload"),
        case("a lease on a task", given(*WORK), lambda s: forged(
            s, "lease_acquired", grant_of(s, 1, task="a"), fencing_token=1), "task_id"),
        case("an attempt names an expiry before that of its grant", LEASED, lambda s: forged(
            s, "step_begun", begun("s", 1, s, lease_expires_at=instant(s.now + SECOND)), fencing_token=1), "payload"),
        case("an attempt while one of the same holder is open", STEPPED, lambda s: forged(
            s, "step_begun", begun("s", 1, s, attempt_id=2), fencing_token=1), "payload"),
        case("an attempt of another kind", STEPPED.when(fail_step("s", 1, 1)), lambda s: forged(
            s, "step_begun", begun("s", 1, s, attempt_id=2, step_type="pure"), fencing_token=1), "payload"),
        case("an attempt under the claim of another task", CLAIMED, lambda s: forged(
            s, "step_begun", begun("s", 1, s, task_id=entity("b")), fencing_token=1), "task_id"),
        case("a release under another token", CLAIMED.when(claim("ada", "b")), lambda s: forged(
            s, "lease_released", {"token": 1, "owner_id": "ada", "task_id": entity("a"), "forced": False},
            fencing_token=2), "fencing_token"),
        case("a claim of a task that is blocked", STARTED.when(block_task("a")), lambda s: forged(
            s, "task_claimed", grant_of(s, 1, task="a"), fencing_token=1), "payload"),
        case("a claim in a paused goal", STARTED.when(set_goal_status("goal", "paused")), lambda s: forged(
            s, "task_claimed", grant_of(s, 1, task="a"), fencing_token=1), "goal_id"),
        case("a sixth claim after five silent deaths", VANISHED, lambda s: forged(
            s, "task_claimed", grant_of(s, 6, "zoe", "a", voided=[
                expired(5, "agent-4", "a", s.now - 30 * SECOND)]), fencing_token=6), "payload"),
        case("a circle of dependencies", given(*WORK, amend_task("b", depends_on=[entity("a")])), lambda s: forged(
            s, "task_amended", {"task_id": entity("a"), "depends_on": [entity("b")]}), "payload"),
        case("an attempt under a token that ran out", LEASED.later(90), lambda s: forged(
            s, "step_begun", begun("s", 1, s, lease_expires_at=instant(s.now - SECOND)), fencing_token=1), "payload"),
        case("an attempt without a token", given(*WORK), lambda s: forged(
            s, "step_begun", begun("s", 1, s)), "fencing_token"),
        case("an attempt is left out", STEPPED.when(fail_step("s", 1, 1)), lambda s: forged(
            s, "step_begun", begun("s", 1, s, attempt_id=3), fencing_token=1), "payload"),
        case("a step is begun after its completion", COMPLETED, lambda s: forged(
            s, "step_begun", begun("s", 1, s, attempt_id=2), fencing_token=1), "payload"),
        case("a second completion", COMPLETED, lambda s: forged(
            s, "step_completed", {"step_id": "s", "task_id": None, "attempt_id": 1}, fencing_token=1), "payload"),
        case("a completion under another token", STEPPED.when(acquire("ada")), lambda s: forged(
            s, "step_completed", {"step_id": "s", "task_id": None, "attempt_id": 1}, fencing_token=2),
            "fencing_token"),
        case("the same command again", STARTED, lambda s: forged(
            s, "task_paused", {"task_id": entity("a")}, from_status="doing", to_status="todo",
            command_id=STARTED.events[1]["command_id"]), "command_id"),
        case("an id of somebody's choice", given(*WORK), lambda s: forged(
            s, "goal_created", {"goal_id": entity("mine"), "text": "x", "priority": 0}, to_status="active"), "goal_id"),
        case("a release of what nobody holds", CLAIMED, lambda s: forged(
            s, "lease_released", {"token": 1, "owner_id": "bob", "task_id": entity("a"), "forced": False},
            fencing_token=1), "payload"),
        case("back in time", STARTED, lambda s: forged(
            s, "task_paused", {"task_id": entity("a")}, from_status="doing", to_status="todo",
            timestamp=s.events[0]["timestamp"]), "timestamp"),
    ],
)  # fmt: skip
def test_a_forged_event_with_right_hashes_is_named(story: Story, forge: Callable[[Story], Event], field: str) -> None:
    event = forge(story)
    restore(WORKFLOW, [*story.events, event])  # every digest is right: a restore alone believes it
    problem = audited([*story.events, event])
    assert problem is not None
    assert (problem.workflow_id, problem.event_seq, problem.field) == (WORKFLOW, event["event_seq"], field)


def test_a_payload_that_tells_another_story_than_the_delta_is_named() -> None:
    story = given(*WORK)
    event = forged(story, "goal_priority_set", {"goal_id": entity("goal"), "priority": 5})
    lies = resealed(event, payload=canonical.text({"goal_id": entity("goal"), "priority": 6}))
    restore(WORKFLOW, [*story.events, lies])
    problem = audited([*story.events, lies])
    assert problem is not None
    assert problem.field == "payload"


@pytest.mark.parametrize("payload", ["[]", "null", "7", "{}", '{"task_id":[]}', '{"task_id":{"a":1}}', '{"voided":3}'])
def test_a_payload_without_the_shape_of_its_type_is_a_problem_and_no_crash(payload: str) -> None:
    for index, event in enumerate(EVENTS):
        problem = audited([*EVENTS[:index], resealed(event, payload=payload)])
        assert problem is not None, event["event_type"]
        assert problem.event_seq == event["event_seq"]


def test_the_state_at_its_end_is_the_state_of_the_work() -> None:
    audit = Audit(NOTHING)
    for event in EVENTS:
        audit.add(event)
    assert audit.state == STORY.state


def test_of_a_decided_command_only_the_event_counts() -> None:
    """A repeat makes no second event: an audit that saw one would name it."""
    outcome = decide(NOTHING, create_goal("goal"), 0)
    assert isinstance(outcome, Accepted)
    assert audited([outcome.event]) is None


def test_under_a_token_that_lives_it_passes() -> None:
    story = CLAIMED.when(under(1, complete_task("a"))).then_event("task_completed")
    assert audited(story.events) is None
