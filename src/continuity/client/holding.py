"""What both clients' grants are without any I/O: what was granted, what was taken over, whether it is still held."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from continuity.answers import Handover, Lease, WriteAnswer
from continuity.client import tenure, wire
from continuity.client.tenure import Ask, Granted, Tenure


class Client(Protocol):
    """A client of either kind: a grant is its other half."""

    _wire: wire.Wire


C = TypeVar("C", bound=Client)


class Holding(Generic[C]):
    """A lease or claim, before and while it is held."""

    def __init__(self, client: C, ask: Ask, *, command_id: str | None, named: bool) -> None:
        self._client = client
        self._wire = client._wire  # noqa: SLF001
        self._ask = ask
        self._command_id = command_id
        self._named = named
        self._held: Tenure | None = None
        self._workflow_id = ""

    @property
    def lease(self) -> Lease:
        """What was granted."""
        return self._tenure.lease

    @property
    def token(self) -> int:
        """The fencing token."""
        return self.lease["token"]

    @property
    def task_id(self) -> str | None:
        """The claimed task; None for a lease on the project."""
        return self.lease["task_id"]

    @property
    def project(self) -> str:
        """The project that it is on."""
        return self._wire.project

    @property
    def handover(self) -> Handover:
        """What was taken over: predecessor, its last checkpoint, its open attempts, late results."""
        return self.lease.get("handover", tenure.NO_HANDOVER)

    @property
    def lost(self) -> bool:
        """Whether somebody else may have it by now: for good."""
        return self._tenure.state == "lost"

    def check(self) -> None:
        """Raise LeaseLost if it is lost."""
        self._tenure.check()

    @property
    def _tenure(self) -> Tenure:
        if self._held is None:
            raise RuntimeError("A lease or claim begins with its `with` block.")
        return self._held

    def _wire_of(self, answer: WriteAnswer) -> wire.Wire:
        return self._client._wire.of_project(answer.get("project"))  # noqa: SLF001

    def _asking(self) -> wire.Steps[Granted]:
        """Ask for it: once."""
        if self._held is not None:
            raise RuntimeError("A lease or claim is for one block: ask for another one.")
        return tenure.granted(self._ask, self._wire_of, self._command_id, named=self._named)

    def _begin(self, got: Granted) -> None:
        """It was granted."""
        self._wire = self._wire_of(got.answer)
        self._held, self._workflow_id = Tenure(got), got.answer["workflow_id"]
