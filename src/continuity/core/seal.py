"""Events made whole, and checked: the payload's checksum, the hash that chains one event to the one before. Pure.

`event_hash` is SHA-256 of the canonical JSON of all the event's fields but itself and the log's own five, so
`prev_hash` is among them and no field that carries meaning can change unseen.
"""

from hashlib import sha256
from operator import itemgetter
from typing import Any, cast

import orjson

from continuity.core import canonical
from continuity.core.ids import NIL, ZERO_HASH
from continuity.core.records import LOG_FIELDS, SCHEMA_VERSION, Event

PRODUCER_VERSION = "continuity/0.1.0"
UNCHAINED = (*LOG_FIELDS, "event_hash")
CHAINED = tuple(sorted(name for name in Event.__annotations__ if name not in UNCHAINED))
_chained = itemgetter(*CHAINED)


class Damaged(ValueError):
    """An event does not agree with itself, its chain or its state; `workflow_id`, `event_seq`, `field` name where."""

    def __init__(self, event: Event, field: str, detail: str) -> None:
        self.workflow_id = event["workflow_id"]
        self.event_seq = event["event_seq"]
        self.field = field
        self.detail = f"Event {self.event_seq} of workflow {self.workflow_id} is damaged in {field}: {detail}."
        super().__init__(self.detail)


def digest(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, in hexadecimal."""
    return sha256(text.encode()).hexdigest()


def seal(chained: dict[str, Any]) -> Event:
    """Add `event_hash` to the chained fields, and the log's own as they are before a sequencer stamps them."""
    chained["event_hash"] = sha256(canonical.dumps(chained)).hexdigest()
    chained["epoch"] = chained["epoch_seq"] = chained["source_generation"] = 0
    chained["sequencer_id"] = NIL
    chained["source_offset"] = -1
    return cast("Event", chained)


def event_hash(event: Event) -> str:
    """The hash that `event` should carry."""
    # The names are sorted and no value is an object: this is the canonical form, without sorting it again.
    return sha256(orjson.dumps(dict(zip(CHAINED, _chained(event), strict=True)))).hexdigest()


def verify(event: Event) -> None:
    """Raise `Damaged` if the event does not agree with its own digests."""
    if digest(event["payload"]) != event["checksum"]:
        raise Damaged(event, "payload", "it does not have its checksum")
    if event_hash(event) != event["event_hash"]:
        raise Damaged(event, "event_hash", "the event does not have its hash")


def own_record(event_type: str, payload: str = "{}", timestamp: int = 0) -> Event:
    """A record of the sequencer's own (`sequencer_epoch`, `sequencer_mark`): the nil workflow, and no chain."""
    return Event(
        event_id=NIL,
        tenant="",
        project="",
        workflow_id=NIL,
        event_seq=0,
        event_type=event_type,
        payload=payload,
        timestamp=timestamp,
        schema_version=SCHEMA_VERSION,
        producer_version=PRODUCER_VERSION,
        checksum=digest(payload),
        command_id=NIL,
        command_digest=ZERO_HASH,
        operator_id="sequencer",
        operator_kind="automation",
        session_id=None,
        goal_id=None,
        task_id=None,
        step_id=None,
        from_status=None,
        to_status=None,
        fencing_token=None,
        delta="[]",
        state_checksum=ZERO_HASH,
        prev_hash=ZERO_HASH,
        event_hash=ZERO_HASH,
        epoch=0,
        sequencer_id=NIL,
        epoch_seq=0,
        source_generation=0,
        source_offset=-1,
    )
