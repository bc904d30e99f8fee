"""Verifies an incident file: `independent_verifier.py < FILE`. Written from `schemas/FORMAT.md` alone: its sections are
named here. Without `continuity`, and to be read: it holds the file in memory, and copies the state for each event."""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any as Json
from uuid import UUID, uuid5

import zstandard

# fmt: off
NAMESPACE, EPOCH = UUID("6b1f0a52-9c5e-5d4b-8a77-2f3f2a6f6c11"), datetime(1970, 1, 1, tzinfo=UTC)
NOTHING = "a6b7557ecd8d5ae692a6465ff049f4e6bc93953c1cfa89ee0dba0570946e2651"  # the checksum of EMPTY
EMPTY: Json = {"goals": {}, "tasks": {}, "checkpoints": {}, "grants": {}, "steps": {}, "silent_deaths": {}}
HEADER = set("base count exported_at format head_hash head_seq project tenant version workflow_id".split())  # noqa: SIM905
LOG = {"epoch", "sequencer_id", "epoch_seq", "source_generation", "source_offset"}
NUMBERS = (LOG - {"sequencer_id"}) | {"event_seq", "timestamp", "fencing_token"}
NULLABLE = {"session_id", "goal_id", "task_id", "step_id", "from_status", "to_status", "fencing_token"}
FIELDS = LOG | NUMBERS | NULLABLE | {
    "event_id", "tenant", "project", "workflow_id", "event_type", "payload", "schema_version", "producer_version",
    "checksum", "command_id", "command_digest", "operator_id", "operator_kind", "delta", "state_checksum", "prev_hash",
    "event_hash"}
GRANTING, STEPS = ("lease_acquired", "task_claimed"), ("step_begun", "step_completed", "step_failed")
MOVES = {"task_started": ("todo blocked", "doing"), "task_paused": ("doing blocked", "todo"), "task_reopened": ("done",
         "doing"), "task_blocked": ("doing", "blocked"), "task_completed": ("doing", "done")}
ACTING = {*MOVES, *STEPS, "checkpoint_updated"}
TYPES = {*ACTING, *GRANTING, "goal_created", "goal_status_set", "goal_priority_set", "task_added", "task_amended",
         "lease_released", "rolled_back", "project_forked"}
def need(*conditions: Json) -> None:
    if not all(conditions):
        raise ValueError
def canonical(value: Json) -> bytes:  # section 3
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
def parsed(raw: bytes | str) -> Json:
    value = json.loads(raw)
    need(canonical(value) in (raw, str(raw).encode()))
    return value
def sha(raw: bytes) -> str:
    return sha256(raw).hexdigest()
def instant(at: int | str) -> str:  # section 4
    moment = datetime.fromisoformat(at) if isinstance(at, str) else EPOCH + timedelta(microseconds=at)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"
def state_checksum(state: Json) -> str:  # section 11
    buckets: list[list[bytes]] = [[] for _ in range(64)]
    for path, entity in ((f"{name}/{key}".encode(), it) for name in EMPTY for key, it in state[name].items()):
        buckets[sha256(path).digest()[0] % 64].append(sha256(path + b"\n" + canonical(entity)).digest())
    return sha(b"".join(sha256(b"".join(sorted(each))).digest() for each in buckets) + b"%d" % state["token_counter"])
def patched(before: Json, operations: Json) -> Json:  # section 9
    state = json.loads(canonical(before))
    for operation in operations:
        place, (_, *parents, name) = state, operation["path"].split("/")
        for each in parents:
            place = place[each]
        need((name in place) == (operation["op"] != "add"), operation["op"] in ("add", "remove", "replace"))
        place.update({name: operation["value"]}) if operation["op"] != "remove" else place.pop(name)
    return state
def folded(before: Json, e: Json, p: Json, past: Json) -> Json:  # section 10  # noqa: C901 - a row for each type
    s, kind, at, seq = json.loads(canonical(before)), e["event_type"], instant(e["timestamp"]), e["event_seq"]
    key, grants, deaths = p.get("task_id"), s["grants"], s["silent_deaths"]
    task, touched = s["tasks"].get(key, {}), {"updated_at": at, "changed_seq": seq}
    new: Json = {"status": "todo" if kind == "task_added" else "active", "created_at": at, "created_seq": seq}
    if kind.startswith("goal_"):
        s["goals"][p["goal_id"]] = p | new if kind == "goal_created" else s["goals"][p["goal_id"]] | p
    elif kind in ("task_added", "task_amended"):
        s["tasks"][key] = (p | new if kind == "task_added" else task | p) | touched
    elif kind in MOVES or (kind == "task_claimed" and "from_status" in p):
        extra = {"blockers": [p["blocker"]]} if kind == "task_blocked" else {}
        extra |= {n: p[n] for n in p if n == "evidence" and kind == "task_completed"} | touched
        s["tasks"][key] = {n: v for n, v in task.items() if n not in ("blockers", "evidence")} | extra | {
            "status": MOVES.get(kind, ("", "doing"))[1]}
    elif kind == "checkpoint_updated":
        left = {n: p[n] for n in ("task_id", "where_we_left_off", "next_step", "needed_context_refs")}
        s["checkpoints"][key] = left | {"blockers": task.get("blockers", []), "timestamp": at, "seq": seq}
        task.update(touched)
    elif kind == "step_begun":
        step = {n: p[n] for n in ("step_id", "step_type", "task_id", "external_key")} | {"status": "open"}
        begun = {"attempt_id": p["attempt_id"], "token": p["token"], "seq": seq, "started_at": at, "status": "open"}
        s["steps"][p["step_id"]] = step | {"attempts": [*s["steps"].get(p["step_id"], {}).get("attempts", []), begun]}
    elif kind in STEPS:
        step, over = s["steps"][p["step_id"]], {"status": kind.removeprefix("step_")}
        step["attempts"][-1].update(over | {"ended_at": at} | {n: p[n] for n in p if n == "error"})
        step.update(over | {n: p[n] for n in p if n in ("result_ref", "result_checksum")})
    elif kind == "rolled_back":
        need(past[p["to_seq"]][:2] == (p["to_hash"], p["to_state_checksum"]))
        s |= {name: past[p["to_seq"]][2][name] for name in ("goals", "tasks", "checkpoints")}
    for gone in p.get("voided", []):
        acted = grants.pop(gone["task_id"] or "workflow")["acted"]
        if gone["task_id"] and gone["reason"] == "expired":
            deaths[gone["task_id"]] = 0 if acted else deaths.get(gone["task_id"], 0) + 1
    if kind in GRANTING:
        new = {n: p[n] for n in ("grant_id", "token", "owner_id", "task_id", "ttl_seconds", "expires_at")}
        grants[key or "workflow"] = new | {"acquired_at": at, "seq": seq, "acted": False}
        s["token_counter"] = p["token"]
    elif kind == "lease_released" or (kind == "task_completed" and key in grants):
        del grants[key or "workflow"]
    elif kind in ACTING and key in grants:
        grants[key]["acted"] = True
    s["silent_deaths"] = {n: count for n, count in deaths.items() if count and not (kind in ACTING and n == key)}
    return s
def check_record(e: Json, header: Json, last: int, recent: Json) -> None:  # sections 4, 6, 12 and 20
    need(e.keys() == FIELDS, all(type(value) is (int if name in NUMBERS else str) or (
        value is None and name in NULLABLE) for name, value in e.items()), e["event_seq"] > 0)
    need(e["tenant"] == header["tenant"], e["project"] == header["project"], last <= e["timestamp"] < 2**53,
         e["workflow_id"] == header["workflow_id"] == str(uuid5(NAMESPACE, f"{e['tenant']}/{e['project']}")),
         e["checksum"] == sha(e["payload"].encode()), e["command_id"] not in recent,
         e["event_hash"] == sha(canonical({n: v for n, v in e.items() if n not in LOG and n != "event_hash"})),
         e["operator_kind"] in ("human", "agent", "automation", "device"), UUID(e["command_id"]).int,
         all(re.fullmatch(r"[^\x00-\x1f\x7f]{1,200}", who) for who in {e["operator_id"], e["session_id"]} - {None}),
         re.fullmatch("[0-9a-f]{64}", e["command_digest"]), e["command_id"] == str(UUID(e["command_id"])))
    d = sha256(f"{e['workflow_id']}/{e['event_seq']}/{e['command_id']}".encode()).digest()
    d = (e["timestamp"] // 1000).to_bytes(6, "big") + bytes([0x70 | d[0] & 15, d[1], 0x80 | d[2] & 63]) + d[3:10]
    need(e["event_id"] == str(UUID(bytes=d)))
def check_rules(s: Json, e: Json, p: Json) -> None:  # section 20
    kind, now, grants, goals, tasks = e["event_type"], instant(e["timestamp"]), s["grants"], s["goals"], s["tasks"]
    new, task_id, token = str(uuid5(UUID(e["workflow_id"]), e["command_id"])), p.get("task_id"), e["fencing_token"]
    task, tokens = tasks.get(task_id, {}), {grant["token"]: key for key, grant in grants.items()}
    goal_id, status, voided = p.get("goal_id") or task.get("goal_id"), task.get("status"), p.get("voided", [])
    goal, gone = goals.get(goal_id, {}), {each["token"] for each in voided}
    ready = goal.get("status") == "active" and all(tasks[n]["status"] == "done" for n in task.get("depends_on", []))
    is_open = any(each["goal_id"] == goal_id and each["status"] != "done" for each in tasks.values())
    moves = {name: (status, to) for name, (_, to) in MOVES.items()} | {
        "goal_created": (None, "active"), "goal_status_set": (goal.get("status"), p.get("status")),
        "task_added": (None, "todo"), "task_claimed": ("todo", "doing") if status == "todo" else (None, None)}
    rules: Json = {
        "goal_created": goal_id == new and new not in goals,
        "goal_status_set": p.get("status") in {"active", "paused", "" if is_open else "done"} - {goal.get("status")},
        "task_added": task_id == new and new not in tasks and goal.get("status") != "done",
        "lease_released": p.get("token") == token and tokens.get(token) == (task_id or "workflow")
            and p.get("owner_id") == grants[task_id or "workflow"]["owner_id"],
        "task_started": ready, "task_reopened": goal.get("status") != "done", "checkpoint_updated": status != "done",
        "rolled_back": tokens.keys() <= {token, *gone} and 0 <= p.get("to_seq", 0) < e["event_seq"] - 1}
    need(kind in TYPES, len(gone) == len(voided), rules.get(kind, True),
         (e["task_id"], e["step_id"], e["goal_id"]) == (task_id, p.get("step_id"), goal_id),
         task_id in (None, *tasks) or kind in ("task_added", "lease_released", "step_completed", "step_failed"),
         goal_id in (None, *goals) or kind == "goal_created", kind not in MOVES or status in MOVES[kind][0].split(),
         (e["from_status"], e["to_status"]) == moves.get(kind, (None, None)),
         token == p["token"] == s["token_counter"] + 1 if kind in GRANTING else token in (None, *tokens))
    for each in voided:
        grant = grants[each["task_id"] or "workflow"]
        need((grant["token"], grant["owner_id"]) == (each["token"], each["owner_id"]),
             kind in GRANTING and p["owner_id"] == grant["owner_id"] if each["reason"] == "replaced"
             else grant["expires_at"] <= instant(each["expires_at"]) == each["expires_at"] <= now)
    held = {grants[key]["token"] for key in (task_id, "workflow") if key in grants and kind in ACTING}
    need(token in held or held <= gone or p.get("blocker", {}).get("text", "").startswith("executors_keep_failing:"))
    pending = list(p.get("depends_on", [])) if kind in ("task_added", "task_amended") else []
    for needed in pending:  # it grows as it is walked through
        need(needed != task_id, needed in tasks)
        pending += [each for each in tasks[needed]["depends_on"] if each not in pending]
    if kind in GRANTING:
        other = [g for g in grants.values() if g["task_id"] == task_id or ((g["task_id"] is None) != (task_id is None)
                 and g["owner_id"] != p["owner_id"])]
        need(p["grant_id"] == new, p["expires_at"] == instant(e["timestamp"] + p["ttl_seconds"] * 10**6),
             (task_id is None) == (kind == "lease_acquired"), {g["token"] for g in other} <= gone)
    if kind == "task_claimed":
        n = sum({"expired": 1, "replaced": -(2**53)}[each["reason"]] for each in voided if each["task_id"] == task_id)
        need(("from_status" in p) == (status == "todo"), ready if status == "todo" else status == "doing",
             goal["status"] == "active", status == "todo" or s["silent_deaths"].get(task_id, 0) + n < 5)
    step: Json = s["steps"].get(p.get("step_id"), {"attempts": [{"attempt_id": 0, "token": None}], "status": None})
    last = step["attempts"][-1]
    if kind == "step_begun":
        need(p["attempt_id"] == last["attempt_id"] + 1, step["status"] != "completed", p["token"] == token,
             step["status"] != "open" or last["token"] != token, tokens[token] in ("workflow", task_id),
             all(step.get(name, p[name]) == p[name] for name in ("step_type", "task_id", "external_key")),
             grants[tokens[token]]["expires_at"] <= (until := p["lease_expires_at"]), now < until == instant(until))
    elif kind in STEPS:
        need(step["status"] == "open", step["task_id"] == task_id,
             (last["attempt_id"], last["token"]) == (p["attempt_id"], token))
def verify(raw: bytes) -> tuple[bool, int]:  # section 19: the verdict, and the first line that is wrong
    number, last, recent = 1, 0, [""]
    try:
        reader = zstandard.ZstdDecompressor().decompressobj()
        *lines, rest = reader.decompress(raw).split(b"\n")
        header, count = parsed(lines[0]), len(lines) - 2
        base = header["base"] or {"work": EMPTY | {"token_counter": 0}, "state_checksum": NOTHING}
        past = [("0" * 64, base["state_checksum"], base["work"])]
        need(reader.eof, not reader.unused_data, not rest, header["base"] is None or base is header["base"],
             header.keys() == HEADER, (header["format"], header["version"]) == ("continuity.incident", 1),
             past[0][1] == state_checksum(past[0][2]))
        for number in range(2, count + 2):
            e = parsed(lines[number - 1])
            check_record(e, header, last, recent)
            p, (head, before, state), kind = parsed(e["payload"]), past[-1], e["event_type"]
            fork = (number, p.get("base_digest")) == (2, sha(canonical(state)))
            need((e["event_seq"], e["prev_hash"]) == (number - 1, head), fork or kind != "project_forked",
                 number > 2 or before == NOTHING or kind == "project_forked")
            check_rules(state, e, p)
            past.append((e["event_hash"], e["state_checksum"], patched(state, parsed(e["delta"]))))
            need({state_checksum(each) for each in (past[-1][2], folded(state, e, p, past))} == {e["state_checksum"]})
            last, recent = e["timestamp"], [*recent[-255:], e["command_id"]]
        number = count + 2
        need(lines[-1] == canonical({"count": count, "digest": sha(b"\n".join(lines[:-1]) + b"\n")}))
        number = 1 if (header["count"], header["head_seq"], header["head_hash"]) != (count, count, past[-1][0]) else 0
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, zstandard.ZstdError):
        return False, number
    return number == 0, number
if __name__ == "__main__":
    sys.exit(0 if verify(sys.stdin.buffer.read())[0] else 1)
