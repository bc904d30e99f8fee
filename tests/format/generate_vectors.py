"""Writes the golden vectors: `python -m tests.format.generate_vectors`, from the root of the repository.

Run it only when the format changes on purpose: the committed files are what every consumer was written against, and
`test_vectors.py` compares with them.
"""

import json
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid5

import fastavro

from continuity import codec
from continuity.core import canonical, ids
from continuity.core.acceptance import START, judge
from continuity.core.records import Event
from continuity.core.state import COLLECTIONS, State
from continuity.core.tree import bucket, leaf
from tests.format import session, trace

FOLDER = Path(__file__).parents[1] / "vectors"

CANONICAL_SAMPLES = (
    "null", "true", "false", "0", "-1", "9007199254740991", "-9007199254740991", '""', "[]", "{}",
    '"\\u0041\\u00e9\\u20ac\\ud83e\\udded"', '"\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f\\u007f\\u0080\\u2028"',
    '"quote \\" reverse \\\\ slash \\/"', ' { "b" : 1 , "a" : [ true , null , { } ] } ',
    '{"text":"x","priority":-3,"goal_id":"y"}', '{"a_b":1,"aB":2,"a":3,"B":4,"a-b":5,"a.b":6}',
)  # fmt: skip

REFUSED_SAMPLES = (
    "1.0", "1e2", "-0.0", "NaN", "Infinity", "9007199254740992", "-9007199254740992", '{"a":1,"a":2}',
    '"\\ud800"', '{"k":"\\udc00x"}', '"\\u0000"', "[" * 33 + "]" * 33, "[1,]", "",
)  # fmt: skip

MURMUR2_KEYS = (
    "", "a", "ab", "abc", "abcd", "21", "foobar", "10fe0000-0000-0000-0000-000000000000",
    "\u6e2f\U0001f9ed",
)  # fmt: skip


def canonical_json() -> dict[str, Any]:
    """Text of any outsider, and the canonical bytes of its value or the code of its refusal."""
    return {
        "canonical": [
            {"text": text, "hex": canonical.dumps(canonical.loads(text)).hex()} for text in CANONICAL_SAMPLES
        ],
        "refused": [{"text": text, "code": _refusal(text)} for text in REFUSED_SAMPLES],
    }


def _refusal(text: str) -> str:
    try:
        canonical.loads(text)
    except canonical.InvalidJson as error:
        return error.code
    raise AssertionError(text)


def identifiers() -> dict[str, Any]:
    """Derived ids, instants, and the partition of a key."""
    workflow = ids.workflow_id("acme", "atlas")
    assert workflow == str(uuid5(ids.NAMESPACE, "acme/atlas"))
    names = [("acme", "atlas"), ("acme", "zebra"), ("a", "0.b_c-d")]
    moments = [0, 1, 999, 1_000, 1_795_258_800_123_456, 4_102_444_800_000_000]
    return {
        "namespace": str(ids.NAMESPACE),
        "workflow_ids": [{"tenant": t, "project": p, "workflow_id": ids.workflow_id(t, p)} for t, p in names],
        "entity_ids": [
            {"workflow_id": workflow, "command_id": key, "entity_id": ids.entity_id(workflow, key)}
            for key in (session.command_id(0), session.command_id(1))
        ],
        "event_ids": [
            {"timestamp": at, "workflow_id": workflow, "event_seq": seq, "command_id": session.command_id(seq),
             "event_id": ids.event_id(at, workflow, seq, session.command_id(seq))}
            for seq, at in enumerate(moments, 1)
        ],
        "instants": [{"micros": at, "text": ids.instant(at)} for at in moments],
        "partitions": [
            {"key": key, "murmur2": ids._murmur2(key.encode()),
             "partitions": {str(count): ids.partition_of(key, count) for count in (1, 2, 3, 12, 100)}}
            for key in (*MURMUR2_KEYS, workflow)
        ],
    }  # fmt: skip


def state_checksums() -> dict[str, Any]:
    """The checksum taken apart: paths, buckets, leaves, and the whole, for a few states."""
    empty = State(ids.workflow_id("acme", "atlas"))
    played = states_after(session.play().log)
    full = next(state for state in played if all(getattr(state, name) for name in COLLECTIONS))
    some = [empty, played[0], played[4], full]
    return {"states": [_taken_apart(state) for state in some]}


def _taken_apart(state: State) -> dict[str, Any]:
    leaves = [
        {"path": f"{name}/{key}", "bucket": bucket(f"{name}/{key}")[0], "leaf": leaf(name, key, raw).hex(),
         "document": raw.decode()}
        for name in COLLECTIONS
        for key, document in sorted(getattr(state, name).items())
        for raw in (canonical.dumps(document),)
    ]  # fmt: skip
    return {
        "state": canonical.text(state.work),
        "leaves": leaves,
        "bucket_digests": state.digests.digests.hex(),
        "state_checksum": state.checksum,
    }


def states_after(log: list[bytes]) -> list[State]:
    """The state of an event's workflow after each event of a log to which nobody else wrote."""
    states = session.histories(log)
    return [states[event["workflow_id"]][event["event_seq"]] for event in session.facts(log)]


def history() -> dict[str, Any]:
    """The session: commands in, log and answers out, and the state after each event."""
    played = session.play()
    after = iter(states_after(played.log))
    acceptance, records = START, []
    for offset, value in enumerate(played.log):
        event = codec.decode_event(value)
        acceptance, verdict = judge(acceptance, event)
        record: dict[str, Any] = {"offset": offset, "hex": value.hex(), "verdict": verdict.value}
        if verdict.value == "event":
            record |= _expectations(event, next(after))
        records.append(record)
    return {
        "partitions": session.PARTITIONS,
        "commands": [
            {"offset": each.offset, "timestamp": each.timestamp, "hex": (each.value or b"").hex()}
            for each in played.commands
        ],
        "batches": played.batches,
        "log": records,
        "acceptance_at_end": acceptance._asdict(),
        "replies": [_answered(each) for each in played.replies],
        "rejections": [_answered(each) for each in played.rejections],
        "leases": [_answered(each) for each in played.leases],
    }


def _expectations(event: Event, state: State) -> dict[str, Any]:
    names = ("workflow_id", "event_seq", "event_type", "event_id", "checksum", "command_digest", "event_hash")
    fields = {name: event[name] for name in names}  # type: ignore[literal-required]
    return fields | {"state_checksum": state.checksum, "state": canonical.text(state.work)}


def _answered(answered: session.Answered) -> dict[str, Any]:
    return {"key": answered.key, "partition": answered.partition, "hex": answered.value.hex()}


def framing() -> dict[str, Any]:
    """Records of each kind, as fields and as bytes."""
    played = session.play()
    replies, rejections, leases = (
        [each.value for each in answers] for answers in (played.replies, played.rejections, played.leases)
    )
    samples = [
        ("command", 1, played.commands[2].value or b""),
        ("command", 1, _first("command", [each.value or b"" for each in played.commands[24:]], fencing_token=1)),
        ("event", 2, played.log[3]),
        ("event", 2, played.log[0]),
        ("event", 2, played.log[6]),
        ("event", 2, _first("event", played.log, event_type="step_begun")),
        ("event", 2, next(value for value in played.log if b"late_results" in value)),
        ("reply", 3, replies[0]),
        ("reply", 3, _first("reply", replies, status="refused")),
        ("reply", 3, _first("reply", replies, status="accepted", fencing_token=3)),
        ("reply", 3, _first("reply", replies, status="duplicate", fencing_token=3)),
        ("reply", 3, _first("reply", replies, status="answered")),
        ("rejection", 4, rejections[0]),
        ("rejection", 4, _first("rejection", rejections, code="poison")),
        ("lease", 5, _first("lease", leases, task_id=None)),
        ("lease", 5, _first("lease", leases[::-1], fencing_token=13)),
    ]
    return {
        "records": [
            {"kind": kind, "schema_id": number, "hex": value.hex(), "fields": _fields(kind, value)}
            for kind, number, value in samples
        ]
    }


def _first(kind: str, values: list[bytes], **wanted: Any) -> bytes:
    return next(value for value in values if wanted.items() <= _fields(kind, value).items())


def _schema(kind: str) -> Any:
    return fastavro.parse_schema(codec._physical(json.loads(codec.schema_text(kind))))


def _fields(kind: str, value: bytes) -> dict[str, Any]:
    fields = fastavro.schemaless_reader(BytesIO(value[codec.HEADER_BYTES :]), _schema(kind), None)
    assert isinstance(fields, dict)
    return {name: {"hex": each.hex()} if isinstance(each, bytes) else each for name, each in fields.items()}


FILES = {
    "canonical_json": canonical_json,
    "identifiers": identifiers,
    "state_checksum": state_checksums,
    "framing": framing,
    "history": history,
    "acceptance": trace.acceptance,
}


def rendered(name: str) -> str:
    """The text of `tests/vectors/NAME.json` as this version of the product would write it."""
    with session.fixed_version():
        return json.dumps(FILES[name](), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    for each in FILES:
        (FOLDER / f"{each}.json").write_text(rendered(each), encoding="ascii")
