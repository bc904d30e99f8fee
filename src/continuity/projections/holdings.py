"""What a batch changes in the published tables of leases, claims, attempts and completions. Pure.

It is read off the documents of grants and steps, as the deltas have made them: before the batch, and after it. Only
the lease is followed event by event, because its row stays after its end, and says when that was.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from continuity.contract import AttemptRow, ClaimRow, CompletionRow, LeaseRow
from continuity.core import canonical
from continuity.core.grants import WORKFLOW
from continuity.core.ids import micros_of
from continuity.core.records import Event
from continuity.core.state import TOKEN_COUNTER
from continuity.rows import EntityRow

Key = tuple[str, str]
Document = Any

Changed = tuple[Key, Document, Document]
"""An entity by (workflow_id, key): as it was before the batch, and as it is after it."""


def entity_rows(changed: Mapping[str, Iterable[Changed]]) -> list[EntityRow]:
    """The entities that came or changed."""
    return [
        EntityRow(workflow_id, collection, key, canonical.text(after))
        for collection, entities in changed.items()
        for (workflow_id, key), _, after in entities
        if after is not None
    ]


def removed(changed: Mapping[str, Iterable[Changed]]) -> list[tuple[str, str, str]]:
    """The entities that are no more, by (workflow_id, collection, key)."""
    return [
        (workflow_id, collection, key)
        for collection, entities in changed.items()
        for (workflow_id, key), before, after in entities
        if before is not None and after is None
    ]


def lease_after(event: Event, known: LeaseRow | None, before: Document, after: Document) -> LeaseRow | None:
    """The row of a workflow's lease after an event that has changed its grant; None where it stays as it is."""
    workflow_id = event["workflow_id"]
    if after is not None and (before is None or before["token"] != after["token"]):
        return _granted(workflow_id, after)
    if after is None and before is not None:
        if known is None or known.fencing_token != before["token"]:
            known = _granted(workflow_id, before)
        return _ended(known, event)
    return None


def _granted(workflow_id: str, grant: Document) -> LeaseRow:
    acquired_at = micros_of(grant["acquired_at"])
    return LeaseRow(
        workflow_id,
        grant["owner_id"],
        acquired_at,
        micros_of(grant["expires_at"]),
        grant["token"],
        heartbeat_at=acquired_at,
        ended_at=None,
    )


def _ended(row: LeaseRow, event: Event) -> LeaseRow:
    """The lease after the event that has ended it; one that had run out before ended then."""
    ended_at = event["timestamp"]
    for gone in canonical.loads_canonical(event["payload"]).get("voided", ()):
        if gone["task_id"] is None and gone["reason"] == "expired":
            ended_at = min(ended_at, micros_of(gone["expires_at"]))
    return row._replace(lease_expires_at=ended_at, ended_at=ended_at)


def claim_rows(grants: Iterable[Changed]) -> list[ClaimRow]:
    """Claims that were given, and are held."""
    rows = []
    for (workflow_id, task_id), before, after in grants:
        if task_id == WORKFLOW or after is None:
            continue
        if before is not None and before["token"] == after["token"]:
            continue  # it was held before, and renewals may have moved its row
        acquired_at, expires_at = micros_of(after["acquired_at"]), micros_of(after["expires_at"])
        owner_id, token = after["owner_id"], after["token"]
        rows.append(ClaimRow(workflow_id, task_id, owner_id, acquired_at, expires_at, token, acquired_at))
    return rows


def ended_claims(grants: Iterable[Changed]) -> list[Key]:
    """The tasks whose claim has ended."""
    return [key for key, before, after in grants if key[1] != WORKFLOW and before is not None and after is None]


def attempt_rows(steps: Iterable[Changed]) -> Iterator[AttemptRow]:
    """The attempts that were begun."""
    for (workflow_id, step_id), before, after in steps:
        known = 0 if before is None else len(before["attempts"])
        for attempt in () if after is None else after["attempts"][known:]:
            started_at = micros_of(attempt["started_at"])
            yield AttemptRow(workflow_id, step_id, attempt["attempt_id"], started_at, attempt["token"])


def completion_rows(steps: Iterable[Changed]) -> Iterator[CompletionRow]:
    """The steps that were completed."""
    for (workflow_id, step_id), before, after in steps:
        if after is None or after["status"] != "completed" or (before and before["status"] == "completed"):
            continue
        last = after["attempts"][-1]
        yield CompletionRow(
            workflow_id,
            step_id,
            last["attempt_id"],
            micros_of(last["ended_at"]),
            after.get("result_ref"),
            after.get("result_checksum"),
        )


# What no event takes back, whatever its delta says.


def _falls(before: Document, after: Document) -> str | None:
    return f"The token counter is {before}, and never falls." if after < before else None


def _undoes(before: Document, after: Document) -> str | None:
    if before is None or (after is not None and before["status"] != "completed"):
        return None
    return f"Step {before['step_id']} is {before['status']}, and that is not undone."


ONE_WAY = {TOKEN_COUNTER: _falls, "steps": _undoes}
"""By collection: what is wrong with a document after an event, given the one before it; None where nothing is."""
