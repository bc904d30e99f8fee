"""Projects to ask about: work in every status, a lease, claims, steps, a result, a fork; made through the SDK.

Each run has its own, because what is sent to them wears them out: goals are closed, leases held, states rolled back.
"""

from collections.abc import Iterator
from typing import Any

from continuity import Continuity
from continuity.api import incoming, surface
from continuity.core.fields import DIGEST_TEXT, NAME_TEXT
from continuity.core.ids import NAME, UUID_TEXT
from continuity.core.limits import TTL_SECONDS_MAX
from fuzz.places import Facts, Known

OWNER = "surveyor"
SETS = 3
"""So many projects of each kind."""
FORMS = {
    **dict.fromkeys(("project", "from_project"), NAME.pattern),
    **dict.fromkeys(("goal_id", "task_id", "command_id"), UUID_TEXT.pattern),
    **dict.fromkeys(("result_ref", "result_checksum"), DIGEST_TEXT.pattern),
    "step_id": NAME_TEXT.pattern,
}
"""What is replaced by what really exists must look like it; the others are numbers."""
CURSORS = {
    f"GET {read.path}": incoming.cursor("seq", 1) if read.answer == "EventPage" else incoming.cursor("name", "fuzz")
    for read in surface.READS
    if "cursor" in read.parameters
}


def seeded(url: str, key: str, name: str) -> Facts:
    """New projects whose names begin with `name`, and what is in them."""
    places: list[Known] = []
    lines: list[dict[str, Any]] = []
    for number in range(SETS):
        with Continuity(f"{name}-open-{number}", url, key) as work:
            found = list(_open(work))
            places += found
            lines += _lines(found)
        with Continuity(f"{name}-held-{number}", url, key) as work:
            places.append(_held(work))
        with Continuity(f"{name}-claimed-{number}", url, key) as work:
            places += _claimed(work)
        with Continuity(f"{name}-fork-{number}", url, key) as work:
            answer = work.fork_project(found[0]["project"], found[0]["seq_max"], wait="materialized")
            places.append({**found[0], "project": work.project, **_seqs(answer["event_seq"])})
        # Where a project is yet to begin, all that there is to know is what to begin it with.
        places.append({"from_project": found[0]["project"], "seq_max": found[0]["seq_max"]})
    return Facts(places, lines, FORMS, CURSORS)


def _open(work: Continuity) -> Iterator[Known]:
    """Tasks in every status, nobody's: a place for each."""
    goal_id = work.create_goal("Chart the coast", 5)["goal_id"]
    todo, doing, blocked, done = (work.add_task(goal_id, f"Survey bay {number}")["task_id"] for number in range(4))
    for task_id in (doing, blocked, done):
        work.start_task(task_id)
    work.update_checkpoint(doing, "Done up to the mole.", "Sound the inner basin", ["chart:7"])
    work.block_task(blocked, {"text": "No boat", "clears_when": "It is repaired"})
    result = work.store_result(b"soundings", "text/csv")
    answer = work.complete_task(done, "Sounded.", wait="materialized")
    for task_id in (todo, doing, blocked, done):
        yield {
            **result,
            **_seqs(answer["event_seq"]),
            "project": work.project,
            "goal_id": goal_id,
            "task_id": task_id,
            "command_id": answer["command_id"],
            "from_project": work.project,
        }


def _held(work: Continuity) -> Known:
    """A project that somebody holds as a whole."""
    goal_id = work.create_goal("Chart the islands")["goal_id"]
    task_id = work.add_task(goal_id, "Land on the first")["task_id"]
    token = work.acquire_lease(OWNER, TTL_SECONDS_MAX)["fencing_token"]
    answer = work.start_task(task_id, fencing_token=token, wait="materialized")
    names = {"project": work.project, "goal_id": goal_id, "task_id": task_id, "command_id": answer["command_id"]}
    return {**names, "token": token, **_seqs(answer["event_seq"])}


def _claimed(work: Continuity) -> Iterator[Known]:
    """Tasks with a holder each, a completed step and an open one: a place for each step."""
    goal_id = work.create_goal("Sound the channel")["goal_id"]
    for number in range(2):
        task_id = work.add_task(goal_id, f"Sound mile {number}")["task_id"]
        token = work.claim_task(OWNER, TTL_SECONDS_MAX, task_id)["fencing_token"]
        result = work.store_result(b"high: 06:12", "text/plain")
        cited = (result["result_ref"], result["result_checksum"])
        for step_id, is_completed in ((f"tides-{number}", True), (f"boat-{number}", False)):
            begun = work.begin_step(step_id, "non_idempotent", task_id, f"key-{number}", fencing_token=token)
            attempt_id = begun["step"]["attempt_id"]
            if is_completed:
                work.complete_step(step_id, attempt_id, *cited, fencing_token=token)
            answer = work.update_checkpoint(
                task_id, "On the way.", "Go on", [], fencing_token=token, wait="materialized"
            )
            yield {
                **dict(zip(("result_ref", "result_checksum"), cited, strict=True)),
                **_seqs(answer["event_seq"]),
                "project": work.project,
                "goal_id": goal_id,
                "task_id": task_id,
                "command_id": answer["command_id"],
                "step_id": step_id,
                "attempt_id": attempt_id,
                "token": token,
            }


def _seqs(event_seq: int) -> dict[str, int]:
    return {"seq_max": event_seq, "seen_seq": event_seq}


def _lines(places: list[Known]) -> list[dict[str, Any]]:
    """Commands that have a meaning in these places, as lines of a batch."""
    place = places[0]
    checkpoint = {"where_left_off": "At the pier.", "next_step": "Cast off", "context_refs": []}
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("create_goal", {"text": "Chart the reef"}),
        ("add_task", {"goal_id": place["goal_id"], "title": "Sound the reef"}),
        ("start_task", {"task_id": place["task_id"]}),
        ("update_checkpoint", {"task_id": place["task_id"], **checkpoint}),
        ("claim_task", {"owner_id": OWNER, "ttl_seconds": 60}),
        ("renew_lease", {}),
        ("fork_project", {"from_project": place["project"], "at_seq": 1}),
    ]
    return [{"project": place["project"], "command_type": name, "body": body} for name, body in bodies]
