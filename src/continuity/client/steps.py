"""A step of the synchronous client: `Step`. What it comes to on the wire is in `client.executing`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from continuity.client import executing
from continuity.client.errors import ContinuityError
from continuity.client.executing import Executing, Wanted

if TYPE_CHECKING:
    from continuity.client.grants import Grant

T = TypeVar("T")


class Step(Executing):
    """One thing that an executor does, completed at most once, for ever; made by `Grant.step`.

    A `with` block cannot skip its body, so the body asks whether there is anything to do:

    >>> with claim.step("fetch-prices", type="idempotent") as step:
    ...     if step.is_new:
    ...         step.result = fetch_prices()
    >>> use(step.result)

    At the end of the block `result` (bytes, or what JSON has; None for none) is stored and the step completed. After an
    exception the attempt has failed, and the exception goes on. When the step was completed before, `is_new` is false
    and `result` the stored one. `run` is the same for one function:

    >>> prices = claim.step("fetch-prices", type="idempotent").run(fetch_prices)

    Of a `non_idempotent` step, hand `external_key` to the other side; `ambiguous` says that an earlier attempt may have
    taken effect there, `earlier_attempts` which.
    """

    def __init__(self, grant: Grant, wanted: Wanted) -> None:
        super().__init__(wanted)
        self._grant = grant

    def run(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """What the function returns, in the form that JSON has for it; on a repeat without calling it."""
        with self:
            if self.is_new:
                self.result = function(*arguments, **named)
        result: T = self.result
        return result

    def __enter__(self) -> Self:
        grant = self._grant
        self._begun = grant._run(executing.begin(grant._wire, grant.token, self._wanted))  # noqa: SLF001
        self.result, self.result_ref = self._begun.result, self._begun.result_ref
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.is_new:
            return
        if error is None:
            self._complete()
        elif isinstance(error, Exception):
            self._fail(error)

    def _complete(self) -> None:
        grant = self._grant
        try:
            content = executing.encoded(self.result)
        except ContinuityError as error:
            self._fail(error)
            raise
        # Also when the grant seems lost: the service decides, and keeps what came too late.
        completing = executing.complete(grant._wire, grant.token, self.step_id, self.attempt_id, content)  # noqa: SLF001
        self.result_ref, self.result = grant._run(completing, late=True)  # noqa: SLF001

    def _fail(self, error: Exception) -> None:
        grant = self._grant
        failing = executing.fail(grant._wire, grant.token, self.step_id, self.attempt_id, error)  # noqa: SLF001
        # The body's own error goes on; an attempt that could not be closed stays open, and the next one is told of it.
        with suppress(ContinuityError):
            grant._run(failing, late=True)  # noqa: SLF001
