"""A would-be owner of the partition: the production sequencer, with `processors.loop` replaced by single steps.

It does what the loop does, in the same order, and nothing cleverer: open from the log, decide, hear deliveries, and on
anything unexpected throw the producer away and open again. Which step comes when is the world's choice.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Literal, NamedTuple
from unittest.mock import patch

from continuity.core.records import Event
from continuity.core.state import State
from continuity.errors import ConfigError, Retryable
from continuity.processors import (
    Answer,
    CommandRecord,
    Dislodged,
    Fetched,
    Outdated,
    Sequencer,
    StoredPosition,
    opening,
    read_log,
    sequencer,
)  # fmt: skip
from continuity.processors.cache import Cache
from tests.simulation.database import Database
from tests.simulation.partition import CommandsTopic, OutOfRange, Wire

IN_FLIGHT_MAX = 8
OUTAGES = frozenset({"unavailable", "integrity", "workflow_stopped"})


@contextmanager
def rules(version: int) -> Iterator[None]:
    """Within it the product is of that rules version."""
    with patch.object(opening, "RULES_VERSION", version), patch.object(sequencer, "RULES_VERSION", version):
        yield


class Looks(NamedTuple):
    """What the database told during one batch. Of the workflows in `unread` an older state could not be read."""

    was_away: bool
    asked: frozenset[str]
    fetched: tuple[int, ...]
    unread: frozenset[str]


class WatchedStore:
    """The database, remembering what one batch asked it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: set[str] = set()
        self._fetched: list[int] = []
        self._unread: set[str] = set()
        self._asked_for: tuple[str, ...] = ()
        self._was_away = False

    def position(self, partition: int) -> StoredPosition:
        return self._database.position(partition)

    def fetch(self, partition: int, workflow_ids: Collection[str]) -> Fetched:
        self._asked |= set(workflow_ids)
        try:
            fetched = self._database.fetch(partition, workflow_ids)
        except Retryable:
            self._was_away = True
            raise
        self._fetched.append(fetched.position.offset)
        return fetched

    def past(self, workflow_id: str, at_seq: int) -> State:
        self._asked_for = (workflow_id,)
        try:
            return self._database.past(workflow_id, at_seq)
        except Retryable:
            self._unread.add(workflow_id)
            raise

    def keep_base(self, state: State) -> None:
        try:
            self._database.keep_base(state)
        except Retryable:
            self._unread |= {*self._asked_for}
            raise

    def base_of(self, first: Event) -> State | None:
        try:
            return self._database.base_of(first)
        except Retryable:
            self._unread.add(first["workflow_id"])
            raise

    def looks(self) -> Looks:
        return Looks(self._was_away, frozenset(self._asked), tuple(self._fetched), frozenset(self._unread))


class Batch(NamedTuple):
    """A batch as it was decided, for the checkers: by whom, what, and what the database said. `seen` is the newest
    projected offset that this ownership had seen before, `log_end` where the events topic ended, `reach` how far this
    owner can have written it, `tail_start` from where on it could say what the database may not have. `turned_away` are
    the offsets that no rule decided, because the workflow could not be read, whether or not anybody was told."""

    sequencer_id: str
    log_end: int
    reach: int
    tail_start: int
    records: tuple[CommandRecord, ...]
    looks: Looks
    seen: int
    turned_away: Mapping[int, str]


def _turned_away(sequencer: Sequencer) -> dict[int, str]:
    """Of all that is on the way: an answer that is never released shows nowhere else."""
    rejections = (answer.rejection for record in sequencer._in_flight for answer in record.answers)
    return {each["source_offset"]: each["code"] for each in rejections if each and each["code"] in OUTAGES}


class Owner:
    """One process. It is `open`, or waits to open; `publish` takes the answers it releases."""

    def __init__(
        self,
        database: Database,
        version: int,
        workflows_max: int,
        random: Random,
        publish: Callable[[str, Answer], None],
    ) -> None:
        self.database = database
        self.log = database.partition
        self.version = version
        self.cache = Cache(workflows_max)
        self.random = random
        self.publish = publish
        self.sequencer: Sequencer | None = None
        self.topic: CommandsTopic = self.log.commands
        self.wire = Wire(self.log)
        self.counts: Counter[str] = Counter()
        self.batches: list[Batch] = []
        self.abandoned: list[Wire] = []
        self.is_stuck = False
        self.has_left = False
        self.wakes_up_at = 0
        self._seen = 0
        self._ever_warm: set[str] = set()

    @property
    def is_open(self) -> bool:
        return self.sequencer is not None and self.sequencer.is_open

    def open(self, forced_by: str | None = None) -> None:
        """Begin an ownership from the log, or find out why not."""
        as_of = self.cache.as_of_offset
        with rules(self.version):
            try:
                opened = read_log(self.log, self.database, self.cache, forced_by)
            except Retryable:
                self.counts["opening: database away"] += 1
                return
            except Outdated:
                self.counts["opening: outdated, left"] += 1
                self.has_left = True
                return
            except ConfigError:
                self.counts["opening: another commands topic"] += 1
                self.is_stuck = True
                return
            self.is_stuck = False
            identity = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
            self.sequencer = Sequencer(opened, identity, self.cache)
        self.counts["opening: commands lost"] += self.sequencer.lost is not None
        self.counts["opening: with a tail"] += opened.tail.size_bytes > 0
        overflows = opened.tail.start > self.database.projected.offset
        self.counts["opening: tail overflows"] += overflows
        older = self.database.projected.offset <= as_of < opened.tail.start and len(self.cache) > 0
        self.counts["opening: cache older than the tail"] += older
        self.counts["opening: warm cache kept"] += len(self.cache) > 0
        self.counts["opening: adopted"] += forced_by is not None
        self.topic = self.log.commands
        self._seen = opened.tail.start
        self.wire = Wire(self.log)
        self.wire.send([self.sequencer.opening])

    def work(self, records_max: int = 5) -> bool:
        """Take a batch of commands and decide it; whether that was done."""
        if self.sequencer is None or not self.sequencer.is_open or self.sequencer.in_flight > IN_FLIGHT_MAX:
            return False
        start, count = self.sequencer.next_source_offset, self.random.randint(1, records_max)
        if self.random.random() < 0.05:
            start = max(min(self.topic.low, start), start - 2)  # a fetch that overlaps what was decided
        if self.topic is not self.log.commands:
            return self.reopen("the commands topic is another one")
        try:
            records = self.topic.read(start, count)
        except OutOfRange:
            return self.reopen("offset out of range")
        return self._decide(self.sequencer, records)

    def _decide(self, sequencer: Sequencer, records: list[CommandRecord]) -> bool:
        store = WatchedStore(self.database)
        fresh = tuple(record for record in records if record.offset >= sequencer.next_source_offset)
        reach, tail_start = sequencer.expected_offset + sequencer.in_flight, sequencer._tail.start
        try:
            outgoing = sequencer.decide(records, store)
        except Dislodged:
            return self.reopen("the projection is ahead")
        looks = store.looks()
        replayed = sequencer._tail.workflows_since(max(looks.fetched, default=0)) if looks.fetched else set()
        self.counts["restored with a tail"] += bool(looks.asked & replayed)
        is_short = any(position < tail_start for position in looks.fetched)
        restored = any(workflow_id in self.cache for workflow_id in looks.asked)
        self.counts["restored while the tail is too short for others"] += is_short and restored
        self.counts["restored again"] += len(looks.asked & self._ever_warm)
        self._ever_warm |= looks.asked
        self.batches.append(
            Batch(
                sequencer.sequencer_id, self.log.end(), reach, tail_start, fresh, looks, self._seen,
                _turned_away(sequencer),
            )
        )  # fmt: skip
        self._seen = max(self._seen, *looks.fetched, 0)
        self.wire.send(outgoing)
        return True

    def hear(self) -> None:
        """Take the oldest delivery report, and release what waited for it."""
        if self.sequencer is None or not self.wire.reports:
            return
        report = self.wire.reports.popleft()
        if report.offset is None:
            self.reopen("a record failed")
            return
        try:
            answers = self.sequencer.confirm(report.epoch_seq, report.offset)
        except Dislodged:
            self.reopen("dislodged")
            return
        for answer in answers:
            self.publish(self.sequencer.sequencer_id, answer)

    def reopen(self, reason: str) -> Literal[False]:
        """This ownership has ended; what is on the wire may still arrive."""
        self.counts[f"reopened: {reason}"] += 1
        self.abandoned.append(self.wire)
        self.sequencer, self.wire = None, Wire(self.log)
        return False
