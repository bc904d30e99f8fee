"""The rules of goals, tasks and checkpoints, one for each command. Pure.

The transitions are a table (`core.transitions`); what an accepted one means for the state is in `core.evolve`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from continuity.core import commands, limits
from continuity.core import transitions as table
from continuity.core.ids import entity_id
from continuity.core.outcome import Context, Draft, Refusal
from continuity.core.records import Task
from continuity.core.state import State


def _create_goal(context: Context, body: commands.CreateGoal) -> Draft:
    state, command = context.state, context.command
    if len(state.goals) >= limits.GOALS_MAX:
        raise Refusal("too_many_goals", f"The project has {len(state.goals)} goals.")
    goal_id = entity_id(state.workflow_id, command.command_id)
    payload = {"goal_id": goal_id, "text": body.text, "priority": body.priority}
    return Draft(payload, goal_id=goal_id, to_status="active")


def _set_goal_status(context: Context, body: commands.SetGoalStatus) -> Draft:
    state = context.state
    goal = _goal(state, body.goal_id)
    if goal["status"] == body.status:
        raise Refusal("illegal_transition", f"Goal {body.goal_id} is {body.status} already.")
    still_open = state.lookup.open_tasks.get(body.goal_id, 0)
    if body.status == "done" and still_open:
        raise Refusal("goal_has_open_tasks", f"Goal {body.goal_id} has {still_open} open tasks.")
    payload = {"goal_id": body.goal_id, "status": body.status}
    return Draft(payload, body.goal_id, from_status=goal["status"], to_status=body.status)


def _set_goal_priority(context: Context, body: commands.SetGoalPriority) -> Draft:
    _goal(context.state, body.goal_id)
    return Draft({"goal_id": body.goal_id, "priority": body.priority}, body.goal_id)


def _add_task(context: Context, body: commands.AddTask) -> Draft:
    state, command = context.state, context.command
    goal = _goal(state, body.goal_id)
    if goal["status"] == "done":
        raise Refusal("goal_done", f"Goal {body.goal_id} is done and takes no task.")
    if len(state.tasks) >= limits.TASKS_MAX:
        raise Refusal("too_many_tasks", f"The project has {len(state.tasks)} tasks.")
    task_id = entity_id(state.workflow_id, command.command_id)
    depends_on = body.depends_on or []
    _check_known(state, depends_on)  # a new task closes no circle: nothing can depend on it yet
    payload = {
        "task_id": task_id,
        "goal_id": body.goal_id,
        "title": body.title,
        "acceptance_criteria": body.acceptance_criteria or [],
        "depends_on": depends_on,
    }
    return Draft(payload, body.goal_id, task_id, to_status="todo")


def _amend_task(context: Context, body: commands.AmendTask) -> Draft:
    state = context.state
    task = _task(state, body.task_id)
    if body.depends_on:
        _check_known(state, body.depends_on)
        _check_no_cycle(state, body.task_id, body.depends_on)
    return Draft(commands.body_of(body), task["goal_id"], body.task_id)


def _start_task(context: Context, body: commands.StartTask) -> Draft:
    state = context.state
    task, draft = _transition(context, body.task_id)
    goal = state.goals[task["goal_id"]]
    if goal["status"] != "active":
        raise Refusal("goal_paused", f"Goal {task['goal_id']} of task {body.task_id} is {goal['status']}.")
    unmet = [needed for needed in task["depends_on"] if state.tasks[needed]["status"] != "done"]
    if unmet:
        raise Refusal("unmet_dependencies", f"Task {body.task_id} waits for {len(unmet)} tasks, first {unmet[0]}.")
    return draft


def _pause_task(context: Context, body: commands.PauseTask) -> Draft:
    _, draft = _transition(context, body.task_id)
    return draft._replace(payload=commands.body_of(body))


def _block_task(context: Context, body: commands.BlockTask) -> Draft:
    _, draft = _transition(context, body.task_id)
    return draft._replace(payload=commands.body_of(body))


def _complete_task(context: Context, body: commands.CompleteTask) -> Draft:
    _, draft = _transition(context, body.task_id)
    return draft._replace(payload=commands.body_of(body))


def _reopen_task(context: Context, body: commands.ReopenTask) -> Draft:
    task, draft = _transition(context, body.task_id)
    if context.state.goals[task["goal_id"]]["status"] == "done":
        raise Refusal("goal_done", f"Goal {task['goal_id']} of task {body.task_id} is done.")
    return draft


def _update_checkpoint(context: Context, body: commands.UpdateCheckpoint) -> Draft:
    task = _task(context.state, body.task_id)
    if task["status"] == "done":
        raise Refusal("illegal_transition", f"Task {body.task_id} is done: it takes no checkpoint.")
    payload = {
        "task_id": body.task_id,
        "where_we_left_off": body.where_left_off,
        "next_step": body.next_step,
        "needed_context_refs": body.context_refs,
    }
    return Draft(payload, task["goal_id"], body.task_id)


def _transition(context: Context, task_id: str) -> tuple[Task, Draft]:
    """The task, and the draft of the transition that the table has for this command."""
    task = _task(context.state, task_id)
    sources, target = table.TASK_TRANSITIONS[context.command.command_type]
    status = task["status"]
    if status not in sources:
        raise Refusal(
            "illegal_transition",
            f"Task {task_id} is {status}: {context.command.command_type} takes it from {' or '.join(sources)}.",
        )
    return task, Draft({"task_id": task_id}, task["goal_id"], task_id, status, target)


def _goal(state: State, goal_id: str) -> Any:
    goal = state.goals.get(goal_id)
    if goal is None:
        raise Refusal("unknown_goal", f"The project has no goal {goal_id}.")
    return goal


def _task(state: State, task_id: str) -> Task:
    task: Task | None = state.tasks.get(task_id)
    if task is None:
        raise Refusal("unknown_task", f"The project has no task {task_id}.")
    return task


def _check_known(state: State, depends_on: list[str]) -> None:
    for needed in depends_on:
        if needed not in state.tasks:
            raise Refusal("unknown_dependency", f"The project has no task {needed} to depend on.")


def _check_no_cycle(state: State, task_id: str, depends_on: list[str]) -> None:
    pending, seen = list(depends_on), set(depends_on)
    while pending:
        needed = pending.pop()
        if needed == task_id:
            raise Refusal("dependency_cycle", f"Task {task_id} would depend on itself.")
        fresh = [other for other in state.tasks[needed]["depends_on"] if other not in seen]
        seen.update(fresh)
        pending += fresh


RULES: Final[Mapping[str, Callable[[Context, Any], Draft]]] = {
    "create_goal": _create_goal,
    "set_goal_status": _set_goal_status,
    "set_goal_priority": _set_goal_priority,
    "add_task": _add_task,
    "amend_task": _amend_task,
    "start_task": _start_task,
    "pause_task": _pause_task,
    "block_task": _block_task,
    "complete_task": _complete_task,
    "reopen_task": _reopen_task,
    "update_checkpoint": _update_checkpoint,
}
