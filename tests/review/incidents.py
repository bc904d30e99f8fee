"""Incident files for the tests: whole ones of stories, and what becomes of them in clumsy and in skilful hands."""

import json
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from random import Random
from typing import Any

from continuity.core import canonical, seal
from continuity.core.delta import apply_delta
from continuity.core.records import Event
from continuity.core.restore import advance
from continuity.core.state import State
from continuity.review import incident
from tests.spec import PROJECT, TENANT, WORKFLOW

Document = dict[str, Any]


def header(events: Sequence[Event], base: State | None = None) -> incident.Header:
    return incident.Header(
        format=incident.FORMAT,
        version=incident.VERSION,
        tenant=events[0]["tenant"] if events else TENANT,
        project=events[0]["project"] if events else PROJECT,
        workflow_id=events[0]["workflow_id"] if events else WORKFLOW,
        exported_at="2026-11-21T11:00:00.000000Z",
        head_seq=len(events),
        head_hash=events[-1]["event_hash"] if events else "0" * 64,
        count=len(events),
        base=None if base is None else incident.Base(state_checksum=base.checksum, work=base.work),
    )


def lines_of(events: Sequence[Event], base: State | None = None) -> list[bytes]:
    return list(incident.lines(header(events, base), events))


def packed(lines: Iterable[bytes]) -> bytes:
    return b"".join(incident.compressed(lines))


def closed(lines: Sequence[bytes]) -> list[bytes]:
    """The same lines under a trailer that is right for them: what somebody writes who knows the format."""
    body = list(lines[:-1])
    digest = sha256(b"".join(body)).hexdigest()
    return [*body, canonical.dumps({"count": len(body) - 1, "digest": digest}) + b"\n"]


def rehashed(events: Sequence[Document], index: int, **fields: Any) -> list[Document]:
    """Event `index` with other fields; its digests, and the chain after it, are made right again."""
    made = [dict(event) for event in events]
    made[index] |= fields
    previous = made[index]["prev_hash"]
    for event in made[index:]:
        chained: Any = {name: value for name, value in event.items() if name not in seal.UNCHAINED}
        chained |= {"prev_hash": previous, "checksum": seal.digest(event["payload"])}
        event |= {name: value for name, value in seal.seal(chained).items() if name in (*chained, "event_hash")}
        previous = event["event_hash"]
    return made


def with_events(lines: Sequence[bytes], events: Sequence[Document]) -> list[bytes]:
    """The file with these events instead, its header and trailer right for them."""
    first = json.loads(lines[0]) | {
        "head_hash": events[-1]["event_hash"],
        "head_seq": len(events),
        "count": len(events),
    }
    return closed([canonical.dumps(first) + b"\n", *(canonical.dumps(each) + b"\n" for each in events), b"\n"])


def restated(events: Sequence[Document], base: State) -> list[Document]:
    """The same events with every state checksum made right for its delta, as far as the deltas apply, and rehashed."""
    state, made = base, [dict(event) for event in events]
    for index in range(len(made)):
        try:
            after = apply_delta(state, canonical.loads(made[index]["delta"]))
            made = rehashed(made, index, state_checksum=after.checksum)
            state = advance(state, made[index])  # type: ignore[arg-type]
        except (ValueError, KeyError, TypeError, AttributeError):
            break
    return made


Mutation = Callable[[Random, list[bytes]], tuple[list[bytes], bytes | None]]


def _clumsy(change: Callable[[Random, list[bytes]], list[bytes]]) -> Mutation:
    return lambda random, lines: (change(random, lines), None)


def _flipped_line(random: Random, lines: list[bytes]) -> list[bytes]:
    at = random.randrange(len(lines))
    raw = bytearray(lines[at])
    raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)
    return [*lines[:at], bytes(raw), *lines[at + 1 :]]


def _dropped(random: Random, lines: list[bytes]) -> list[bytes]:
    at = random.randrange(len(lines))
    return lines[:at] + lines[at + 1 :]


def _swapped(random: Random, lines: list[bytes]) -> list[bytes]:
    one, other = random.sample(range(len(lines)), 2)
    lines = list(lines)
    lines[one], lines[other] = lines[other], lines[one]
    return lines


def _doubled(random: Random, lines: list[bytes]) -> list[bytes]:
    at = random.randrange(len(lines))
    return lines[: at + 1] + lines[at:]


def _cut(random: Random, lines: list[bytes]) -> list[bytes]:
    whole = b"".join(lines)
    return [whole[: random.randrange(len(whole))]]


def _mended(change: Callable[[Random, list[bytes]], list[bytes]]) -> Callable[[Random, list[bytes]], list[bytes]]:
    return lambda random, lines: closed([*change(random, lines[:-1]), lines[-1]])


def _flipped_file(random: Random, lines: list[bytes]) -> tuple[list[bytes], bytes | None]:
    raw = bytearray(packed(lines))
    raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)
    return lines, bytes(raw)


def _cut_file(random: Random, lines: list[bytes]) -> tuple[list[bytes], bytes | None]:
    raw = packed(lines)
    return lines, raw[: random.randrange(len(raw))]


def _edited(random: Random, value: Any) -> Any:
    """A value of the same kind, nearly the same."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return value + random.choice((-1, 1, 7))
    if isinstance(value, str):
        return random.choice((value + "x", value[:-1], value.replace("a", "b", 1) + " "))
    if isinstance(value, list):
        return value[:-1] if value else ["x"]
    return {**value, random.choice(sorted(value) or ["x"]): "x"}


def _skilful(random: Random, lines: list[bytes]) -> tuple[list[bytes], bytes | None]:
    """One field of one event, or one of its payload or its delta, is another; every digest is made right again."""
    events = [json.loads(line) for line in lines[1:-1]]
    index = random.randrange(len(events))
    event, place = events[index], random.choice(("field", "payload", "delta"))
    if place == "field":
        name = random.choice(sorted(set(event) - {"event_hash", "checksum"}))
        events[index] = event | {name: _edited(random, event[name])}
    else:
        held = json.loads(event[place])
        document = held if place == "payload" else random.choice(held) if held else {}
        if document:
            name = random.choice(sorted(document))
            document[name] = _edited(random, document[name])
        event[place] = canonical.text(held)
    base = State(WORKFLOW)
    return with_events(lines, restated(rehashed(events, index), base)), None


MUTATIONS: tuple[tuple[str, Mutation], ...] = (
    ("a bit of a line", _clumsy(_flipped_line)),
    ("a line is dropped", _clumsy(_dropped)),
    ("two lines are swapped", _clumsy(_swapped)),
    ("a line is doubled", _clumsy(_doubled)),
    ("the lines are cut off", _clumsy(_cut)),
    ("a line is dropped, and the trailer mended", _clumsy(_mended(_dropped))),
    ("a line is doubled, and the trailer mended", _clumsy(_mended(_doubled))),
    ("a bit of the file", _flipped_file),
    ("the file is cut off", _cut_file),
    ("a skilful edit", _skilful),
    ("another skilful edit", _skilful),
    ("a third skilful edit", _skilful),
)  # fmt: skip
