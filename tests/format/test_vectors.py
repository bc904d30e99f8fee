"""The golden vectors: today's code against the committed bytes, and those against a reader that knows only the page."""

import ast
import json
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import jsonpatch
import pytest

from continuity import codec
from continuity.core import canonical, evolve
from continuity.core.acceptance import START, judge
from continuity.core.records import Event
from continuity.core.restore import restore
from continuity.core.seal import Damaged
from tests.format import generate_vectors, session
from tests.format import independent_reader as reader

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"
SCHEMAS = {
    int(number): json.loads((ROOT / "schemas" / name).read_text())
    for number, name in json.loads((ROOT / "schemas" / "ids.json").read_text()).items()
}
EVENT_TYPES = {
    "goal_created", "goal_status_set", "goal_priority_set", "task_added", "task_amended", "task_started",
    "task_paused", "task_blocked", "task_completed", "task_reopened", "checkpoint_updated", "lease_acquired",
    "task_claimed", "lease_released", "step_begun", "step_completed", "step_failed", "rolled_back", "project_forked",
}  # fmt: skip


@cache
def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="ascii"))


def log_events() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The facts of the history, decoded by the independent reader, each with what is expected of it."""
    records = [each for each in vectors("history")["log"] if each["verdict"] == "event"]
    return [(reader.unframe(bytes.fromhex(each["hex"]), SCHEMAS), each) for each in records]


# Today's code writes and reads the committed bytes.


@pytest.mark.parametrize("name", generate_vectors.FILES)
def test_todays_code_writes_the_committed_vectors(name):
    committed = (VECTORS / f"{name}.json").read_text(encoding="ascii")
    assert generate_vectors.rendered(name) == committed, "the format changed: see schemas/FORMAT.md, Evolution"


def test_no_vector_file_is_forgotten():
    assert {path.stem for path in VECTORS.glob("*.json")} == set(generate_vectors.FILES)


def test_todays_code_accepts_and_restores_the_committed_log():
    acceptance = START
    events: dict[str, list[Event]] = {}
    for record in vectors("history")["log"]:
        value = bytes.fromhex(record["hex"])
        event = codec.decode_event(value)
        assert codec.encode_event(event) == value
        acceptance, verdict = judge(acceptance, event)
        assert verdict.value == record["verdict"]
        if verdict.value == "event":
            events.setdefault(event["workflow_id"], []).append(event)
    assert acceptance._asdict() == vectors("history")["acceptance_at_end"]
    bases = session.histories(bytes.fromhex(record["hex"]) for record in vectors("history")["log"])
    for workflow_id, chain in events.items():
        folded = base = bases[workflow_id][0]
        restored = restore(workflow_id, chain, base)
        for event in chain:
            folded = evolve(folded, event)
        assert restored.work == folded.work
        assert restored.checksum == folded.checksum == chain[-1]["state_checksum"]


def test_todays_code_decodes_every_kind_of_record():
    decoders = {
        "command": codec.decode_command, "event": codec.decode_event, "reply": codec.decode_reply,
        "lease": codec.decode_lease,
    }  # fmt: skip
    for record in vectors("framing")["records"]:
        decode = decoders.get(record["kind"])
        if decode is not None:
            assert decode(bytes.fromhex(record["hex"]))


# The page alone is enough: nothing below but the comparison knows our code.


def test_the_independent_reader_imports_nothing_of_the_product():
    tree = ast.parse(Path(reader.__file__).read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import)
            else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        )
    }  # fmt: skip
    assert imported == {"json", "dataclasses", "datetime", "hashlib", "io", "typing", "uuid"}


def test_independent_canonical_json():
    for sample in vectors("canonical_json")["canonical"]:
        assert reader.canonical(json.loads(sample["text"])).hex() == sample["hex"]
        assert canonical.loads_canonical(bytes.fromhex(sample["hex"])) == json.loads(sample["text"])


def test_independent_identifiers():
    known = vectors("identifiers")
    assert known["namespace"] == str(reader.NAMESPACE)
    for each in known["workflow_ids"]:
        assert reader.workflow_id(each["tenant"], each["project"]) == each["workflow_id"]
    for each in known["entity_ids"]:
        assert reader.entity_id(each["workflow_id"], each["command_id"]) == each["entity_id"]
    for each in known["event_ids"]:
        wanted = each.pop("event_id")
        assert reader.event_id(each["timestamp"], each["workflow_id"], each["event_seq"], each["command_id"]) == wanted
        assert UUID(wanted).version == 7
    for each in known["instants"]:
        assert reader.instant(each["micros"]) == each["text"]
    for each in known["partitions"]:
        assert reader.murmur2(each["key"].encode()) == each["murmur2"]
        for count, number in each["partitions"].items():
            assert reader.partition(each["key"], int(count)) == number


def test_murmur2_is_kafkas_own():
    # From Apache Kafka's UtilsTest.testMurmur2, as unsigned numbers.
    kafkas = {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
              "a-little-bit-longer-string": -1486304829,
              "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107}  # fmt: skip
    for key, signed in kafkas.items():
        assert reader.murmur2(key.encode()) == signed % 2**32


def test_independent_framing():
    for record in vectors("framing")["records"]:
        value = bytes.fromhex(record["hex"])
        assert value[:5] == bytes([0, 0, 0, 0, record["schema_id"]])
        fields = reader.unframe(value, SCHEMAS)
        assert {k: {"hex": v.hex()} if isinstance(v, bytes) else v for k, v in fields.items()} == record["fields"]
        for spoilt in (value + b"\0", value[:-1], value[1:], b"", b"\1" + value[1:], b"\0\0\0\0\x63" + value[5:]):
            with pytest.raises(reader.NoRecord):
                reader.unframe(spoilt, SCHEMAS)


def test_independent_state_checksum():
    for known in vectors("state_checksum")["states"]:
        state = json.loads(known["state"])
        for each in known["leaves"]:
            collection, _, key = each["path"].partition("/")
            assert reader.canonical(state[collection][key]).decode() == each["document"]
            assert reader.leaf(each["path"], state[collection][key]) == (each["bucket"], bytes.fromhex(each["leaf"]))
        assert reader.bucket_digests(state).hex() == known["bucket_digests"]
        assert reader.state_checksum(state) == known["state_checksum"]


def test_independent_verification_of_the_history():
    workflows: dict[str, reader.Workflow] = {}
    seen = set()
    for event, expected in log_events():
        workflow = reader.workflow_of(event, workflows)
        workflow.verify(event)
        assert reader.canonical(workflow.state).decode() == expected["state"]
        assert reader.state_checksum(workflow.state) == expected["state_checksum"]
        for name in ("event_id", "checksum", "command_digest", "event_hash", "event_seq", "event_type"):
            assert event[name] == expected[name]
        place = (event["timestamp"], event["workflow_id"], event["event_seq"], event["command_id"])
        assert reader.event_id(*place) == event["event_id"]
        seen.add(event["event_type"])
    assert seen == EVENT_TYPES


def test_independent_fold_of_the_payloads():
    workflows: dict[str, reader.Workflow] = {}
    for event, expected in log_events():
        workflow = reader.workflow_of(event, workflows)
        workflow.fold(event)
        assert reader.canonical(workflow.state).decode() == expected["state"]


def test_a_way_back_and_a_fork_are_held_against_what_they_cite():
    cited = {"rolled_back": ("to_hash", "to_state_checksum"),
             "project_forked": ("origin_hash", "origin_state_checksum", "base_digest")}  # fmt: skip
    tried = set()
    workflows: dict[str, reader.Workflow] = {}
    for event, _ in log_events():
        for name in cited.get(event["event_type"], ()):
            other = {**json.loads(event["payload"]), name: "0" * 63 + "1"}
            known = {key: reader.Workflow([*each.past]) for key, each in workflows.items()}
            spoilt = {**event, "payload": reader.canonical(other).decode()}
            with pytest.raises(reader.Wrong):
                reader.workflow_of(spoilt, known).fold(spoilt)
            tried.add(name)
        reader.workflow_of(event, workflows).fold(event)
    assert tried == {*cited["rolled_back"], *cited["project_forked"]}


def test_any_json_patch_library_applies_the_deltas():
    workflows: dict[str, reader.Workflow] = {}
    for event, expected in log_events():
        workflow = reader.workflow_of(event, workflows)
        after = jsonpatch.JsonPatch.from_string(event["delta"]).apply(workflow.state)
        assert reader.canonical(after).decode() == expected["state"]
        workflow.past.append((event["event_hash"], after))


def test_independent_command_digests():
    commands = [bytes.fromhex(each["hex"]) for each in vectors("history")["commands"]]
    for event, _ in log_events():
        command = reader.unframe(commands[event["source_offset"]], SCHEMAS)
        text = f"{command['command_type']}\n{command['body']}"
        assert event["command_digest"] == sha256(text.encode()).hexdigest()
        assert event["command_id"] == command["command_id"]
        assert reader.workflow_id(command["tenant"], command["project"]) == command["workflow_id"]


def test_independent_reading_of_the_answers():
    seen = set()
    for each in vectors("history")["replies"]:
        reply = reader.unframe(bytes.fromhex(each["hex"]), SCHEMAS)
        result = {} if reply["result"] is None else reader.parse_canonical(reply["result"])
        assert reply["fencing_token"] == (result["token"] if "ttl_seconds" in result else None)
        seen.add((reply["status"], "result" if result else "none"))
    assert {("accepted", "result"), ("duplicate", "result"), ("answered", "result"), ("refused", "none")} <= seen


def test_independent_reading_of_the_leases():
    grants = {
        (event["workflow_id"], payload["token"]): (payload, event["timestamp"])
        for event, _ in log_events()
        if event["event_type"] in ("lease_acquired", "task_claimed")
        for payload in (json.loads(event["payload"]),)
    }
    renewed = set()
    for each in vectors("history")["leases"]:
        lease = reader.unframe(bytes.fromhex(each["hex"]), SCHEMAS)
        assert each["key"] == f"{lease['workflow_id']}/{lease['fencing_token']}"
        if lease["workflow_id"] != reader.workflow_id("acme", "beacon-2"):  # whose one grant came with its base
            grant, at = grants[lease["workflow_id"], lease["fencing_token"]]
            assert (lease["owner_id"], lease["task_id"]) == (grant["owner_id"], grant["task_id"])
            assert lease["acquired_at"] == at <= lease["heartbeat_at"]
            assert lease["lease_expires_at"] == lease["heartbeat_at"] + grant["ttl_seconds"] * 1_000_000
            renewed.add(lease["heartbeat_at"] > at)
    assert renewed == {True, False}


def test_independent_reading_of_late_results():
    records = [bytes.fromhex(each["hex"]) for each in vectors("history")["log"] if each["verdict"] == "mark"]
    marks = [reader.unframe(record, SCHEMAS) for record in records]
    (mark,) = [mark for mark in marks if mark["payload"] != "{}"]
    (late,) = reader.parse_canonical(mark["payload"])["late_results"]
    command = reader.unframe(bytes.fromhex(vectors("history")["commands"][mark["source_offset"]]["hex"]), SCHEMAS)
    asked = json.loads(command["body"])
    names = ("workflow_id", "tenant", "project", "fencing_token", "operator_id", "command_id")
    known = asked | {name: command[name] for name in names}
    task_id = next(event["task_id"] for event, _ in log_events() if event["step_id"] == asked["step_id"])
    assert late == known | {"task_id": task_id, "timestamp": reader.instant(mark["timestamp"])}


def test_independent_acceptance_of_the_trace():
    memory, verdicts = reader.Memory(), set()
    workflows: dict[str, reader.Workflow] = {}
    for record in vectors("acceptance")["records"]:
        event = unframed(None if record["hex"] is None else bytes.fromhex(record["hex"]))
        verdict = "unreadable" if event is None else memory.judge(event)
        assert verdict == record["verdict"], record["why"]
        assert vars(memory) == record["after"], record["why"]
        verdicts.add(verdict)
        if event is not None and verdict == "event":
            workflow = workflows.setdefault(event["workflow_id"], reader.Workflow())
            assert taken(workflow, event) == record["workflow"], record["why"]
    assert verdicts == {"epoch", "mark", "event", "stale", "repeat", "gap", "backwards", "unreadable"}


def unframed(value: bytes | None) -> dict[str, Any] | None:
    try:
        return reader.unframe(value, SCHEMAS)
    except reader.NoRecord:
        return None


def taken(workflow, event):
    if workflow.stopped:
        return "is stopped"
    if not workflow.fits(event):
        workflow.stopped = "chain"
        return "stops"
    workflow.verify(event)
    return "advances"


# Every bit counts.


@pytest.mark.parametrize("name", [each["name"] for each in SCHEMAS[2]["fields"][:26]])
def test_a_changed_field_is_found_by_both_verifiers(name):
    (first, _), (second, _) = log_events()[:2]
    value = second[name]
    second[name] = 7 if value is None and name == "fencing_token" else "x" if value is None else (
        value + 1 if isinstance(value, int) else value[:-1] + ("0" if value[-1] != "0" else "1")
    )  # fmt: skip
    workflow = reader.Workflow()
    workflow.verify(first)
    with pytest.raises(reader.Wrong):
        workflow.verify(second)
    with pytest.raises(Damaged):
        restore(first["workflow_id"], cast("list[Event]", [first, second]))
