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
from continuity.core import canonical, history, seal
from continuity.core.decide import decide
from continuity.core.ids import workflow_id
from continuity.core.outcome import Accepted
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
    "create_goal", "acquire_lease", "release_lease", "claim_task", "claim_task", "begin_step", "begin_step",
    "begin_step", "complete_step", "complete_step", "fail_step", "let_time_pass",
)  # fmt: skip
STEPS = ("fetch", "null", "NULL", "send:1.0-a_b", "x" * 100)
"""Names of steps, some of which mean something else to a careless database statement."""
TTL_SECONDS = 30

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

    def do(
        self, command_type: str, *, token: int | None = None, past: State | None = None, **body: Any
    ) -> Event | None:
        """Ask for something, under a fencing token or none; the event, or None where it is refused."""
        command = Command(
            command_id=str(UUID(int=next(_ids), version=4)),
            command_type=command_type,
            body=canonical.text(body),
            tenant=self.tenant,
            project=self.name,
            workflow_id=self.workflow,
            operator_id="ada",
            operator_kind="human",
            fencing_token=token,
        )
        self.now += SECOND
        outcome = decide(self.state, command, self.now, past=past)
        if not isinstance(outcome, Accepted):
            return None
        self.state = outcome.state
        self.states.append(outcome.state)
        self.events.append(outcome.event)
        return outcome.event

    def returned_to(self, before: State) -> Event:
        """Roll back to an earlier state, once all that is held has run out."""
        self.now += 2 * TTL_SECONDS * SECOND
        event = self.do("rollback", past=before, to_seq=before.head_seq)
        assert event is not None
        return event

    def forked(self, name: str, seq: int) -> "Project":
        """A project that begins on this one's state after an event."""
        fork = Project(name, self.tenant, now=self.now)
        fork.states[0] = history.forked(self.states[seq], fork.workflow)
        assert fork.do("fork_project", past=self.states[seq], from_project=self.name, at_seq=seq)
        return fork

    def act(self, action: tuple[str, int, int, list[int]]) -> Event | None:
        """Interpret a drawn action on the work as it is."""
        kind, one, two, many = action
        goals = sorted(self.state.goals.values(), key=lambda goal: goal["created_seq"])
        tasks = sorted(self.state.tasks.values(), key=lambda task: task["created_seq"])
        text = TEXTS[two % len(TEXTS)] or "x"
        if kind == "let_time_pass":
            self.now += TTL_SECONDS * SECOND * (one % 3)
            return None
        if kind in ("acquire_lease", "release_lease", "claim_task", "begin_step", "complete_step", "fail_step"):
            return self._hold_or_execute(kind, one, two)
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
        token = self.token_of(task_id) if two % 7 else None
        return self.do(kind, task_id=task_id, token=token, **bodies.get(kind, {}))

    def _hold_or_execute(self, kind: str, one: int, two: int) -> Event | None:
        grants = sorted(self.state.grants.values(), key=lambda grant: int(grant["token"]))
        grant = grants[one % len(grants)] if grants else None
        token = grant["token"] if grant and two % 7 else None
        if kind in ("acquire_lease", "claim_task"):
            return self.do(kind, owner_id=("one", "two", 'thrée "3"')[one % 3], ttl_seconds=TTL_SECONDS)
        if kind == "release_lease":
            forced: dict[str, Any] = (
                {"force": True, "task_id": grant["task_id"] if grant else None} if two % 3 == 0 else {}
            )
            return self.do(kind, token=None if forced else token, **forced)
        step_id = STEPS[one % len(STEPS)]
        if kind == "begin_step":
            step_type = ("pure", "idempotent", "non_idempotent")[one % 3]
            key = "pay-1" if step_type == "non_idempotent" else None
            return self.do(kind, token=token, step_id=step_id, step_type=step_type, external_key=key)
        still_open = sorted(self.state.lookup.open_steps)
        if still_open and one % 4:
            step_id = still_open[one % len(still_open)]
        step = self.state.steps.get(step_id)
        last = step["attempts"][-1] if step else {"attempt_id": 1, "token": None}
        result: dict[str, Any] = (
            {"result_ref": "blob:1", "result_checksum": "a" * 64} if kind == "complete_step" and two % 2 else {}
        )
        return self.do(kind, token=last["token"], step_id=step_id, attempt_id=last["attempt_id"], **result)

    def token_of(self, task_id: str | None) -> int | None:
        """The token of what holds a task, or the project with None."""
        held = (self.state.grants.get(key) for key in (task_id, "workflow") if key is not None)
        return next((grant["token"] for grant in held if grant), None)


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

    def mark(self, partition: int = 0, *, payload: str = "{}") -> bytes:
        """The record that closes a batch without an event."""
        if partition not in self.epoch:
            self.open(partition)
        self.source_offset += 1
        return self._stamped(seal.own_record(SEQUENCER_MARK, payload), partition, self.source_offset)

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


def executed(name: str, tenant: str = TENANT) -> Project:
    """A project in which everything was held and executed: leases, claims that died, steps of each type.

    At the end two tasks are claimed, one of them after a silent death, the last lease has been released, one step is
    completed and one open.
    """
    project = scripted(name, 3, tenant)
    doing = next(task for task in project.state.tasks.values() if task["status"] == "doing")
    other = project.do("add_task", goal_id=doing["goal_id"], title="another")
    assert other is not None
    on_doing, on_other = {"task_id": doing["task_id"]}, {"task_id": other["task_id"]}
    paying = {"step_id": "null", "step_type": "non_idempotent", "external_key": "pay-1", **on_doing}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("acquire_lease", {"owner_id": "one"}),
        ("begin_step", {"step_id": "fetch", "step_type": "pure"}),
        ("complete_step", {"step_id": "fetch", "attempt_id": 1, "result_ref": "b:1", "result_checksum": "a" * 64}),
        ("begin_step", paying),
        ("fail_step", {"step_id": "null", "attempt_id": 1, "error": "no answer"}),
        ("let_time_pass", {}),
        ("claim_task", {"owner_id": "two", **on_doing}),
        ("begin_step", paying),
        ("let_time_pass", {}),
        ("acquire_lease", {"owner_id": "one"}),
        ("release_lease", {}),
        ("claim_task", {"owner_id": "three", **on_other}),
        ("let_time_pass", {}),
        ("claim_task", {"owner_id": "four", **on_other}),
        ("claim_task", {"owner_id": "five", **on_doing}),
    ]
    for command_type, body in asked:
        if command_type == "let_time_pass":
            project.now += 2 * TTL_SECONDS * SECOND
        elif command_type in ("acquire_lease", "claim_task"):
            assert project.do(command_type, ttl_seconds=TTL_SECONDS, **body), (command_type, body)
        else:
            assert project.do(command_type, token=project.state.token_counter, **body), (command_type, body)
    return project


def late_result(project: Project, **fields: Any) -> dict[str, Any]:
    """What a sequencer tells of a completion that came too late."""
    told = {
        "workflow_id": project.workflow, "tenant": project.tenant, "project": project.name, "step_id": "fetch",
        "attempt_id": 1, "task_id": next(iter(project.state.tasks)), "fencing_token": 1,
        "result_ref": "b:late", "result_checksum": "b" * 64, "operator_id": "zoë",
        "command_id": "00000000-0000-4000-8000-000000000001", "timestamp": "2027-01-15T08:00:00.000001Z",
    }  # fmt: skip
    return {**told, **fields}
