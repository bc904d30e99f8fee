"""The verbs about the stack of this machine: `up`, `down`, `status`, `rebuild`, `adopt`. The work is done elsewhere."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from continuity.cli import output
from continuity.cli.exits import Exit
from continuity.cli.options import Json, settings_of_this_environment

if TYPE_CHECKING:
    from continuity.config import Settings
    from continuity.embedded import Status

READY = "ready"


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (up, down, status, rebuild, adopt):
        app.command(rich_help_panel="Stack")(verb)


def up(
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and stop the stack on Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Start the broker, the database and the services on this machine."""
    from continuity import embedded  # noqa: PLC0415 - only these verbs need it
    from continuity.cli.progress import following  # noqa: PLC0415

    began = time.monotonic()
    with following(quiet=json) as progress:
        settings = embedded.up(settings_of_this_environment(), progress, detach=not foreground)
    seconds = round(time.monotonic() - began, 1)
    if json:
        output.succeed({**_addresses(settings), "seconds": seconds})
        return
    if foreground:
        return
    console = output.person()
    console.print(f"[green]✓[/] The stack is up [dim]({seconds} s)[/]")
    console.print(f"  API     {settings.api_url}   [dim]its calls: {settings.api_url}/docs[/]")
    console.print(f"  data    {settings.data_dir}")
    console.print('  try     continuity goal create "Ship it" --project my-project')
    console.print("          continuity next --project my-project")


def down(json: Json = False) -> None:
    """Stop the stack of this machine. Nothing is lost: the next `up` goes on where it was."""
    from continuity import embedded  # noqa: PLC0415
    from continuity.cli.progress import following  # noqa: PLC0415

    with following(quiet=json) as progress:
        ran = embedded.down(settings_of_this_environment(), progress)
    if json:
        output.succeed({"stopped": ran})
    else:
        output.person().print("[green]✓[/] The stack is stopped." if ran else "Nothing was running.")


def status(json: Json = False) -> int:
    """Which parts run, where, and since when. Exit code 0 only when all of them are ready."""
    from continuity import embedded  # noqa: PLC0415

    found = embedded.status(settings_of_this_environment())
    away = [part["name"] for part in found["parts"] if part["state"] != READY]
    healthy = found["running"] and not away
    if json:
        if healthy:
            output.succeed(found)
        else:
            code, detail, fix = _trouble(found, away)
            output.fail(code, detail, fix, as_json=True, **found)
    else:
        from continuity.cli import views  # noqa: PLC0415

        views.stack(found)
        if not healthy:
            output.fail(*_trouble(found, away), as_json=False)
    return Exit.OK if healthy else Exit.CONFIGURATION


def rebuild(json: Json = False) -> None:
    """Make every derived row anew from the log, in a shadow, while reads go on."""
    from continuity.cli.progress import counting  # noqa: PLC0415
    from continuity.projections import rebuild as run  # noqa: PLC0415

    with counting("rebuilding", quiet=json) as progress:
        found = run(settings_of_this_environment(), progress)
    if json:
        output.succeed(found._asdict())
        return
    console = output.person()
    console.print(f"[green]✓[/] {found.events:,} events rebuilt from {found.records:,} records ({found.seconds:.1f} s)")
    if found.workflows_stopped:
        console.print(f"[yellow]{found.workflows_stopped} projects are stopped: their log is damaged.[/]")


def adopt(
    operator: Annotated[str, typer.Option(help="Who decides this: it is written into the log.")],
    json: Json = False,
) -> None:
    """Go on with a commands topic that was deleted and made again, as a new generation of it."""
    from continuity.processors import Store  # noqa: PLC0415
    from continuity.processors import adopt as run  # noqa: PLC0415

    settings = settings_of_this_environment()
    partitions = run(settings, Store(settings.postgres_dsn), operator)
    if json:
        output.succeed({"partitions": partitions})
    elif partitions:
        output.person().print(f"[green]✓[/] A new generation begins in the partitions {partitions}.")
    else:
        output.person().print("Nothing to adopt: the commands topic is the one that the log speaks for.")


def _trouble(found: "Status", away: list[str]) -> tuple[str, str, str]:
    if not found["running"]:
        return "not_running", f"No stack runs in {found['data_dir']}.", "Start it with `continuity up`."
    parts = " and ".join(away)
    return "degraded", f"Not ready: {parts}.", "Wait a moment; what does not come back says why in its log."


def _addresses(settings: "Settings") -> dict[str, str]:
    return {
        "api_url": settings.api_url,
        "data_dir": str(settings.data_dir),
        "kafka_bootstrap": settings.kafka_bootstrap,
        "postgres_dsn": settings.postgres_dsn,
    }
