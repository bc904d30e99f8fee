"""The verbs of those who execute: `lease`, `claim` and `step`. A shell holds a token between two of them by its number.

As in `cli.commands`, a verb only hands its words to the SDK. Nothing renews by itself here: a script that works longer
than its ttl calls `lease renew`, or uses the SDK.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from continuity.cli.options import writes
from continuity.client.errors import InvalidForm
from continuity.errors import ConfigError

if TYPE_CHECKING:
    from continuity.answers import WriteAnswer
    from continuity.client import Continuity
    from continuity.client.wire import WriteOptions

lease = typer.Typer(help="The lease: one executor for the whole project.", no_args_is_help=True)
step = typer.Typer(help="Steps: what is done at most once, for ever.", no_args_is_help=True)

STDIN = "-"

Owner = Annotated[
    str,
    typer.Option("--owner", "-o", metavar="NAME", envvar="CONTINUITY_OWNER", help="Who executes.", show_default=False),
]
Ttl = Annotated[int, typer.Option("--ttl", metavar="SECONDS", help="Runs out this long after its last renewal.")]
OfTask = Annotated[
    str | None, typer.Option("--task", metavar="TASK_ID", help="Its claim; without it, what --token holds.")
]
StepId = Annotated[str, typer.Argument(metavar="STEP_ID", help="Letters, digits and . _ : -", show_default=False)]
AttemptId = Annotated[int, typer.Argument(metavar="ATTEMPT", min=1, show_default=False)]
TTL_SECONDS = 300


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.add_typer(lease, name="lease", rich_help_panel="Execution")
    app.command("claim", rich_help_panel="Execution")(claim)
    app.add_typer(step, name="step", rich_help_panel="Execution")


@lease.command("acquire")
@writes
def acquire(work: "Continuity", how: "WriteOptions", owner_id: Owner, ttl_seconds: Ttl = TTL_SECONDS) -> "WriteAnswer":
    """Hold the whole project. Prints the token that your other verbs need."""
    return work.acquire_lease(owner_id, ttl_seconds, **how)


@lease.command("renew")
@writes
def renew(work: "Continuity", how: "WriteOptions", task_id: OfTask = None) -> "WriteAnswer":
    """Push the expiry of the --token's lease, or claim, out by its ttl."""
    return work.renew_lease(task_id, **how)


@lease.command("release")
@writes
def release(
    work: "Continuity",
    how: "WriteOptions",
    task_id: OfTask = None,
    force: Annotated[
        bool, typer.Option("--force", help="Whoever holds it: --task, else the lease. The event names you.")
    ] = False,
) -> "WriteAnswer":
    """Give back the --token's lease, or claim."""
    return work.release_lease(task_id, force=force, **how)


@writes
def claim(
    work: "Continuity",
    how: "WriteOptions",
    owner_id: Owner,
    ttl_seconds: Ttl = TTL_SECONDS,
    task_id: Annotated[str | None, typer.Argument(metavar="[TASK_ID]", help="Without it, the next.")] = None,
    anywhere: Annotated[bool, typer.Option("--anywhere", help="In any project of yours.")] = False,
) -> "WriteAnswer":
    """Hold one task, and start it: the named one, or the next that is ready and free."""
    if not anywhere:
        return work.claim_task(owner_id, ttl_seconds, task_id, **how)
    if task_id is not None:
        raise InvalidForm("A named task is in one project.", fix="Leave out --anywhere.", code="invalid_field")
    return work.claim_task_anywhere(owner_id, ttl_seconds, **how)


@step.command("begin")
@writes
def begin(
    work: "Continuity",
    how: "WriteOptions",
    step_id: StepId,
    step_type: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="pure, idempotent or non_idempotent.", show_default=False)
    ],
    task_id: Annotated[str | None, typer.Option("--task", metavar="TASK_ID", help="Else the claimed one.")] = None,
    external_key: Annotated[
        str | None, typer.Option("--external-key", metavar="KEY", help="What the other side knows it by.")
    ] = None,
) -> "WriteAnswer":
    """Begin an attempt under --token, or read the result of a step that is completed."""
    return work.begin_step(step_id, step_type, task_id, external_key, **how)


@step.command("complete")
@writes
def complete(
    work: "Continuity",
    how: "WriteOptions",
    step_id: StepId,
    attempt_id: AttemptId,
    result_ref: Annotated[
        str | None, typer.Option("--result-ref", metavar="REF", help="Where the result lies, if not here.")
    ] = None,
    result_checksum: Annotated[
        str | None, typer.Option("--result-checksum", metavar="SHA256", help="Of what lies there.")
    ] = None,
    result_file: Annotated[
        str | None, typer.Option("--result", metavar="FILE", help="Store this file as the result; - is stdin.")
    ] = None,
) -> "WriteAnswer":
    """Complete the step, once and for ever."""
    if result_file is not None:
        if (result_ref, result_checksum) != (None, None):
            raise InvalidForm("There is one result.", fix="Give --result or --result-ref.", code="invalid_field")
        stored = work.store_result(_content(result_file))
        result_ref, result_checksum = stored["result_ref"], stored["result_checksum"]
    return work.complete_step(step_id, attempt_id, result_ref, result_checksum, **how)


@step.command("fail")
@writes
def fail(
    work: "Continuity",
    how: "WriteOptions",
    step_id: StepId,
    attempt_id: AttemptId,
    error: Annotated[str | None, typer.Option("--error", metavar="TEXT", help="What went wrong.")] = None,
) -> "WriteAnswer":
    """Close the attempt; the step can be begun again."""
    return work.fail_step(step_id, attempt_id, error, **how)


def _content(file: str) -> bytes:
    if file == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.", fix="Name a file that is there.") from None
