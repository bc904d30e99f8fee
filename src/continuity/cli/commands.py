"""The verbs that change work. Those of executors are in `cli.executing`.

A verb only hands its words to the SDK; every rule and limit is the service's. A test holds the verbs, their options and
the commands' fields equal.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from continuity.cli.options import GoalId, TaskId, writes

if TYPE_CHECKING:
    from continuity.answers import Blocker, WriteAnswer
    from continuity.client import Continuity
    from continuity.client.wire import WriteOptions

VERBS: dict[str, tuple[str, ...]] = {
    "create_goal": ("goal", "create"),
    "set_goal_status": ("goal", "status"),
    "set_goal_priority": ("goal", "priority"),
    "add_task": ("task", "add"),
    "amend_task": ("task", "amend"),
    "start_task": ("task", "start"),
    "pause_task": ("task", "pause"),
    "block_task": ("task", "block"),
    "complete_task": ("task", "complete"),
    "reopen_task": ("task", "reopen"),
    "update_checkpoint": ("checkpoint",),
    "acquire_lease": ("lease", "acquire"),
    "renew_lease": ("lease", "renew"),
    "release_lease": ("lease", "release"),
    "claim_task": ("claim",),
    "begin_step": ("step", "begin"),
    "complete_step": ("step", "complete"),
    "fail_step": ("step", "fail"),
    "rollback": ("rollback",),
    "fork_project": ("fork",),
}
"""The verb of each command of `core.commands`."""

goal = typer.Typer(help="Goals: outcomes that tasks serve.", no_args_is_help=True)
task = typer.Typer(help="Tasks: pieces of work, and what happens to them.", no_args_is_help=True)

Title = Annotated[str, typer.Argument(help="One line of at most 500 characters.", show_default=False)]
Criteria = Annotated[
    list[str] | None,
    typer.Option("--criterion", "-c", metavar="TEXT", help="When is it done? Repeat for more.", show_default=False),
]
DependsOn = Annotated[
    list[str] | None,
    typer.Option("--depends-on", "-d", metavar="TASK_ID", help="Must be done first. Repeat.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.add_typer(goal, name="goal", rich_help_panel="Work")
    app.add_typer(task, name="task", rich_help_panel="Work")
    for name, verb in (("checkpoint", checkpoint), ("rollback", rollback), ("fork", fork_project)):
        app.command(name, rich_help_panel="Work")(verb)


@goal.command("create")
@writes
def create_goal(
    work: "Continuity",
    how: "WriteOptions",
    text: Annotated[str, typer.Argument(help="What is to be reached, in 1-4,000 characters.", show_default=False)],
    priority: Annotated[int, typer.Option("--priority", metavar="N", help="A larger number comes first.")] = 0,
) -> "WriteAnswer":
    """Create an active goal. A project begins with its first one."""
    return work.create_goal(text, priority, **how)


@goal.command("status")
@writes
def set_goal_status(
    work: "Continuity",
    how: "WriteOptions",
    goal_id: GoalId,
    status: Annotated[str, typer.Argument(metavar="active|paused|done", show_default=False)],
) -> "WriteAnswer":
    """Make a goal active, paused or done; done only without open tasks."""
    return work.set_goal_status(goal_id, status, **how)


@goal.command("priority", context_settings={"ignore_unknown_options": True})  # so that -5 is a number
@writes
def set_goal_priority(
    work: "Continuity",
    how: "WriteOptions",
    goal_id: GoalId,
    priority: Annotated[
        int, typer.Argument(metavar="N", help="-1,000 to 1,000; a larger one comes first.", show_default=False)
    ],
) -> "WriteAnswer":
    """Give a goal another priority."""
    return work.set_goal_priority(goal_id, priority, **how)


@task.command("add")
@writes
def add_task(
    work: "Continuity",
    how: "WriteOptions",
    goal_id: GoalId,
    title: Title,
    acceptance_criteria: Criteria = None,
    depends_on: DependsOn = None,
) -> "WriteAnswer":
    """Add a task to a goal, as todo."""
    return work.add_task(goal_id, title, acceptance_criteria, depends_on=depends_on, **how)


@task.command("amend")
@writes
def amend_task(
    work: "Continuity",
    how: "WriteOptions",
    task_id: TaskId,
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT")] = None,
    acceptance_criteria: Criteria = None,
    depends_on: DependsOn = None,
) -> "WriteAnswer":
    """Replace a task's title, criteria or dependencies: those that are given."""
    return work.amend_task(task_id, title, acceptance_criteria or None, depends_on=depends_on or None, **how)


@task.command("start")
@writes
def start_task(work: "Continuity", how: "WriteOptions", task_id: TaskId) -> "WriteAnswer":
    """Begin or resume: todo or blocked → doing."""
    return work.start_task(task_id, **how)


@task.command("pause")
@writes
def pause_task(
    work: "Continuity",
    how: "WriteOptions",
    task_id: TaskId,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT")] = None,
) -> "WriteAnswer":
    """Put back: doing or blocked → todo."""
    return work.pause_task(task_id, reason, **how)


@task.command("block")
@writes
def block_task(
    work: "Continuity",
    how: "WriteOptions",
    task_id: TaskId,
    blocker: Annotated[str, typer.Argument(help="What keeps it from going on.", show_default=False)],
    clears_when: Annotated[str | None, typer.Option("--clears-when", metavar="TEXT", help="What clears it.")] = None,
) -> "WriteAnswer":
    """Say what is in the way: doing → blocked."""
    what: Blocker = {"text": blocker}
    if clears_when is not None:
        what["clears_when"] = clears_when
    return work.block_task(task_id, what, **how)


@task.command("complete")
@writes
def complete_task(
    work: "Continuity",
    how: "WriteOptions",
    task_id: TaskId,
    evidence: Annotated[str | None, typer.Option("--evidence", metavar="TEXT", help="What shows that it is.")] = None,
) -> "WriteAnswer":
    """Complete: doing → done."""
    return work.complete_task(task_id, evidence, **how)


@task.command("reopen")
@writes
def reopen_task(work: "Continuity", how: "WriteOptions", task_id: TaskId) -> "WriteAnswer":
    """Take up again: done → doing."""
    return work.reopen_task(task_id, **how)


@writes
def checkpoint(
    work: "Continuity",
    how: "WriteOptions",
    task_id: TaskId,
    where_left_off: Annotated[
        str, typer.Option("--left-off", metavar="TEXT", help="Where you stand, in 1-3 sentences.", show_default=False)
    ],
    next_step: Annotated[
        str, typer.Option("--next", metavar="TEXT", help="The next single action, one line.", show_default=False)
    ],
    context_refs: Annotated[
        list[str] | None,
        typer.Option("--ref", "-r", metavar="REF", help="What to look at first. Repeat for more.", show_default=False),
    ] = None,
) -> "WriteAnswer":
    """Save where a task was left and what comes next."""
    return work.update_checkpoint(task_id, where_left_off, next_step, context_refs or [], **how)


@writes
def rollback(
    work: "Continuity",
    how: "WriteOptions",
    to_seq: Annotated[int, typer.Option("--to-seq", metavar="SEQ", min=1, help="An event before the newest.")],
) -> "WriteAnswer":
    """Bring goals, tasks and checkpoints back to how they stood after an event. History stays."""
    return work.rollback(to_seq, **how)


@writes
def fork_project(
    work: "Continuity",
    how: "WriteOptions",
    from_project: Annotated[str, typer.Argument(metavar="PROJECT", help="Where it comes from.", show_default=False)],
    at_seq: Annotated[int, typer.Option("--at-seq", metavar="SEQ", min=1, help="Its state after this event.")],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="The new project.", show_default=False)],
) -> "WriteAnswer":
    """Begin a new project on the state that another one had after an event."""
    assert work.project == name
    return work.fork_project(from_project, at_seq, **how)
