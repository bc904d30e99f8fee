"""The list of what a history's replay refuses and skips, as a committed file beside the history. Pure.

One object a line: the line of the history, `refused` or `skipped`, a code and the reason in the tracker's own ids. It
holds for every run in every project, because no outcome depends on the order in which the workers happen to come.
"""

import json
from pathlib import Path
from typing import NamedTuple

from continuity.errors import ConfigError
from continuity.replay.mapping import Deviation


class Difference(NamedTuple):
    """Where a run and the list disagree: what the list does not have, and what did not happen."""

    unexpected: tuple[Deviation, ...]
    missing: tuple[Deviation, ...]


def place(history: Path) -> Path:
    """Where the list of a history stands."""
    return history.with_suffix(".expected.json")


def dumps(deviations: tuple[Deviation, ...]) -> str:
    """The file's text."""
    lines = [json.dumps(deviation._asdict(), ensure_ascii=False) for deviation in sorted(deviations)]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def loads(text: str) -> tuple[Deviation, ...]:
    """The list in a file's text. Raises ConfigError when it is none."""
    try:
        return tuple(Deviation(**entry) for entry in json.loads(text))
    except (ValueError, TypeError) as error:
        fix = "Make it anew: `python -m continuity.replay HISTORY` prints it."
        raise ConfigError(f"The list of expected refusals cannot be read: {error}.", fix=fix) from None


def compare(found: tuple[Deviation, ...], expected: tuple[Deviation, ...]) -> Difference:
    """What is in one of them only, by line."""
    return Difference(tuple(sorted(set(found) - set(expected))), tuple(sorted(set(expected) - set(found))))
