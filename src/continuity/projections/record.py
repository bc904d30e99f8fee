"""A record of the events topic, with everything checked that needs no state: its form, its digests, its delta's shape.

Pure. It costs more than half of a projection's time in Python, and is done while Postgres works on the batch before.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from continuity import late_results
from continuity.codec import Undecodable, decode_event
from continuity.contract import LateResultRow
from continuity.core import canonical, ids, limits, seal
from continuity.core.delta import DeltaMismatch, counter_after
from continuity.core.fields import NAME_TEXT
from continuity.core.grants import WORKFLOW
from continuity.core.records import SEQUENCER_MARK, SEQUENCER_PREFIX, Event
from continuity.core.state import COLLECTIONS, TOKEN_COUNTER, State

PATH_PARTS = (3, 4)
COUNTER_PATH = f"/{TOKEN_COUNTER}"

Entity = tuple[str, str, str]
"""(collection, workflow_id, key); the token counter is one, too, with an empty key."""


Patch = tuple[Entity, list[str], dict[str, Any]]
"""One operation of a delta: the entity that it changes, the field of it if it is not all of it, the operation."""


class Record(NamedTuple):
    """A record at its place. `event` is None when the bytes are none; `flaw` says what is wrong with an event alone.

    `late_results` are those that a mark of the sequencer's carries.
    """

    partition: int
    offset: int
    size_bytes: int = 0
    event: Event | None = None
    patches: tuple[Patch, ...] = ()
    flaw: str | None = None
    late_results: tuple[LateResultRow, ...] = ()

    @property
    def workflow_id(self) -> str:
        """The workflow of the event."""
        assert self.event is not None
        return self.event["workflow_id"]


def decoded(partition: int, offset: int, value: bytes | None) -> Record:
    """A record from its bytes. Never raises: anybody may write anything to a topic."""
    size = len(value or b"")
    try:
        event = decode_event(value)
    except Undecodable:
        return Record(partition, offset, size)
    try:
        if event["event_type"] == SEQUENCER_MARK:
            return Record(partition, offset, size, event, late_results=late_results.told_in(event))
        if event["event_type"].startswith(SEQUENCER_PREFIX):
            return Record(partition, offset, size, event)
        return Record(partition, offset, size, event, _examined(event))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Record(partition, offset, size, event, flaw=str(error))


def _examined(event: Event) -> tuple[Patch, ...]:
    workflow_id = event["workflow_id"]
    if workflow_id != ids.workflow_id(event["tenant"], event["project"]):
        raise seal.Damaged(event, "workflow_id", "it is not the one of its tenant and project")
    seal.verify(event)
    operations = canonical.loads_canonical(event["delta"])
    if not isinstance(operations, list):
        raise DeltaMismatch("A delta is an array of operations.")
    return tuple([_patch(workflow_id, operation) for operation in operations])


def standing_on(record: Record, base: State) -> Record:
    """The first event of a fork, with the state that it stands on as its delta: its tables begin with all of that."""
    operations = [
        {"op": "add", "path": f"/{collection}/{key}", "value": document}
        for collection in COLLECTIONS
        for key, document in getattr(base, collection).items()
    ]
    operations.append({"op": "replace", "path": COUNTER_PATH, "value": base.token_counter})
    patches = [_patch(record.workflow_id, operation) for operation in operations]
    return record._replace(patches=(*patches, *record.patches))


def _patch(workflow_id: str, operation: dict[str, Any]) -> Patch:
    path = operation["path"]
    if path == COUNTER_PATH:
        counter_after(operation)
        return (TOKEN_COUNTER, workflow_id, ""), [], operation
    parts = path.split("/")
    if len(parts) not in PATH_PARTS or parts[1] not in KEYS or not KEYS[parts[1]](parts[2]):
        raise DeltaMismatch(f"{path!r:.80} is no path of this version's state.")
    return (parts[1], workflow_id, parts[2]), parts[3:], operation


def _is_grant(key: str) -> object:
    return key == WORKFLOW or ids.UUID_TEXT.fullmatch(key)


def _is_step(key: str) -> object:
    return len(key) <= limits.STEP_ID_CHARACTERS_MAX and NAME_TEXT.fullmatch(key)


KEYS: Final[Mapping[str, Callable[[str], object]]] = {
    "goals": ids.UUID_TEXT.fullmatch,
    "tasks": ids.UUID_TEXT.fullmatch,
    "checkpoints": ids.UUID_TEXT.fullmatch,
    "grants": _is_grant,
    "steps": _is_step,
    "silent_deaths": ids.UUID_TEXT.fullmatch,
}
"""The collections of the state, and what a key of each looks like."""
