"""Examples of the decider: `given(facts).when(command).then_...`, as a reader would tell them.

Entities have names here instead of ids: a goal named "ship" is the one that the command "ship" created, because ids
derive from command ids. Whatever a step does, it also holds the invariants that belong to every step: an event folds
to the decided state by its payload and by its delta, `jsonpatch` and `restore` agree, and a refusal changes nothing.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID, uuid5

import jsonpatch

from continuity.core import canonical, ids, seal
from continuity.core.decide import Accepted, Duplicate, Rejected, decide
from continuity.core.evolve import evolve
from continuity.core.records import Change, Collection, Command, Event
from continuity.core.refusals import REFUSALS
from continuity.core.restore import advance
from continuity.core.state import State

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


NOTHING = State(WORKFLOW)


@dataclass(frozen=True)
class Story:
    """What happened so far, in one project: `state` after `events`, and the outcome of the last command."""

    state: State = NOTHING
    events: tuple[Event, ...] = ()
    outcome: Accepted | Duplicate | Rejected | None = None
    now: int = NOON

    def at(self, now: int) -> "Story":
        """The same, with the broker's clock at `now`."""
        return Story(self.state, self.events, self.outcome, now)

    def when(self, asked: Command) -> "Story":
        """Decide a command. The clock goes on by a second."""
        outcome = decide(self.state, asked, self.now)
        assert outcome == decide(self.state, asked, self.now), "the same arguments gave another decision"
        state, events = self.state, self.events
        if isinstance(outcome, Accepted):
            check_accepted(state, outcome)
            state, events = outcome.state, (*events, outcome.event)
            again = decide(state, asked, self.now)
            assert isinstance(again, Duplicate), f"the same command again gave {again}"
            assert again.event_id == outcome.event["event_id"]
        return Story(state, events, outcome, self.now + SECOND)

    def at_rest(self, asked: Command) -> "Story":
        """Decide without the invariants of `when`, which cost more the larger the state is."""
        return Story(self.state, self.events, decide(self.state, asked, self.now), self.now)

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

    def then_duplicate(self, event_seq: int) -> "Story":
        """The command is known as event `event_seq`, and the answer is the original's."""
        assert isinstance(self.outcome, Duplicate), self.outcome
        original = self.events[event_seq - 1]
        assert self.outcome._asdict() == {name: original[name] for name in Duplicate._fields}  # type: ignore[literal-required]
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


def given(*steps: Command | Event) -> Story:
    """The story of these commands, all of them accepted, and events."""
    story = Story()
    for step in steps:
        if isinstance(step, Command):
            story = story.when(step)
            assert isinstance(story.outcome, Accepted), (step, story.outcome)
        else:
            story = Story(evolve(story.state, step), (*story.events, step), now=story.now + SECOND)
    return story


def grown(steps: Iterable[Command], story: Story | None = None) -> Story:
    """The story of many accepted commands, without looking at each: for states of thousands of entities."""
    story = story or Story()
    state, events = story.state, list(story.events)
    for step in steps:
        outcome = decide(state, step, story.now)
        assert isinstance(outcome, Accepted), (step, outcome)
        state = outcome.state
        events.append(outcome.event)
    return Story(state, tuple(events), now=story.now)


def check_accepted(before: State, accepted: Accepted) -> None:
    """What holds for every accepted command, whatever it was."""
    event, after = accepted
    assert event["event_seq"] == before.head_seq + 1
    assert event["prev_hash"] == before.head_hash
    assert event["timestamp"] >= before.head_timestamp
    assert event["state_checksum"] == after.checksum
    assert event["to_status"] != event["from_status"] or event["to_status"] is None
    seal.verify(event)
    assert evolve(before, event) == after, "the payload folds to another state"
    assert advance(before, event) == after, "the delta leads to another state"
    patched = jsonpatch.apply_patch(before.work, canonical.loads(event["delta"]))
    assert patched == after.work, "jsonpatch applies the delta otherwise"
    assert len(canonical.dumps(after.work)) <= after.size_bytes, "the size is no upper bound"
