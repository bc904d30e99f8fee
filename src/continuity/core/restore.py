"""Reading a state back from its events: every digest checked, and closed on the first that does not fit. Pure.

The deltas are applied, not the payloads: they are cheaper, and `fold(events) = fold(deltas)` is a tested invariant.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, cast

import orjson

from continuity.core import canonical, seal, tree, window
from continuity.core.acceptance import chain_fits
from continuity.core.delta import DeltaMismatch, counter_after, patched
from continuity.core.evolve import KNOWN_TYPES
from continuity.core.records import Change, Event
from continuity.core.state import COLLECTIONS, TOKEN_COUNTER, State, entry_size

_COUNTER_PATH = f"/{TOKEN_COUNTER}"
_NAMES = frozenset(COLLECTIONS)

Operation = dict[str, Any]


def restore(workflow_id: str, events: Iterable[Event], base: State | None = None) -> State:
    """The state after `events`, in order, on top of `base` (default: the empty state).

    Raises `Damaged` naming workflow, sequence and field at the first event that is missing, doubled, swapped, or
    changed in any bit that carries meaning. What it returns is exactly what was committed.
    """
    fold = Fold(base if base is not None else State(workflow_id))
    for event in events:
        fold.add(event)
    return fold.state()


def advance(state: State, event: Event) -> State:
    """The state after one event, all of it verified; `Damaged` names the field that does not fit."""
    fold = Fold(state)
    fold.add(event)
    return fold.state()


class Fold:
    """A state on its way through many events, each of them verified. After `Damaged` it is of no more use.

    A `State` is immutable, and making one costs more than all digests of an event. So between the first event and
    `state()` the entities that were touched, their buckets and the digests are kept here and changed in place.
    """

    __slots__ = (
        "_base", "_buckets", "_counter", "_digests", "_entities", "_slots", "head_hash", "head_seq", "head_timestamp",
        "size_bytes",
    )  # fmt: skip

    def __init__(self, base: State) -> None:
        self._base = base
        self.head_seq, self.head_hash, self.head_timestamp = base.head_seq, base.head_hash, base.head_timestamp
        self.size_bytes = base.size_bytes
        self._counter = base.token_counter
        self._digests = bytearray(base.digests.digests)
        self._buckets: dict[int, list[bytes]] = {}
        self._entities: dict[str, _Entity] = {}
        self._slots: deque[bytes] = deque(maxlen=window.SLOTS)

    def add(self, event: Event, operations: Iterable[Operation] | None = None) -> None:
        """Go one event on. Raises `Damaged`, which names the field that does not fit.

        `operations` are the event's delta where somebody has parsed it and verified the event's own digests already.
        """
        self._check_place(event)
        if operations is None:
            seal.verify(event)
            if event["event_type"] not in KNOWN_TYPES:
                detail = f"this version does not know events of type {event['event_type']!r:.60}: upgrade it"
                raise seal.Damaged(event, "event_type", detail)
        try:
            self._apply(canonical.loads_canonical(event["delta"]) if operations is None else operations)
            slot = window.slot_of(event["command_id"], event["command_digest"], event["timestamp"])
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            # Its hash is right, so it was written like this: by a stranger, or by a version that this one knows not.
            raise seal.Damaged(event, "delta", f"it cannot be applied, {type(error).__name__}: {error}") from None
        if sha256(self._digests + b"%d" % self._counter).hexdigest() != event["state_checksum"]:
            raise seal.Damaged(event, "state_checksum", "the state after it does not have its checksum")
        self._slots.append(slot)
        self.head_seq, self.head_hash = event["event_seq"], event["event_hash"]
        self.head_timestamp = event["timestamp"]

    def state(self) -> State:
        """The state after all events so far. More may follow."""
        if self.head_seq == self._base.head_seq:
            return self._base
        changes = [
            Change(entity.collection, entity.key, entity.document)
            for entity in self._entities.values()
            if entity.raw != entity.raw_before
        ]
        if self._counter != self._base.token_counter:
            changes.append(Change(TOKEN_COUNTER, "", self._counter))
        after = self._base.with_changes(changes)
        assert after.digests.digests == self._digests, "The state is not the one whose checksum was compared."
        assert after.size_bytes == self.size_bytes
        return after._replace(
            head_seq=self.head_seq,
            head_hash=self.head_hash,
            head_timestamp=self.head_timestamp,
            window=self._base.window.extended(self.head_seq, self._slots),
        )

    def _check_place(self, event: Event) -> None:
        if event["workflow_id"] != self._base.workflow_id:
            raise seal.Damaged(event, "workflow_id", f"it does not belong to workflow {self._base.workflow_id}")
        if not chain_fits(self.head_seq, self.head_hash, event):
            field = "prev_hash" if event["event_seq"] == self.head_seq + 1 else "event_seq"
            raise seal.Damaged(event, field, f"it does not follow event {self.head_seq} of the chain")

    def _apply(self, operations: Iterable[Operation]) -> None:
        touched: dict[str, _Entity] = {}
        for operation in operations:
            path = operation["path"]
            if path == _COUNTER_PATH:
                counter = counter_after(operation)
                self.size_bytes += len(str(counter)) - len(str(self._counter))
                self._counter = counter
                continue
            _, collection, key, *field = path.split("/")
            name = f"{collection}/{key}"
            entity = touched.get(name)
            if entity is None:
                entity = touched[name] = self._entities.get(name) or self._entity(name, collection, key)
            document = entity.document
            if len(field) == 1 and operation["op"] == "replace" and field[0] in document:
                document[field[0]] = operation["value"]  # nearly every operation, and the dict is this fold's own
                continue
            document = patched(document, operation, field)
            entity.document = dict(document) if isinstance(document, dict) and not field else document
        for entity in touched.values():
            self._rehash(entity)

    def _entity(self, name: str, collection: str, key: str) -> "_Entity":
        if collection not in _NAMES:
            raise DeltaMismatch(f"{collection!r:.40} is no part of this version's state.")
        raw = getattr(self._base, collection).raw(key)
        entity = self._entities[name] = _Entity(name, collection, key, raw)
        return entity

    def _rehash(self, entity: "_Entity") -> None:
        raw = None if entity.document is None else orjson.dumps(entity.document, option=orjson.OPT_SORT_KEYS)
        if raw == entity.raw:
            return
        index = entity.bucket
        leaves = self._buckets.get(index)
        if leaves is None:
            joined = self._base.digests.leaves[index]
            leaves = [joined[at : at + tree.SIZE] for at in range(0, len(joined), tree.SIZE)]
            self._buckets[index] = leaves
        if entity.leaf is not None:
            at = bisect_left(leaves, entity.leaf)
            if at == len(leaves) or leaves[at] != entity.leaf:
                raise ValueError(f"{entity.collection}/{entity.key} is not in the tree of the base.")
            del leaves[at]
        self.size_bytes += entry_size(entity.key, raw) - entry_size(entity.key, entity.raw)
        entity.raw = None if raw is None else b"%b" % raw  # a copy: what orjson returns keeps 4 KiB of memory
        entity.leaf = None if raw is None else sha256(entity.prefix + raw).digest()
        if entity.leaf is not None:
            insort(leaves, entity.leaf)
        self._digests[index * tree.SIZE : (index + 1) * tree.SIZE] = sha256(b"".join(leaves)).digest()


class _Entity:
    """One entity as the events so far have left it."""

    __slots__ = ("bucket", "collection", "document", "key", "leaf", "prefix", "raw", "raw_before")

    def __init__(self, name: str, collection: str, key: str, raw: bytes | None) -> None:
        self.collection = cast("Any", collection)
        self.key = key
        self.raw = self.raw_before = raw
        self.document: Any = None if raw is None else orjson.loads(raw)
        self.bucket, self.prefix = tree.bucket(name)
        self.leaf = None if raw is None else sha256(self.prefix + raw).digest()
