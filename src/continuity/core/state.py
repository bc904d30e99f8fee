"""The work state of one workflow: an immutable value, with the few indices that keep a decision's cost flat. Pure.

Entities are JSON documents (`core.records`) in persistent maps (`core.documents`), so the state before a decision stays
whole while the one after it shares all but the changed paths. What the checksum and the deltas cover is `work`; the
head of the chain and the idempotency window belong to the log and are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, cast

from continuity.core import canonical, lookup, tree
from continuity.core.documents import EMPTY, Documents
from continuity.core.ids import ZERO_HASH
from continuity.core.records import Change, Collection, Event
from continuity.core.window import Window

INDEXED = frozenset({"tasks", "grants", "steps"})
ENTRY_BYTES = 4
"""What JSON adds to an entry's key and document: two quotes, a colon, a comma."""

TOKEN_COUNTER: Literal["token_counter"] = "token_counter"  # noqa: S105 - a name
COLLECTIONS: tuple[Collection, ...] = ("goals", "tasks", "checkpoints", "grants", "steps", "silent_deaths")
EMPTY_BYTES = len(
    b'{"checkpoints":{},"goals":{},"grants":{},"silent_deaths":{},"steps":{},"tasks":{},"token_counter":0}'
)


class State(NamedTuple):
    """Grants are keyed by what they hold: a task, or "workflow". `size_bytes` bounds the canonical form from above."""

    workflow_id: str
    head_seq: int = 0
    head_hash: str = ZERO_HASH
    head_timestamp: int = 0
    goals: Documents = EMPTY
    tasks: Documents = EMPTY
    checkpoints: Documents = EMPTY
    grants: Documents = EMPTY
    steps: Documents = EMPTY
    silent_deaths: Documents = EMPTY
    token_counter: int = 0
    lookup: lookup.Lookup = lookup.EMPTY
    digests: tree.Tree = tree.EMPTY
    size_bytes: int = EMPTY_BYTES
    window: Window = Window()

    @property
    def checksum(self) -> str:
        """SHA-256 over the whole work state, as `core.tree` defines it."""
        return self.digests.checksum(self.token_counter)

    @property
    def work(self) -> dict[str, Any]:
        """The work state as one JSON value: what deltas patch and snapshots hold."""
        return {name: dict(getattr(self, name)) for name in COLLECTIONS} | {TOKEN_COUNTER: self.token_counter}

    def with_changes(self, changes: Iterable[Change]) -> State:
        """Replace, add or remove entities, and keep the lookup, the size and the digests in step."""
        maps: dict[str, Documents] = {}
        found, token_counter = self.lookup, self.token_counter
        size = self.size_bytes
        leaves = []
        for collection, key, document in changes:
            if collection == TOKEN_COUNTER:
                size += len(str(document)) - len(str(token_counter))
                token_counter = cast("int", document)
                continue
            documents: Documents = maps[collection] if collection in maps else getattr(self, collection)
            before = documents.raw(key)
            after = None if document is None else canonical.dumps(document)
            leaves.append((f"{collection}/{key}", before, after))
            size += entry_size(key, after) - entry_size(key, before)
            if collection in INDEXED:
                found = found.changed(collection, key, documents.get(key), document)
            maps[collection] = documents.replaced(key, after)
        digests = self.digests.update(leaves)
        return self._replace(
            lookup=found, token_counter=token_counter, digests=digests, size_bytes=size, **cast("Any", maps)
        )

    def with_head(self, event: Event) -> State:
        """The same work, after `event` in the chain."""
        seq, timestamp = event["event_seq"], event["timestamp"]
        return self._replace(
            head_seq=seq,
            head_hash=event["event_hash"],
            head_timestamp=timestamp,
            window=self.window.add(seq, event["command_id"], event["command_digest"], timestamp),
        )


def entry_size(key: str, document: bytes | None) -> int:
    """What an entity adds to the canonical form of the state."""
    return 0 if document is None else len(key) + ENTRY_BYTES + len(document)
