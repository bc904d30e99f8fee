"""How the command line speaks: to people in a few lines, to programs in JSON. Results go to stdout, the rest to stderr.

With `--json` the last line of stdout is one object with `ok`; on failure it has `code`, `detail` and `fix`. Rich is
loaded only when a person reads.
"""

import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from continuity.errors import ContinuityError, IntegrityError

if TYPE_CHECKING:
    from rich.console import Console


def emit(answer: Mapping[str, Any]) -> None:
    """Print one line of JSON, keys as they come."""
    sys.stdout.buffer.write(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.flush()


def succeed(answer: Mapping[str, Any]) -> None:
    """Print the result for a program."""
    emit({"ok": True, **answer})


def fail(code: str, detail: str, fix: str, *, as_json: bool, **members: Any) -> None:
    """Say what went wrong and what to do: to a program on stdout, to a person on stderr."""
    if as_json:
        emit({"ok": False, "code": code, "detail": detail, "fix": fix, **members})
        return
    console = person(stderr=True)
    console.print(f"[bold red]✗[/] {_plain(detail)} [dim]({_plain(code)})[/]")
    if fix:
        console.print(f"  [bold]→[/] {_plain(fix)}")


def fail_with(error: ContinuityError, *, as_json: bool) -> None:
    """The same for an error of ours."""
    command_id = getattr(error, "command_id", None)
    members: dict[str, Any] = {"command_id": command_id} if command_id else {}
    if isinstance(error, IntegrityError):
        members |= {"workflow_id": error.workflow_id, "event_seq": error.event_seq, "field": error.field}
    fail(error.code, error.detail, error.fix, as_json=as_json, **members)


@cache
def person(*, stderr: bool = False) -> "Console":
    """A console for people. It wraps at the terminal's width and writes no colours into a pipe."""
    from rich.console import Console  # noqa: PLC0415 - 100 ms that a program's call does not pay

    return Console(stderr=stderr, highlight=False, soft_wrap=not sys.stdout.isatty())


def moment(timestamp: str) -> str:
    """An RFC 3339 timestamp as a person reads it, to the second, in UTC."""
    return timestamp[:19].replace("T", " ")


def _plain(text: str) -> str:
    from rich.markup import escape  # noqa: PLC0415

    return escape(text)
