"""Keeping a reader of the log going while the broker or the database come and go."""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from continuity.errors import Retryable

BACKOFF_SECONDS: Final = (0.1, 5.0)
"""First and longest pause between two tries to connect; each is drawn from the upper half of its range."""

log = logging.getLogger("projector")


class Reading(Protocol):
    """Opens connections, does one bounded piece of work, and lets go of everything."""

    @property
    def is_open(self) -> bool:
        """Whether `step` can be called."""
        ...

    def open(self) -> None:
        """Connect, and go back to what is committed."""
        ...

    def step(self) -> int:
        """One piece of work; how many records it was."""
        ...

    def close(self) -> None:
        """Disconnect. What was not committed is as if it had not been read."""
        ...


def keep_going(
    reading: Reading,
    stop: threading.Event,
    *,
    on_step: Callable[[], None] = lambda: None,
    on_pause: Callable[[Retryable], None] = lambda _: None,
    pace_seconds: float = 0,
    burst: int = 0,
) -> None:
    """Step until `stop` is set; a started piece of work is finished. Retries what is Retryable, raises the rest.

    Steps begin `pace_seconds` apart, in which a step's waiting for work counts: who was idle starts at once. What they
    were further apart is saved up, for `burst` steps that begin sooner.
    """
    failures = 0
    due = 0.0
    try:
        while not stop.is_set():
            began = time.monotonic()
            try:
                if not reading.is_open:
                    reading.open()
                reading.step()
            except Retryable as error:
                failures += 1
                log.warning("%s waits: %s", type(reading).__name__, error)
                on_pause(error)
                reading.close()
                first, longest = BACKOFF_SECONDS
                stop.wait(min(longest, first * 2.0**failures) * random.uniform(0.5, 1))  # noqa: S311 - jitter
            else:
                failures = 0
                on_step()
                due = max(due, began) + pace_seconds
                if (rest := due - burst * pace_seconds - time.monotonic()) > 0:
                    stop.wait(rest)
    finally:
        reading.close()
