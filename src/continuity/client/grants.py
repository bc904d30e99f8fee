"""A lease or claim of the synchronous client, held for as long as a `with` block lasts: `Grant`.

A thread renews it at a third of its ttl. When that is refused, or has not gone through until the grant runs out, the
work is told: the next call under the grant raises LeaseLost, and so does the end of the block. What can be decided
without I/O is in `client.tenure`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from continuity.answers import WriteAnswer
from continuity.client import executing, tenure, wire
from continuity.client.calls import Commands, Questions
from continuity.client.errors import ContinuityError, Fenced, LeaseLost, Unavailable
from continuity.client.holding import Holding
from continuity.client.steps import Step
from continuity.client.tenure import Ask
from continuity.client.wire import WriteOptions

if TYPE_CHECKING:
    from continuity.client.sync import Continuity

T = TypeVar("T")
log = logging.getLogger("continuity.client")


class Grant(Holding["Continuity"], Commands, Questions):
    """The right to work on a project (`Continuity.lease`) or on one of its tasks (`Continuity.claim`).

    Enter it with `with`. All calls of `Continuity` can be made on it, and carry its token. `lost` says whether it is
    gone, `check()` raises LeaseLost then: ask in long work that makes no calls. Completing the claimed task ends the
    claim. At the end of the block it is released, also when the block was left by an exception. Thread-safe.
    """

    def __init__(self, client: Continuity, ask: Ask, *, command_id: str | None, named: bool) -> None:
        super().__init__(client, ask, command_id=command_id, named=named)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def step(
        self,
        step_id: str,
        type: str,  # noqa: A002 - the published name
        *,
        task_id: str | None = None,
        external_key: str | None = None,
    ) -> Step:
        """A step of the work, completed at most once, for ever; see `Step`.

        `type`: `pure` (no effect outside), `idempotent` (doing it twice does no harm) or `non_idempotent`: then the
        other side gets `step.external_key` with each attempt, made of project and `step_id` unless you give one.
        """
        return Step(self, executing.wanted(self._workflow_id, step_id, type, task_id, external_key))

    def release(self) -> None:
        """Give it back now, before the end of the block does."""
        self.release_lease(self.task_id)

    def __enter__(self) -> Self:
        got = self._client._run(self._asking())  # noqa: SLF001 - a grant is the client's other half
        self._begin(got)
        name = f"renewal of token {got.lease['token']}"
        self._thread = threading.Thread(target=self._renew, name=name, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        state = self._tenure.state
        if state == "held":
            state = self._give_back()
        if state != "lost":
            return
        loss = self._tenure.loss()
        if error is None:
            raise loss
        if not isinstance(error, LeaseLost):
            error.add_note(f"Besides: {loss.detail}")

    def _run(self, steps: wire.Steps[T], *, late: bool = False) -> T:
        """Carry a call out while the grant is not lost; `late` for what has to be told even so."""
        if not late:
            self.check()
        try:
            return self._client._run(steps)  # noqa: SLF001
        except Fenced as error:
            self._doubt(error)
            raise

    def _send(self, command_type: str, fields: Mapping[str, Any], options: WriteOptions) -> WriteAnswer:
        held = self._tenure
        held.check()
        if held.state == "ended":
            return self._run(self._wire.write(command_type, fields, options))
        sent_at = time.monotonic()
        under: WriteOptions = {"fencing_token": self.token, **options}
        try:
            with held.ending(command_type):
                answer = self._client._run(self._wire.write(command_type, fields, under))  # noqa: SLF001
                held.answered(command_type, fields, under, answer, sent_at)
        except Fenced as error:
            self._doubt(error)
            raise
        return answer

    def _doubt(self, error: Fenced) -> None:
        """A token can be refused for one attempt only: a renewal knows whether the grant itself is gone."""
        if self._tenure.state == "held":
            self._renew_once()
        if self.lost:
            raise self._tenure.loss() from error

    def _renew(self) -> None:
        held = self._tenure
        pause = held.seconds_to_renewal
        while not self._stop.wait(min(pause, held.seconds_left)) and held.state == "held":
            went_through = self._renew_once()
            pause = held.seconds_to_renewal if went_through else tenure.RETRY_SECONDS

    def _renew_once(self) -> bool:
        held = self._tenure
        sent_at = time.monotonic()
        renewing = self._wire.of_project(None, deadline_seconds=max(held.seconds_left / 2, 0.1))
        try:
            self._client._run(tenure.renewal_of(renewing, held.lease))  # noqa: SLF001
        except Fenced as error:
            held.lose(error.detail)
            return False
        except ContinuityError as error:
            log.warning("%s was not renewed: %s", held.what, error)
            return False
        held.renewed(sent_at)
        return True

    def _give_back(self) -> tenure.State:
        held = self._tenure
        releasing = self._wire.of_project(None, deadline_seconds=max(held.seconds_left, 0.1))
        fields = {"task_id": self.task_id}
        try:
            self._client._run(releasing.write("release_lease", fields, {"fencing_token": self.token}))  # noqa: SLF001
            held.end()
        except Fenced as error:
            held.lose(error.detail)
        except Unavailable as error:
            log.warning("%s was not released, and runs out by itself: %s", held.what, error)
            held.end()
        return held.state
