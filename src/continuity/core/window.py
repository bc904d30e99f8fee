"""The last 256 commands that a workflow accepted, so that a repeat is answered and not applied. Pure.

One byte string instead of a dict: 10,000 warm workflows have to fit into a small process, and a search through 10 KiB
costs about as much as hashing a key. Event n lives in slot (n - 1) % 256.
"""

from collections.abc import Sequence
from typing import NamedTuple

from continuity.core.limits import IDEMPOTENCY_WINDOW_EVENTS

SLOTS = IDEMPOTENCY_WINDOW_EVENTS
ID, DIGEST, TIME = 16, 16, 8
SLOT = ID + DIGEST + TIME


class Seen(NamedTuple):
    """What is known of an accepted command. `digest` is the first half of its body's SHA-256."""

    event_seq: int
    digest: bytes
    timestamp: int


def slot_of(command_id: str, digest: str, timestamp: int) -> bytes:
    """What the window keeps of an accepted command; ValueError or OverflowError where it is none."""
    return bytes.fromhex(command_id.replace("-", "") + digest[: 2 * DIGEST]) + timestamp.to_bytes(TIME, "big")


class Window(NamedTuple):
    """Immutable; `add` gives the next one. A slot is the command's id, the digest of its body, the event's time."""

    slots: bytes = b""

    def add(self, event_seq: int, command_id: str, digest: str, timestamp: int) -> "Window":
        """The window after one more accepted command; `digest` in hexadecimal, `timestamp` in microseconds."""
        at = (event_seq - 1) % SLOTS * SLOT
        slot = slot_of(command_id, digest, timestamp)
        known = memoryview(self.slots)
        # A restored window may begin in the middle of the ring: what lies before is the nil id, which no command has.
        missing = b"\0" * (at - len(known))
        return Window(b"".join((known[:at], missing, slot, known[at + SLOT :])))  # one copy: it is 10 KiB long

    def extended(self, last_seq: int, added: Sequence[bytes]) -> "Window":
        """The window after events that end with `last_seq`, each given as its slot: one copy for all of them."""
        known = bytearray(self.slots)
        for seq, slot in enumerate(added, last_seq - len(added) + 1):
            at = (seq - 1) % SLOTS * SLOT
            known.extend(bytes(max(0, at - len(known))))
            known[at : at + SLOT] = slot
        return Window(bytes(known))

    def find(self, command_id: str, head_seq: int) -> Seen | None:
        """The accepted command of that id, if it is among the last 256 of a workflow whose head is `head_seq`."""
        wanted = bytes.fromhex(command_id.replace("-", ""))
        at = self.slots.find(wanted)
        while at % SLOT:  # -1 % 40 is 39, so a miss gets here too
            if at < 0:
                return None
            at = self.slots.find(wanted, at + 1)
        digest, time = at + ID, at + ID + DIGEST
        return Seen(
            head_seq - (head_seq - 1 - at // SLOT) % SLOTS,
            self.slots[digest:time],
            int.from_bytes(self.slots[time : at + SLOT], "big"),
        )
