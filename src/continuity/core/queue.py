"""The todo tasks of one goal in the order of their creation: a persistent sorted set, cheap to keep and to begin. Pure.

Whoever claims the next task looks at the first few; 10,000 of them must not make that slower. A slot is the task's
`created_seq` and its id, and slots rest in chunks, so that a change copies one chunk and the list of them.
"""

from bisect import bisect_right
from collections.abc import Iterator
from uuid import UUID

from continuity.core import slots

SEQ = 8
SLOT = SEQ + 16
BEFORE = 1 << 63
"""Added to a sequence number, which is below 1 for what a fork inherited, so that its bytes sort as it does."""
CHUNK_SLOTS_MAX = 128


class Queue:
    """Immutable; equal to whatever holds the same tasks, however they came. No chunk is empty."""

    __slots__ = ("chunks",)

    def __init__(self, chunks: tuple[bytes, ...] = ()) -> None:
        self.chunks = chunks

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Queue) and b"".join(self.chunks) == b"".join(other.chunks)

    def __hash__(self) -> int:
        return hash(b"".join(self.chunks))

    def add(self, created_seq: int, task_id: str) -> "Queue":
        """The queue with one more task."""
        slot = slot_of(created_seq, task_id)
        at = self._chunk_of(slot)
        chunk = slots.inserted(self.chunks[at], slot) if self.chunks else slot
        half = len(chunk) // SLOT // 2 * SLOT
        new = (chunk,) if len(chunk) <= CHUNK_SLOTS_MAX * SLOT else (chunk[:half], chunk[half:])
        return Queue(self.chunks[:at] + new + self.chunks[at + 1 :])

    def remove(self, created_seq: int, task_id: str) -> "Queue":
        """The queue without that task; ValueError if it is not in it."""
        slot = slot_of(created_seq, task_id)
        at = self._chunk_of(slot)
        chunk = slots.removed(self.chunks[at] if self.chunks else b"", slot)
        return Queue(self.chunks[:at] + ((chunk,) if chunk else ()) + self.chunks[at + 1 :])

    def __iter__(self) -> Iterator[str]:
        """The ids, oldest task first."""
        for chunk in self.chunks:
            for at in range(SEQ, len(chunk), SLOT):
                yield str(UUID(bytes=chunk[at : at + SLOT - SEQ]))

    def _chunk_of(self, slot: bytes) -> int:
        """The last chunk that does not begin after `slot`, or the first."""
        return max(bisect_right(self.chunks, slot, key=lambda chunk: chunk[:SLOT]) - 1, 0)


def slot_of(created_seq: int, task_id: str) -> bytes:
    """What the queue keeps of a task; slots sort in the order of creation."""
    return (BEFORE + created_seq).to_bytes(SEQ, "big") + bytes.fromhex(task_id.replace("-", ""))
