"""What the API needs of its neighbours, as protocols: the command client of `producers`, and the reads of Postgres.

The application is made with these two, so that its own rules (forms, keys, answers) can be tested without a broker.
"""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from continuity.answers import ActiveWorkState, CommandOutcome, LateResult, ProjectSummary
from continuity.core.next_step import NextStep
from continuity.core.records import Event
from continuity.producers import Outcome, Request, Wait
from continuity.review_answers import Explanation, SnapshotPage, StateDiff, TaskHistory, Verdict


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

    async def next_step(
        self, tenant: str, project: str, *, min_seq: int = 0, for_owner: str | None = None
    ) -> NextStep | None:
        """What to do next; with `for_owner` without the tasks that others have claimed."""
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

    async def late_results(
        self, tenant: str, project: str, *, task_id: str | None = None, limit: int, min_seq: int = 0
    ) -> list[LateResult] | None:
        """At most `limit` results that came too late, of one task or of all, the newest first."""
        ...

    async def projects(self, tenant: str, *, after: str, limit: int) -> list[ProjectSummary]:
        """At most `limit` projects whose names come after `after`, by name."""
        ...

    async def command(self, tenant: str, command_id: str) -> CommandOutcome | None:
        """What became of a command; None while nothing is known of it."""
        ...


class PastPort(Protocol):
    """Looks back at a project. Blocking. None: the tenant has no such project.

    Raises Retryable, IntegrityError, and errors with the codes `no_such_seq` and `unknown_task` of `core.refusals`.
    """

    def state(self, tenant: str, project: str, at_seq: int) -> ActiveWorkState | None:
        """The work after event `at_seq`."""
        ...

    def next_step(self, tenant: str, project: str, at_seq: int, for_owner: str | None = None) -> NextStep | None:
        """What to do next after event `at_seq`."""
        ...

    def explain(
        self, tenant: str, project: str, at_seq: int | None = None, for_owner: str | None = None
    ) -> Explanation | None:
        """Why that is the next step."""
        ...

    def diff(self, tenant: str, project: str, from_seq: int, to_seq: int | None = None) -> StateDiff | None:
        """What changed from one event to another."""
        ...

    def history(
        self, tenant: str, project: str, task_id: str, *, after_seq: int = 0, limit: int = 100
    ) -> TaskHistory | None:
        """What happened to a task."""
        ...

    def snapshots(self, tenant: str, project: str, *, limit: int) -> SnapshotPage | None:
        """The newest snapshots."""
        ...

    def verify(self, tenant: str, project: str) -> Verdict | None:
        """Whether all of the project is as it was written."""
        ...

    def export(self, tenant: str, project: str, at_seq: int | None = None) -> Iterator[bytes] | None:
        """The project's incident file, in pieces."""
        ...


class Assignment(Protocol):
    """Which project a fleet's claim goes to, held by this request alone while it lasts."""

    @property
    def project(self) -> str | None:
        """Where the claim was sent last; None before the first time."""
        ...

    async def candidates(self) -> list[str]:
        """The projects of the tenant in which there may be something to claim, best first, boundedly many."""
        ...

    async def move(self, project: str) -> None:
        """Note where the claim is sent next. Raises Retryable when somebody else holds it by now."""


class AssignmentPort(Protocol):
    """Remembers, for each claim of a fleet, the project that it was sent to."""

    async def start(self) -> None:
        """Begin to connect."""

    async def close(self) -> None:
        """Disconnect."""

    def held(self, tenant: str, command_id: str) -> AbstractAsyncContextManager[Assignment]:
        """The assignment of one claim, for one request at a time. Raises Retryable."""
        ...

    async def assigned(self, tenant: str, command_id: str) -> str | None:
        """The project that a claim was sent to last, or None."""
        ...


class BlobPort(Protocol):
    """Keeps bytes by their SHA-256 (`continuity.blobs`). Blocking; raises Retryable and IntegrityError."""

    def put(self, content: bytes) -> str:
        """Keep `content`; its name."""
        ...

    def get(self, ref: str) -> bytes:
        """The content of that name, verified. Raises `blobs.Missing` where there is none."""
        ...
