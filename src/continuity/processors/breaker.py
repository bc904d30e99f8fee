"""A circuit breaker before the database: while it is away, cold workflows are answered at once instead of after a wait.

One batch pays the bounded wait; then nothing is asked until a pause has passed, which doubles with each failure. So
the warm workflows of the same partition are held up once, and not by every command for a cold one.
"""

import time
from collections.abc import Callable, Collection

from continuity.core.records import Event
from continuity.core.state import State
from continuity.errors import Retryable
from continuity.processors.ports import Fetched, StoredPosition, WorkStore

PAUSE_SECONDS_MIN = 0.5
PAUSE_SECONDS_MAX = 10.0


class Breaker:
    """A `WorkStore` in front of another one. `position` is not guarded: opening a partition has its own back-off."""

    def __init__(self, store: WorkStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._failures = 0
        self._closed_until = 0.0
        self._reason = ""

    def position(self, partition: int) -> StoredPosition:
        """As the store says; an answer also ends a pause."""
        position = self._store.position(partition)
        self._failures = 0
        return position

    def past(self, workflow_id: str, at_seq: int) -> State:
        """As the store says: who asks for history waits alone."""
        return self._store.past(workflow_id, at_seq)

    def keep_base(self, state: State) -> None:
        """As the store does."""
        self._store.keep_base(state)

    def base_of(self, first: Event) -> State | None:
        """As the store says."""
        return self._store.base_of(first)

    def fetch(self, partition: int, workflow_ids: Collection[str]) -> Fetched:
        """As the store says. Raises Retryable at once during a pause, with the reason of the last failure."""
        if self._failures and self._clock() < self._closed_until:
            raise Retryable(self._reason)
        try:
            fetched = self._store.fetch(partition, workflow_ids)
        except Retryable as error:
            pause = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN * 2**self._failures)
            self._failures = min(self._failures + 1, 10)
            self._closed_until = self._clock() + pause
            self._reason = error.detail
            raise
        self._failures = 0
        return fetched
