"""Any sequence of commands at all: the product against a project of plain dicts (`naive.py`), step by step."""

from typing import Any

import jsonpatch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from continuity import codec
from continuity.core import canonical
from continuity.core.decide import decide
from continuity.core.evolve import evolve
from continuity.core.next_step import next_step
from continuity.core.outcome import Accepted, Rejected
from continuity.core.records import Command
from continuity.core.restore import advance, restore
from continuity.core.state import State
from tests.core.naive import Project
from tests.spec import WORKFLOW, Story, command, entity

texts = st.sampled_from(["a", "write it", "é\U0001f680", "line"])
statuses = st.sampled_from(["active", "paused", "done"])
refs = st.lists(st.sampled_from(["file:a", "pr:1", "file:b"]), max_size=2, unique=True)


class Work(RuleBasedStateMachine):
    """Names instead of ids: `goals` and `tasks` hold those of commands that may or may not have been accepted."""

    goals: Bundle[str] = Bundle("goals")
    tasks: Bundle[str] = Bundle("tasks")

    def __init__(self) -> None:
        super().__init__()
        self.story = Story()
        self.project = Project()
        self.sent: list[Command] = []
        self.folded = self.restored = State(WORKFLOW)

    def send(self, name: str, body: dict[str, Any], as_name: str | None = None, **fields: Any) -> None:
        asked = command(name, body, as_name or f"sent {len(self.sent)}", **fields)
        before = self.story
        self.story = before.when(asked)
        self.sent.append(asked)
        outcome = self.story.outcome
        assert decide(self.restored, asked, before.now) == outcome, "a state that was read back decides otherwise"
        expected = self.project.refusal(name, body, entity(as_name or ""))
        assert (outcome.code if isinstance(outcome, Rejected) else None) == expected, outcome
        if isinstance(outcome, Accepted):
            self.folded = evolve(self.folded, outcome.event)
            self.restored = advance(self.restored, outcome.event)
        else:
            assert self.story.state is before.state

    # Commands

    @initialize(target=goals)
    def first_goals(self) -> Any:
        return multiple(*(self.create_goal("a", priority) for priority in (0, 1)))

    @initialize(target=tasks, goal=goals)
    def first_tasks(self, goal: str) -> Any:
        names = [self.add_task(goal, "a", [], []) for _ in range(3)]
        return multiple(*names)

    @rule(target=goals, text=texts, priority=st.integers(-2, 2))
    def create_goal(self, text: str, priority: int) -> str:
        name = f"goal {len(self.sent)}"
        self.send("create_goal", {"text": text, "priority": priority}, name)
        return name

    @rule(goal=goals, task=tasks, what=st.integers(0, 3))
    def name_what_nobody_made(self, goal: str, task: str, what: int) -> None:
        wrong: tuple[tuple[str, dict[str, Any]], ...] = (
            ("start_task", {"task_id": entity("nobody")}),
            ("set_goal_status", {"goal_id": entity(task), "status": "done"}),
            ("add_task", {"goal_id": entity(goal), "title": "x", "depends_on": [entity("nobody")]}),
            ("amend_task", {"task_id": entity(task), "depends_on": [entity(goal)]}),
        )
        self.send(*wrong[what])
        assert isinstance(self.story.outcome, Rejected)

    @rule(goal=goals, status=statuses)
    def set_goal_status(self, goal: str, status: str) -> None:
        self.send("set_goal_status", {"goal_id": entity(goal), "status": status})

    @rule(goal=goals, priority=st.integers(-2, 2))
    def set_goal_priority(self, goal: str, priority: int) -> None:
        self.send("set_goal_priority", {"goal_id": entity(goal), "priority": priority})

    @rule(target=tasks, goal=goals, title=texts, needs=st.lists(tasks, max_size=2, unique=True), criteria=refs)
    def add_task(self, goal: str, title: str, needs: list[str], criteria: list[str]) -> Any:
        name = f"task {len(self.sent)}"
        body = {"goal_id": entity(goal), "title": title, "depends_on": [entity(each) for each in needs]}
        self.send("add_task", body | {"acceptance_criteria": criteria}, name)
        return name if isinstance(self.story.outcome, Accepted) else multiple()

    @rule(task=tasks, title=texts)
    def retitle(self, task: str, title: str) -> None:
        self.send("amend_task", {"task_id": entity(task), "title": title})

    @rule(task=tasks, needs=st.lists(tasks, max_size=3, unique=True))
    def depend(self, task: str, needs: list[str]) -> None:
        self.send("amend_task", {"task_id": entity(task), "depends_on": [entity(each) for each in needs]})

    @rule(task=tasks, name=st.sampled_from(["start_task", "start_task", "complete_task", "pause_task", "reopen_task"]))
    def move(self, task: str, name: str) -> None:
        self.send(name, {"task_id": entity(task)})

    @rule(task=tasks, text=texts, clears=st.none() | texts)
    def block(self, task: str, text: str, clears: str | None) -> None:
        self.send("start_task", {"task_id": entity(task)})
        blocker = {"text": text} | ({"clears_when": clears} if clears else {})
        self.send("block_task", {"task_id": entity(task), "blocker": blocker})

    @rule(task=tasks, evidence=texts)
    def finish(self, task: str, evidence: str) -> None:
        self.send("start_task", {"task_id": entity(task)})
        self.send("complete_task", {"task_id": entity(task), "evidence": evidence})

    @rule(task=tasks, left_off=texts, step=texts, context=refs)
    def checkpoint(self, task: str, left_off: str, step: str, context: list[str]) -> None:
        body = {"where_left_off": left_off, "next_step": step, "context_refs": context}
        self.send("update_checkpoint", {"task_id": entity(task)} | body)

    # What clients do besides

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        if not self.sent:
            return
        again = data.draw(st.sampled_from(self.sent))
        seqs = {event["command_id"]: event["event_seq"] for event in self.story.events}
        repeated = self.story.when(again)
        if again.command_id in seqs:
            repeated.then_duplicate(seqs[again.command_id])
            assert repeated.state is self.story.state

    @rule(data=st.data())
    def reuse_an_id(self, data: st.DataObject) -> None:
        if not self.story.events:
            return
        taken = data.draw(st.sampled_from(self.story.events))["command_id"]
        other = command("create_goal", {"text": "another body altogether"}, command_id=taken)
        assert self.story.when(other).then_refused("idempotency_key_reused").state is self.story.state

    @rule(off_by=st.sampled_from([-1, 1, 7]))
    def expect_another_head(self, off_by: int) -> None:
        asked = command("create_goal", {"text": "x"}, expected_seq=self.story.state.head_seq + off_by)
        assert self.story.when(asked).then_refused("expected_seq_mismatch").state is self.story.state

    @rule(step=st.sampled_from([-(10**9), 0, 1, 10**9]))
    def let_time_pass(self, step: int) -> None:
        self.story = self.story.at(max(0, self.story.now + step))

    # What holds after every step

    @invariant()
    def the_work_is_the_oracles(self) -> None:
        state, project = self.story.state, self.project
        assert state.head_seq == project.head == len(self.story.events)
        assert {key: goal["status"] for key, goal in state.goals.items()} == {
            key: goal["status"] for key, goal in project.goals.items()
        }
        assert state.tasks.keys() == project.tasks.keys()
        for key, expected in project.tasks.items():
            task: Any = state.tasks[key]
            found = {name: task[name] for name in ("goal_id", "title", "status", "depends_on", "acceptance_criteria")}
            found |= {"blockers": task.get("blockers", []), "evidence": task.get("evidence")}
            assert found | {"created": task["created_seq"], "changed": task["changed_seq"]} == expected
        for key, left in project.checkpoints.items():
            checkpoint: Any = state.checkpoints[key]
            assert {name: checkpoint[name] for name in left} == left
        assert {key: count for key in state.goals if (count := project.open_tasks(key))} == dict(
            state.lookup.open_tasks
        )

    @invariant()
    def the_next_step_is_the_oracles(self) -> None:
        answer = next_step(self.story.state)
        assert (answer["action"], answer["task_id"]) == self.project.next_step()
        assert answer["as_of_seq"] == self.project.head
        assert answer["state_checksum"] == self.story.state.checksum

    @invariant()
    def the_fold_is_the_state(self) -> None:
        assert self.folded == self.restored == self.story.state

    def teardown(self) -> None:
        state, events = self.story.state, self.story.events
        assert restore(WORKFLOW, events) == state
        assert restore(WORKFLOW, [codec.decode_event(codec.encode_event(event)) for event in events]) == state
        work = State(WORKFLOW).work
        for event in events:
            work = jsonpatch.apply_patch(work, canonical.loads(event["delta"]))
        assert work == state.work
        accepted = [event["command_id"] for event in events]
        assert len(set(accepted)) == len(accepted), "one command, two events"
        assert all(
            not isinstance(Story(state).when(each).outcome, Accepted)
            for each in self.sent
            if each.command_id in accepted
        )


TestWork = Work.TestCase
TestWork.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)
