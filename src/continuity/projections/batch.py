"""A batch of the events topic, judged: which records are facts, and what each partition's reader has to remember.

Pure. The rule itself is `core.acceptance`, the same for every reader. What cannot be read at all is counted and
passed: nothing that somebody writes to a topic may stop the projection.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from continuity.contract import LateResultRow
from continuity.core.acceptance import START, Acceptance, Verdict, judge
from continuity.core.records import Event
from continuity.projections.record import Record

UNREADABLE = "unreadable"
EVENT, MARK = Verdict.EVENT.value, Verdict.MARK.value


class Position(NamedTuple):
    """How far a partition is projected: the next offset to read, and what its reader remembers."""

    next_offset: int = 0
    acceptance: Acceptance = START


class Batch(NamedTuple):
    """The accepted events of some records in log order, and the positions before and after all of them.

    `late_results` are those that accepted marks carry.
    """

    before: Mapping[int, Position]
    after: Mapping[int, Position]
    facts: Sequence[Record]
    verdicts: Mapping[str, int]
    late_results: Sequence[LateResultRow] = ()


def judged(positions: Mapping[int, Position], records: Iterable[Record]) -> Batch:
    """Apply the acceptance rule to records in offset order. Those below a partition's position are passed over."""
    next_offset = {partition: position.next_offset for partition, position in positions.items()}
    acceptance = {partition: position.acceptance for partition, position in positions.items()}
    read: set[int] = set()
    facts: list[Record] = []
    late_results: list[LateResultRow] = []
    verdicts: Counter[str] = Counter()
    for record in records:
        partition = record.partition
        if record.offset < next_offset[partition]:
            continue
        read.add(partition)
        next_offset[partition] = record.offset + 1
        acceptance[partition], verdict = _judge(acceptance[partition], record.event)
        verdicts[verdict] += 1
        if verdict == EVENT:
            facts.append(record)
        elif verdict == MARK and record.flaw is not None:
            verdicts[UNREADABLE] += 1  # what it says besides; that it closes its batch counts all the same
        elif verdict == MARK:
            late_results += record.late_results
    after = {partition: Position(next_offset[partition], acceptance[partition]) for partition in sorted(read)}
    return Batch({partition: positions[partition] for partition in after}, after, facts, verdicts, late_results)


def _judge(acceptance: Acceptance, event: Event | None) -> tuple[Acceptance, str]:
    if event is None:
        return acceptance, UNREADABLE
    try:
        after, verdict = judge(acceptance, event)
    except (ValueError, KeyError, TypeError):  # an epoch record whose payload is none: no sequencer wrote it
        return acceptance, UNREADABLE
    return after, verdict.value
