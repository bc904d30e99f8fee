"""The projected work, as a database that lags, is away, rots, or is rebuilt; and the projector that fills it.

Reads the log with the product's acceptance rule. A batch is one transaction: position, journals and stopped workflows
move together.
"""

from collections import Counter
from collections.abc import Collection
from typing import Any

from continuity import codec
from continuity.core.acceptance import START, Verdict, chain_fits, judge
from continuity.core.ids import ZERO_HASH
from continuity.core.records import Event
from continuity.core.restore import restore
from continuity.core.seal import Damaged
from continuity.core.state import State
from continuity.errors import IntegrityError, Retryable
from continuity.processors import Fetched, StoredPosition
from tests.simulation.partition import Partition


class Database:
    """Implements `ports.WorkStore`. `is_away` and `rotten` are set by the world."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.is_away = False
        self.rotten: set[str] = set()
        self.projected = StoredPosition(START, 0)
        self.journals: dict[str, list[Event]] = {}
        self.stopped: dict[str, str] = {}
        self.counts: Counter[str] = Counter()

    # For sequencers

    def position(self, partition: int) -> StoredPosition:
        del partition
        self._answer()
        return self.projected

    def past(self, workflow_id: str, at_seq: int) -> State:
        self._answer()
        journal = self._journal(workflow_id, at_seq)
        if len(journal) < at_seq:
            self.counts["asked for what is not projected"] += 1
            raise Retryable(f"Event {at_seq} is not projected yet.")
        try:
            return restore(workflow_id, journal)
        except Damaged as damage:
            raise IntegrityError(damage.detail, workflow_id=workflow_id) from None

    def keep_base(self, state: State) -> None:
        del state
        self._answer()

    def fetch(self, partition: int, workflow_ids: Collection[str]) -> Fetched:
        del partition
        self._answer()
        stopped = {each: self.stopped[each] for each in workflow_ids if each in self.stopped}
        states, unavailable = {}, {}
        for each in workflow_ids:
            if each not in stopped:
                try:
                    states[each] = restore(each, self._journal(each))
                except Damaged as damage:
                    unavailable[each] = damage.detail
        return Fetched(self.projected, states, stopped, unavailable)

    def _answer(self) -> None:
        if self.is_away:
            self.counts["asked while away"] += 1
            raise Retryable("The database does not answer.")

    def _journal(self, workflow_id: str, up_to: int | None = None) -> list[Event]:
        journal = self.journals.get(workflow_id, [])[:up_to]
        if workflow_id in self.rotten and journal:
            self.counts["rotten journal read"] += 1
            damaged: Any = dict(journal[-1])
            damaged["delta"] = damaged["delta"].replace("e", "f", 1)
            journal[-1] = damaged
        return journal

    # The projector

    def project(self, records_max: int) -> None:
        """One transaction: up to so many records of the log."""
        if self.is_away:
            return
        acceptance, start = self.projected
        for _, value in self.partition.read(start, start + records_max):
            try:
                event = codec.decode_event(value)
            except codec.Undecodable:
                continue
            acceptance, verdict = judge(acceptance, event)
            if verdict is Verdict.EVENT:
                self._add(event)
        self.projected = StoredPosition(acceptance, min(start + records_max, self.partition.end()))

    def _add(self, event: Event) -> None:
        workflow_id = event["workflow_id"]
        if workflow_id in self.stopped:
            return
        journal = self.journals.setdefault(workflow_id, [])
        head = (journal[-1]["event_seq"], journal[-1]["event_hash"]) if journal else (0, ZERO_HASH)
        if chain_fits(*head, event):
            journal.append(event)
        else:
            self.stopped[workflow_id] = f"Event {event['event_seq']} does not follow event {head[0]}."

    def rebuild(self) -> None:
        """From nothing, at once: it will catch up."""
        self.counts["rebuilt"] += 1
        self.projected = StoredPosition(START, 0)
        self.journals, self.stopped, self.rotten = {}, {}, set()
