"""The whole live system held against itself: topic = journal = fold = head, rows and snapshots. Reads only.

The topic is read with the acceptance rule up to where Postgres stands, partition by partition, and compared record by
record with the journal and the late results; then each workflow is checked by itself. One moment of the database, so
whatever is written meanwhile is no difference; in memory are a batch of records, a count for each partition, a key for
each late result, and one workflow's state.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from continuity import blobs, kafka, late_results, postgres, topics
from continuity.blobs import Blobs
from continuity.codec import Undecodable, decode_event
from continuity.config import Settings
from continuity.contract import LateResultRow
from continuity.core.acceptance import START, Acceptance, Verdict, judge
from continuity.core.ids import NIL
from continuity.core.records import SEQUENCER_MARK, Event
from continuity.errors import ConfigError
from continuity.postgres import SCHEMA, BoundedConnection
from continuity.review import journal
from continuity.review.checking import Workflow
from continuity.review.journal import HeadRow
from continuity.review.late import LateResults
from continuity.review_answers import ProblemTold
from continuity.review_answers import Verdict as Answer
from continuity.rows import EVENT_COLUMNS, EVENT_SEQ, HEAD_COLUMNS, WORKFLOW_ID, Head, event_of, missing

BATCH: Final = 1_000
PROBLEMS_MAX: Final = 1_000
"""More than that says nothing new, and would not be bounded."""

POSITIONS: Final = """
SELECT partition, next_offset, events_topic_id, epoch, sequencer_id, epoch_seq, closed, rules_version,
       commands_topic_id, source_generation, source_offset
FROM projection_offsets ORDER BY partition
"""
STORED: Final = f"""
SELECT log_partition, log_offset, {EVENT_COLUMNS}
FROM unnest(%s::uuid[], %s::bigint[]) AS wanted (wanted_id, wanted_seq)
JOIN events ON workflow_id = wanted_id AND event_seq = wanted_seq
"""  # noqa: S608 - a list of our own columns
COUNTS: Final = "SELECT log_partition, count(*) FROM events GROUP BY log_partition"
HEADS: Final = f"""
SELECT {HEAD_COLUMNS}, digest FROM workflows WHERE workflow_id > %s ORDER BY workflow_id LIMIT {BATCH}
"""  # noqa: S608
HEADLESS: Final = """
SELECT workflow_id FROM events
WHERE event_seq = 1 AND NOT EXISTS (SELECT FROM workflows WHERE workflows.workflow_id = events.workflow_id)
"""
STOPPED: Final = "SELECT workflow_id, head_seq FROM workflows WHERE stopped_reason IS NOT NULL"

Progress = Callable[[str, int, int], None]
"""`progress(what, done, of)`: about once a batch."""


class _Placed(NamedTuple):
    """An accepted event, and where it stands in the topic."""

    partition: int
    offset: int
    event: Event


def verify_all(
    settings: Settings, progress: Progress = lambda _what, _done, _total: None, *, schema: str = SCHEMA
) -> Answer:
    """The verdict on everything. Raises Retryable, and ConfigError when topic and database do not belong together."""
    topics.check(settings)
    connection = journal.connect(settings.postgres_dsn, schema)
    try:
        with postgres.translated(), connection.transaction():
            return _System(settings, connection, blobs.opened(settings), progress).verdict()
    finally:
        connection.close()


class _System:
    """One check, in one moment of the database."""

    def __init__(self, settings: Settings, connection: BoundedConnection, store: Blobs, progress: Progress) -> None:
        self._settings = settings
        self._connection = connection
        self._blobs = store
        self._progress = progress
        self._stopped: dict[str, int] = dict(connection.execute(STOPPED.encode()).fetchall())
        self._facts: Counter[int] = Counter()
        self._late = LateResults(connection)

    def verdict(self) -> Answer:
        problems: list[ProblemTold] = []
        # The first of each workflow's in the topic: what comes after it follows from it.
        seen: set[str] = set()
        for problem in self._topic():
            if problem["workflow_id"] not in seen and len(problems) < PROBLEMS_MAX:
                seen.add(problem["workflow_id"])
                problems.append(problem)
        problems += islice(self._headless(), PROBLEMS_MAX - len(problems))
        workflows = events = 0
        total = self._connection.execute(b"SELECT count(*) FROM workflows").fetchone()[0]  # type: ignore[index]
        for row in self._heads():
            check = Workflow(self._connection, self._blobs, row)
            for problem in check.problems():
                if len(problems) < PROBLEMS_MAX:
                    problems.append(problem)
            workflows, events = workflows + 1, events + check.events
            self._progress("workflows", workflows, total)
        return Answer(ok=not problems, workflows=workflows, events=events, problems=problems)

    # The topic, and the journal.

    def _topic(self) -> Iterator[ProblemTold]:
        topic_id, partitions = kafka.topic_id(self._settings, self._settings.events_topic)
        positions = self._connection.execute(POSITIONS.encode()).fetchall()
        for partition, _, known, *_ in positions:
            if known != topic_id or partition >= partitions:
                raise ConfigError(
                    f"Partition {partition} was projected from another topic than {self._settings.events_topic}.",
                    fix="Point CONTINUITY_KAFKA_BOOTSTRAP to the right cluster, or run `continuity rebuild`.",
                )
        for partition, end, _, *remembered in positions:
            yield from self._partition(partition, end, Acceptance(*remembered))
        for partition, count in self._connection.execute(COUNTS.encode()).fetchall():
            if count != self._facts[partition]:
                detail = f"The journal has {count} events of partition {partition}, the topic {self._facts[partition]}."
                yield _problem(NIL, None, "log_partition", "journal", detail)
        yield from self._late.besides()

    def _partition(self, partition: int, end: int, remembered: Acceptance) -> Iterator[ProblemTold]:
        acceptance = START
        done = 0
        topic = self._settings.events_topic
        log = kafka.read_range(self._settings, topic, partition, 0, end)
        while messages := list(islice(log, BATCH)):
            placed: list[_Placed] = []
            late: list[LateResultRow] = []
            for message in messages:
                acceptance, verdict, event = _judged(acceptance, message.value())
                if event is not None and verdict is Verdict.EVENT:
                    placed.append(_Placed(partition, kafka.offset_of(message), event))
                elif event is not None and verdict is Verdict.MARK:
                    late += _late_results(event)
            yield from self._compared([each for each in placed if self._is_projected(each.event)])
            yield from self._late.compared(late)
            done = kafka.offset_of(messages[-1]) + 1
            self._progress(f"partition {partition}", done, end)
        if done != end:
            detail = f"Partition {partition} is projected up to offset {end}, and ends at {done}."
            yield _problem(NIL, None, "next_offset", "topic", detail)
        elif acceptance != remembered:
            detail = f"What is remembered of partition {partition} is not what its records say: {acceptance}."
            yield _problem(NIL, None, "projection_offsets", "rows", detail)

    def _is_projected(self, event: Event) -> bool:
        """Of a workflow that was stopped, nothing after its head."""
        return event["event_seq"] <= self._stopped.get(event["workflow_id"], event["event_seq"])

    def _compared(self, placed: Sequence[_Placed]) -> Iterator[ProblemTold]:
        keys = [each.event["workflow_id"] for each in placed], [each.event["event_seq"] for each in placed]
        found: dict[tuple[str, int], tuple[int, int, Any]] = {}
        for partition, offset, *columns in self._connection.execute(STORED.encode(), keys, prepare=True):
            try:
                event: Any = event_of(columns)
            except ValueError:
                event = None
            found[columns[WORKFLOW_ID], columns[EVENT_SEQ]] = (partition, offset, event)
        for each in placed:
            event = each.event
            self._facts[each.partition] += 1
            other = found.get((event["workflow_id"], event["event_seq"]))
            if other is None:
                yield _problem(event["workflow_id"], event["event_seq"], "event_seq", "journal", "It is missing there.")
            elif (field := _differs_in(each, other)) is not None:
                detail = f"Event {event['event_seq']} is another one in the topic and in the journal, in {field}."
                yield _problem(event["workflow_id"], event["event_seq"], field, "journal", detail)

    # Workflows.

    def _headless(self) -> Iterator[ProblemTold]:
        for (workflow_id,) in self._connection.execute(HEADLESS.encode()):
            lost = missing(workflow_id, "the head")
            yield _problem(workflow_id, None, "the head", "rows", lost.detail)

    def _heads(self) -> Iterator[HeadRow]:
        last = NIL
        while True:
            rows = self._connection.execute(HEADS.encode(), (last,)).fetchall()
            # A head whose row is rotten still names what is to be compared with its events.
            yield from (HeadRow(Head(*columns[:-1]), columns[-1]) for columns in rows)
            if len(rows) < BATCH:
                return
            last = rows[-1][0]


def _judged(acceptance: Acceptance, value: bytes | None) -> tuple[Acceptance, Verdict | None, Event | None]:
    """What a record is to a reader: what to remember after it, the verdict on it, and the record, if it is one."""
    try:
        record = decode_event(value)
        after, verdict = judge(acceptance, record)
    except (Undecodable, ValueError, KeyError, TypeError):
        return acceptance, None, None
    return after, verdict, record


def _late_results(mark: Event) -> Sequence[LateResultRow]:
    """What a mark tells besides; none where nobody can read it, and of another record of the sequencer's own."""
    try:
        return late_results.told_in(mark) if mark["event_type"] == SEQUENCER_MARK else ()
    except (ValueError, KeyError, TypeError, AttributeError):
        return ()


def _differs_in(placed: _Placed, stored: tuple[int, int, Any]) -> str | None:
    partition, offset, event = stored
    if event is None:
        return "payload"
    if (partition, offset) != (placed.partition, placed.offset):
        return "log_partition" if partition != placed.partition else "log_offset"
    names: Iterable[str] = placed.event
    return next((name for name in names if placed.event[name] != event[name]), None)  # type: ignore[literal-required]


def _problem(workflow_id: str, event_seq: int | None, field: str, where: Any, detail: str) -> ProblemTold:
    return ProblemTold(workflow_id=workflow_id, event_seq=event_seq, field=field, where=where, detail=detail)
