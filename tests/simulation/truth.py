"""What is true: the accepted log as any reader finds it, with the state after each event."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from continuity import codec
from continuity.core.acceptance import START, Verdict, chain_fits, judge
from continuity.core.canonical import loads_canonical
from continuity.core.evolve import evolve
from continuity.core.history import forked
from continuity.core.records import Event
from continuity.core.state import State
from continuity.processors import PartitionLog

Place = tuple[int, int]
"""A command record: the generation of its topic, and its offset there."""


class Record(NamedTuple):
    """A record of the events topic that could be read, counted or not. `place` is what it speaks for."""

    offset: int
    event: Event
    verdict: Verdict

    @property
    def place(self) -> Place:
        return self.event["source_generation"], self.event["source_offset"]

    @property
    def owner(self) -> tuple[int, str]:
        return self.event["epoch"], self.event["sequencer_id"]

    @property
    def payload(self) -> Any:
        return loads_canonical(self.event["payload"])


class Truth:
    """Reads the events topic as it grows. Folds payloads; that the deltas say the same is for a checker to hold."""

    def __init__(self, partition: PartitionLog) -> None:
        self.partition = partition
        self.read_to = 0
        self.acceptance = START
        self.topics: dict[int, str] = {}
        self.facts: dict[Place, Record] = {}
        self.journals: dict[str, list[Record]] = {}
        self.histories: dict[str, list[State]] = {}
        self.stopped: dict[str, Record] = {}
        self.records: list[Record] = []
        self.twice: list[Place] = []
        self.late: dict[Place, list[Any]] = {}
        self._places: dict[str, list[Place]] = {}
        self.verdicts: Counter[str] = Counter()

    def read(self) -> None:
        """Up to the end."""
        for offset, value in self.partition.read(self.read_to, self.partition.end()):
            try:
                event = codec.decode_event(value)
            except codec.Undecodable:
                self.verdicts["undecodable"] += 1
                continue
            self.acceptance, verdict = judge(self.acceptance, event)
            self.verdicts[verdict.value] += 1
            self.records.append(Record(offset, event, verdict))
            if verdict is Verdict.EVENT:
                self._fold(self.records[-1])
            elif verdict is Verdict.MARK:
                self._note_late(self.records[-1])
            elif verdict is Verdict.EPOCH:
                self.topics.setdefault(event["source_generation"], self.records[-1].payload["topic_id"])
        self.read_to = self.partition.end()

    @property
    def accepted(self) -> Iterator[Record]:
        return (record for record in self.records if record.verdict.accepted)

    def _fold(self, record: Record) -> None:
        workflow_id = record.event["workflow_id"]
        if workflow_id in self.stopped:
            return
        history = self.histories.setdefault(workflow_id, [self._beginning(record)])
        if not chain_fits(history[-1].head_seq, history[-1].head_hash, record.event):
            self.stopped[workflow_id] = record
            return
        if record.place in self.facts:
            self.twice.append(record.place)
        self.facts[record.place] = record
        self._places.setdefault(workflow_id, []).append(record.place)
        self.journals.setdefault(workflow_id, []).append(record)
        history.append(evolve(history[-1], record.event))

    def _beginning(self, record: Record) -> State:
        """The state that a first event stands on: a fork's is its origin's, counted back."""
        workflow_id = record.event["workflow_id"]
        if record.event["event_type"] != "project_forked":
            return State(workflow_id)
        cited = record.payload
        return forked(self.histories[cited["origin_workflow_id"]][cited["origin_seq"]], workflow_id)

    def _note_late(self, mark: Record) -> None:
        """The results that it keeps of executors that came too late."""
        payload = mark.payload
        if "late_results" in payload:
            self.late.setdefault(mark.place, []).extend(payload["late_results"])

    def state_before(self, workflow_id: str, place: Place) -> State:
        """The state that a command record at `place` met."""
        seen = bisect_left(self._places.get(workflow_id, []), place)
        return self.histories[workflow_id][seen] if seen else State(workflow_id)
