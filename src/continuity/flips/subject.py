"""What is damaged: projects with a bit of everything, decided by the core and projected by the projector's own code.

The first half of the snapshots lies in rows, the second in blobs, and so do the results of completed steps. All of it
is drawn from one random number generator, so that a campaign can be repeated.
"""

from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

from continuity import codec
from continuity.blobs import Folder
from continuity.contract import LateResultRow
from continuity.core import Accepted, State, canonical, decide
from continuity.core.grants import WORKFLOW
from continuity.core.ids import workflow_id
from continuity.core.records import Command, Event
from continuity.core.snapshot import Policy
from continuity.core.transitions import TASK_TRANSITIONS
from continuity.postgres import BoundedConnection
from continuity.projections.batch import Batch, Position
from continuity.projections.record import decoded
from continuity.projections.snapshots import Snapshots
from continuity.projections.writer import Writer, read_positions

TENANT: Final = "flipped"
OWNERS: Final = ("ada", "bob", "cleo")
NOON: Final = 1_800_000_000_000_000
SECOND: Final = 1_000_000
TTL_SECONDS: Final = 30
SNAPSHOT_EVERY: Final = 10
KINDS: Final = (
    "add_task", "start_task", "complete_task", "block_task", "pause_task", "update_checkpoint", "update_checkpoint",
    "amend_task", "reopen_task", "acquire_lease", "release_lease", "claim_task", "claim_task", "begin_step",
    "begin_step", "complete_step", "fail_step", "set_goal_priority", "let_time_pass",
)  # fmt: skip


class Subject(NamedTuple):
    """A project whose states are known: `states[n]` is the one after event n. `results` are names of blobs."""

    project: str
    states: list[State]
    events: list[Event]
    results: list[str]

    @property
    def late_task(self) -> str:
        """The task that half of the late results are of; the others are of none."""
        return next(iter(self.states[-1].tasks))

    @property
    def workflow_id(self) -> str:
        """Its workflow."""
        return self.states[0].workflow_id


class _Working:
    """A project on its way."""

    def __init__(self, project: str, random: Random, blobs: Folder) -> None:
        self.subject = Subject(project, [State(workflow_id(TENANT, project))], [], [])
        self._random = random
        self._blobs = blobs
        self._now = NOON

    @property
    def state(self) -> State:
        return self.subject.states[-1]

    def do(self, command_type: str, token: int | None = None, **body: Any) -> Event | None:
        """The event of a command, or None where it is refused."""
        self._now += SECOND
        command = Command(
            command_id=str(UUID(int=self._random.getrandbits(128), version=4)),
            command_type=command_type,
            body=canonical.text(body),
            tenant=TENANT,
            project=self.subject.project,
            workflow_id=self.state.workflow_id,
            operator_id="ada",
            operator_kind="human",
            session_id="s-1",
            fencing_token=token,
        )
        outcome = decide(self.state, command, self._now)
        if not isinstance(outcome, Accepted):
            return None
        self.subject.states.append(outcome.state)
        self.subject.events.append(outcome.event)
        return outcome.event

    def begin(self) -> None:
        """Tasks that depend on one another; a lease, a step that is completed under it, and the lease's end."""
        goal_id = next(iter(self.state.goals))
        first = self.do("add_task", goal_id=goal_id, title="Find the folders")
        assert first is not None
        assert self.do("add_task", goal_id=goal_id, title="Read them", depends_on=[first["task_id"]])
        left: dict[str, Any] = {"where_left_off": "begun", "next_step": "go on", "context_refs": []}
        assert self.do("start_task", task_id=first["task_id"])
        assert self.do("update_checkpoint", task_id=first["task_id"], **left)
        assert self.do("acquire_lease", owner_id=OWNERS[0], ttl_seconds=TTL_SECONDS)
        assert self.do("begin_step", self.state.token_counter, step_id="step-0", step_type="pure")
        self._execute("complete_step")
        assert self.do("release_lease", self.state.token_counter)

    def end(self) -> None:
        """All that was held has run out, and then a task is claimed."""
        self._now += 2 * TTL_SECONDS * SECOND
        assert self.do("add_task", goal_id=next(iter(self.state.goals)), title="Write it down")
        assert self.do("claim_task", owner_id=OWNERS[1], ttl_seconds=TTL_SECONDS)

    def act(self) -> None:
        """Try something."""
        kind = self._random.choice(KINDS)
        if kind == "let_time_pass":
            self._now += self._random.choice((0, 2)) * TTL_SECONDS * SECOND
        elif kind in ("acquire_lease", "release_lease", "claim_task"):
            self._hold(kind)
        elif kind in ("begin_step", "complete_step", "fail_step"):
            self._execute(kind)
        else:
            self._plan(kind)

    def _plan(self, kind: str) -> None:
        goal_id = self._random.choice(list(self.state.goals))
        if kind == "set_goal_priority":
            self.do(kind, goal_id=goal_id, priority=self._random.randrange(5))
            return
        needed = self._random.sample(list(self.state.tasks), min(len(self.state.tasks), self._random.randrange(3)))
        if kind == "add_task" or not self.state.tasks:
            self.do("add_task", goal_id=goal_id, title="Read a folder", depends_on=needed)
            return
        sources = TASK_TRANSITIONS.get(kind, (("todo", "doing", "blocked"), ""))[0]
        fitting = [task_id for task_id, task in self.state.tasks.items() if task["status"] in sources]
        task_id = self._random.choice(fitting or list(self.state.tasks))
        bodies: dict[str, dict[str, Any]] = {
            "amend_task": {"depends_on": needed, "title": "Read it again"},
            "block_task": {"blocker": {"text": "The key is missing.", "clears_when": "somebody sends it"}},
            "complete_task": {"evidence": "read"},
            "update_checkpoint": {"where_left_off": "pagë 7", "next_step": "page 8", "context_refs": ["a:1"]},
        }
        held = self.state.grants.get(task_id) or self.state.grants.get(WORKFLOW)
        self.do(kind, held["token"] if held else None, task_id=task_id, **bodies.get(kind, {}))

    def _hold(self, kind: str) -> None:
        if kind == "release_lease":
            tokens = [grant["token"] for grant in self.state.grants.values()]
            self.do(kind, self._random.choice(tokens) if tokens else None)
        else:
            self.do(kind, owner_id=self._random.choice(OWNERS), ttl_seconds=TTL_SECONDS)

    def _execute(self, kind: str) -> None:
        tokens = [grant["token"] for grant in self.state.grants.values()]
        if kind == "begin_step":
            body = {"step_id": f"step-{self._random.randrange(12)}", "step_type": "pure"}
            self.do(kind, self._random.choice(tokens) if tokens else None, **body)
            return
        still_open = sorted(self.state.lookup.open_steps)
        if not still_open:
            return
        step_id = self._random.choice(still_open)
        last = self.state.steps[step_id]["attempts"][-1]
        body = {"step_id": step_id, "attempt_id": last["attempt_id"]}
        if kind == "complete_step":
            ref = self._blobs.put(b"the result of %s" % step_id.encode())
            self.subject.results.append(ref)
            body |= {"result_ref": ref, "result_checksum": ref}
        self.do(kind, last["token"], **body)

    def late_result(self, number: int) -> LateResultRow:
        """What the sequencer keeps of a completion that came too late."""
        ref = self._blobs.put(b"late result %d" % number)
        self.subject.results.append(ref)
        return LateResultRow(
            self.state.workflow_id, str(UUID(int=self._random.getrandbits(128), version=4)), TENANT,
            self.subject.project, "step-1", 1, self.subject.late_task if number % 2 else None, number + 1, ref, ref,
            "ada", self._now + number,
        )  # fmt: skip


def made(connection: BoundedConnection, folder: Path, events: int, seed: int) -> list[Subject]:
    """Two projects in empty tables, the first of them of so many events."""
    random, blobs = Random(seed), Folder(folder)  # noqa: S311 - a campaign can be repeated
    workings = [_worked(name, count, random, blobs) for name, count in (("archive", events), ("beside", 40))]
    stored = read_positions(connection, [0], "flips")
    position = stored.by_partition[0]
    for half in (0, 1):
        policy = Policy(every_events=SNAPSHOT_EVERY, keep=10_000, inline_bytes_max=0 if half else 1 << 30)
        writer = Writer(connection, stored.generation, notify=False, snapshots=Snapshots(connection, blobs, policy))
        chosen = [event for each in workings for event in _half(each.subject.events, half)]
        values = [codec.encode_event(event) for event in chosen]
        records = [decoded(0, at, value) for at, value in enumerate(values, position.next_offset)]
        after = Position(position.next_offset + len(records), position.acceptance)
        late = [each.late_result(number) for each in workings for number in range(4)] if half else []
        written = writer.write(Batch({0: position}, {0: after}, records, {}, late), {})
        assert not written.stopped, written.stopped
        position = after
    return [each.subject for each in workings]


def _half(events: list[Event], half: int) -> list[Event]:
    at = len(events) // 2
    return events[at:] if half else events[:at]


def _worked(project: str, events: int, random: Random, blobs: Folder) -> _Working:
    """By chance, but for the beginning and the end: so that no table stays empty."""
    working = _Working(project, random, blobs)
    for number in range(3):
        working.do("create_goal", text=f"Read archive {number}", priority=number)
    working.begin()
    while len(working.subject.events) < events - 2:
        working.act()
    working.end()
    return working
