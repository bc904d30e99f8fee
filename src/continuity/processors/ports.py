"""What a sequencer needs from the world: a log to read, work to look up. Everything else it is told, or returns.

`processors.loop` implements these over Kafka and Postgres; the simulation implements them over lists and a random
number generator, and runs the very same sequencer.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from continuity.core.acceptance import Acceptance
from continuity.core.records import Event
from continuity.core.state import State


class StoredPosition(NamedTuple):
    """How far the projection of one partition is: `offset` is the next one that it will read from the events topic."""

    acceptance: Acceptance
    offset: int


class Fetched(NamedTuple):
    """One consistent look at the database: the workflows asked for, restored as of `position`.

    One that is not in `states` has no events there, or is `stopped`, or `unavailable` for now, each with the reason.
    `replayed` events were applied on top of snapshots.
    """

    position: StoredPosition
    states: Mapping[str, State]
    stopped: Mapping[str, str]
    unavailable: Mapping[str, str] = MappingProxyType({})
    replayed: int = 0


class WorkStore(Protocol):
    """The projected work. All calls are bounded in time and raise `errors.Retryable` when the database is away."""

    def position(self, partition: int) -> StoredPosition:
        """The projected position of a partition; `Acceptance()` and 0 before the first batch."""
        ...

    def fetch(self, partition: int, workflow_ids: Collection[str]) -> Fetched:
        """States, stopped workflows and position in one repeatable-read snapshot of the primary."""
        ...

    def past(self, workflow_id: str, at_seq: int) -> State:
        """The state after an older event. Raises Retryable also while that is not projected; IntegrityError."""
        ...

    def keep_base(self, state: State) -> None:
        """Store what a fork stands on, under its digest, before the event that cites it. Raises Retryable."""
        ...

    def base_of(self, first: Event) -> State | None:
        """What a fork's first event stands on; None of any other one. Raises Retryable, IntegrityError."""
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
