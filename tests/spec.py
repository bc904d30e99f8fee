"""Examples of the decider: `given(facts).when(command).then_...`, as a reader would tell them.

Entities have names here instead of ids: a goal named "ship" is the one that the command "ship" created, because ids
derive from command ids. Whatever a step does, it also holds the invariants that belong to every step: an event folds
to the decided state by its payload and by its delta, `jsonpatch` and `restore` agree, what decisions look up is what
a look at everything would find, and a refusal changes nothing.

A story also plays the sequencer's memory: what a token's holder does renews its grant, until a `failover` forgets it.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, cast
from uuid import UUID, uuid5

import jsonpatch

from continuity.core import canonical, ids, lookup, seal
from continuity.core.decide import decide
from continuity.core.evolve import evolve
from continuity.core.grants import GRANTING
from continuity.core.grants import WORKFLOW as PROJECT_KEY
from continuity.core.history import origin
from continuity.core.liveness import NO_RENEWALS, Liveness
from continuity.core.outcome import Accepted, Answered, Duplicate, Outcome, Rejected, Result
from continuity.core.records import Change, Collection, Command, Event
from continuity.core.refusals import REFUSALS
from continuity.core.restore import advance, restore
from continuity.core.state import INDEXED, State

TENANT = "acme"
PROJECT = "apollo"
WORKFLOW = ids.workflow_id(TENANT, PROJECT)
NOON = 1_800_000_000_000_000
"""The broker's clock at the first command, in microseconds."""
SECOND = 1_000_000

_NAMES = UUID("0d6f3a52-5f7b-4f0e-8a53-6d4f4b1f2f10")
_numbers = itertools.count(1)


def command_id(name: str) -> str:
    """The id of the command of that name."""
    return str(uuid5(_NAMES, name))


def entity(name: str) -> str:
    """The id of the goal or task that the command of that name creates."""
    return ids.entity_id(WORKFLOW, command_id(name))


def command(command_type: str, body: dict[str, Any] | str, name: str | None = None, **fields: Any) -> Command:
    """Any command at all; `body` as text is sent as it is, `fields` replace those of the record."""
    record = Command(
        command_id=command_id(name or f"command {next(_numbers)}"),
        command_type=command_type,
        body=body if isinstance(body, str) else canonical.text(body),
        tenant=TENANT,
        project=PROJECT,
        workflow_id=WORKFLOW,
        operator_id="ada",
        operator_kind="human",
    )
    return record._replace(**fields)


# The commands of the product, by name.


def create_goal(name: str, text: str = "a goal", *, priority: int = 0, **fields: Any) -> Command:
    return command("create_goal", {"text": text, "priority": priority}, name, **fields)


def set_goal_status(goal: str, status: str, **fields: Any) -> Command:
    return command("set_goal_status", {"goal_id": entity(goal), "status": status}, **fields)


def set_goal_priority(goal: str, priority: int, **fields: Any) -> Command:
    return command("set_goal_priority", {"goal_id": entity(goal), "priority": priority}, **fields)


def add_task(
    name: str, goal: str = "goal", title: str = "a task", *, after: tuple[str, ...] = (), **body: Any
) -> Command:
    """`after` names the tasks that this one depends on."""
    return command(
        "add_task",
        {"goal_id": entity(goal), "title": title, "depends_on": [entity(each) for each in after]} | body,
        name,
    )


def amend_task(task: str, **body: Any) -> Command:
    return command("amend_task", {"task_id": entity(task)} | body)


def start_task(task: str, **fields: Any) -> Command:
    return command("start_task", {"task_id": entity(task)}, **fields)


def pause_task(task: str, **body: Any) -> Command:
    return command("pause_task", {"task_id": entity(task)} | body)


def block_task(task: str, text: str = "no key", clears_when: str | None = None) -> Command:
    blocker = {"text": text} | ({"clears_when": clears_when} if clears_when else {})
    return command("block_task", {"task_id": entity(task), "blocker": blocker})


def complete_task(task: str, **body: Any) -> Command:
    return command("complete_task", {"task_id": entity(task)} | body)


def reopen_task(task: str) -> Command:
    return command("reopen_task", {"task_id": entity(task)})


def update_checkpoint(
    task: str, next_step: str = "write the test", left_off: str = "half done", **body: Any
) -> Command:
    return command(
        "update_checkpoint",
        {"task_id": entity(task), "where_left_off": left_off, "next_step": next_step, "context_refs": []} | body,
    )


def acquire(owner: str = "ada", ttl: int = 60, name: str | None = None, **fields: Any) -> Command:
    return command("acquire_lease", {"owner_id": owner, "ttl_seconds": ttl}, name, **fields)


def claim(
    owner: str = "ada", task: str | None = None, ttl: int = 60, name: str | None = None, **fields: Any
) -> Command:
    """Without `task`, whichever is next."""
    return command("claim_task", {"owner_id": owner, "ttl_seconds": ttl} | _on(task), name, **fields)


def renew(token: int | None, task: str | None = None, **fields: Any) -> Command:
    return command("renew_lease", _on(task), fencing_token=token, **fields)


def release(token: int | None = None, task: str | None = None, *, force: bool = False, **fields: Any) -> Command:
    return command("release_lease", _on(task) | ({"force": True} if force else {}), fencing_token=token, **fields)


def begin_step(
    step: str = "fetch",
    token: int | None = None,
    *,
    kind: str = "idempotent",
    task: str | None = None,
    key: str | None = None,
    name: str | None = None,
) -> Command:
    body = {"step_id": step, "step_type": kind} | _on(task) | ({"external_key": key} if key else {})
    return command("begin_step", body, name, fencing_token=token)


def complete_step(
    step: str = "fetch", attempt: int = 1, token: int | None = None, *, ref: str | None = None, name: str | None = None
) -> Command:
    """`ref` is where the result lies; its checksum is that of the reference here."""
    result = {"result_ref": ref, "result_checksum": checksum(ref)} if ref else {}
    return command("complete_step", {"step_id": step, "attempt_id": attempt} | result, name, fencing_token=token)


def fail_step(
    step: str = "fetch",
    attempt: int = 1,
    token: int | None = None,
    *,
    error: str | None = None,
    name: str | None = None,
) -> Command:
    body = {"step_id": step, "attempt_id": attempt} | ({"error": error} if error else {})
    return command("fail_step", body, name, fencing_token=token)


def rollback(to_seq: int, **fields: Any) -> Command:
    return command("rollback", {"to_seq": to_seq}, **fields)


def under(token: int | None, asked: Command) -> Command:
    """The same command, with a fencing token."""
    return asked._replace(fencing_token=token)


def checksum(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _on(task: str | None) -> dict[str, Any]:
    return {"task_id": entity(task)} if task else {}


NOTHING = State(WORKFLOW)


@dataclass(frozen=True)
class Story:
    """What happened so far, in one project: `state` after `events`, and the outcome of the last command.

    `results` holds what the caller was told at each event, `liveness` what the sequencer remembers: None for a new one
    that has decided nothing yet.
    """

    state: State = NOTHING
    events: tuple[Event, ...] = ()
    outcome: Outcome | None = None
    now: int = NOON
    results: tuple[Result | None, ...] = ()
    liveness: Liveness | None = NO_RENEWALS

    def at(self, now: int) -> "Story":
        """The same, with the broker's clock at `now`."""
        return replace(self, now=now)

    def later(self, seconds: float) -> "Story":
        """The same, after so much time."""
        return self.at(self.now + round(seconds * SECOND))

    def failover(self) -> "Story":
        """The same, with another sequencer: its epoch begins with the next command, and it knows no renewals."""
        return replace(self, liveness=None)

    def when(self, asked: Command) -> "Story":
        """Decide a command. The clock goes on by a second."""
        liveness, past = self.known_liveness(), self.past(asked)
        outcome = decide(self.state, asked, self.now, liveness, past)
        assert outcome == decide(self.state, asked, self.now, liveness, past), "the same arguments, another decision"
        state, events, results = self.state, self.events, self.results
        if isinstance(outcome, Accepted):
            check_accepted(state, outcome)
            state, events, results = outcome.state, (*events, outcome.event), (*results, outcome.result)
            again = decide(state, asked, self.now, liveness, past)
            assert isinstance(again, Duplicate), f"the same command again gave {again}"
            assert again.event_id == outcome.event["event_id"]
            assert again.result == told_again(outcome.event, outcome.result), "the repeat is told something else"
        liveness = renewed(liveness, state, outcome, self.now)
        return Story(state, events, outcome, self.now + SECOND, results, liveness)

    def past(self, asked: Command) -> State | None:
        """The older state that a rollback goes back to."""
        needed = origin(asked)
        if needed is None or needed[0] != WORKFLOW or needed[1] >= self.state.head_seq:
            return None
        return restore(WORKFLOW, self.events[: needed[1]])

    def known_liveness(self) -> Liveness:
        """What the sequencer knows when it decides now."""
        return Liveness(opened_at=self.now) if self.liveness is None else self.liveness

    def at_rest(self, asked: Command) -> "Story":
        """Decide without the invariants of `when`, which cost more the larger the state is."""
        return replace(self, outcome=decide(self.state, asked, self.now, self.known_liveness()))

    # Expectations

    def then_event(self, event_type: str, **fields: Any) -> "Story":
        """The command was accepted as an event of that type, with these fields; `payload` as a value, not as text."""
        assert isinstance(self.outcome, Accepted), self.outcome
        event: Any = self.outcome.event
        found = {name: event[name] for name in fields}
        if "payload" in fields:
            found["payload"] = canonical.loads(event["payload"])
        assert (event["event_type"], found) == (event_type, fields)
        return self

    def then_told(self, **result: Any) -> "Story":
        """The command was accepted, answered or known, and the caller is told this, perhaps among other things."""
        assert not isinstance(self.outcome, Rejected | None), self.outcome
        told: Any = self.outcome.result or {}
        assert {name: told.get(name) for name in result} == result
        return self

    def then_answered(self, **result: Any) -> "Story":
        """The command changed nothing, and the caller is told this, perhaps among other things."""
        assert isinstance(self.outcome, Answered), self.outcome
        return self.then_told(**result)

    def then_duplicate(self, event_seq: int, *forgotten: str) -> "Story":
        """The command is known as event `event_seq`, and the answer is the original's, but for what is `forgotten`."""
        assert isinstance(self.outcome, Duplicate), self.outcome
        original: Any = self.events[event_seq - 1]
        expected = {name: original[name] for name in Duplicate._fields if name != "result"}
        expected |= {"result": told_again(original, self.results[event_seq - 1])} | dict.fromkeys(forgotten)
        assert self.outcome._asdict() == expected
        return self

    def then_refused(self, code: str, *mentions: str) -> "Story":
        """The command was refused with that code, and the detail mentions these words."""
        assert isinstance(self.outcome, Rejected), self.outcome
        assert self.outcome.code == code, self.outcome
        assert self.outcome.fix == REFUSALS[code].fix
        assert self.outcome.detail.endswith("."), "a detail is a sentence"
        for word in mentions:
            assert word in self.outcome.detail, self.outcome.detail
        return self

    def everything(self, collection: str) -> Iterator[Change]:
        """All entities of a collection, as changes."""
        for key, document in getattr(self.state, collection).items():
            yield Change(cast("Collection", collection), key, document)

    def task(self, name: str) -> Any:
        return self.state.tasks[entity(name)]

    def goal(self, name: str) -> Any:
        return self.state.goals[entity(name)]

    def checkpoint(self, name: str) -> Any:
        return self.state.checkpoints[entity(name)]

    def grant(self, task: str | None = None) -> Any:
        """The claim of a task, or the lease."""
        return self.state.grants.get(entity(task) if task else PROJECT_KEY)

    def expiry(self, task: str | None = None) -> int:
        """When it runs out, as the sequencer knows it: microseconds since 1970."""
        return self.known_liveness().expiry(self.grant(task))

    def deaths(self, task: str) -> int:
        return int(self.state.silent_deaths.get(entity(task), 0))

    def step(self, name: str = "fetch") -> Any:
        return self.state.steps[name]

    @property
    def payload(self) -> Any:
        """Of the last event."""
        return canonical.loads(self.events[-1]["payload"])

    @property
    def result(self) -> Any:
        """What the last caller was told."""
        assert not isinstance(self.outcome, Rejected | None), self.outcome
        return self.outcome.result

    @property
    def token(self) -> int:
        """The one that was granted last."""
        return self.state.token_counter


def given(*steps: Command | Event) -> Story:
    """The story of these commands, all of them accepted, and events."""
    story = Story()
    for step in steps:
        if isinstance(step, Command):
            story = story.when(step)
            assert isinstance(story.outcome, Accepted), (step, story.outcome)
        else:
            story = replace(
                story,
                state=evolve(story.state, step),
                events=(*story.events, step),
                results=(*story.results, None),
                now=story.now + SECOND,
            )
    return story


def grown(steps: Iterable[Command], story: Story | None = None) -> Story:
    """The story of many accepted commands, without looking at each: for states of thousands of entities."""
    story = story or Story()
    state, events, results = story.state, list(story.events), list(story.results)
    for step in steps:
        outcome = decide(state, step, story.now, story.known_liveness())
        assert isinstance(outcome, Accepted), (step, outcome)
        state = outcome.state
        events.append(outcome.event)
        results.append(outcome.result)
    return replace(story, state=state, events=tuple(events), results=tuple(results), outcome=None)


def renewed(liveness: Liveness, state: State, outcome: Outcome, now: int) -> Liveness:
    """What the sequencer remembers after an outcome: a holder that renewed, or whose command was accepted, lives."""
    token = None
    if isinstance(outcome, Accepted):
        token = outcome.event["fencing_token"]
    elif isinstance(outcome, Answered):
        token = outcome.renewed
    if token is None or token not in state.lookup.tokens:
        return liveness
    seen = max(now, state.head_timestamp, liveness.renewed.get(token, 0))
    return liveness._replace(renewed={**liveness.renewed, token: seen})


def told_again(event: Event, result: Result | None) -> Result | None:
    """What the repeat of a command is told, while what it made is still there."""
    if event["event_type"] in GRANTING:
        return {name: value for name, value in (result or {}).items() if name != "handover"}
    if event["event_type"] == "task_blocked":
        return None
    if event["event_type"] == "step_completed":
        assert result is not None
        return {
            "status": "already_completed",
            "step_id": event["step_id"],
            "attempt_id": result["attempt_id"],
            "completed_at": ids.instant(event["timestamp"]),
            "result_ref": result.get("result_ref"),
            "result_checksum": result.get("result_checksum"),
        }
    return result


def looked_up(state: State) -> lookup.Lookup:
    """The lookup of a state, made from all that is in it."""
    found = lookup.EMPTY
    for name in INDEXED:
        for key, document in getattr(state, name).items():
            found = found.changed(name, key, None, document)
    return found


def check_accepted(before: State, accepted: Accepted) -> None:
    """What holds for every accepted command, whatever it was."""
    event, after, _ = accepted
    assert event["event_seq"] == before.head_seq + 1
    assert event["prev_hash"] == before.head_hash
    assert event["timestamp"] >= before.head_timestamp
    assert event["state_checksum"] == after.checksum
    assert event["to_status"] != event["from_status"] or event["to_status"] is None
    seal.verify(event)
    granted = event["event_type"] in GRANTING
    assert after.token_counter == before.token_counter + granted, "a token for each grant, and for nothing else"
    assert not granted or event["fencing_token"] == after.token_counter
    assert after.lookup == looked_up(after), "a decision would look up something else than what is there"
    assert evolve(before, event) == after, "the payload folds to another state"
    assert advance(before, event) == after, "the delta leads to another state"
    patched = jsonpatch.apply_patch(before.work, canonical.loads(event["delta"]))
    assert patched == after.work, "jsonpatch applies the delta otherwise"
    assert len(canonical.dumps(after.work)) <= after.size_bytes, "the size is no upper bound"
