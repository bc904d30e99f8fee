"""Arguments and options that several verbs share, each declared once, and the client that they open."""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from continuity.cli import output
from continuity.client.errors import InvalidForm

if TYPE_CHECKING:
    from continuity.client import Continuity
    from continuity.client.wire import WriteOptions
    from continuity.config import Settings

DEADLINE_SECONDS = 10.0
CONNECT_SECONDS = 1.5
"""A person waits for less than a program, and least where nobody listens."""
COMMITTED = "committed"
ANY_PROJECT = "-"
"""For calls on the tenant, where the client's project plays no part."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON; the last line is one object with `ok`.")]
Project = Annotated[
    str,
    typer.Option(
        "--project", "-p", metavar="NAME", envvar="CONTINUITY_PROJECT", help="The project.", show_default=False
    ),
]
AtSeq = Annotated[int | None, typer.Option("--at-seq", metavar="SEQ", min=1, help="As it was after that event.")]
ForOwner = Annotated[str | None, typer.Option("--for", metavar="NAME", help="Leave out what others have claimed.")]
GoalId = Annotated[str, typer.Argument(metavar="GOAL_ID", show_default=False)]
TaskId = Annotated[str, typer.Argument(metavar="TASK_ID", show_default=False)]

# What every command may say besides its own fields: added to a verb by `writes`.
_WRITE_OPTIONS: dict[str, tuple[Any, Any]] = {
    "project": (Project, ""),
    "command_id": (
        Annotated[
            str | None,
            typer.Option("--command-id", metavar="UUID", help="Your own id: a repeat with it is recognized."),
        ],
        None,
    ),
    "expected_seq": (
        Annotated[
            int | None,
            typer.Option("--expected-seq", metavar="SEQ", min=0, help="Only while this event is the newest."),
        ],
        None,
    ),
    "fencing_token": (
        Annotated[
            int | None, typer.Option("--token", metavar="N", min=1, help="Of the lease or claim that you work under.")
        ],
        None,
    ),
    "wait": (
        Annotated[str, typer.Option("--wait", metavar="LEVEL", help="durable, committed or materialized.")],
        COMMITTED,
    ),
    "json": (Json, False),
}


def settings_of_this_environment() -> "Settings":
    """For the verbs that need no service to answer. Raises ConfigError."""
    from continuity.config import Settings  # noqa: PLC0415 - a verb that asks the service does without

    return Settings.load()


def connect(project: str) -> "Continuity":
    """The SDK, bound to the project."""
    from continuity.client import Continuity  # noqa: PLC0415 - httpx (250 ms) is loaded when it is needed

    return Continuity(named(project), deadline_seconds=DEADLINE_SECONDS, connect_seconds=CONNECT_SECONDS)


def named(project: str) -> str:
    """The project's name. Raises InvalidForm when none was given."""
    if not project:
        fix = "Add --project NAME, or set CONTINUITY_PROJECT."
        raise InvalidForm("No project is named.", fix=fix, code="missing_field")
    return project


def writes(send: Callable[..., Any]) -> Callable[..., None]:
    """Make a verb of a function `(work, how, fields…) -> WriteAnswer`; it gets the options of every command, too."""

    def verb(**given: Any) -> None:
        how = _options(**{name: given.pop(name) for name in ("command_id", "expected_seq", "fencing_token", "wait")})
        project, as_json = given.pop("project"), given.pop("json")
        with connect(_project(given) or project) as work:
            answer = send(work, how, **given)
        if as_json:
            output.succeed(answer)
        else:
            from continuity.cli import views  # noqa: PLC0415 - rich is loaded when a person reads

            views.written(answer)

    own = list(inspect.signature(send).parameters.values())[2:]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _WRITE_OPTIONS.items()
    ]
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own] + added
    verb.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by inspect, as documented
    verb.__annotations__ = {each.name: each.annotation for each in parameters}
    verb.__name__, verb.__doc__ = send.__name__, send.__doc__
    return verb


def _project(given: Mapping[str, Any]) -> str | None:
    """The project that a verb's own words name: none in particular, or the one that it makes."""
    return ANY_PROJECT if given.get("anywhere") else given.get("name")


def _options(
    *, command_id: str | None, expected_seq: int | None, fencing_token: int | None, wait: str
) -> "WriteOptions":
    options: WriteOptions = {}
    if command_id is not None:
        options["command_id"] = command_id
    if expected_seq is not None:
        options["expected_seq"] = expected_seq
    if fencing_token is not None:
        options["fencing_token"] = fencing_token
    if wait != COMMITTED:
        options["wait"] = wait  # type: ignore[typeddict-item]  # the service names the words that it takes
    return options
