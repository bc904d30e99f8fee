"""The verbs about API keys: `key issue`, `key list`, `key revoke`. They write to the data folder of this machine.

Only whoever owns the data folder can give keys away, so these verbs go past the API.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from continuity.cli import output
from continuity.cli.options import Json
from continuity.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

key = typer.Typer(help="Keys: who may call the API, for which tenant.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.add_typer(key, name="key", rich_help_panel="Stack")


@key.command("issue")
def issue(
    operator_id: Annotated[str, typer.Argument(metavar="OPERATOR", help="Who acts with it.", show_default=False)],
    kind: Annotated[str, typer.Option("--kind", help="human, agent, automation or device.")] = "agent",
    tenant: Annotated[str, typer.Option("--tenant", help="Whose projects it opens.")] = "local",
    json: Json = False,
) -> None:
    """Make a key. It is shown once and kept nowhere."""
    from continuity import keys  # noqa: PLC0415 - only these verbs need it

    made = keys.issue_key(_data_dir(), tenant=tenant, operator_id=operator_id, operator_kind=kind)
    if json:
        output.succeed({"key": made, "tenant": tenant, "operator_id": operator_id, "operator_kind": kind})
    else:
        print(made)


@key.command("list")
def list_all(json: Json = False) -> None:
    """Who has a key. The keys themselves are not stored."""
    from continuity import keys  # noqa: PLC0415

    callers = keys.list_keys(_data_dir())
    if json:
        output.succeed({"keys": [caller._asdict() for caller in callers]})
        return
    for caller in callers:
        print(f"{caller.key_id}  {caller.tenant}  {caller.operator_kind}  {caller.operator_id}")


@key.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `key list` shows it.", show_default=False)],
    json: Json = False,
) -> None:
    """Take a key back. It is refused within a second."""
    from continuity import keys  # noqa: PLC0415

    if not keys.revoke_key(_data_dir(), key_id):
        raise ConfigError(f"There is no key with the id {key_id!r:.40}.", fix="Look at `continuity key list`.")
    if json:
        output.succeed({"revoked": key_id})
    else:
        print(f"revoked {key_id}")


def _data_dir() -> "Path":
    from continuity.config import Settings  # noqa: PLC0415

    return Settings.load().data_dir
