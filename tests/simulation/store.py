"""The blobs of the world: in memory, named and verified as everywhere, and away or torn when the world says so."""

from random import Random

from continuity import blobs
from continuity.errors import Retryable


class Store:
    """Implements `blobs.Blobs`. While it `is_away`, what is put may be left behind in halves."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.is_away = False
        self.contents: dict[str, bytes] = {}
        self.torn = 0

    def put(self, content: bytes) -> str:
        ref = blobs.ref_of(content)
        if self.is_away:
            if self.contents.get(ref) != content and self.random.random() < 0.5:
                self.contents[ref] = content[: len(content) // 2]
                self.torn += 1
            raise Retryable("The blobs cannot be stored now.")
        self.contents[ref] = content
        return ref

    def get(self, ref: str) -> bytes:
        if self.is_away:
            raise Retryable("The blobs cannot be read now.")
        if ref not in self.contents:
            raise blobs.missing(ref)
        return blobs.verified(ref, self.contents[ref])
