"""Any number of executors that come, work, vanish and come back late: the product against `naive_holding.py`."""

from copy import deepcopy
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from continuity.core import canonical
from continuity.core.decide import decide
from continuity.core.evolve import evolve
from continuity.core.outcome import Accepted, Answered, Duplicate, Rejected
from continuity.core.records import Command
from continuity.core.restore import advance, restore
from tests.core.naive_holding import HeldProject
from tests.spec import (
    SECOND,
    WORKFLOW,
    Story,
    acquire,
    add_task,
    begin_step,
    block_task,
    claim,
    complete_step,
    complete_task,
    create_goal,
    entity,
    fail_step,
    looked_up,
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

TASKS = ("a", "b", "c", "d", "e", "f")
GOALS = ("one", "two", "three")
KINDS = ("fetch", "pay")
tasks = st.sampled_from(TASKS)
owners = st.sampled_from(["ada", "bob", "cyd"])
ttls = st.sampled_from([5, 20])
tokens = st.sampled_from(["right", "right", "right", "none", "stale"])
WORKS: dict[str, Any] = {
    "start": start_task, "pause": pause_task, "block": block_task, "complete": complete_task, "reopen": reopen_task,
    "checkpoint": update_checkpoint,
}  # fmt: skip


def step_id(kind: str, task: str | None) -> str:
    return f"{kind}:{task or 'project'}"


def a_step(kind: str, task: str | None, token: int | None, named: str | None) -> Command:
    """The step of that kind of a task; `named` is the task that the command names, if it names one."""
    key, step_type = ("order-7", "non_idempotent") if kind == "pay" else (None, "idempotent")
    return begin_step(step_id(kind, task), token, kind=step_type, task=named, key=key)


def beginning() -> tuple[Story, HeldProject]:
    """Three goals and six tasks, that nobody has touched: here and there."""
    story, project = Story(), HeldProject()
    steps = [create_goal(goal) for goal in GOALS]
    steps += [add_task(task, GOALS[n % 3], after=("a",) if task == "e" else ()) for n, task in enumerate(TASKS)]
    for name, asked in zip((*GOALS, *TASKS), steps, strict=True):
        body = canonical.loads(asked.body) | {"new_id": entity(name)}
        assert project.ask(asked.command_type, body, None, story.now) is None
        story = story.when(asked)
    return story, project


PROJECT, ORACLE = beginning()


class Holding(RuleBasedStateMachine):
    """One project of six tasks, three owners, one clock, one sequencer after another."""

    def __init__(self) -> None:
        super().__init__()
        self.story = PROJECT
        self.project = deepcopy(ORACLE)
        self.sent: list[Command] = []
        self.folded = self.restored = PROJECT.state
        self.completed: dict[str, Any] = {}
        self.latest = 0

    def send(self, asked: Command) -> None:
        """Decide it here and there, and look for any difference."""
        before = self.story
        self.story = before.when(asked)
        self.sent.append(asked)
        self.latest = max(self.latest, before.now)
        outcome = self.story.outcome
        again = decide(self.restored, asked, before.now, before.known_liveness())
        assert again == outcome, "a state that was read back decides otherwise"
        body = canonical.loads(asked.body)
        expected = self.project.ask(asked.command_type, body, asked.fencing_token, before.now)
        found = outcome.code if isinstance(outcome, Rejected) else "answered" if isinstance(outcome, Answered) else None
        assert found == expected, outcome
        if asked.fencing_token not in {None, *before.state.lookup.tokens}:
            assert expected == "fenced", "a token that is not current changed something"
        if isinstance(outcome, Accepted):
            assert outcome.event["task_id"] == self.project.task_id
            self.folded = evolve(self.folded, outcome.event)
            self.restored = advance(self.restored, outcome.event)
        else:
            assert self.story.state is before.state, "what was not accepted changed something"

    def token(self, which: str, task: str | None = None, number: int = 1) -> int | None:
        """The one that is needed for this task, none, or whatever token there has ever been."""
        if which == "none":
            return None
        if which == "stale":
            return 1 + number % (self.project.tokens + 1)
        holders = self.project.holders
        holder = holders.get(entity(task) if task else None) or holders.get(None)
        return holder["token"] if holder else None

    # Holding

    @rule(owner=owners, ttl=ttls)
    def acquire(self, owner: str, ttl: int) -> None:
        self.send(acquire(owner, ttl))

    @rule(owner=owners, ttl=ttls, task=st.none() | tasks)
    def claim(self, owner: str, ttl: int, task: str | None) -> None:
        self.send(claim(owner, task, ttl))

    @rule(owner=owners)
    def claim_whatever_is_next(self, owner: str) -> None:
        self.send(claim(owner, None, 20))

    @rule(which=tokens, task=st.none() | tasks, number=st.integers(0, 50), named=st.booleans())
    def renew(self, which: str, task: str | None, number: int, named: bool) -> None:  # noqa: FBT001 - a rule's parameter
        self.send(renew(self.token(which, task, number), task if named else None))

    @rule(which=tokens, task=st.none() | tasks, number=st.integers(0, 50))
    def release(self, which: str, task: str | None, number: int) -> None:
        self.send(release(self.token(which, task, number)))

    @rule(task=st.none() | tasks)
    def force_a_release(self, task: str | None) -> None:
        self.send(release(None, task, force=True))

    @rule(task=tasks, owner=owners, times=st.integers(1, 7))
    def vanish(self, task: str, owner: str, times: int) -> None:
        """A task that kills whoever takes it."""
        for _ in range(times):
            self.send(claim(owner, task, 5))
            self.story = self.story.later(5)

    # Working

    @rule(task=tasks, name=st.sampled_from(sorted(WORKS)), which=tokens, number=st.integers(0, 50))
    def work(self, task: str, name: str, which: str, number: int) -> None:
        self.send(under(self.token(which, task, number), WORKS[name](task)))

    @rule(goal=st.sampled_from(GOALS), status=st.sampled_from(["active", "active", "paused"]), which=tokens)
    def decide_about_a_goal(self, goal: str, status: str, which: str) -> None:
        self.send(under(self.token(which), set_goal_status(goal, status)))

    @rule(goal=st.sampled_from(GOALS), priority=st.integers(0, 1))
    def prefer(self, goal: str, priority: int) -> None:
        self.send(set_goal_priority(goal, priority))

    @rule(kind=st.sampled_from(KINDS), task=st.none() | tasks, other=tasks, which=tokens, number=st.integers(0, 50))
    def begin(self, kind: str, task: str | None, other: str, which: str, number: int) -> None:
        """A step of a task, or of the project; sometimes it is said to be another's."""
        named = other if number % 5 == 0 else task if number % 5 < 3 else None
        self.send(a_step(kind, task, self.token(which, task, number), named))

    @rule(which=tokens, number=st.integers(0, 50), ref=st.sampled_from([None, "r1", "r2"]))
    def complete(self, which: str, number: int, ref: str | None) -> None:
        step, attempt, token = self.an_attempt(which, number)
        self.send(complete_step(step, attempt, token, ref=ref))

    @rule(which=tokens, number=st.integers(0, 50))
    def fail(self, which: str, number: int) -> None:
        self.send(fail_step(*self.an_attempt(which, number)))

    def an_attempt(self, which: str, number: int) -> tuple[str, int, int | None]:
        """A step, its attempt, mostly the last, and the token that it was begun under, unless another is wanted."""
        known = sorted(self.project.steps)
        if not known:
            return "nobodys", 1, self.token(which, None, number)
        step = known[number % len(known)]
        attempts = self.project.steps[step]["attempts"]
        if which == "right":
            return step, len(attempts), attempts[-1]["token"]
        return step, 1 + number % (len(attempts) + 1), self.token(which, None, number)

    @rule(
        owner=owners,
        task=st.none() | tasks,
        kind=st.sampled_from(KINDS),
        times=st.integers(1, 3),
        end=st.sampled_from(["complete", "fail", "vanish", "come back late", "restart", "finish"]),
        ref=st.sampled_from([None, "r1", "r2"]),
    )
    def execute(self, owner: str, task: str | None, kind: str, times: int, end: str, ref: str | None) -> None:
        """A whole life of an executor, as it should be and as it is."""
        for _ in range(times):
            self.send(claim(owner, task, 20) if task else acquire(owner, 20))
            token = self.project.tokens
            self.send(a_step(kind, task, token, None))
            attempts = self.project.steps.get(step_id(kind, task), {"attempts": [None]})["attempts"]
            if end in ("vanish", "come back late"):
                self.story = self.story.later(20)
            if end in ("restart", "come back late"):
                self.send(claim("bob", task, 20) if task else acquire("bob", 20))
            if end in ("complete", "finish", "come back late"):
                self.send(complete_step(step_id(kind, task), len(attempts), token, ref=ref))
            if end == "fail":
                self.send(fail_step(step_id(kind, task), len(attempts), token))
            if end == "finish" and task:
                self.send(under(token, complete_task(task)))

    # Time, failures, repeats

    @rule(seconds=st.sampled_from([-3, 1, 4, 5, 19, 20, 60]))
    def let_time_pass(self, seconds: int) -> None:
        self.story = self.story.later(seconds)

    @rule()
    def fail_over(self) -> None:
        """The broker's clock may run backwards, but not across a failover: nothing there remembers how late it was."""
        self.story = self.story.at(max(self.story.now, self.latest)).failover()
        self.project.failover()

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """An accepted command is known; anything else is decided once more."""
        if not self.sent:
            return
        asked = data.draw(st.sampled_from(self.sent))
        seqs = {event["command_id"]: event["event_seq"] for event in self.story.events}
        if asked.command_id not in seqs:
            self.send(asked)
            return
        repeated = self.story.at_rest(asked)
        assert isinstance(repeated.outcome, Duplicate)
        assert repeated.outcome.event_seq == seqs[asked.command_id]
        live = {holder["token"] for holder in self.project.holders.values()}
        if asked.command_type in ("acquire_lease", "claim_task"):
            token = (repeated.outcome.result or {}).get("token")
            granted = self.story.events[seqs[asked.command_id] - 1]["fencing_token"]
            assert token == (granted if granted in live else None), "it was told of another grant than its own"

    # What holds after every step

    @invariant()
    def the_holders_are_the_oracles(self) -> None:
        grants = self.story.state.grants
        assert {key or "workflow": self.seen(holder) for key, holder in self.project.holders.items()} == {
            key: (grant["token"], grant["owner_id"], grant["ttl_seconds"], grant["acted"])
            for key, grant in grants.items()
        }
        assert self.story.state.token_counter == self.project.tokens
        owners_of = {grant["owner_id"] for grant in grants.values()}
        assert "workflow" not in grants or len(owners_of) == 1, "a lease beside the claim of another"

    @staticmethod
    def seen(holder: dict[str, Any]) -> tuple[Any, ...]:
        return holder["token"], holder["owner"], holder["ttl"], holder["acted"]

    @invariant()
    def the_expiries_are_the_oracles(self) -> None:
        if self.project.opened_at is None:
            return
        for key, holder in self.project.holders.items():
            grant = self.story.state.grants[key or "workflow"]
            assert self.story.known_liveness().expiry(grant) == self.project._expiry(holder)
            assert self.project._expiry(holder) <= max(
                holder["alive_until"], self.project.opened_at + holder["ttl"] * SECOND
            )

    @invariant()
    def the_deaths_are_the_oracles(self) -> None:
        assert dict(self.story.state.silent_deaths) == self.project.deaths

    @invariant()
    def the_tasks_are_the_oracles(self) -> None:
        for key, expected in self.project.tasks.items():
            task = self.story.state.tasks[key]
            assert (task["status"], task["changed_seq"]) == (expected["status"], expected["changed"])
        assert self.story.state.head_seq == self.project.head == len(self.story.events)

    @invariant()
    def a_step_is_completed_once(self) -> None:
        steps = self.story.state.steps
        assert steps.keys() == self.project.steps.keys()
        for key, expected in self.project.steps.items():
            found = [(attempt["token"], attempt["status"]) for attempt in steps[key]["attempts"]]
            assert found == [(attempt["token"], attempt["status"]) for attempt in expected["attempts"]]
            assert (steps[key]["status"] == "completed") == (expected["result"] is not None)
            if expected["result"] is not None:
                result = steps[key].get("result_ref"), steps[key].get("result_checksum")
                assert result == self.completed.setdefault(key, result), "another result than the first"

    @invariant()
    def nothing_else_is_looked_up_than_what_is_there(self) -> None:
        assert self.folded == self.restored == self.story.state
        assert self.restored.lookup == looked_up(self.restored)

    def teardown(self) -> None:
        events = self.story.events
        assert restore(WORKFLOW, events) == self.story.state
        completions = [event["step_id"] for event in events if event["event_type"] == "step_completed"]
        assert len(set(completions)) == len(completions)
        granted = [e["fencing_token"] for e in events if e["event_type"] in ("lease_acquired", "task_claimed")]
        assert granted == [*range(1, len(granted) + 1)], "tokens grow by one, whatever happened between"


TestHolding = Holding.TestCase
TestHolding.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
