"""The entities of one collection: a persistent map from id to document, kept as the document's canonical bytes. Pure.

Bytes take a third of the memory of the dicts that they stand for, the garbage collector has nothing in them to walk
through, and digests and sizes are made of them anyway: 10,000 warm workflows have to fit into a small process. Reading
one costs a microsecond of parsing, and a document has one form, whatever order it was built in.
"""

from __future__ import annotations  # HashTrieMap takes type arguments in its stub only

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Self

import orjson
from rpds import HashTrieMap

_loads = lru_cache(maxsize=256)(orjson.loads)
"""A decision reads the same few documents several times: whoever gets one must not change it."""


class Documents(Mapping[str, Any]):
    """Immutable: `replaced` gives the next one, which shares all but the changed path."""

    __slots__ = ("_raw",)

    def __init__(self, raw: HashTrieMap[str, bytes] | None = None) -> None:
        self._raw: HashTrieMap[str, bytes] = HashTrieMap() if raw is None else raw

    def __getitem__(self, key: str) -> Any:
        return _loads(self._raw[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def __contains__(self, key: object) -> bool:
        return key in self._raw

    def get(self, key: str, default: Any = None) -> Any:
        """The document, or `default`."""
        raw = self._raw.get(key)
        return default if raw is None else _loads(raw)

    def raw(self, key: str) -> bytes | None:
        """The document's canonical bytes, or None."""
        return self._raw.get(key)

    def replaced(self, key: str, raw: bytes | None) -> Self:
        """These documents with one of them replaced, added or, with None, removed. It may be absent already."""
        if raw is not None:
            return type(self)(self._raw.insert(key, b"%b" % raw))  # a copy: what orjson returns keeps 4 KiB of memory
        return type(self)(self._raw.remove(key)) if key in self._raw else self


EMPTY = Documents()
