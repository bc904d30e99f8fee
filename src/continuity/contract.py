"""The rows of the published tables of leases, claims, attempts, completions and late results. Pure.

Others read these tables by their column names, so every fact of them has a column, where the state keeps one document
(`rows.EntityRow`). As there, a digest covers all columns. Times are in microseconds since 1970.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from continuity.core import canonical


class LeaseRow(NamedTuple):
    """The lease of a workflow, and after its end the last one that there was: its token is never forgotten.

    `ended_at` is null while it is held. Then it is the time of the end, and so is `lease_expires_at`.
    """

    workflow_id: str
    owner_id: str
    acquired_at: int
    lease_expires_at: int
    fencing_token: int
    heartbeat_at: int
    ended_at: int | None

    @property
    def name(self) -> str:
        """How an error names it."""
        return f"the lease with token {self.fencing_token}"

    def digest(self) -> bytes:
        """SHA-256 over all columns."""
        return _digest(self)

    def differs_in(self) -> str:
        """The column at fault, once the digest has shown that there is one."""
        return "digest"


class ClaimRow(NamedTuple):
    """A claim that is held."""

    workflow_id: str
    task_id: str
    owner_id: str
    acquired_at: int
    lease_expires_at: int
    fencing_token: int
    heartbeat_at: int

    @property
    def name(self) -> str:
        """How an error names it."""
        return f"the claim of task {self.task_id}"

    def digest(self) -> bytes:
        """SHA-256 over all columns."""
        return _digest(self)

    def differs_in(self) -> str:
        """The column at fault, once the digest has shown that there is one."""
        return "digest"


class AttemptRow(NamedTuple):
    """One try of a step, as it was begun."""

    workflow_id: str
    step_id: str
    attempt_id: int
    started_at: int
    fencing_token: int | None

    @property
    def name(self) -> str:
        """How an error names it."""
        return f"attempt {self.attempt_id} of step {self.step_id}"

    def digest(self) -> bytes:
        """SHA-256 over all columns."""
        return _digest(self)

    def differs_in(self) -> str:
        """The column at fault, once the digest has shown that there is one."""
        return "digest"


class CompletionRow(NamedTuple):
    """The one completion of a step, with its result where there is one."""

    workflow_id: str
    step_id: str
    attempt_id: int
    completed_at: int
    result_snapshot_ref: str | None
    result_checksum: str | None

    @property
    def name(self) -> str:
        """How an error names it."""
        return f"the completion of step {self.step_id}"

    def digest(self) -> bytes:
        """SHA-256 over all columns."""
        return _digest(self)

    def differs_in(self) -> str:
        """The column at fault, once the digest has shown that there is one."""
        return "digest"


class LateResultRow(NamedTuple):
    """A result that came after its attempt had lost its grant: refused, never applied, and kept."""

    workflow_id: str
    command_id: str
    tenant: str
    project: str
    step_id: str
    attempt_id: int
    task_id: str | None
    fencing_token: int | None
    result_ref: str
    result_checksum: str
    operator_id: str
    refused_at: int

    @property
    def name(self) -> str:
        """How an error names it."""
        return f"the late result of command {self.command_id}"

    def digest(self) -> bytes:
        """SHA-256 over all columns."""
        return _digest(self)

    def differs_in(self) -> str:
        """The column at fault, once the digest has shown that there is one."""
        return "digest"


INSTANTS: Final = frozenset(
    {"acquired_at", "lease_expires_at", "heartbeat_at", "ended_at", "started_at", "completed_at", "refused_at"}
)
"""The columns that hold a time: numbers here, TIMESTAMPTZ in the tables."""


def columns_of(row: Any) -> str:
    """The select list that a kind of row is made of."""
    names = (f"(extract(epoch FROM {name}) * 1000000)::bigint" if name in INSTANTS else name for name in row._fields)
    return ", ".join(names)


def _digest(row: Sequence[Any]) -> bytes:
    return sha256(canonical.dumps(list(row))).digest()
