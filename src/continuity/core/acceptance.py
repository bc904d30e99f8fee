"""Which records of the events topic are facts. Pure, and the same few lines for every reader of the log.

Anybody may write to a Kafka partition: a paused sequencer that wakes up, a stray producer, a library that delivers
the later half of what it was given. So a record is a fact only if it fits: the current epoch, the next number in it,
and a source offset that grows. Then, within its workflow, the next sequence number and the hash of the one before.
(Design, section 4; FORMAT.md tells the same to consumers in other languages.)
"""

from enum import Enum
from typing import NamedTuple

from continuity.core.canonical import InvalidJson, loads_canonical
from continuity.core.ids import NIL
from continuity.core.records import SEQUENCER_EPOCH, SEQUENCER_PREFIX, Event

RULES_VERSION = 1
"""Grows when the rules of `core` decide or fold differently: a lower one may not follow a higher one in the log."""


class Verdict(Enum):
    """What a record is to a reader. The first three are accepted; the rest are ignored and counted."""

    EPOCH = "epoch"
    MARK = "mark"
    EVENT = "event"
    STALE = "stale"
    REPEAT = "repeat"
    GAP = "gap"
    BACKWARDS = "backwards"

    @property
    def accepted(self) -> bool:
        """Whether the record counts."""
        return self in (Verdict.EPOCH, Verdict.MARK, Verdict.EVENT)


class Acceptance(NamedTuple):
    """All that a reader of one partition has to remember. `topic_id` and `generation` name the commands topic."""

    epoch: int = 0
    sequencer_id: str = NIL
    epoch_seq: int = -1
    closed: bool = True
    rules_version: int = 0
    topic_id: str = ""
    generation: int = 0
    source_offset: int = -1


START = Acceptance()
"""Before the first record: no epoch is open, so nothing but an epoch record is accepted."""


def judge(acceptance: Acceptance, record: Event) -> tuple[Acceptance, Verdict]:
    """What `record` is, and what to remember after it."""
    if record["event_type"] == SEQUENCER_EPOCH:
        return _judge_epoch(acceptance, record)
    if record["epoch"] != acceptance.epoch or record["sequencer_id"] != acceptance.sequencer_id:
        return acceptance, Verdict.STALE
    number = record["epoch_seq"]
    if number <= acceptance.epoch_seq:
        return acceptance, Verdict.REPEAT
    if acceptance.closed or number > acceptance.epoch_seq + 1:
        # Something before it is missing: nothing more of this epoch counts, even if the missing record still arrives.
        return acceptance._replace(closed=True), Verdict.GAP
    generation, offset = record["source_generation"], record["source_offset"]
    if generation != acceptance.generation or offset <= acceptance.source_offset:
        return acceptance._replace(epoch_seq=number), Verdict.BACKWARDS
    # A kind of the sequencer's own that a later version has is a mark to this one.
    verdict = Verdict.MARK if record["event_type"].startswith(SEQUENCER_PREFIX) else Verdict.EVENT
    return acceptance._replace(epoch_seq=number, source_offset=offset), verdict


def chain_fits(head_seq: int, head_hash: str, event: Event) -> bool:
    """Whether an accepted event is the next of its workflow. If not, that workflow is damaged, and only it."""
    return event["event_seq"] == head_seq + 1 and event["prev_hash"] == head_hash


def _judge_epoch(acceptance: Acceptance, record: Event) -> tuple[Acceptance, Verdict]:
    if record["epoch"] != acceptance.epoch + 1 or record["epoch_seq"] != 0:
        return acceptance, Verdict.STALE
    try:
        payload = loads_canonical(record["payload"])
        rules_version, topic_id, forced_by = payload["rules_version"], payload["topic_id"], payload["forced_by"]
    except (InvalidJson, KeyError, TypeError):
        return acceptance, Verdict.STALE  # a stranger's: no sequencer writes such a payload
    if type(rules_version) is not int or not isinstance(topic_id, str):
        return acceptance, Verdict.STALE
    if rules_version < acceptance.rules_version and not forced_by:
        return acceptance, Verdict.STALE
    source = (record["source_generation"], record["source_offset"])
    if source < (acceptance.generation, acceptance.source_offset):
        return acceptance, Verdict.BACKWARDS
    opened = Acceptance(
        epoch=record["epoch"],
        sequencer_id=record["sequencer_id"],
        epoch_seq=0,
        closed=False,
        rules_version=rules_version,
        topic_id=topic_id,
        generation=source[0],
        source_offset=source[1],
    )
    return opened, Verdict.EPOCH
