"""What a snapshot holds, when one is due, and which of them are kept. Pure.

A snapshot is all that a state needs besides later events: the work as canonical JSON, the head of the chain, and the
idempotency window. Its indices, its size and its checksum are worked out again when it is read: so a document that is
not, bit for bit, what was committed, does not have the checksum that the event at its head carries.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson
from rpds import HashTrieMap, HashTrieSet

from continuity.core import canonical, tree
from continuity.core.documents import Documents
from continuity.core.ids import entity_id
from continuity.core.lookup import Lookup
from continuity.core.queue import Queue, slot_of
from continuity.core.records import Event
from continuity.core.state import COLLECTIONS, EMPTY_BYTES, ENTRY_BYTES, TOKEN_COUNTER, State
from continuity.core.window import SLOT, SLOTS, Window

EVENT_BYTES: Final = 1_024
"""What an event takes in the journal besides its payload and its delta."""
SMALL_BYTES_MAX: Final = 1_000_000
KEEP_EVERY: Final = 10
"""Every so many-th snapshot of a workflow outlives the newest: the steps of a journey back in time."""
QUEUE_CHUNK_SLOTS: Final = 64


class Unsound(ValueError):
    """The document is not the state of the event that it claims to be; `field` names what disagrees."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class Head(NamedTuple):
    """The event that a snapshot was taken after. `timestamp` in microseconds."""

    seq: int
    hash: str
    timestamp: int


class Base(NamedTuple):
    """What the first event of a fork stands on: the work of another workflow after one of its events.

    `digest` names the blob that holds it, in the form of `document`, counted back from the fork; `checksum` is its own.
    """

    workflow_id: str
    seq: int
    hash: str
    state_checksum: str
    digest: str
    checksum: str


class Policy(NamedTuple):
    """When a snapshot is due, and what becomes of old ones.

    Up to a megabyte of state there is one at every `every_events`-th event of a workflow; above, as soon as the journal
    since the last one has reached a tenth of the state: so writing them costs no more than ten times the journal, and
    reading one back is never followed by more than a tenth as much. The newest `keep` stay, and every tenth for good.
    """

    every_events: int = 100
    small_bytes_max: int = SMALL_BYTES_MAX
    inline_bytes_max: int = 64 * 1024
    keep: int = 10

    def is_due(self, head_seq: int, size_bytes: int, since: "Since") -> bool:
        """Whether a snapshot is to be taken after the event `head_seq`."""
        if since.events <= 0:
            return False
        if size_bytes > self.small_bytes_max:
            return since.journal_bytes * 10 >= size_bytes
        # The second case: the one that was due could not be written, or is damaged.
        return head_seq % self.every_events == 0 or since.events >= self.every_events


class Since(NamedTuple):
    """The journal of a workflow since its newest snapshot, or since its beginning."""

    events: int = 0
    journal_bytes: int = 0


def journal_bytes(event: Event) -> int:
    """What an event takes in the journal, near enough; the same wherever it is read."""
    return EVENT_BYTES + _size(event["payload"]) + _size(event["delta"])


def snapshot_id(workflow_id: str, seq: int) -> str:
    """UUIDv5 of the workflow and `snapshot/SEQ`: the same event's snapshot has the same id after every rebuild."""
    return entity_id(workflow_id, f"snapshot/{seq}")


def document(state: State) -> bytes:
    """The work as canonical JSON: the bytes of `canonical.dumps(state.work)`, without parsing what is in them."""
    parts = []
    for name in sorted((*COLLECTIONS, TOKEN_COUNTER)):
        if name == TOKEN_COUNTER:
            parts.append(b'"%b":%d' % (name.encode(), state.token_counter))
            continue
        documents: Documents = getattr(state, name)
        entries = b",".join([orjson.dumps(key) + b":" + (documents.raw(key) or b"null") for key in sorted(documents)])
        parts.append(b'"%b":{%b}' % (name.encode(), entries))
    return b"{" + b",".join(parts) + b"}"


def base_of(event: Event) -> Base | None:
    """What an event that has been verified stands on, if it begins a fork; None for every other one."""
    if event["event_seq"] != 1 or '"base_digest"' not in event["payload"]:
        return None
    payload = canonical.loads_canonical(event["payload"])
    names = ("origin_workflow_id", "origin_seq", "origin_hash", "origin_state_checksum", "base_digest")
    if not payload.keys() >= set(names):
        return None
    return Base._make([*(payload[name] for name in names), event["state_checksum"]])


def steps_completed(state: State) -> int:
    """How many steps of the workflow are completed."""
    return sum(step["status"] == "completed" for step in _parsed(state.steps))


def state_of(workflow_id: str, work: Any, head: Head, state_checksum: str, window_slots: bytes) -> State:
    """The state that a snapshot holds, `work` being its document, parsed. Raises `Unsound` unless it has the checksum.

    The order of keys in `work` means nothing: a database may have changed it.
    """
    try:
        state = _state_of(workflow_id, work, head, window_slots)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise Unsound("state", f"it is not the work of a workflow, {type(error).__name__}: {error}") from None
    if state.checksum != state_checksum:
        raise Unsound("state_checksum", "its work does not have its checksum")
    if len(window_slots) != min(head.seq, SLOTS) * SLOT:
        raise Unsound("window_bytes", f"it holds {len(window_slots) / SLOT:.1f} commands, not {min(head.seq, SLOTS)}")
    return state


def _state_of(workflow_id: str, work: Any, head: Head, window_slots: bytes) -> State:
    if work.keys() != {*COLLECTIONS, TOKEN_COUNTER}:
        raise ValueError("it has other parts")
    token_counter: int = work[TOKEN_COUNTER]
    if type(token_counter) is not int:
        raise TypeError("the token counter is no integer")
    size = EMPTY_BYTES - 1 + len(str(token_counter))
    buckets: list[list[bytes]] = [[] for _ in range(tree.BUCKETS)]
    maps: dict[str, Documents] = {}
    for name in COLLECTIONS:
        raws = {key: b"%b" % canonical.dumps(value) for key, value in work[name].items()}
        size += sum(map(len, raws.values())) + sum(map(len, raws)) + ENTRY_BYTES * len(raws)
        for key, raw in raws.items():
            index, prefix = tree.bucket(f"{name}/{key}")
            buckets[index].append(sha256(prefix + raw).digest())
        maps[name] = Documents(HashTrieMap(raws))
    leaves = tuple([b"".join(sorted(bucket)) for bucket in buckets])
    digests = b"".join([sha256(joined).digest() for joined in leaves])
    return State(
        workflow_id,
        head.seq,
        head.hash,
        head.timestamp,
        **maps,
        token_counter=token_counter,
        lookup=_lookup(work),
        digests=tree.Tree(leaves, digests),
        size_bytes=size,
        window=Window(window_slots),
    )


def _lookup(work: Mapping[str, Mapping[str, Any]]) -> Lookup:
    """What `Lookup.changed` would make of all entities, one after the other."""
    open_tasks: dict[str, int] = {}
    todo: dict[str, list[bytes]] = {}
    doing = []
    for task_id, task in work["tasks"].items():
        status, goal_id = task["status"], task["goal_id"]
        if status != "done":
            open_tasks[goal_id] = open_tasks.get(goal_id, 0) + 1
        if status == "todo":
            todo.setdefault(goal_id, []).append(slot_of(task["created_seq"], task_id))
        elif status == "doing":
            doing.append(task_id)
    grants = work["grants"].items()
    return Lookup(
        HashTrieMap(open_tasks),
        HashTrieMap({goal_id: _queue(slots) for goal_id, slots in todo.items()}),
        HashTrieSet(doing),
        HashTrieSet([step_id for step_id, step in work["steps"].items() if step["status"] == "open"]),
        HashTrieMap({grant["token"]: key for key, grant in grants}),
        HashTrieMap({grant["grant_id"]: key for key, grant in grants}),
    )


def _queue(slots: list[bytes]) -> Queue:
    slots.sort()
    starts = range(0, len(slots), QUEUE_CHUNK_SLOTS)
    return Queue(tuple([b"".join(slots[at : at + QUEUE_CHUNK_SLOTS]) for at in starts]))


def _parsed(documents: Documents) -> Iterator[Any]:
    raws: Iterable[bytes | None] = (documents.raw(key) for key in documents)
    return (orjson.loads(raw) for raw in raws if raw is not None)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
