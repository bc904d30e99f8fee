"""Exit codes: what a script can tell apart without reading. One table; `continuity --help` shows it."""

from enum import IntEnum

from continuity.client import errors
from continuity.errors import ConfigError, ContinuityError, Fenced, IntegrityError, Retryable


class Exit(IntEnum):
    """How a verb ended."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    UNAUTHORIZED = 5
    UNAVAILABLE = 6
    INTEGRITY = 7
    CONFIGURATION = 8
    HELD = 9
    NOTHING_TO_CLAIM = 10
    FENCED = 11
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.OK: "done",
    Exit.UNEXPECTED: "a defect of this program",
    Exit.USAGE: "the command line or a field was not understood",
    Exit.REFUSED: "refused by a rule or a condition: look at the state, then decide again",
    Exit.NOT_FOUND: "no such project, goal, task or command",
    Exit.UNAUTHORIZED: "no key, or a wrong one",
    Exit.UNAVAILABLE: "no outcome yet: repeat, with the same --command-id",
    Exit.INTEGRITY: "a stored record is damaged",
    Exit.CONFIGURATION: "a setting or the stack cannot work",
    Exit.HELD: "held by another executor, or your --token is missing: wait, or claim another task",
    Exit.NOTHING_TO_CLAIM: "nothing to claim now: try again later",
    Exit.FENCED: "your token is not current any more: stop",
    Exit.INTERRUPTED: "interrupted",
}

# The first row that fits counts: subclasses stand before what they come from.
_BY_ERROR: tuple[tuple[type[ContinuityError], Exit], ...] = (
    (errors.Unauthorized, Exit.UNAUTHORIZED),
    (errors.NotFound, Exit.NOT_FOUND),
    (errors.InvalidForm, Exit.USAGE),
    (errors.LeaseHeld, Exit.HELD),
    (errors.TokenNeeded, Exit.HELD),
    (errors.NothingToClaim, Exit.NOTHING_TO_CLAIM),
    (Fenced, Exit.FENCED),
    (errors.Refused, Exit.REFUSED),
    (Retryable, Exit.UNAVAILABLE),
    (IntegrityError, Exit.INTEGRITY),
    (ConfigError, Exit.CONFIGURATION),
)


def of_error(error: ContinuityError) -> Exit:
    """The exit code of an error."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), Exit.UNEXPECTED)
