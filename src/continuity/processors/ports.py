"""What a sequencer needs from the world: a log to read, work to look up. Everything else it is told, or returns.

`processors.loop` implements these over Kafka and Postgres; the simulation implements them over lists and a random
number generator, and runs the very same sequencer.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from continuity.core.acceptance import Acceptance
from continuity.core.records import Event


class StoredPosition(NamedTuple):
    """How far the projection of one partition is: `offset` is the next one that it will read from the events topic."""

    acceptance: Acceptance
    offset: int


class Fetched(NamedTuple):
    """One consistent look at the database: the journals of the workflows asked for, in order, as of `position`."""

    position: StoredPosition
    journals: Mapping[str, Sequence[Event]]
    stopped: Mapping[str, str]


class WorkStore(Protocol):
    """The projected work. Both calls are bounded in time and raise `errors.Retryable` when the database is away."""

    def position(self, partition: int) -> StoredPosition:
        """The projected position of a partition; `Acceptance()` and 0 before the first batch."""
        ...

    def fetch(self, partition: int, workflow_ids: Collection[str]) -> Fetched:
        """Journals, stopped workflows and position in one repeatable-read snapshot of the primary."""
        ...


class SourceFacts(NamedTuple):
    """The commands partition as the broker describes it: the topic's own id, and the range of offsets it holds."""

    partition: int
    partitions: int
    topic_id: str
    low: int
    end: int


class PartitionLog(Protocol):
    """One partition of the events topic, and the commands partition that feeds it."""

    def source(self) -> SourceFacts:
        """What there is to decide."""
        ...

    def end(self) -> int:
        """The offset that the next appended record would get."""
        ...

    def read(self, start: int, end: int) -> Iterable[tuple[int, bytes]]:
        """All records from `start` up to `end`, uncommitted ones included, with their offsets."""
        ...
