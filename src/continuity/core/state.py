"""The work state of one workflow: an immutable value, with the few indices that keep a decision's cost flat. Pure.

Entities are JSON documents (`core.records`) in persistent maps (`core.documents`), so the state before a decision stays
whole while the one after it shares all but the changed paths. What the checksum and the deltas cover is `work`; the
head of the chain and the idempotency window belong to the log and are not in it.
"""

from __future__ import annotations  # HashTrieMap takes type arguments in its stub only

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from rpds import HashTrieMap

from continuity.core import canonical, tree
from continuity.core.documents import EMPTY, Documents
from continuity.core.ids import ZERO_HASH
from continuity.core.records import Change, Event
from continuity.core.window import Window

ENTRY_BYTES = 4
"""What JSON adds to an entry's key and document: two quotes, a colon, a comma."""

_NO_COUNTS: HashTrieMap[str, int] = HashTrieMap()
EMPTY_BYTES = len(
    b'{"checkpoints":{},"goals":{},"grants":{},"silent_deaths":{},"steps":{},"tasks":{},"token_counter":0}'
)


class State(NamedTuple):
    """`open_tasks` counts the tasks of a goal that are not done; `size_bytes` bounds the canonical form from above."""

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
    open_tasks: HashTrieMap[str, int] = _NO_COUNTS
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
        collections = ("goals", "tasks", "checkpoints", "grants", "steps", "silent_deaths")
        return {name: dict(getattr(self, name)) for name in collections} | {"token_counter": self.token_counter}

    def with_changes(self, changes: Iterable[Change]) -> State:
        """Replace, add or remove entities, and keep the indices, the size and the digests in step."""
        maps: dict[str, Documents] = {}
        open_tasks = self.open_tasks
        size = self.size_bytes
        leaves = []
        for collection, key, document in changes:
            documents: Documents = maps[collection] if collection in maps else getattr(self, collection)
            before = documents.raw(key)
            after = None if document is None else canonical.dumps(document)
            leaves.append((f"{collection}/{key}", before, after))
            size += _entry_size(key, after) - _entry_size(key, before)
            if collection == "tasks":
                open_tasks = _counted(open_tasks, documents.get(key), document)
            maps[collection] = documents.replaced(key, after)
        digests = self.digests.update(leaves)
        return self._replace(open_tasks=open_tasks, digests=digests, size_bytes=size, **cast("Any", maps))

    def with_head(self, event: Event) -> State:
        """The same work, after `event` in the chain."""
        seq, timestamp = event["event_seq"], event["timestamp"]
        return self._replace(
            head_seq=seq,
            head_hash=event["event_hash"],
            head_timestamp=timestamp,
            window=self.window.add(seq, event["command_id"], event["command_digest"], timestamp),
        )


def _entry_size(key: str, document: bytes | None) -> int:
    return 0 if document is None else len(key) + ENTRY_BYTES + len(document)


def _counted(
    counts: HashTrieMap[str, int], before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> HashTrieMap[str, int]:
    was_open = before is not None and before["status"] != "done"
    is_open = after is not None and after["status"] != "done"
    if was_open == is_open:  # a task never changes its goal
        return counts
    goal_id = (after or before or {})["goal_id"]
    left = counts.get(goal_id, 0) + (1 if is_open else -1)
    return counts.insert(goal_id, left) if left else counts.remove(goal_id)  # one form for one state, whatever its past
