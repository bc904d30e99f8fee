"""What a decision can come to, and what the rules hand to one another on the way. Pure."""

from typing import Any, NamedTuple

from continuity.core.liveness import Liveness
from continuity.core.records import Change, Command, Event, Voided
from continuity.core.refusals import REFUSALS
from continuity.core.state import State

Result = dict[str, Any]


class Accepted(NamedTuple):
    """The command is a fact: `event`, not yet stamped by the log, and the state after it.

    `result` is what the caller is told besides: of a grant its token and what it takes over, of an attempt its number.
    """

    event: Event
    state: State
    result: Result | None = None


class Answered(NamedTuple):
    """The command changes no work and makes no event: a renewal, or a step that is completed already.

    `renewed` is the token whose expiry moves, in the sequencer's memory.
    """

    result: Result
    renewed: int | None = None


class Duplicate(NamedTuple):
    """The command was accepted before, as event `event_seq`; nothing happens again.

    `event_type` is null for a claim whose grant has ended: it may have been given, or the task blocked.
    """

    event_seq: int
    event_id: str
    event_type: str | None
    goal_id: str | None
    task_id: str | None
    result: Result | None = None


class Rejected(NamedTuple):
    """The command is refused and changes nothing. `code` is one of `core.refusals`."""

    code: str
    detail: str

    @property
    def fix(self) -> str:
        """What the caller can do about it."""
        return REFUSALS[self.code].fix


Outcome = Accepted | Answered | Duplicate | Rejected


class Refusal(Exception):
    """Carries a rejection out of a rule."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.rejected = Rejected(code, detail)


class Context(NamedTuple):
    """What a rule may look at besides the command's body. `now` in microseconds, not before the state's head."""

    state: State
    command: Command
    now: int
    liveness: Liveness
    voided: list[Voided]
    """Expired grants that stood in the command's way: it ends them."""
    history: State | None = None
    """The older state that a rollback or a fork goes back to."""


class Draft(NamedTuple):
    """What a rule decided, before it becomes an event. `event_type` where it is not the command's usual one.

    `changes` where the payload alone does not tell them, `base` where the event does not stand on the state before it.
    """

    payload: dict[str, Any]
    goal_id: str | None = None
    task_id: str | None = None
    from_status: str | None = None
    to_status: str | None = None
    step_id: str | None = None
    event_type: str | None = None
    fencing_token: int | None = None
    result: Result | None = None
    changes: list[Change] | None = None
    base: State | None = None
