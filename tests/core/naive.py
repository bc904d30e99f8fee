"""A project as plain dicts, written from the specification alone: the oracle of `test_work.py`.

It knows nothing of events, digests or persistent maps, and it is as slow as it likes.
"""

from collections.abc import Callable
from typing import Any

OPEN = ("todo", "doing", "blocked")


class Refused(Exception):
    """Leaves a rule early, with the code."""


class Project:
    """Goals and tasks by id. `refusal` carries a command out, unless it has to be refused."""

    def __init__(self) -> None:
        self.head = 0
        self.goals: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.checkpoints: dict[str, dict[str, Any]] = {}

    def refusal(self, name: str, body: dict[str, Any], new_id: str) -> str | None:
        """The code, or None: then it is done."""
        rule: Callable[..., None] = getattr(self, name)
        try:
            rule(**body, **({"new_id": new_id} if name in ("create_goal", "add_task") else {}))
        except Refused as refused:
            return str(refused)
        self.head += 1
        return None

    def create_goal(self, new_id: str, text: str, priority: int = 0) -> None:
        self.goals[new_id] = {"text": text, "priority": priority, "status": "active"}

    def set_goal_status(self, goal_id: str, status: str) -> None:
        goal = self._goal(goal_id)
        if goal["status"] == status:
            raise Refused("illegal_transition")
        if status == "done" and self.open_tasks(goal_id):
            raise Refused("goal_has_open_tasks")
        goal["status"] = status

    def set_goal_priority(self, goal_id: str, priority: int) -> None:
        self._goal(goal_id)["priority"] = priority

    def add_task(
        self, new_id: str, goal_id: str, title: str, depends_on: list[str] | None = None, **criteria: list[str]
    ) -> None:
        if self._goal(goal_id)["status"] == "done":
            raise Refused("goal_done")
        self._must_know(depends_on or [])
        self.tasks[new_id] = {
            "goal_id": goal_id, "title": title, "status": "todo", "depends_on": depends_on or [], "blockers": [],
            "evidence": None, "created": self.head + 1, "changed": self.head + 1,
            "acceptance_criteria": criteria.get("acceptance_criteria", []),
        }  # fmt: skip

    def amend_task(self, task_id: str, **fields: Any) -> None:
        task = self._task(task_id)
        self._must_know(fields.get("depends_on", []))
        if any(task_id in self._all_that_is_needed(needed) for needed in fields.get("depends_on", [])):
            raise Refused("dependency_cycle")
        self._change(task_id, **{**task, **fields})

    def start_task(self, task_id: str) -> None:
        task = self._from(task_id, "todo", "blocked")
        if self.goals[task["goal_id"]]["status"] != "active":
            raise Refused("goal_paused")
        if any(self.tasks[needed]["status"] != "done" for needed in task["depends_on"]):
            raise Refused("unmet_dependencies")
        self._change(task_id, status="doing", blockers=[])

    def pause_task(self, task_id: str, reason: str = "") -> None:
        del reason  # it stands in the history only
        self._from(task_id, "doing", "blocked")
        self._change(task_id, status="todo", blockers=[])

    def block_task(self, task_id: str, blocker: dict[str, str]) -> None:
        self._from(task_id, "doing")
        self._change(task_id, status="blocked", blockers=[blocker])

    def complete_task(self, task_id: str, evidence: str | None = None) -> None:
        self._from(task_id, "doing")
        self._change(task_id, status="done", evidence=evidence)

    def reopen_task(self, task_id: str) -> None:
        task = self._from(task_id, "done")
        if self.goals[task["goal_id"]]["status"] == "done":
            raise Refused("goal_done")
        self._change(task_id, status="doing", evidence=None)

    def update_checkpoint(self, task_id: str, where_left_off: str, next_step: str, context_refs: list[str]) -> None:
        task = self._from(task_id, *OPEN)
        self.checkpoints[task_id] = {
            "where_we_left_off": where_left_off, "next_step": next_step, "needed_context_refs": context_refs,
            "blockers": task["blockers"],
        }  # fmt: skip
        self._change(task_id)

    # Questions

    def open_tasks(self, goal_id: str) -> int:
        return sum(task["goal_id"] == goal_id and task["status"] in OPEN for task in self.tasks.values())

    def next_step(self) -> tuple[str, str | None]:
        """The action, and the task it is about."""
        live = {key: task for key, task in self.tasks.items() if self.goals[task["goal_id"]]["status"] == "active"}
        for status, action in (("doing", "continue"), ("blocked", "unblock")):
            latest = sorted((task["changed"], key) for key, task in live.items() if task["status"] == status)
            if latest:
                return action, latest[-1][1]
        ready = sorted(
            (-self.goals[task["goal_id"]]["priority"], task["created"], key)
            for key, task in live.items()
            if task["status"] == "todo" and all(self.tasks[needed]["status"] == "done" for needed in task["depends_on"])
        )
        return ("start", ready[0][2]) if ready else ("propose_tasks", None)

    def _goal(self, goal_id: str) -> dict[str, Any]:
        if goal_id not in self.goals:
            raise Refused("unknown_goal")
        return self.goals[goal_id]

    def _task(self, task_id: str) -> dict[str, Any]:
        if task_id not in self.tasks:
            raise Refused("unknown_task")
        return self.tasks[task_id]

    def _from(self, task_id: str, *statuses: str) -> dict[str, Any]:
        task = self._task(task_id)
        if task["status"] not in statuses:
            raise Refused("illegal_transition")
        return task

    def _must_know(self, depends_on: list[str]) -> None:
        if not set(depends_on) <= self.tasks.keys():
            raise Refused("unknown_dependency")

    def _all_that_is_needed(self, task_id: str) -> set[str]:
        found = {task_id}
        while True:
            more = {needed for key in found for needed in self.tasks[key]["depends_on"]} - found
            if not more:
                return found
            found |= more

    def _change(self, task_id: str, **fields: Any) -> None:
        self.tasks[task_id] |= fields | {"changed": self.head + 1}
