"""The end of the log that the database may not have yet, kept so that a cold workflow can be restored. Pure.

Bounded in bytes: if the projection falls further behind than this, cold workflows are `unavailable` until it catches
up, and warm ones go on.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from continuity.codec import decode_event
from continuity.core.records import Event

TAIL_BYTES_MAX = 20 * 1024 * 1024


class _Entry(NamedTuple):
    offset: int
    workflow_id: str
    value: bytes


class Tail:
    """Accepted events from offset `start` on. They are kept encoded: a decoded one takes five times the memory."""

    def __init__(self, start: int, bytes_max: int = TAIL_BYTES_MAX) -> None:
        self.start = start
        self.size_bytes = 0
        self._bytes_max = bytes_max
        self._entries: deque[_Entry] = deque()

    def append(self, offset: int, workflow_id: str, value: bytes) -> None:
        """Add an accepted event; the oldest go when there are too many bytes."""
        self._entries.append(_Entry(offset, workflow_id, value))
        self.size_bytes += len(value)
        while self.size_bytes > self._bytes_max:
            self._drop_oldest()

    def forget_before(self, offset: int) -> None:
        """The database has everything before `offset`."""
        while self._entries and self._entries[0].offset < offset:
            self._drop_oldest()
        self.start = max(self.start, offset)

    def events(self, workflow_ids: set[str], offset: int) -> Iterator[Event]:
        """The events of these workflows from `offset` on, in the log's order."""
        for entry in self._entries:
            if entry.offset >= offset and entry.workflow_id in workflow_ids:
                yield decode_event(entry.value)

    def workflows_since(self, offset: int) -> set[str]:
        """The workflows with an event at `offset` or later."""
        return {entry.workflow_id for entry in self._entries if entry.offset >= offset}

    def _drop_oldest(self) -> None:
        entry = self._entries.popleft()
        self.size_bytes -= len(entry.value)
        self.start = entry.offset + 1
