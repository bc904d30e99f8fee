"""How an ownership begins: read the log to its end, and find where to resume.

Reads through the ports, writes nothing. What it finds is what `Sequencer` begins with.
"""

from contextlib import suppress
from typing import NamedTuple

from continuity import codec
from continuity.core.acceptance import RULES_VERSION, Acceptance, Verdict, judge
from continuity.errors import ConfigError
from continuity.processors.cache import Cache
from continuity.processors.ports import PartitionLog, SourceFacts, WorkStore
from continuity.processors.tail import Tail

CATCH_UP_RECORDS_MAX = 10_000
"""A cache that is further behind than this is emptied instead of compared with what it missed."""


class Outdated(Exception):
    """The log was written under newer rules than this version knows: leave the group, and upgrade."""


class Resume(NamedTuple):
    """The first command to decide; `lost` is the range of offsets, if any, that retention took undecided."""

    generation: int
    offset: int
    lost: tuple[int, int] | None = None


class Opened(NamedTuple):
    """The log of one partition, read to `end`. `forced_by` names the operator who had a new generation begun."""

    acceptance: Acceptance
    source: SourceFacts
    resume: Resume
    tail: Tail
    end: int
    forced_by: str | None = None


def read_log(log: PartitionLog, store: WorkStore, cache: Cache, forced_by: str | None = None) -> Opened:
    """Read the events partition from the projected position to its end, and drop from `cache` what it moved past.

    Raises Retryable (database or broker away), Outdated, and ConfigError if the commands topic is not the one that
    the log speaks for; an operator who knows why passes `forced_by` (`continuity adopt`).
    """
    source = log.source()
    stored = store.position(source.partition)
    end = log.end()
    if stored.offset > end:
        raise ConfigError(
            f"Postgres has projected partition {source.partition} up to {stored.offset}, but the events topic ends at"
            f" {end}: one of them belongs to another installation, or the topic has lost its end.",
            fix="Point the settings to the broker and the database that belong together, or run `continuity rebuild`.",
        )
    acceptance, tail = _accepted(log, stored.acceptance, stored.offset, end)
    if acceptance.rules_version > RULES_VERSION and not forced_by:
        raise Outdated(
            f"Partition {source.partition} was written under rules version {acceptance.rules_version}, and this"
            f" process has {RULES_VERSION}. Upgrade it."
        )
    _drop_moved(cache, log, tail)
    cache.as_of_offset = end
    return Opened(acceptance, source, _resume(acceptance, source, forced_by), tail, end, forced_by)


def _drop_moved(cache: Cache, log: PartitionLog, tail: Tail) -> None:
    """Drop what the log has, or may have, moved past since the cache was right."""
    cache.drop_unconfirmed()
    if len(cache) and tail.start - cache.as_of_offset > CATCH_UP_RECORDS_MAX:
        cache.clear()
    if len(cache):
        # Accepted or not: dropping one too many costs a restore.
        for _, value in log.read(cache.as_of_offset, tail.start):
            with suppress(codec.Undecodable):
                cache.drop([codec.decode_event(value)["workflow_id"]])
    cache.drop(tail.workflows_since(cache.as_of_offset))


def _accepted(log: PartitionLog, acceptance: Acceptance, start: int, end: int) -> tuple[Acceptance, Tail]:
    tail = Tail(start)
    for offset, value in log.read(start, end):
        try:
            event = codec.decode_event(value)
        except codec.Undecodable:
            continue
        acceptance, verdict = judge(acceptance, event)
        if verdict is Verdict.EVENT:
            tail.append(offset, event["workflow_id"], value)
    return acceptance, tail


def _resume(acceptance: Acceptance, source: SourceFacts, forced_by: str | None) -> Resume:
    if not acceptance.topic_id:
        return _from(Resume(1, 0), source)
    if forced_by and acceptance.topic_id != source.topic_id:
        return Resume(acceptance.generation + 1, source.low)
    if acceptance.topic_id != source.topic_id:
        raise ConfigError(
            f"The log of partition {source.partition} speaks for the commands topic {acceptance.topic_id},"
            f" and the topic is {source.topic_id} now: it was deleted and made again.",
            fix="Run `continuity adopt`: it goes on with the new topic as a new generation.",
        )
    resume = Resume(acceptance.generation, acceptance.source_offset + 1)
    if resume.offset <= source.end:
        return _from(resume, source)
    if forced_by:
        return Resume(acceptance.generation + 1, source.low)
    raise ConfigError(
        f"The log of partition {source.partition} speaks for commands up to {acceptance.source_offset}, and"
        f" the commands topic ends at {source.end}: it has lost its end.",
        fix="Run `continuity adopt`: it goes on with what the topic holds as a new generation.",
    )


def _from(resume: Resume, source: SourceFacts) -> Resume:
    if resume.offset >= source.low:
        return resume
    return resume._replace(offset=source.low, lost=(resume.offset, source.low - 1))
