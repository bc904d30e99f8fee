"""The verbs that ask. They read over HTTP and change nothing."""

from typing import Annotated

import typer

from continuity.cli import output
from continuity.cli.options import ANY_PROJECT, AtSeq, ForOwner, Json, Project, connect


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command("next", rich_help_panel="Work")(next_step)
    app.command("late-results", rich_help_panel="Execution")(late_results)
    for verb in (state, events, projects, outcome):
        app.command(rich_help_panel="Work")(verb)


def next_step(
    project: Project = "",
    for_owner: ForOwner = None,
    at_seq: AtSeq = None,
    json: Json = False,
) -> None:
    """What to do next, and everything that is needed to begin."""
    with connect(project) as work:
        step = work.get_next_step(for_owner=for_owner, at_seq=at_seq)
    if json:
        output.succeed(step)
        return
    from continuity.cli import views  # noqa: PLC0415 - rich is loaded when a person reads

    views.next_step(step)


def state(
    project: Project = "",
    everything: Annotated[bool, typer.Option("--all", help="Done goals and tasks, too.")] = False,
    at_seq: AtSeq = None,
    json: Json = False,
) -> None:
    """The work as it stands: goals, tasks, checkpoints, blockers."""
    with connect(project) as work:
        found = work.state(at_seq=at_seq)
    if json:
        output.succeed(found)
        return
    from continuity.cli import views  # noqa: PLC0415

    views.state(found, everything=everything)


def events(
    project: Project = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """The facts in their order: who did what, when. With --json one event a line, then the closing object."""
    count = 0
    with connect(project) as work:
        try:
            for event in work.events(follow=follow):
                count += 1
                if json:
                    output.emit(event)
                else:
                    from continuity.cli import views  # noqa: PLC0415

                    views.event(event)
        except KeyboardInterrupt:
            if not follow:
                raise
    if json:
        output.succeed({"events": count})


def late_results(
    project: Project = "",
    task_id: Annotated[str | None, typer.Argument(metavar="[TASK_ID]", help="Without it, all of them.")] = None,
    json: Json = False,
) -> None:
    """Results of executors that had lost their lease: kept, and yours to reconcile."""
    with connect(project) as work:
        found = work.late_results(task_id)
    if json:
        output.succeed({"late_results": found})
        return
    from continuity.cli import views  # noqa: PLC0415

    views.late_results(found)


def projects(json: Json = False) -> None:
    """The projects of your tenant."""
    with connect(ANY_PROJECT) as work:
        found = list(work.projects())
    if json:
        output.succeed({"projects": found})
        return
    from continuity.cli import views  # noqa: PLC0415

    views.projects(found)


def outcome(
    command_id: Annotated[str, typer.Argument(metavar="COMMAND_ID", show_default=False)], json: Json = False
) -> None:
    """What became of a command whose answer was lost."""
    with connect(ANY_PROJECT) as work:
        found = work.command_outcome(command_id)
    if json:
        output.succeed(found)
        return
    from continuity.cli import views  # noqa: PLC0415

    views.outcome(found)
