"""The rows of snapshots, and the states that they and their blobs hold: each checked by itself, before it is used."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson

from continuity.blobs import Blobs
from continuity.core import canonical, snapshot
from continuity.core.ids import NIL
from continuity.core.snapshot import Head, Unsound
from continuity.core.state import State
from continuity.errors import IntegrityError
from continuity.postgres import BoundedConnection, translated
from continuity.restoring.metrics import HEALED
from continuity.restoring.wanted import Source, Wanted

COLUMNS: Final = """snapshot_id, workflow_id, step_number, last_event_seq, state_inline::text, state_s3_key,
    state_checksum, (extract(epoch FROM created_at) * 1000000)::bigint, head_hash, number, window_bytes, size_bytes"""
"""The select list that `SnapshotRow` is made of; the digest follows."""
NEWEST: Final = f"""
SELECT {COLUMNS}, digest FROM unnest(%s::uuid[], %s::bigint[]) AS wanted (wanted_id, at_seq)
CROSS JOIN LATERAL (
    SELECT * FROM snapshots WHERE workflow_id = wanted_id AND last_event_seq <= at_seq
    ORDER BY last_event_seq DESC LIMIT 1
) AS newest
"""  # noqa: S608
OLDER: Final = f"""
SELECT {COLUMNS}, digest FROM snapshots WHERE workflow_id = %s AND last_event_seq < %s
ORDER BY last_event_seq DESC LIMIT 1
"""  # noqa: S608
EXAMINED: Final = f"""
SELECT {COLUMNS}, digest,
    (SELECT event_hash FROM events AS e WHERE e.workflow_id = s.workflow_id AND event_seq = last_event_seq),
    (SELECT e.state_checksum FROM events AS e WHERE e.workflow_id = s.workflow_id AND event_seq = last_event_seq)
FROM snapshots AS s WHERE snapshot_id > %s ORDER BY snapshot_id LIMIT 64
"""  # noqa: S608


class SnapshotRow(NamedTuple):
    """A row of `snapshots`. `state_inline` as text, in canonical form when it is written; `created_at` in microseconds.

    It is the time of the event that the snapshot was taken after: a rebuild makes the same row again. `number` counts
    the snapshots of the workflow.
    """

    snapshot_id: str
    workflow_id: str
    step_number: int
    last_event_seq: int
    state_inline: str | None
    state_s3_key: str | None
    state_checksum: str
    created_at: int
    head_hash: str
    number: int
    window_bytes: bytes
    size_bytes: int

    def digest(self) -> bytes:
        """SHA-256 over all columns. JSONB keeps another order of keys, so an inline state is made canonical first."""
        inline = None if self.state_inline is None else canonical.dumps(orjson.loads(self.state_inline))
        columns = self._replace(
            state_inline=None if inline is None else sha256(inline).hexdigest(),
            window_bytes=sha256(self.window_bytes).hexdigest(),  # type: ignore[arg-type]  # JSON has no bytes
        )
        return sha256(canonical.dumps(list(columns))).digest()


class Base(NamedTuple):
    """What to begin with; `row` is None where it is the empty state."""

    state: State
    row: SnapshotRow | None
    healed: tuple[str, ...]


def examined(connection: BoundedConnection, blobs: Blobs) -> Iterator[IntegrityError]:
    """What is wrong with the snapshots that are stored, of all workflows, whether anybody would read them or not.

    Each is compared with its digest and its checksum, and with the event that it was taken after. Raises Retryable.
    """
    source, last = Source(blobs, None), NIL
    while True:
        with translated():
            chunk = connection.execute(EXAMINED.encode(), (last,), prepare=True).fetchall()
        for *columns, digest, event_hash, state_checksum in chunk:
            row = SnapshotRow(*columns)
            wanted = Wanted(row.workflow_id, row.last_event_seq, None)
            try:
                state_of(source, wanted, row, digest)
                for name, found, stored in (
                    ("head_hash", event_hash, row.head_hash), ("state_checksum", state_checksum, row.state_checksum)
                ):  # fmt: skip
                    if found != stored:
                        raise _unsound(wanted, row, name, "the event has another one")
            except IntegrityError as damage:
                yield damage
        if not chunk:
            return
        last = chunk[-1][0]


def sound_from(connection: BoundedConnection, source: Source, wanted: Wanted, columns: Sequence[Any] | None) -> Base:
    """The newest snapshot from this row on that is sound in itself; the empty state when there is none."""
    healed: list[str] = []
    while columns is not None:
        row = SnapshotRow(*columns[:-1])
        try:
            if row.state_s3_key is None or source.blobs is not None:
                return Base(state_of(source, wanted, row, columns[-1]), row, tuple(healed))
        except IntegrityError as damage:
            healed.append(damage.detail)
            HEALED.labels("snapshot").inc()
        columns = older(connection, row._replace(workflow_id=wanted.workflow_id))
    return Base(State(wanted.workflow_id), None, tuple(healed))


def older(connection: BoundedConnection, row: SnapshotRow) -> Sequence[Any] | None:
    """The columns of the snapshot before this one."""
    found = connection.execute(OLDER.encode(), (row.workflow_id, row.last_event_seq), prepare=True).fetchone()
    return None if found is None else tuple(found)


def state_of(source: Source, wanted: Wanted, row: SnapshotRow, digest: bytes) -> State:
    """The state that a row and its blob hold. Raises IntegrityError when they do not agree with themselves."""
    try:
        if row.digest() != digest:
            raise _unsound(wanted, row, "digest", "its row does not have its digest")
    except (ValueError, TypeError) as error:
        raise _unsound(wanted, row, "state_inline", f"it cannot be read: {error}") from None
    try:
        if row.state_inline is not None:
            work = orjson.loads(row.state_inline)
        else:
            assert row.state_s3_key is not None, "The digest says what was written, and one of the two was."
            work = orjson.loads(source.blob(row.state_s3_key))
        head = Head(row.last_event_seq, row.head_hash, row.created_at)
        return snapshot.state_of(wanted.workflow_id, work, head, row.state_checksum, row.window_bytes)
    except IntegrityError as damage:
        raise _unsound(wanted, row, "state_s3_key", damage.detail) from damage
    except Unsound as unsound:
        raise _unsound(wanted, row, unsound.field, str(unsound)) from None
    except ValueError as error:
        raise _unsound(wanted, row, "state_s3_key", f"it cannot be read: {error}") from None


def _unsound(wanted: Wanted, row: SnapshotRow, field: str, why: str) -> IntegrityError:
    return IntegrityError(
        f"The snapshot of workflow {wanted.workflow_id} at event {row.last_event_seq} is damaged in {field}: {why}.",
        workflow_id=wanted.workflow_id,
        event_seq=row.last_event_seq,
        field=field,
    )
