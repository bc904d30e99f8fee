"""Writing an incident file from the journal: every event is verified on its way, and nothing is held but a few of them.

A damaged event ends the file with a line that says so in place of the trailer: what was sent cannot be taken back, and
must not pass for the whole.
"""

import time
from collections.abc import Iterator
from itertools import chain

from continuity import restoring
from continuity.blobs import Blobs
from continuity.core.ids import ZERO_HASH, instant
from continuity.core.records import Event
from continuity.errors import IntegrityError
from continuity.postgres import BoundedConnection
from continuity.review import incident, journal
from continuity.review.incident import Base, Header
from continuity.rows import Head


def file(connection: BoundedConnection, blobs: Blobs, head: Head, at_seq: int | None = None) -> Iterator[bytes]:
    """The bytes of the file, up to event `at_seq` or the last one that is projected.

    Raises IntegrityError before the first byte when the first or the last event is damaged, Retryable.
    """
    count = head.head_seq if at_seq is None else at_seq
    head_hash = head.head_hash if count == head.head_seq else _hash_of(connection, head, count)
    events = journal.verified(connection, head, 0, count)
    first = next(events, None)
    base = None if first is None else restoring.base_of(connection, blobs, first)
    header = Header(
        format=incident.FORMAT,
        version=incident.VERSION,
        tenant=head.tenant,
        project=head.project,
        workflow_id=head.workflow_id,
        exported_at=instant(time.time_ns() // 1_000),
        head_seq=count,
        head_hash=head_hash,
        count=count,
        base=None if base is None else Base(state_checksum=base.checksum, work=base.work),
    )
    whole: Iterator[Event] = events if first is None else chain([first], events)
    yield from incident.compressed(_guarded(incident.lines(header, whole)))


def _hash_of(connection: BoundedConnection, head: Head, seq: int) -> str:
    last = next(iter(journal.verified(connection, head, seq - 1, seq)), None) if seq else None
    return ZERO_HASH if last is None else last["event_hash"]


def _guarded(lines: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from lines
    except IntegrityError as damage:
        yield incident.problem_line(damage.event_seq, damage.field, damage.detail)
