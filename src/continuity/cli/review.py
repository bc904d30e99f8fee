"""The verbs of an incident's review: why, since when, what changed, is it whole, and a file that can be taken along."""

from pathlib import Path
from typing import Annotated, Any

import typer

from continuity.cli import output
from continuity.cli.exits import Exit
from continuity.cli.options import AtSeq, ForOwner, Json, Project, connect, settings_of_this_environment

PANEL = "Review"


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (explain, diff, history, snapshots, export, verify):
        app.command(rich_help_panel=PANEL)(verb)


def explain(
    project: Project = "",
    at_seq: AtSeq = None,
    for_owner: ForOwner = None,
    json: Json = False,
) -> None:
    """Why this step: the rule that chose, the candidates with their ranks, and why the rules before it had none."""
    with connect(project) as work:
        found = work.explain(at_seq=at_seq, for_owner=for_owner)
    if json:
        output.succeed(found)
        return
    from continuity.cli import review_views  # noqa: PLC0415 - rich is loaded when a person reads

    review_views.explanation(found)


def diff(
    from_seq: Annotated[int, typer.Argument(metavar="A", min=0, help="The event to begin with; 0: before the first.")],
    to_seq: Annotated[
        int | None, typer.Argument(metavar="[B]", min=0, help="The event to end with; without it, the last one.")
    ] = None,
    project: Project = "",
    json: Json = False,
) -> None:
    """What changed from event A to event B. With --json also as a JSON Patch."""
    with connect(project) as work:
        found = work.diff(from_seq, to_seq)
    if json:
        output.succeed(found)
        return
    from continuity.cli import review_views  # noqa: PLC0415

    review_views.difference(found)


def history(
    task_id: Annotated[str, typer.Argument(metavar="TASK_ID", show_default=False)],
    project: Project = "",
    json: Json = False,
) -> None:
    """What happened to a task: its events, attempts, takeovers, and results that came too late."""
    with connect(project) as work:
        found = work.history(task_id)
    if json:
        output.succeed(found)
        return
    from continuity.cli import review_views  # noqa: PLC0415

    review_views.history(found)


def snapshots(project: Project = "", json: Json = False) -> None:
    """The newest stored states of a project."""
    with connect(project) as work:
        found = work.snapshots()
    if json:
        output.succeed({"snapshots": found})
        return
    from continuity.cli import review_views  # noqa: PLC0415

    review_views.snapshots(found)


def export(
    project: Annotated[str, typer.Argument(metavar="PROJECT", envvar="CONTINUITY_PROJECT", show_default=False)],
    target: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="Where to write it.")],
    at_seq: AtSeq = None,
    json: Json = False,
) -> None:
    """Write a project's whole history into one file that proves itself: `continuity verify FILE`."""
    from continuity.errors import ConfigError  # noqa: PLC0415

    with connect(project) as work:
        try:
            found = work.export(target, at_seq=at_seq)
        except OSError as error:
            fix = "Name a file in a folder that exists and that you may write to."
            raise ConfigError(f"{target} cannot be written: {error.strerror or error}.", fix=fix) from error
    if json:
        output.succeed(found)
        return
    size = f"{found['size_bytes'] / 1024:,.0f} KiB"
    output.person().print(f"[green]✓[/] {found['events']:,} events in {found['path']} ({size})", markup=True)


def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", show_default=False, help="A file of `continuity export`.")
    ] = None,
    project: Project = "",
    everything: Annotated[
        bool, typer.Option("--all", help="The live system: topic, journal, fold, rows and snapshots of all projects.")
    ] = False,
    json: Json = False,
) -> int:
    """Whether all is as it was written: a file, offline; a project; or with --all the live system.

    Exit code 7 when it is not: then each problem names workflow, event and field.
    """
    if (file is not None) + everything > 1:
        raise typer.BadParameter("Name a file, or --all, not both.")
    if file is not None:
        found = _of_file(file)
    elif everything:
        found = _of_everything(quiet=json)
    else:
        with connect(project) as work:
            found = {**work.verify()}
    if json:
        output.emit(found)
    else:
        from continuity.cli import review_views  # noqa: PLC0415

        review_views.verdict(found)
    return Exit.OK if found["ok"] else Exit.INTEGRITY


def _of_file(path: Path) -> dict[str, Any]:
    from continuity.review import verify_file  # noqa: PLC0415 - needs neither broker nor database

    found = verify_file(path)
    problems = [{"workflow_id": found.workflow_id, "where": "file", **problem._asdict()} for problem in found.problems]
    return {**found._asdict(), "workflows": 1, "problems": problems}


def _of_everything(*, quiet: bool) -> dict[str, Any]:
    from continuity.cli.progress import counting  # noqa: PLC0415
    from continuity.review import verify_all  # noqa: PLC0415

    with counting("verifying", quiet=quiet) as progress:
        return {**verify_all(settings_of_this_environment(), lambda _what, done, total: progress(done, total))}
