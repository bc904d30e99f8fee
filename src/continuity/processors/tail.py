"""The end of the log that the database may not have yet, kept so that a cold workflow can be restored. Pure.

Bounded in bytes: if the projection falls further behind than this, the oldest events go, and what is kept of them is
whose they were. A cold workflow with such an event is `unavailable` until the projection has it; all others go on.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from continuity.codec import decode_event
from continuity.core.records import Event

TAIL_BYTES_MAX = 20 * 1024 * 1024
DROPPED_WORKFLOWS_MAX = 50_000


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
        self._known_from = start
        self._dropped: dict[str, int] = {}  # the last offset of each workflow between there and `start`

    def append(self, offset: int, workflow_id: str, value: bytes) -> None:
        """Add an accepted event; the oldest go when there are too many bytes."""
        self._entries.append(_Entry(offset, workflow_id, value))
        self.size_bytes += len(value)
        while self.size_bytes > self._bytes_max:
            dropped = self._drop_oldest()
            self._dropped[dropped.workflow_id] = dropped.offset
        if len(self._dropped) > DROPPED_WORKFLOWS_MAX:
            self._known_from = self.start
            self._dropped.clear()

    def forget_before(self, offset: int) -> None:
        """The database has everything before `offset`."""
        while self._entries and self._entries[0].offset < offset:
            self._drop_oldest()
        self._known_from = max(self._known_from, offset)
        if self._known_from >= self.start:
            self._dropped.clear()
        self.start = max(self.start, offset)

    def reaches(self, workflow_id: str, offset: int) -> bool:
        """Whether all events of this workflow from `offset` on are here."""
        return offset >= self._known_from and self._dropped.get(workflow_id, -1) < offset

    def events(self, workflow_ids: set[str], offset: int) -> Iterator[Event]:
        """The events of these workflows from `offset` on, in the log's order."""
        for entry in self._entries:
            if entry.offset >= offset and entry.workflow_id in workflow_ids:
                yield decode_event(entry.value)

    def workflows_since(self, offset: int) -> set[str]:
        """The workflows with an event at `offset` or later."""
        return {entry.workflow_id for entry in self._entries if entry.offset >= offset}

    def _drop_oldest(self) -> _Entry:
        entry = self._entries.popleft()
        self.size_bytes -= len(entry.value)
        self.start = entry.offset + 1
        return entry
