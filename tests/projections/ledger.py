"""Leases, claims, attempts and completions as the payloads of events tell them: another way than the projector's."""

from collections.abc import Iterable
from typing import Any

from continuity.core import canonical
from continuity.core.ids import micros_of
from continuity.core.records import Event

SECOND = 1_000_000
INSTANT = "(extract(epoch FROM {0}) * 1000000)::bigint"
TABLES = {
    "workflow_leases": (
        "owner_id", "acquired_at", "lease_expires_at", "fencing_token", "heartbeat_at", "ended_at",
    ),
    "task_claims": ("task_id", "owner_id", "acquired_at", "lease_expires_at", "fencing_token", "heartbeat_at"),
    "step_attempts": ("step_id", "attempt_id", "started_at", "fencing_token"),
    "completed_steps": ("step_id", "attempt_id", "completed_at", "result_snapshot_ref", "result_checksum"),
}  # fmt: skip
"""Their columns, without the workflow and the digest."""

Row = tuple[Any, ...]


def selecting(table: str) -> str:
    """The statement that reads a workflow's rows as `told` gives them."""
    columns = [INSTANT.format(name) if name.endswith("_at") else name for name in TABLES[table]]
    return f"SELECT {', '.join(columns)} FROM {table} WHERE workflow_id = %s"


def told(events: Iterable[Event], inherited: Iterable[Event] = ()) -> dict[str, set[Row]]:
    """The rows of each table after a workflow's events. A fork has inherited those of its origin."""
    ledger = _Ledger()
    for event in inherited:
        ledger.add(event)
    if ledger.lease.get("ended_at") is not None:
        ledger.lease = {}  # a fork has the state, and that a lease has ended is not in it
    for event in events:
        ledger.add(event)
    return {
        "workflow_leases": {tuple(ledger.lease.values())} if ledger.lease else set(),
        "task_claims": set(ledger.claims.values()),
        "step_attempts": ledger.attempts,
        "completed_steps": set(ledger.completions.values()),
    }


class _Ledger:
    def __init__(self) -> None:
        self.lease: dict[str, Any] = {}
        self.claims: dict[str, Row] = {}
        self.attempts: set[Row] = set()
        self.completions: dict[str, Row] = {}
        self.last_token = 0

    def add(self, event: Event) -> None:
        payload = canonical.loads(event["payload"])
        at = event["timestamp"]
        for gone in payload.get("voided", ()):
            self._end(gone["task_id"], min(at, micros_of(gone["expires_at"])) if gone["reason"] == "expired" else at)
        kind = event["event_type"]
        if kind in ("lease_acquired", "task_claimed"):
            self._grant(payload, at)
        elif kind == "lease_released":
            self._end(payload["task_id"], at)
        elif kind == "task_completed":
            self.claims.pop(payload["task_id"], None)
        elif kind == "step_begun":
            self.attempts.add((payload["step_id"], payload["attempt_id"], at, payload["token"]))
        elif kind == "step_completed":
            assert payload["step_id"] not in self.completions
            result = (payload.get("result_ref"), payload.get("result_checksum"))
            self.completions[payload["step_id"]] = (payload["step_id"], payload["attempt_id"], at, *result)

    def _grant(self, payload: Any, at: int) -> None:
        token, expires_at = payload["token"], at + payload["ttl_seconds"] * SECOND
        assert token > self.last_token
        self.last_token = token
        if payload["task_id"] is None:
            values = (payload["owner_id"], at, expires_at, token, at, None)
            self.lease = dict(zip(TABLES["workflow_leases"], values, strict=True))
        else:
            self.claims[payload["task_id"]] = (payload["task_id"], payload["owner_id"], at, expires_at, token, at)

    def _end(self, task_id: str | None, at: int) -> None:
        if task_id is None:
            self.lease |= {"lease_expires_at": at, "ended_at": at}
        else:
            del self.claims[task_id]
