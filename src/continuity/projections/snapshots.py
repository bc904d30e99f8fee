"""Snapshots of the batches that are projected, and the check that each event leads to the state that it names.

Work is folded here as it comes, once: from the states of the workflows that were seen last, which are kept, or from
what `continuity.restoring` reads back. A snapshot is written by the transaction of the event that it is taken after,
and when it is due does not depend on how the log falls into batches: a rebuild makes the same rows. Pruning keeps the
newest, every tenth, and whatever somebody cites. Touches Postgres, in the writer's transaction, and the blobs.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from continuity import restoring
from continuity.blobs import Blobs
from continuity.config import Settings
from continuity.core import snapshot
from continuity.core.ids import instant
from continuity.core.records import Event
from continuity.core.restore import Fold
from continuity.core.seal import Damaged
from continuity.core.snapshot import Policy, Since
from continuity.core.state import State
from continuity.errors import ContinuityError, IntegrityError, Retryable
from continuity.postgres import BoundedConnection
from continuity.projections import derived
from continuity.projections.metrics import METRICS
from continuity.projections.record import Record, standing_on
from continuity.projections.schema import statement
from continuity.projections.work import Work
from continuity.restoring import LogReader, SnapshotRow

STATE_BYTES_MAX: Final = 64 * 1024 * 1024
WAIT_SECONDS: Final = 10.0
PAUSE_SECONDS: Final = 15.0
POLICY: Final = Policy()
CHAIN_FIELDS: Final = frozenset({"workflow_id", "event_seq", "prev_hash"})

log = logging.getLogger("projector")


class Patience:
    """How long the projection waits for a blob store that is away, before it goes on without it.

    A short outage changes nothing: the batch is tried again. A long one costs snapshots, not the projection: a restore
    then replays more, and the next snapshot is taken as soon as the store is back. It outlives a reconnection.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._away_since: float | None = None
        self._closed_until = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the store is not even to be asked for now."""
        return self._away_since is not None and self._clock() < self._closed_until

    def failed(self, error: ContinuityError) -> None:
        """The store did not answer. Raises Retryable as long as it is worth waiting for."""
        now = self._clock()
        if self._away_since is None:
            self._away_since = now
        if now - self._away_since < WAIT_SECONDS:
            raise Retryable(f"Blobs cannot be stored now: {error.detail}", fix=error.fix) from error
        log.error("going on without snapshots of large states: %s", error)
        self._closed_until = now + PAUSE_SECONDS

    def answered(self) -> None:
        """The store is there."""
        self._away_since = None


@dataclass
class _Folding:
    """A workflow after its last event, and the journal since its newest snapshot, the `number`-th."""

    fold: Fold
    since: Since = field(default_factory=Since)
    number: int = 0


class Snapshots:
    """Of one schema, over the writer's connection. Per batch: `examined`, `write`, and `commit` once that is durable.

    A fold goes on where it is: making a state of each after each batch took a quarter to a third of the projector's
    processor time. So the folds of a batch are taken out of what is warm, and only a commit brings them back. What an
    aborted batch had folded is gone, and read back from the journal.
    """

    def __init__(
        self,
        connection: BoundedConnection,
        blobs: Blobs,
        policy: Policy = POLICY,
        *,
        workflows_max: int = Settings.cache_workflows_max,
        log_reader: LogReader | None = None,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert policy.keep > 0, "The newest snapshot is never pruned."
        self._connection = connection
        self._blobs = blobs
        self._policy = policy
        self._workflows_max = workflows_max
        self._log_reader = log_reader
        self._patience = patience or Patience()
        self._warm: OrderedDict[str, _Folding] = OrderedDict()
        self._size_bytes = 0
        self._batch: dict[str, _Folding] = {}
        self._rows: list[SnapshotRow] = []
        self._done: dict[str, _Folding] = {}
        self._clock = clock
        self._written_at = clock()
        METRICS.time_since_snapshot.set_function(lambda: self._clock() - self._written_at)
        METRICS.journal_since_snapshot.set_function(self._longest_journal)

    def examined(self, records: Sequence[Record], work: Work) -> list[Record]:
        """The same records, with a flaw in those that do not lead to the state that they name.

        Takes the snapshots that are due. Raises IntegrityError (a workflow cannot be read back) and Retryable.
        """
        self._rows, self._done = [], {}
        wanted = dict.fromkeys(each.workflow_id for each in records if not work.is_stopped(each.workflow_id))
        self._batch = self._begin(wanted, work)
        return [self._examined(record) for record in records]

    def write(self, work: Work) -> None:
        """Add the rows that are due, and prune what they replace. `work` says how far each workflow got.

        Raises IntegrityError where the head that was written does not have the state's next step.
        """
        heads = work.heads
        for row in self._rows:
            if row.last_event_seq <= heads[row.workflow_id].head_seq:
                self._connection.execute(statement("write_snapshot"), _parameters(row))
                pruned = self._connection.execute(
                    statement("prune_snapshots"), (row.workflow_id, row.number - self._policy.keep, snapshot.KEEP_EVERY)
                )
                METRICS.snapshots_pruned.inc(pruned.rowcount)
        for workflow_id, folding in self._batch.items():
            if workflow_id in heads and heads[workflow_id].head_hash == folding.fold.head_hash:
                self._done[workflow_id] = folding
        self._batch = {}
        taken = dict.fromkeys(row.workflow_id for row in self._rows)
        derived.check(self._connection, (self._done[key].fold.state() for key in taken if key in self._done))

    def commit(self) -> None:
        """The transaction is durable: its states are what the next batch begins with."""
        for workflow_id, folding in self._done.items():
            self._warm[workflow_id] = folding
            self._size_bytes += folding.fold.size_bytes
        while len(self._warm) > self._workflows_max or (self._size_bytes > STATE_BYTES_MAX and len(self._warm) > 1):
            self._take_out(next(iter(self._warm)))
        for row in self._rows:
            METRICS.snapshots_written.labels("row" if row.state_s3_key is None else "blob").inc()
            self._written_at = self._clock()
        self._rows, self._done = [], {}

    def _take_out(self, workflow_id: str) -> _Folding | None:
        folding = self._warm.pop(workflow_id, None)
        if folding is not None:
            self._size_bytes -= folding.fold.size_bytes
        return folding

    def _longest_journal(self) -> int:
        return max((folding.since.journal_bytes for folding in list(self._warm.values())), default=0)

    # States.

    def _begin(self, wanted: Iterable[str], work: Work) -> dict[str, _Folding]:
        """The states before the batch."""
        found: dict[str, _Folding] = {}
        cold = []
        for workflow_id in wanted:
            head = work.heads.get(workflow_id)
            warm = self._take_out(workflow_id)
            if head is None:
                found[workflow_id] = _Folding(Fold(State(workflow_id)))
            elif warm is not None and warm.fold.head_hash == head.head_hash:
                found[workflow_id] = warm
            else:
                cold.append(workflow_id)
        if cold:
            found |= self._restored(cold)
        return found

    def _restored(self, cold: Sequence[str]) -> dict[str, _Folding]:
        look = restoring.restore_all(self._connection, None if self._patience.is_over else self._blobs, cold)
        for workflow_id, error in look.failed.items():
            if not isinstance(error, Retryable):
                # A fork may stand on damage of its origin: it is the fork that cannot go on.
                raise IntegrityError(error.detail, workflow_id=workflow_id) from error
        for error in look.failed.values():
            self._patience.failed(error)
            return self._restored(cold)  # without the blobs
        for workflow_id, restored in look.restored.items():
            for damage in restored.healed:
                log.error("workflow %s: went round damage: %s", workflow_id, damage)
        return {
            key: _Folding(Fold(each.state), Since(each.replayed, each.journal_bytes), each.base_number)
            for key, each in look.restored.items()
        }

    # Events.

    def _examined(self, record: Record) -> Record:
        folding = self._batch.get(record.workflow_id)
        if folding is None or record.flaw is not None or record.event is None:
            self._batch.pop(record.workflow_id, None)
            return record
        event = record.event
        try:
            delta = record.patches
            if event["event_seq"] == 1 and (base := self._base_of(event)) is not None:
                folding.fold = Fold(base)
                record = standing_on(record, base)
            folding.fold.add(event, (operation for _, _, operation in delta))
        except Damaged as damage:
            del self._batch[record.workflow_id]
            # What does not follow the chain is found by the same rule a moment later.
            return record if damage.field in CHAIN_FIELDS else record._replace(flaw=damage.detail)
        except IntegrityError as damage:
            del self._batch[record.workflow_id]
            return record._replace(flaw=damage.detail)
        events, size = folding.since
        folding.since = Since(events + 1, size + snapshot.journal_bytes(event))
        if self._policy.is_due(folding.fold.head_seq, folding.fold.size_bytes, folding.since):
            self._take(folding)
        return record

    def _base_of(self, event: Event) -> State | None:
        """What a fork stands on. Without its blob its origin says it, which may not be projected yet: in a rebuild both
        are in one batch, or the fork's partition is ahead. The log has it in any case.
        """
        blobs = None if self._patience.is_over else self._blobs
        try:
            return restoring.base_of(self._connection, blobs, event, self._log_reader)
        except Retryable as error:
            self._patience.failed(error)
            return restoring.base_of(self._connection, None, event, self._log_reader)

    # Snapshots.

    def _take(self, folding: _Folding) -> None:
        if folding.fold.size_bytes > self._policy.inline_bytes_max and self._patience.is_over:
            METRICS.snapshots_skipped.inc()
            return
        state = folding.fold.state()
        document = snapshot.document(state)
        inline = len(document) <= self._policy.inline_bytes_max
        ref = None
        if not inline:
            try:
                ref = self._blobs.put(document)
            except ContinuityError as error:
                self._patience.failed(error)
                METRICS.snapshots_skipped.inc()
                return
            self._patience.answered()
        folding.number += 1
        folding.since = Since()
        folding.fold = Fold(state)
        self._rows.append(
            SnapshotRow(
                snapshot.snapshot_id(state.workflow_id, state.head_seq),
                state.workflow_id,
                snapshot.steps_completed(state),
                state.head_seq,
                document.decode() if inline else None,
                ref,
                state.checksum,
                state.head_timestamp,
                state.head_hash,
                folding.number,
                state.window.slots,
                len(document),
            )
        )


def _parameters(row: SnapshotRow) -> tuple[object, ...]:
    return (*row._replace(created_at=instant(row.created_at)), row.digest())  # type: ignore[arg-type]  # as Postgres takes it
