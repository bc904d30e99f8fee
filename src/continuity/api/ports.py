"""What the API needs of its neighbours, as protocols: the command client of `producers`, and the reads of Postgres.

The application is made with these two, so that its own rules (forms, keys, answers) can be tested without a broker.
"""

from typing import Protocol

from continuity.answers import ActiveWorkState, CommandOutcome, ProjectSummary
from continuity.core.next_step import NextStep
from continuity.core.records import Event
from continuity.producers import Outcome, Request, Wait


class CommandPort(Protocol):
    """Sends commands to the log and awaits their outcomes. Bounded: refuses with `overloaded` before memory grows."""

    async def start(self) -> None:
        """Connect. Raises Retryable while the broker is away, ConfigError when its topics are not as they must be."""

    async def ready(self) -> None:
        """Raise Retryable while the broker does not answer."""

    async def close(self) -> None:
        """Stop; commands that still wait get Retryable."""

    async def send(self, request: Request, *, wait: Wait = "committed", deadline_seconds: float = 10.0) -> Outcome:
        """Send one command. A refusal is an outcome; raises FormError, and Retryable when the outcome is unknown."""
        ...


class ReadPort(Protocol):
    """Answers from Postgres. None: the tenant has no such project.

    `min_seq` waits, bounded, until the projection has the event of that number. Raises Retryable (`not_yet` when it is
    late, `unavailable` when the database is away) and IntegrityError (a damaged row is never an answer).
    """

    async def start(self) -> None:
        """Begin to connect; a database that is away may come later."""

    async def close(self) -> None:
        """Disconnect."""

    async def next_step(self, tenant: str, project: str, *, min_seq: int = 0) -> NextStep | None:
        """What to do next."""
        ...

    async def state(self, tenant: str, project: str, *, min_seq: int = 0) -> ActiveWorkState | None:
        """The work as it stands."""
        ...

    async def events(
        self, tenant: str, project: str, *, after_seq: int, limit: int, min_seq: int = 0
    ) -> list[Event] | None:
        """At most `limit` events after `after_seq`, in their order."""
        ...

    async def head_seq(self, tenant: str, project: str, *, min_seq: int = 0) -> int | None:
        """The number of the last event that reads show."""
        ...

    async def projects(self, tenant: str, *, after: str, limit: int) -> list[ProjectSummary]:
        """At most `limit` projects whose names come after `after`, by name."""
        ...

    async def command(self, tenant: str, command_id: str) -> CommandOutcome | None:
        """What became of a command; None while nothing is known of it."""
        ...
