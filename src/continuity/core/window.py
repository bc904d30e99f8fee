"""The last 256 commands that a workflow accepted, so that a repeat is answered and not applied. Pure.

Three byte strings instead of a dict: 10,000 warm workflows have to fit into a small process, and a search through
4 KiB costs about as much as hashing a key. Event n lives in slot (n - 1) % 256.
"""

from typing import NamedTuple

from continuity.core.limits import IDEMPOTENCY_WINDOW_EVENTS as SLOTS

ID, DIGEST, TIME = 16, 16, 8


class Seen(NamedTuple):
    """What is known of an accepted command. `digest` is the first half of its body's SHA-256."""

    event_seq: int
    digest: bytes
    timestamp: int


class Window(NamedTuple):
    """Immutable; `add` gives the next one."""

    ids: bytes = b""
    digests: bytes = b""
    times: bytes = b""

    def add(self, event_seq: int, command_id: str, digest: str, timestamp: int) -> "Window":
        """The window after one more accepted command; `digest` in hexadecimal, `timestamp` in microseconds."""
        slot = (event_seq - 1) % SLOTS
        return Window(
            _put(self.ids, slot * ID, bytes.fromhex(command_id.replace("-", ""))),
            _put(self.digests, slot * DIGEST, bytes.fromhex(digest[: 2 * DIGEST])),
            _put(self.times, slot * TIME, timestamp.to_bytes(TIME, "big")),
        )

    def find(self, command_id: str, head_seq: int) -> Seen | None:
        """The accepted command of that id, if it is among the last 256 of a workflow whose head is `head_seq`."""
        wanted = bytes.fromhex(command_id.replace("-", ""))
        at = self.ids.find(wanted)
        while at % ID:  # -1 % 16 is 15, so a miss gets here too
            if at < 0:
                return None
            at = self.ids.find(wanted, at + 1)
        slot = at // ID
        return Seen(
            head_seq - (head_seq - 1 - slot) % SLOTS,
            self.digests[slot * DIGEST : (slot + 1) * DIGEST],
            int.from_bytes(self.times[slot * TIME : (slot + 1) * TIME], "big"),
        )


def _put(ring: bytes, at: int, item: bytes) -> bytes:
    # A restored window may begin in the middle of the ring: what lies before is the nil id, which no command has.
    return ring[:at].ljust(at, b"\0") + item + ring[at + len(item) :]
