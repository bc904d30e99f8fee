"""One partition of the world: the topics of commands (one at a time), the events topic, and producers that fail.

Records are kept as bytes, because what is simulated is what a broker holds. No fault happens by itself here: `world`
draws them and calls.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from continuity.processors import CommandRecord, Outgoing, SourceFacts

PARTITION = 1
PARTITIONS = 3


class OutOfRange(Exception):
    """The broker has not, or no longer, the offset that was asked for."""


class CommandsTopic:
    """The commands partition of one incarnation of the topic. `low` is the first offset that retention has left."""

    def __init__(self, topic_id: str) -> None:
        self.topic_id = topic_id
        self.low = 0
        self.records: list[CommandRecord] = []

    @property
    def end(self) -> int:
        return len(self.records)

    def append(self, timestamp: int, value: bytes | None) -> int:
        offset = self.end
        self.records.append(CommandRecord(offset, timestamp, value))
        return offset

    def read(self, start: int, count: int) -> list[CommandRecord]:
        if not self.low <= start <= self.end:
            raise OutOfRange
        return self.records[start : start + count]


class Partition:
    """What the broker holds. Implements `ports.PartitionLog` for every owner."""

    def __init__(self) -> None:
        self.topics = [CommandsTopic("topic-0")]
        self.events: list[bytes] = []

    @property
    def commands(self) -> CommandsTopic:
        return self.topics[-1]

    def recreate_commands(self) -> None:
        self.topics.append(CommandsTopic(f"topic-{len(self.topics)}"))

    def append(self, value: bytes) -> int:
        self.events.append(value)
        return len(self.events) - 1

    def source(self) -> SourceFacts:
        return SourceFacts(PARTITION, PARTITIONS, self.commands.topic_id, self.commands.low, self.commands.end)

    def end(self) -> int:
        return len(self.events)

    def read(self, start: int, end: int) -> Iterable[tuple[int, bytes]]:
        return [(offset, self.events[offset]) for offset in range(start, min(end, len(self.events)))]


class Report(NamedTuple):
    """What a producer tells its owner of a record: where it is, or (None) that it failed."""

    epoch_seq: int
    offset: int | None


class Wire:
    """A producer: records in order, from being sent to being in the log, to being known to be there."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.queue: deque[Outgoing] = deque()
        self.reports: deque[Report] = deque()

    def send(self, outgoing: Iterable[Outgoing]) -> None:
        self.queue.extend(outgoing)

    def land(self, count: int) -> None:
        """The oldest records reach the log, and their reports are on the way."""
        for _ in range(min(count, len(self.queue))):
            record = self.queue.popleft()
            self.reports.append(Report(record.epoch_seq, self.partition.append(record.value)))

    def land_unheard(self, offset: int | None) -> None:
        """The oldest reaches the log, and its report is wrong: a failure, or an offset that the broker did not say."""
        record = self.queue.popleft()
        self.partition.append(record.value)
        self.reports.append(Report(record.epoch_seq, offset))

    def refuse(self, later: int, *, is_told_last: bool) -> Outgoing:
        """The oldest fails; the library delivers `later` ones after it before anybody can stop it. Returns the failed
        one, which may have been on its way all the same."""
        record = self.queue.popleft()
        if not is_told_last:
            self.reports.append(Report(record.epoch_seq, None))
        self.land(later)
        if is_told_last:
            self.reports.append(Report(record.epoch_seq, None))
        return record
