"""The command line: which verbs there are, and what every one has in common. Loads only what parsing needs.

A verb's module has `register(app)`; its heavy imports are inside its functions, because every call of every verb pays
for what is imported here.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

import typer

from continuity.cli import output
from continuity.cli.exits import MEANINGS, Exit, of_error
from continuity.errors import ContinuityError

VERB_MODULES: tuple[str, ...] = ("tour", "commands", "executing", "questions", "review", "stack", "access")
"""Modules of this package, in the order of the help page."""

_EXITS = "; ".join(f"{int(code)} {meaning}" for code, meaning in MEANINGS.items())


def build() -> typer.Typer:
    """The command line with all verbs."""
    app = typer.Typer(
        name="continuity",
        help="What is unfinished, and what to do next: for AI agents and the people who run them.",
        epilog=f"Exit codes: {_EXITS}.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name in VERB_MODULES:
        import_module(f"continuity.cli.{name}").register(app)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and answer its exit code. Nothing leaves as a traceback but a defect of ours, on stderr."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        code = build()(words, standalone_mode=False)
    except ContinuityError as error:
        output.fail_with(error, as_json=as_json)
        return of_error(error)
    except (typer.Abort, KeyboardInterrupt):
        if as_json:
            output.fail("interrupted", "The verb was interrupted.", "Repeat it.", as_json=True)
        return Exit.INTERRUPTED
    except typer.TyperException as error:
        asked = " ".join(["continuity", *words[:1]])
        output.fail("usage", error.format_message(), f"Look at `{asked} --help`.", as_json=as_json)
        return Exit.USAGE
    except SystemExit:
        # Typer and rich end so, and only so, when whoever read our output has seen enough: `continuity events | head`.
        return Exit.OK
    except Exception as error:
        if not as_json:
            raise
        # The last one to ask: a program still gets its one object.
        output.fail("unexpected", f"{type(error).__name__}: {error}", "Report this.", as_json=True)
        return Exit.UNEXPECTED
    return code if isinstance(code, int) else Exit.OK
