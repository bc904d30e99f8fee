"""Renewals, as far as they are published: they move the last known expiry of leases and claims in their tables.

Renewals are no events (design, section 4), so these two columns are a view that lags, for outsiders: who holds what is
decided by the sequencer alone. Read from `continuity.leases`. An expiry only moves forward, only under the token that
the row has, and a row that is not there is not made.

A renewal may come before the projection has its grant. It waits in memory until the token counter has reached its
token, and the stored offset waits with it.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from psycopg import Cursor

from continuity.codec import Undecodable, decode_lease
from continuity.contract import ClaimRow, LeaseRow
from continuity.core.ids import UUID_TEXT, instant
from continuity.errors import IntegrityError
from continuity.postgres import array
from continuity.projections.following import Following
from continuity.projections.metrics import METRICS
from continuity.projections.parameters import arrays, as_json
from continuity.projections.schema import statement
from continuity.rows import checked

WRITE_SECONDS: Final = 0.5
"""Between two writes: each keeps the projector waiting for a moment, and of a grant only its last renewal counts."""
WAITING_MAX: Final = 10_000
"""Then the oldest are dropped: those of a workflow that nobody knows would wait for ever."""

Grant = tuple[str, int]
"""A grant by its workflow and its token, which is of one grant only."""

GrantRow = TypeVar("GrantRow", LeaseRow, ClaimRow)
log = logging.getLogger("projector")


class Heartbeat(NamedTuple):
    """The last known renewal of a grant, and the place of its record."""

    workflow_id: str
    task_id: str | None
    fencing_token: int
    lease_expires_at: int
    heartbeat_at: int
    partition: int
    offset: int


class Heartbeats(Following):
    """One for each projector. Two of them, or one beside a projector that is writing, take turns."""

    name = "heartbeat"
    # A projector's transaction begins by updating that table: the two never wait for one another's rows.
    lock = "SHARE ROW EXCLUSIVE"
    _waiting: dict[Grant, Heartbeat]
    _written_at: float

    @property
    def topic(self) -> str:
        """The topic that it reads."""
        return self._settings.leases_topic

    def _take(self, partition: int, offset: int, value: bytes | None) -> None:
        METRICS.heartbeats.inc()
        heartbeat = _decoded(value, partition, offset)
        if heartbeat is None:
            return
        key = (heartbeat.workflow_id, heartbeat.fencing_token)
        self._waiting.pop(key, None)
        self._waiting[key] = heartbeat
        if len(self._waiting) > WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]

    def _is_due(self, records: int) -> bool:
        is_something = records > 0 or bool(self._waiting) or self._resume_at() != self._stored
        return is_something and time.monotonic() - self._written_at >= WRITE_SECONDS

    def _resume_at(self) -> Mapping[int, int]:
        offsets = dict(self.next_offsets)
        for heartbeat in self._waiting.values():
            offsets[heartbeat.partition] = min(offsets[heartbeat.partition], heartbeat.offset)
        return offsets

    def _write(self, cursor: "Cursor[Any]") -> None:
        self._written_at = time.monotonic()
        arrived = self._arrived(cursor)
        leases = [each.workflow_id for each in arrived.values() if each.task_id is None]
        if leases:
            found = cursor.execute(statement("load_leases"), (array(leases),)).fetchall()
            self._move(cursor, "move_leases", _moved(LeaseRow, found, arrived))
        claims = [(each.workflow_id, each.task_id) for each in arrived.values() if each.task_id is not None]
        if claims:
            found = cursor.execute(statement("load_claims"), arrays(claims)).fetchall()
            self._move(cursor, "move_claims", _moved(ClaimRow, found, arrived))

    def _move(self, cursor: "Cursor[Any]", name: str, rows: Sequence[LeaseRow | ClaimRow]) -> None:
        if rows:
            cursor.execute(statement(name), (as_json(rows),))

    def _arrived(self, cursor: "Cursor[Any]") -> dict[Grant, Heartbeat]:
        """Those whose grant has been projected, and that may still be held, taken from the ones that wait."""
        if not self._waiting:
            return {}
        workflows = {workflow_id for workflow_id, _ in self._waiting}
        found = cursor.execute(statement("token_counters"), (array(workflows),)).fetchall()
        counters = {row[0]: row[1] for row in found}
        stopped = {row[0] for row in found if row[2]}
        known = [key for key in self._waiting if key[0] in stopped or key[1] <= counters.get(key[0], -1)]
        arrived = {key: self._waiting.pop(key) for key in known}
        return {key: heartbeat for key, heartbeat in arrived.items() if key[0] not in stopped}

    def _forget(self) -> None:
        self._waiting = {}
        self._written_at = 0.0


def _decoded(value: bytes | None, partition: int, offset: int) -> Heartbeat | None:
    """A heartbeat, or None for what is none: a record's removal, or a stranger's bytes."""
    try:
        lease = decode_lease(value)
        workflow_id, task_id, token = lease["workflow_id"], lease["task_id"], lease["fencing_token"]
        expires_at, heartbeat_at = lease["lease_expires_at"], lease["heartbeat_at"]
        are_ids = UUID_TEXT.fullmatch(workflow_id) and (task_id is None or UUID_TEXT.fullmatch(task_id))
        if not are_ids or min(expires_at, heartbeat_at) < 0 or not instant(max(expires_at, heartbeat_at)):
            return None
    except (Undecodable, OverflowError):
        return None
    return Heartbeat(workflow_id, task_id, token, expires_at, heartbeat_at, partition, offset)


def _moved(kind: type[GrantRow], found: Iterable[Sequence[Any]], arrived: Mapping[Grant, Heartbeat]) -> list[GrantRow]:
    """The rows that go forward. Of a damaged one nothing is touched: it must not get a digest that fits."""
    rows = []
    for *columns, digest in found:
        try:
            row = checked(kind(*columns), digest)
        except IntegrityError as damage:
            log.error("%s", damage)  # noqa: TRY400 - the message says it all
            continue
        heartbeat = arrived.get((row.workflow_id, row.fencing_token))
        moved = row if heartbeat is None else _forward(row, heartbeat)
        if moved != row:
            rows.append(moved)
    return rows


def _forward(row: GrantRow, heartbeat: Heartbeat) -> GrantRow:
    # When a lease ended stands in the log, and does not move.
    is_held = getattr(row, "ended_at", None) is None
    expires_at = max(row.lease_expires_at, heartbeat.lease_expires_at) if is_held else row.lease_expires_at
    return row._replace(lease_expires_at=expires_at, heartbeat_at=max(row.heartbeat_at, heartbeat.heartbeat_at))
