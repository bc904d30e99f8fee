"""Random work, decided by the real decider, and written as a sequencer would write it."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from confluent_kafka import Producer
from hypothesis import strategies as st

from continuity.codec import encode_event
from continuity.config import Settings
from continuity.core import canonical, seal
from continuity.core.decide import Accepted, decide
from continuity.core.delta import apply_delta, compute_delta
from continuity.core.ids import event_id, workflow_id
from continuity.core.records import SEQUENCER_EPOCH, SEQUENCER_MARK, Command, Event
from continuity.core.state import State
from continuity.core.transitions import TASK_TRANSITIONS
from continuity.projections.record import Record, decoded

TENANT = "acme"
NOON = 1_800_000_000_000_000
SECOND = 1_000_000

KINDS = (
    "add_task", "start_task", "complete_task", "block_task", "update_checkpoint", "set_goal_status", "pause_task",
    "add_task", "start_task", "complete_task", "block_task", "set_goal_priority", "amend_task", "reopen_task",
    "create_goal",
)  # fmt: skip

NUMBER = st.integers(0, 50)
ACTIONS = st.tuples(st.sampled_from(KINDS), NUMBER, NUMBER, st.lists(NUMBER, max_size=3))
TEXTS = ("plain", 'quotes " and \\ and \t tabs \n lines', "ünïcödé 🚀  ", "{}[],'$$%s", "")

_ids = itertools.count(1)


@dataclass
class Project:
    """One project, and all that was accepted in it."""

    name: str
    tenant: str = TENANT
    state: State = field(init=False)
    states: list[State] = field(init=False)
    events: list[Event] = field(default_factory=list)
    now: int = NOON

    def __post_init__(self) -> None:
        self.state = State(workflow_id(self.tenant, self.name))
        self.states = [self.state]

    @property
    def workflow(self) -> str:
        return self.state.workflow_id

    def do(self, command_type: str, **body: Any) -> Event | None:
        """Ask for something; the event, or None where it is refused."""
        command = Command(
            command_id=str(UUID(int=next(_ids), version=4)),
            command_type=command_type,
            body=canonical.text(body),
            tenant=self.tenant,
            project=self.name,
            workflow_id=self.workflow,
            operator_id="ada",
            operator_kind="human",
        )
        self.now += SECOND
        outcome = decide(self.state, command, self.now)
        if not isinstance(outcome, Accepted):
            return None
        self.state = outcome.state
        self.states.append(outcome.state)
        self.events.append(outcome.event)
        return outcome.event

    def returned_to(self, before: State) -> Event:
        """An event whose delta brings goals, tasks and checkpoints back to how they stood in `before`."""
        operations = compute_delta(self.state, before)
        after = apply_delta(self.state, operations)
        self.now += SECOND
        identity = str(UUID(int=next(_ids), version=4))
        chained: dict[str, Any] = {name: None for name in Event.__annotations__ if name not in seal.UNCHAINED}
        chained |= {
            "event_id": event_id(self.now, self.workflow, self.state.head_seq + 1, identity),
            "tenant": self.tenant, "project": self.name, "workflow_id": self.workflow,
            "event_seq": self.state.head_seq + 1, "event_type": "rolled_back", "payload": "{}", "timestamp": self.now,
            "schema_version": "1.0", "producer_version": seal.PRODUCER_VERSION, "checksum": seal.digest("{}"),
            "command_id": identity, "command_digest": seal.digest(""), "operator_id": "ada", "operator_kind": "human",
            "delta": canonical.text(operations), "state_checksum": after.checksum, "prev_hash": self.state.head_hash,
        }  # fmt: skip
        event = seal.seal(chained)
        self.state = after.with_head(event)
        self.states.append(self.state)
        self.events.append(event)
        return event

    def act(self, action: tuple[str, int, int, list[int]]) -> Event | None:
        """Interpret a drawn action on the work as it is."""
        kind, one, two, many = action
        goals = sorted(self.state.goals.values(), key=lambda goal: goal["created_seq"])
        tasks = sorted(self.state.tasks.values(), key=lambda task: task["created_seq"])
        text = TEXTS[two % len(TEXTS)] or "x"
        if kind == "create_goal" or not goals:
            return self.do("create_goal", text=text, priority=two % 5 - 2)
        goal_id = goals[one % len(goals)]["goal_id"]
        if kind == "set_goal_status":
            return self.do(kind, goal_id=goal_id, status=("active", "active", "paused", "done")[two % 4])
        if kind == "set_goal_priority":
            return self.do(kind, goal_id=goal_id, priority=two % 5 - 2)
        several = many if two % 3 == 0 else []
        needed = list(dict.fromkeys(tasks[each % len(tasks)]["task_id"] for each in several)) if tasks else []
        if kind == "add_task" or not tasks:
            return self.do("add_task", goal_id=goal_id, title="a task", acceptance_criteria=[text], depends_on=needed)
        # Mostly a task that the table allows it for, so that histories get somewhere; every fourth time any task.
        sources = TASK_TRANSITIONS.get(kind, (("todo", "doing", "blocked"), ""))[0]
        fitting = [task for task in tasks if task["status"] in sources and one % 4] or tasks
        task_id = fitting[one % len(fitting)]["task_id"]
        bodies: dict[str, dict[str, Any]] = {
            "amend_task": {"depends_on": needed, "title": "amended"},
            "block_task": {"blocker": {"text": text, "clears_when": "later"}},
            "complete_task": {"evidence": text},
            "update_checkpoint": {"where_left_off": text, "next_step": "go on", "context_refs": [text] * (two % 3)},
        }
        return self.do(kind, task_id=task_id, **bodies.get(kind, {}))


class Log:
    """The events topic as one sequencer writes it: an epoch for each partition, then what it is given."""

    def __init__(self, sequencer_id: str = "11111111-1111-4111-8111-111111111111") -> None:
        self.sequencer_id = sequencer_id
        self.epoch: dict[int, int] = {}
        self.numbers: dict[int, Iterator[int]] = {}
        self.source_offset = -1
        self.values: dict[int, list[bytes]] = {}

    def open(self, partition: int = 0) -> bytes:
        """The record that opens the next epoch."""
        self.epoch[partition] = self.epoch.get(partition, 0) + 1
        self.numbers[partition] = itertools.count()
        payload = canonical.text({"rules_version": 1, "topic_id": "commands-1", "forced_by": None})
        return self._stamped(seal.own_record(SEQUENCER_EPOCH, payload), partition, self.source_offset)

    def add(self, event: Event, partition: int = 0) -> bytes:
        """An event's record."""
        if partition not in self.epoch:
            self.open(partition)
        self.source_offset += 1
        return self._stamped(event, partition, self.source_offset)

    def mark(self, partition: int = 0) -> bytes:
        """The record that closes a batch without an event."""
        self.source_offset += 1
        return self._stamped(seal.own_record(SEQUENCER_MARK), partition, self.source_offset)

    def raw(self, value: bytes, partition: int = 0) -> None:
        """What somebody else has written."""
        self.values.setdefault(partition, []).append(value)

    def _stamped(self, event: Event, partition: int, source_offset: int) -> bytes:
        stamped: Any = {
            **event,
            "epoch": self.epoch[partition],
            "sequencer_id": self.sequencer_id,
            "epoch_seq": next(self.numbers[partition]),
            "source_generation": 1,
            "source_offset": source_offset,
        }
        value = encode_event(stamped)
        self.raw(value, partition)
        return value

    def records(self, start: int = 0, partition: int = 0) -> list[Record]:
        """The records of a partition from an offset on, as a projector reads them."""
        values = self.values.get(partition, [])
        return [decoded(partition, offset, values[offset]) for offset in range(start, len(values))]

    def end(self) -> dict[int, int]:
        return {partition: len(values) for partition, values in self.values.items()}


class Published:
    """Writes a `Log` to a real topic; each call what came since the last."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "acks": "all", "linger.ms": 5})
        self._topic = settings.events_topic
        self._log = log
        self._sent: dict[int, int] = {}

    def __call__(self) -> None:
        for partition, values in self._log.values.items():
            for value in values[self._sent.get(partition, 0) :]:
                self._producer.produce(self._topic, value, partition=partition)
            self._sent[partition] = len(values)
        assert self._producer.flush(30) == 0


def busy(name: str, actions: Iterable[tuple[str, int, int, list[int]]], tenant: str = TENANT) -> Project:
    """A project in which these actions were tried."""
    project = Project(name, tenant)
    for action in actions:
        project.act(action)
    return project


def scripted(name: str, tasks: int = 4, tenant: str = TENANT) -> Project:
    """A project with a bit of everything, always the same for the same arguments."""
    project = Project(name, tenant)
    goal = project.do("create_goal", text="ship it", priority=1)
    assert goal is not None
    previous: list[str] = []
    for number in range(tasks):
        added = project.do("add_task", goal_id=goal["goal_id"], title=f"task {number}", depends_on=previous[-1:])
        assert added is not None
        assert added["task_id"] is not None
        previous.append(added["task_id"])
    first = previous[0]
    project.do("start_task", task_id=first)
    project.do("update_checkpoint", task_id=first, where_left_off="half", next_step="the rest", context_refs=["a:1"])
    project.do("complete_task", task_id=first, evidence="done")
    if tasks > 1:
        project.do("start_task", task_id=previous[1])
        project.do("update_checkpoint", task_id=previous[1], where_left_off="begun", next_step="go on", context_refs=[])
    return project
