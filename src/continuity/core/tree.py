"""The checksum of a state, at the same cost for ten entities as for ten thousand. Pure.

Every entity is one leaf: SHA-256 of `collection/key`, a line feed, and its canonical JSON. A leaf lives in one of 64
buckets, chosen by its path; a bucket's digest is SHA-256 of its leaves, sorted and joined; the state's checksum is
SHA-256 of the 64 digests, joined, and the token counter in decimal. A change touches one bucket. (FORMAT.md says the
same for other languages; the bytes are in tests/vectors.)
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from continuity.core import slots

BUCKETS = 64
SIZE = 32


class Tree(NamedTuple):
    """`leaves[i]` holds the sorted leaves of bucket i, joined; `digests` the 64 bucket digests, joined."""

    leaves: tuple[bytes, ...]
    digests: bytes

    def update(self, entities: Iterable[tuple[str, bytes | None, bytes | None]]) -> "Tree":
        """Replace entities, each given as (path, canonical bytes before, after); None where there is none.

        An entity that is not in the tree as it is said to be raises ValueError: the caller's state is not this tree's.
        """
        leaves = list(self.leaves)
        digests = self.digests
        for path, before, after in entities:
            index, prefix = bucket(path)
            joined = leaves[index]
            if before is not None:
                joined = slots.removed(joined, sha256(prefix + before).digest())
            if after is not None:
                joined = slots.inserted(joined, sha256(prefix + after).digest())
            leaves[index] = joined
            digests = digests[: index * SIZE] + sha256(joined).digest() + digests[(index + 1) * SIZE :]
        return Tree(tuple(leaves), digests)

    def checksum(self, token_counter: int) -> str:
        """The state's checksum, 64 hexadecimal digits."""
        return sha256(self.digests + b"%d" % token_counter).hexdigest()


def bucket(path: str) -> tuple[int, bytes]:
    """The bucket of `collection/key`, and the bytes that stand before the document in its leaf."""
    raw = path.encode()
    return sha256(raw).digest()[0] % BUCKETS, raw + b"\n"


def leaf(collection: str, key: str, document: bytes) -> bytes:
    """The digest of one entity, 32 bytes: also what a projected row carries."""
    return sha256(f"{collection}/{key}\n".encode() + document).digest()


EMPTY = Tree((b"",) * BUCKETS, sha256(b"").digest() * BUCKETS)
