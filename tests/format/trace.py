"""A partition of the events topic to which anybody writes: one record for every branch of the acceptance rule.

What the golden vectors record of `core.acceptance`: the verdict on each record, and what a reader remembers after it.
"""

from typing import Any

from continuity import codec
from continuity.core import canonical, ids
from continuity.core.acceptance import START, Acceptance, judge
from continuity.core.records import Event
from continuity.core.seal import own_record
from tests.format import session


class Trace:
    """Records of a partition to which anybody writes, and what each of them is to a reader."""

    def __init__(self) -> None:
        self.acceptance: Acceptance = START
        self.heads: dict[str, tuple[int, str]] = {}
        self.stopped: set[str] = set()
        self.records: list[dict[str, Any]] = []

    def raw(self, why: str, value: bytes | None) -> None:
        """Bytes that are no event: passed over, whatever they are."""
        text = None if value is None else value.hex()
        self._add(why, text, "unreadable", None)

    def feed(self, why: str, event: Event, *place: Any) -> None:
        """An event or record of the sequencer's own, stamped with (epoch, sequencer, epoch_seq, generation, offset)."""
        stamp = dict(
            zip(("epoch", "sequencer_id", "epoch_seq", "source_generation", "source_offset"), place, strict=True)
        )
        stamped: Any = {**event, **stamp}
        self.acceptance, verdict = judge(self.acceptance, stamped)
        workflow = self._chain(stamped) if verdict.value == "event" else None
        self._add(why, codec.encode_event(stamped).hex(), verdict.value, workflow)

    def _chain(self, event: Event) -> str:
        key = event["workflow_id"]
        if key in self.stopped:
            return "is stopped"
        if (event["event_seq"] - 1, event["prev_hash"]) != self.heads.get(key, (0, ids.ZERO_HASH)):
            self.stopped.add(key)
            return "stops"
        self.heads[key] = (event["event_seq"], event["event_hash"])
        return "advances"

    def _add(self, why: str, text: str | None, verdict: str, workflow: str | None) -> None:
        after = self.acceptance._asdict()
        record = {"offset": len(self.records), "why": why, "hex": text, "verdict": verdict, "workflow": workflow}
        self.records.append({**record, "after": after})


def acceptance() -> dict[str, Any]:
    """Every branch of the acceptance rule, one record each, with what a reader remembers after it."""
    trace = Trace()
    a, b, c, d = (f"5e9c2a10-7d1c-4f0e-9a55-0c1f8e3b7b0{digit}" for digit in "1234")
    atlas = [event for event in _events() if event["project"] == "atlas"]
    zebra = [event for event in _events() if event["project"] == "zebra"]
    mark = own_record("sequencer_mark")
    trace.raw("not framed", b"hello")
    trace.raw("a tombstone", None)
    trace.feed("no epoch is open", atlas[0], 0, ids.NIL, 0, 1, 0)
    trace.feed("the first epoch must be 1", _epoch(), 2, a, 0, 1, -1)
    trace.feed("an epoch record is number 0", _epoch(), 1, a, 1, 1, -1)
    trace.feed("a stranger's epoch record", own_record("sequencer_epoch"), 1, a, 0, 1, -1)
    trace.feed("rules_version must be a number", _epoch(rules_version="1"), 1, a, 0, 1, -1)
    trace.feed("opens epoch 1", _epoch(), 1, a, 0, 1, -1)
    trace.feed("a fact", atlas[0], 1, a, 1, 1, 0)
    trace.feed("the same again", atlas[0], 1, a, 1, 1, 0)
    trace.feed("a fact that speaks for commands 1 to 3", atlas[1], 1, a, 2, 1, 3)
    trace.feed("another sequencer of the same epoch", atlas[2], 1, b, 3, 1, 4)
    trace.feed("an epoch that was never opened", atlas[2], 3, a, 3, 1, 4)
    trace.feed("a mark", mark, 1, a, 3, 1, 5)
    trace.feed("the offset does not grow, the number is used up", atlas[2], 1, a, 4, 1, 5)
    trace.feed("the next number", atlas[2], 1, a, 5, 1, 6)
    trace.feed("another generation, the number is used up", zebra[0], 1, a, 6, 2, 0)
    trace.feed("another workflow", zebra[0], 1, a, 7, 1, 7)
    trace.feed("number 8 is missing: closes the epoch", atlas[3], 1, a, 9, 1, 9)
    trace.feed("number 8 arrives late: still closed", zebra[1], 1, a, 8, 1, 8)
    trace.feed("numbers below are repeats, closed or not", zebra[0], 1, a, 7, 1, 7)
    trace.feed("an epoch may not go back in the source", _epoch(), 2, b, 0, 1, 6)
    trace.feed("opens epoch 2, where the source stood", _epoch(), 2, b, 0, 1, 7)
    trace.feed("two open at once: the second is not the next", _epoch(), 2, c, 0, 1, 7)
    trace.feed("a paused writer of epoch 1", atlas[3], 1, a, 8, 1, 8)
    trace.feed("the chain does not fit: its workflow stops", atlas[4], 2, b, 1, 1, 8)
    trace.feed("what is right for a stopped workflow is ignored", atlas[3], 2, b, 2, 1, 9)
    trace.feed("other workflows go on", zebra[1], 2, b, 3, 1, 10)
    trace.feed("opens epoch 3 under rules 2, after a lost range", _epoch(rules_version=2), 3, c, 0, 1, 20)
    trace.feed("lower rules may not follow higher ones", _epoch(), 4, d, 0, 1, 20)
    trace.feed(
        "unless an operator says so; with it a new generation of the commands topic",
        _epoch(forced_by="ada", topic_id="n3wT0p1cAAAAAAAAAAAAAA"), 4, d, 0, 2, -1,
    )  # fmt: skip
    trace.feed("a mark in the new generation", mark, 4, d, 1, 2, 0)
    trace.feed("a kind of a later version is a mark", own_record("sequencer_note"), 4, d, 2, 2, 1)
    return {"records": trace.records}


def _events() -> list[Event]:
    """The session's facts, sealed as they were."""
    return [event for event in map(codec.decode_event, session.play().log) if event["workflow_id"] != ids.NIL]


def _epoch(rules_version: int | str = 1, topic_id: str = session.TOPIC_ID, forced_by: str | None = None) -> Event:
    payload = {
        "forced_by": forced_by, "lost": None, "partition": 0, "rules_version": rules_version, "topic_id": topic_id,
    }  # fmt: skip
    return own_record("sequencer_epoch", canonical.text(payload))
