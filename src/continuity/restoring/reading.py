"""Reading a state back from Postgres and blobs: the one way in which everybody does it. A flat adapter.

The newest sound snapshot at or below the wanted event, then the deltas after it in the order of `event_seq`, by the
rules of `core.restore`. Nothing is taken on trust: a snapshot has to agree with its row's digest, its work with the
checksum, both with the event that it was taken after, and the end with the workflow's head. What does not is passed
over for an older snapshot, at last for the whole journal, then for the log, if the caller has one; and is reported. If
nothing is left, the answer is an IntegrityError that names the workflow, the event and the field. Writes nothing.
"""

import time
from collections.abc import Collection, Iterable, Sequence
from itertools import chain, islice
from typing import Any, Final

import orjson

from continuity.blobs import Blobs
from continuity.core import seal, snapshot
from continuity.core.history import forked
from continuity.core.ids import ZERO_HASH
from continuity.core.records import Event
from continuity.core.restore import Fold
from continuity.core.snapshot import Head
from continuity.core.state import State
from continuity.errors import ContinuityError, IntegrityError, Retryable
from continuity.postgres import BoundedConnection, array, translated
from continuity.restoring import journal, snapshots
from continuity.restoring.metrics import EVENTS_REPLAYED, HEALED, RESTORE_TIME
from continuity.restoring.snapshots import Base
from continuity.restoring.wanted import ANY_SEQ, LogReader, Look, Restored, Source, Wanted
from continuity.rows import EVENT_SEQ, WORKFLOW_ID, damaged, missing

GROUP_WORKFLOWS: Final = 64
"""So many are restored together: it bounds the memory, at 64 inline snapshots and their events."""


def restore(
    connection: BoundedConnection,
    blobs: Blobs | None,
    workflow_id: str,
    at_seq: int | None = None,
    log: LogReader | None = None,
) -> Restored:
    """The state of a workflow after its last projected event, or after event `at_seq`; 0 is before the first.

    A workflow that nobody knows has the empty state. Raises IntegrityError, naming workflow, event and field, when what
    is stored does not give what was committed; Retryable when a part is away, or event `at_seq` is not projected yet.
    All of it is one look: on a connection that is not in a transaction, set `isolation_level` to REPEATABLE READ.
    """
    with translated(workflow_id), connection.transaction():
        heads, failed = journal.heads_of(connection, [workflow_id])
        if workflow_id in failed:
            raise failed[workflow_id]
        head = heads.get(workflow_id)
        if head is None and journal.has_events(connection, workflow_id):
            raise missing(workflow_id, "the head")
        projected = head.head_seq if head is not None else 0
        if at_seq is not None and at_seq > projected:
            raise Retryable(f"Event {at_seq} of workflow {workflow_id} is not projected: {projected} is the last.")
        wanted = Wanted(workflow_id, ANY_SEQ, head) if at_seq is None else Wanted(workflow_id, at_seq, None)
        found = _restored(connection, Source(blobs, log), [wanted])[workflow_id]
    if isinstance(found, ContinuityError):
        raise found
    return found


def restore_all(connection: BoundedConnection, blobs: Blobs | None, workflow_ids: Collection[str]) -> Look:
    """The states of several workflows after their last projected events, in the caller's transaction.

    Of those that are stopped nothing is read. Without `blobs`, snapshots that lie there are passed over: it takes
    longer, and works while that store is away.
    """
    heads, failed = journal.heads_of(connection, workflow_ids)
    stopped = {key: head.stopped_reason for key, head in heads.items() if head.stopped_reason is not None}
    source = Source(blobs, None)
    restored: dict[str, Restored] = {}
    wanted = (Wanted(key, ANY_SEQ, heads.get(key)) for key in workflow_ids if key not in stopped and key not in failed)
    while group := list(islice(wanted, GROUP_WORKFLOWS)):
        for workflow_id, found in _restored(connection, source, group).items():
            if isinstance(found, ContinuityError):
                failed[workflow_id] = found
            else:
                restored[workflow_id] = found
    return Look(restored, stopped, failed)


def base_of(
    connection: BoundedConnection, blobs: Blobs | None, event: Event, log: LogReader | None = None
) -> State | None:
    """The state that the first event of a fork stands on; None for every other event, which has been verified.

    It lies in a blob. Where that is lost, or `blobs` is None, the origin's own history says the same; with `log` also
    one that is not projected yet. Raises as `restore` does.
    """
    cited = snapshot.base_of(event)
    return None if cited is None else _forked(connection, Source(blobs, log), event["workflow_id"], cited)


def _restored(
    connection: BoundedConnection, source: Source, group: Sequence[Wanted]
) -> dict[str, Restored | ContinuityError]:
    started = time.perf_counter()
    keys = [wanted.workflow_id for wanted in group]
    newest = connection.execute(
        snapshots.NEWEST.encode(), (array(keys), array(each.to_seq for each in group)), prepare=True
    )
    rows = {columns[1]: columns for columns in newest}
    bases: dict[str, Base] = {}
    found: dict[str, Restored | ContinuityError] = {}
    for wanted in group:
        try:
            bases[wanted.workflow_id] = snapshots.sound_from(connection, source, wanted, rows.get(wanted.workflow_id))
        except (Retryable, IntegrityError) as error:
            found[wanted.workflow_id] = error
    begun = [wanted for wanted in group if wanted.workflow_id in bases]
    firsts: dict[str, list[Sequence[Any]]] = {wanted.workflow_id: [] for wanted in begun}
    starts = [bases[wanted.workflow_id].state.head_seq for wanted in begun]
    arrays = (array(firsts), array(starts), array(each.to_seq for each in begun))
    for columns in connection.execute(journal.FIRST.encode(), arrays, prepare=True):
        firsts[columns[WORKFLOW_ID]].append(columns)
    for wanted in begun:
        first = sorted(firsts[wanted.workflow_id], key=lambda columns: columns[EVENT_SEQ])
        found[wanted.workflow_id] = _attempted(connection, source, wanted, bases[wanted.workflow_id], first)
    share = (time.perf_counter() - started) * 1_000 / len(group)
    for each in found.values():
        if isinstance(each, Restored):
            RESTORE_TIME.observe(share)
            EVENTS_REPLAYED.observe(each.replayed)
    return found


def _attempted(
    connection: BoundedConnection, source: Source, wanted: Wanted, base: Base, first: Sequence[Sequence[Any]]
) -> Restored | ContinuityError:
    """The state from this base, else from an older one, else from the log."""
    try:
        events = journal.events_of(connection, wanted, base.state.head_seq, first)
        return _replayed(connection, source, wanted, base, events)
    except Retryable as error:
        return error
    except IntegrityError as error:
        damage = error
    healed, row = base.healed, base.row
    try:
        # Whatever is damaged after the event that a snapshot was taken at stands in the way of the older ones, too.
        while row is not None and damage.event_seq == row.last_event_seq:
            healed = (*healed, damage.detail)
            base = snapshots.sound_from(connection, source, wanted, snapshots.older(connection, row))
            healed, row = (*healed, *base.healed), base.row
            try:
                events = journal.events_of(connection, wanted, base.state.head_seq, None)
                found = _replayed(connection, source, wanted, base._replace(healed=healed), events)
                return _counted(found, "snapshot")
            except IntegrityError as error:
                damage = error
        if source.log is None:
            return damage
        empty = Base(State(wanted.workflow_id), None, (*healed, damage.detail))
        logged = (event for event in source.log(wanted.workflow_id) if event["event_seq"] <= wanted.end)
        return _counted(_replayed(connection, source, wanted, empty, logged), "journal")
    except (IntegrityError, Retryable) as error:
        return error


def _counted(restored: Restored, where: str) -> Restored:
    HEALED.labels(where).inc()
    return restored


def _forked(connection: BoundedConnection, source: Source, workflow_id: str, cited: snapshot.Base) -> State:
    nothing = Head(0, ZERO_HASH, 0)
    if source.blobs is not None:
        try:
            work = orjson.loads(source.blob(cited.digest))
            return snapshot.state_of(workflow_id, work, nothing, cited.checksum, b"")
        except (IntegrityError, ValueError):
            HEALED.labels("base").inc()
    wanted = Wanted(cited.workflow_id, cited.seq, None)
    found = _restored(connection, source, [wanted])[cited.workflow_id]
    if isinstance(found, ContinuityError):
        raise found
    base = forked(found.state, workflow_id)
    named = cited.hash, cited.state_checksum, cited.checksum
    if (found.state.head_hash, found.state.checksum, base.checksum) != named:
        raise IntegrityError(
            f"Event {cited.seq} of workflow {cited.workflow_id} is not the one that its fork {workflow_id} stands on.",
            workflow_id=workflow_id,
            event_seq=1,
            field="payload",
        )
    return base


def _replayed(
    connection: BoundedConnection, source: Source, wanted: Wanted, base: Base, events: Iterable[Event]
) -> Restored:
    """The state after all events, which begin with the one that the base was taken after."""
    rest = iter(events)
    fold = Fold(base.state)
    replayed = size = 0
    try:
        first = next(rest, None)
        if base.row is not None:
            journal.check_anchor(base.row, first)
        elif first is not None:
            if (cited := snapshot.base_of(first)) is not None:
                seal.verify(first)
                fold = Fold(_forked(connection, source, wanted.workflow_id, cited))
            rest = chain([first], rest)
        for event in rest:
            fold.add(event)
            replayed += 1
            size += snapshot.journal_bytes(event)
    except seal.Damaged as damage:
        raise damaged(damage, wanted.workflow_id) from None
    state = fold.state()
    journal.check_end(wanted, state)
    row = base.row
    begun = (0, 0) if row is None else (row.last_event_seq, row.number)
    return Restored(state, replayed, size, *begun, base.healed)
