"""A reader of the format, written from `schemas/FORMAT.md` alone. It imports nothing of `continuity`, on purpose.

Standard library only: Avro is decoded by hand from the published schemas. It is the proof that the page says enough to
write a consumer or a verifier, and a starting point for one in another language. Section numbers are FORMAT.md's.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from typing import Any
from uuid import UUID, uuid5

NAMESPACE = UUID("6b1f0a52-9c5e-5d4b-8a77-2f3f2a6f6c11")
NIL = "00000000-0000-0000-0000-000000000000"
COLLECTIONS = ("goals", "tasks", "checkpoints", "grants", "steps", "silent_deaths")
MOVES = {
    "task_started": "doing", "task_paused": "todo", "task_blocked": "blocked", "task_completed": "done",
    "task_reopened": "doing",
}  # fmt: skip
ACTING = {*MOVES, "checkpoint_updated", "step_begun", "step_completed", "step_failed"}
NOT_HASHED = ("event_hash", "epoch", "sequencer_id", "epoch_seq", "source_generation", "source_offset")

Json = Any


class NoRecord(ValueError):
    """Section 2: the bytes are not a record, and are passed over."""


class Wrong(ValueError):
    """Section 12: an event does not hold what it promises."""


# Section 2: framing, and the part of Avro that the schemas use.


def unframe(value: bytes | None, schemas: dict[int, Json]) -> dict[str, Any]:
    if value is None or len(value) < 5 or value[0] != 0:
        raise NoRecord("no framing")
    schema = schemas.get(int.from_bytes(value[1:5], "big"))
    if schema is None:
        raise NoRecord("unknown schema id")
    source = BytesIO(value[5:])
    record = {each["name"]: _read(source, each["type"]) for each in schema["fields"]}
    if source.read(1):
        raise NoRecord("bytes are left over")
    return record


def _read(source: BytesIO, kind: Json) -> Any:
    if isinstance(kind, dict):
        kind = kind["type"]  # a logical type changes no byte
    if isinstance(kind, list):
        branch = _long(source)
        if not 0 <= branch < len(kind):
            raise NoRecord("no such branch of a union")
        return _read(source, kind[branch])
    if kind == "null":
        return None
    if kind in ("int", "long"):
        return _long(source)
    size = _long(source)
    raw = source.read(size) if size >= 0 else b""
    if len(raw) != size:
        raise NoRecord("it ends too early")
    return raw.decode() if kind == "string" else raw


def _long(source: BytesIO) -> int:
    shift = number = 0
    while True:
        byte = source.read(1)
        if not byte or shift > 63:
            raise NoRecord("it ends too early")
        number |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            return number >> 1 ^ -(number & 1)


# Section 3.


def canonical(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parse_canonical(text: str) -> Json:
    value = json.loads(text)
    if canonical(value) != text.encode():
        raise Wrong("not canonical")
    return value


# Section 4.


def workflow_id(tenant: str, project: str) -> str:
    return str(uuid5(NAMESPACE, f"{tenant}/{project}"))


def entity_id(workflow: str, command_id: str) -> str:
    return str(uuid5(UUID(workflow), command_id))


def event_id(timestamp: int, workflow: str, event_seq: int, command_id: str) -> str:
    d = sha256(f"{workflow}/{event_seq}/{command_id}".encode()).digest()
    tail = bytes([0x70 | d[0] & 15, d[1], 0x80 | d[2] & 63]) + d[3:10]
    return str(UUID(bytes=(timestamp // 1000).to_bytes(6, "big") + tail))


def instant(micros: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def murmur2(data: bytes) -> int:
    m, h = 0x5BD1E995, 0x9747B28C ^ len(data)
    whole = len(data) - len(data) % 4
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * m % 2**32
        k = (k ^ k >> 24) * m % 2**32
        h = h * m % 2**32 ^ k
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * m % 2**32
    h = (h ^ h >> 13) * m % 2**32
    return h ^ h >> 15


def partition(key: str, partitions: int) -> int:
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


# Sections 8 to 11: the state, and the two ways to get it.


def empty_state() -> dict[str, Any]:
    return {name: {} for name in COLLECTIONS} | {"token_counter": 0}


def apply_delta(state: dict[str, Any], operations: list[dict[str, Any]]) -> None:
    for operation in operations:
        _, *parents, name = operation["path"].split("/")
        target: dict[str, Any] = state
        for parent in parents:
            target = target[parent]
        if (name in target) == (operation["op"] == "add"):
            raise Wrong("the delta does not fit the state")
        if operation["op"] == "remove":
            del target[name]
        else:
            target[name] = operation["value"]


def fold(state: dict[str, Any], event: dict[str, Any], past: list[tuple[str, dict[str, Any]]]) -> None:
    """Section 10: what the event means by its payload. `past` is that of `Workflow`."""
    payload, kind = json.loads(event["payload"]), event["event_type"]
    at, seq, task_id = instant(event["timestamp"]), event["event_seq"], payload.get("task_id")
    _void(state, payload.pop("voided", []))
    if kind.startswith("goal_"):
        new = {"status": "active", "created_at": at, "created_seq": seq} if kind == "goal_created" else {}
        state["goals"].setdefault(payload["goal_id"], new).update(payload)
    elif kind.startswith("step_"):
        _fold_step(state["steps"], kind, payload, at, seq)
    elif kind == "lease_released":
        del state["grants"][task_id or "workflow"]
    elif kind == "rolled_back":
        event_hash, then = past[payload["to_seq"]]
        if (payload["to_hash"], payload["to_state_checksum"]) != (event_hash, state_checksum(then)):
            raise Wrong("rolled back to another state")
        state.update(_given(then, "goals", "tasks", "checkpoints"))
    elif kind not in ("lease_acquired", "project_forked"):
        _fold_task(state, kind, payload, at, seq)
    if kind in ("lease_acquired", "task_claimed"):
        grant = {name: value for name, value in payload.items() if name != "from_status"}
        state["grants"][task_id or "workflow"] = grant | {"acquired_at": at, "seq": seq, "acted": False}
        state["token_counter"] = payload["token"]
    elif kind in ACTING:
        _act(state, task_id, kind)


def _void(state: dict[str, Any], voided: list[dict[str, Any]]) -> None:
    deaths = state["silent_deaths"]
    for each in voided:
        task_id, grant = each["task_id"], state["grants"].pop(each["task_id"] or "workflow")
        if task_id and each["reason"] == "expired":
            count = deaths.pop(task_id, 0) + 1
            deaths.update({} if grant["acted"] else {task_id: count})


def _act(state: dict[str, Any], task_id: str | None, kind: str) -> None:
    state["silent_deaths"].pop(task_id, None)
    if kind == "task_completed":
        state["grants"].pop(task_id, None)
    elif task_id in state["grants"]:
        state["grants"][task_id]["acted"] = True


def _fold_task(state: dict[str, Any], kind: str, payload: dict[str, Any], at: str, seq: int) -> None:
    task_id, new = payload["task_id"], {"status": "todo", "created_at": at, "created_seq": seq}
    task = state["tasks"].setdefault(task_id, new)
    if kind in ("task_added", "task_amended"):
        task.update(payload)
    elif kind == "checkpoint_updated":
        blockers = task.get("blockers", [])
        state["checkpoints"][task_id] = payload | {"blockers": blockers, "timestamp": at, "seq": seq}
    elif kind in MOVES or "from_status" in payload:
        task.pop("blockers", None)
        task.pop("evidence", None)
        task.update(_given(payload, "evidence"), status=MOVES.get(kind, "doing"))
        task.update({"blockers": [payload["blocker"]]} if kind == "task_blocked" else {})
    else:
        return  # a claim of a task that is doing leaves it as it is
    task.update(updated_at=at, changed_seq=seq)


def _fold_step(steps: dict[str, Any], kind: str, payload: dict[str, Any], at: str, seq: int) -> None:
    if kind == "step_begun":
        new = _given(payload, "step_id", "step_type", "task_id", "external_key") | {"attempts": []}
        step = steps.setdefault(payload["step_id"], new)
        attempt = _given(payload, "attempt_id", "token") | {"seq": seq, "started_at": at, "status": "open"}
        step.update(status="open", attempts=[*step["attempts"], attempt])
    else:
        step, status = steps[payload["step_id"]], kind.removeprefix("step_")
        step["attempts"][-1].update(_given(payload, "error"), status=status, ended_at=at)
        step.update(_given(payload, "result_ref", "result_checksum"), status=status)


def _given(source: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: source[name] for name in names if name in source}


def leaf(path: str, entity: Json) -> tuple[int, bytes]:
    """Bucket and leaf."""
    return sha256(path.encode()).digest()[0] % 64, sha256(path.encode() + b"\n" + canonical(entity)).digest()


def bucket_digests(state: dict[str, Any]) -> bytes:
    buckets: list[list[bytes]] = [[] for _ in range(64)]
    for collection in COLLECTIONS:
        for key, entity in state[collection].items():
            index, digest = leaf(f"{collection}/{key}", entity)
            buckets[index].append(digest)
    return b"".join(sha256(b"".join(sorted(bucket))).digest() for bucket in buckets)


def state_checksum(state: dict[str, Any]) -> str:
    return sha256(bucket_digests(state) + str(state["token_counter"]).encode()).hexdigest()


# Section 12.


def event_hash(event: dict[str, Any]) -> str:
    return sha256(canonical({name: event[name] for name in event if name not in NOT_HASHED})).hexdigest()


@dataclass
class Workflow:
    """One workflow as a verifier knows it. `stopped` says why nothing more of it is taken.

    `past` has `event_hash` and state after each event, and before the first: enough for any way back, and any fork.
    """

    past: list[tuple[str, dict[str, Any]]] = field(default_factory=lambda: [("0" * 64, empty_state())])
    stopped: str | None = None

    @property
    def state(self) -> dict[str, Any]:
        return self.past[-1][1]

    def fits(self, event: dict[str, Any]) -> bool:
        return (event["event_seq"], event["prev_hash"]) == (len(self.past), self.past[-1][0])

    def verify(self, event: dict[str, Any]) -> None:
        """Take the next event, all of it checked; Wrong says what does not hold."""
        if not self.fits(event):
            raise Wrong("chain")
        if event["workflow_id"] != workflow_id(event["tenant"], event["project"]):
            raise Wrong("workflow_id")
        if event["checksum"] != sha256(event["payload"].encode()).hexdigest():
            raise Wrong("checksum")
        if event["event_hash"] != event_hash(event):
            raise Wrong("event_hash")
        after = json.loads(canonical(self.state))
        apply_delta(after, parse_canonical(event["delta"]))
        if event["state_checksum"] != state_checksum(after):
            raise Wrong("state_checksum")
        self.past.append((event["event_hash"], after))

    def fold(self, event: dict[str, Any]) -> None:
        """Take the next event by its payload, unchecked: the other way to the same state."""
        after = json.loads(canonical(self.state))
        fold(after, event, self.past)
        self.past.append((event["event_hash"], after))


def workflow_of(event: dict[str, Any], workflows: dict[str, Workflow]) -> Workflow:
    """The workflow that goes on with `event`. Section 10, *Forks*: one may begin with what another had come to."""
    key = event["workflow_id"]
    if key not in workflows:
        workflows[key] = Workflow()
        if event["event_type"] == "project_forked":
            cited = json.loads(event["payload"])
            origin_hash, base = workflows[cited["origin_workflow_id"]].past[cited["origin_seq"]]
            origin_checksum, base = state_checksum(base), counted_back(base, cited["origin_seq"])
            found = (origin_hash, origin_checksum, sha256(canonical(base)).hexdigest())
            if found != (cited["origin_hash"], cited["origin_state_checksum"], cited["base_digest"]):
                raise Wrong("base")
            workflows[key].past = [("0" * 64, base)]
    return workflows[key]


def counted_back(value: Any, by: int) -> Any:
    """Section 10, *Forks*: the origin's numbers end at 0, the fork's begin at 1."""
    if isinstance(value, list):
        return [counted_back(each, by) for each in value]
    if not isinstance(value, dict):
        return value
    numbers = ("created_seq", "changed_seq", "seq")
    return {
        key: each - by if key in numbers and isinstance(each, int) else counted_back(each, by)
        for key, each in value.items()
    }


# Section 13.


@dataclass
class Memory:
    """What a reader of one partition remembers."""

    epoch: int = 0
    sequencer_id: str = NIL
    epoch_seq: int = -1
    closed: bool = True
    rules_version: int = 0
    topic_id: str = ""
    generation: int = 0
    source_offset: int = -1

    def judge(self, record: dict[str, Any]) -> str:
        if record["event_type"] == "sequencer_epoch":
            return self._judge_epoch(record)
        if (record["epoch"], record["sequencer_id"]) != (self.epoch, self.sequencer_id):
            return "stale"
        if record["epoch_seq"] <= self.epoch_seq:
            return "repeat"
        if self.closed or record["epoch_seq"] > self.epoch_seq + 1:
            self.closed = True
            return "gap"
        self.epoch_seq = record["epoch_seq"]
        if record["source_generation"] != self.generation or record["source_offset"] <= self.source_offset:
            return "backwards"
        self.source_offset = record["source_offset"]
        return "mark" if record["event_type"].startswith("sequencer_") else "event"

    def _judge_epoch(self, record: dict[str, Any]) -> str:
        if record["epoch"] != self.epoch + 1 or record["epoch_seq"] != 0:
            return "stale"
        try:
            payload = parse_canonical(record["payload"])
            rules_version, topic_id, forced_by = (payload[key] for key in ("rules_version", "topic_id", "forced_by"))
        except (ValueError, KeyError, TypeError):
            return "stale"
        if not isinstance(rules_version, int) or not isinstance(topic_id, str):
            return "stale"
        if rules_version < self.rules_version and not forced_by:
            return "stale"
        source = (record["source_generation"], record["source_offset"])
        if source < (self.generation, self.source_offset):
            return "backwards"
        self.epoch, self.sequencer_id, self.epoch_seq = record["epoch"], record["sequencer_id"], 0
        self.closed, self.rules_version, self.topic_id = False, rules_version, topic_id
        self.generation, self.source_offset = source
        return "epoch"
