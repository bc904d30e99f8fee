"""Checkers that decide once more (`replay`): each outcome has to follow from the commands, the log and the clock."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from continuity import codec
from continuity.core import ids
from continuity.core.canonical import loads_canonical
from continuity.core.history import origin
from continuity.core.outcome import Accepted, Answered, Duplicate, Outcome, Rejected
from continuity.core.records import Command
from continuity.core.seal import digest
from continuity.core.transitions import EVENT_TYPES
from continuity.processors.tail import TAIL_BYTES_MAX
from tests.simulation.broken import Broken
from tests.simulation.owner import Batch

if TYPE_CHECKING:
    from tests.simulation.world import Told, World

WORDED_ELSEWHERE = frozenset({"poison", "invalid_field", "wrong_partition"})
UNTIL = re.compile(r" until (\S+)\.$")


def every_fact_is_what_its_command_asked(world: "World") -> None:
    """The command record that it speaks for, decided once more on the state and the grants that it met, gives the very
    same event."""
    for place, fact in world.truth.facts.items():
        decision = world.decisions.get(place)
        outcome = decision and decision.outcome
        if not isinstance(outcome, Accepted) or outcome.event["event_hash"] != fact.event["event_hash"]:
            raise Broken(every_fact_is_what_its_command_asked, f"{place}: {outcome}, and the fact is {fact}")


def every_command_that_is_allowed_is_a_fact(world: "World") -> None:
    """No owner passes over what it decided; but a forged record may have taken its place, and a stopped workflow takes
    no more."""
    forged = set(world.forgeries.values())
    for place, decision in world.decisions.items():
        if isinstance(decision.outcome, Accepted) and place not in world.truth.facts:
            event = decision.outcome.event
            if decision.epoch not in forged and event["workflow_id"] not in world.truth.stopped:
                raise Broken(every_command_that_is_allowed_is_a_fact, f"{place} is none: {event}")


def every_answer_is_what_the_replay_gives(world: "World") -> None:
    """Accepted, duplicate, answered or refused, with all that is said of it."""
    for told in world.told:
        decision = world.decisions.get(told.place)
        if decision is not None and decision.outcome is not None:
            wrong = _injustice(world, told, decision.outcome)
            if wrong:
                raise Broken(
                    every_answer_is_what_the_replay_gives, f"{told}: {wrong} of {decision.command} {decision.outcome}"
                )


def _injustice(world: "World", told: "Told", outcome: Outcome) -> str | None:
    """What was said wrongly, or None."""
    if isinstance(outcome, Rejected):
        late = world.truth.late.get(told.place)
        kept = f" Its result {late[0]['result_ref']} is kept among the late results." if late else ""
        detail = told.detail if outcome.code in WORDED_ELSEWHERE else outcome.detail + kept
        same = (told.status, told.code, told.detail) == ("refused", outcome.code, detail)
        return None if same else "the refusal"
    if told.reply is None:
        return "a refusal"
    said = _said(outcome)
    result = told.reply["result"]
    heard: dict[str, Any] = {**told.reply, "result": None if result is None else loads_canonical(result)}
    wrong = [name for name, value in said.items() if heard[name] != value]
    return f"the reply's {wrong}" if wrong else None


def _said(outcome: Accepted | Answered | Duplicate) -> dict[str, Any]:
    result = outcome.result
    said: dict[str, Any] = {
        "result": result,
        "code": None,
        "fencing_token": None if result is None else result.get("token"),
    }
    if isinstance(outcome, Accepted):
        names = ("event_seq", "event_id", "event_type", "goal_id", "task_id", "state_checksum")
        event: Any = outcome.event
        return said | {"status": "accepted"} | {name: event[name] for name in names}
    if isinstance(outcome, Answered):
        return said | {"status": "answered", "event_seq": None}
    return said | {"status": "duplicate"} | outcome._asdict()


def nobody_answers_for_what_is_not_in_the_log(world: "World") -> None:
    """Also a renewal is acknowledged only once the log speaks for its command, by a record of the same epoch. So an
    owner whose epoch has ended, and may not know it, acknowledges none."""
    spoken: dict[str, tuple[int, int]] = {}
    for record in world.truth.accepted:
        if record.offset not in world.forgeries:
            spoken[record.event["sequencer_id"]] = record.place
    for told in world.told:
        if spoken.get(told.sequencer_id, (0, -1)) < told.place:
            raise Broken(nobody_answers_for_what_is_not_in_the_log, f"{told}")


def nobody_waits_for_what_has_run_out(world: "World") -> None:
    """Who has to wait for a holder is told until when: that is the expiry with all renewals, and still ahead."""
    for place, decision in world.decisions.items():
        outcome = decision.outcome
        if isinstance(outcome, Rejected) and (until := UNTIL.search(outcome.detail)) is not None:
            expiry = ids.micros_of(until[1])
            if expiry not in decision.expiries.values() or expiry <= decision.now:
                raise Broken(nobody_waits_for_what_has_run_out, f"{place} at {ids.instant(decision.now)}: {outcome}")


def cited_expiries_are_those_that_counted(world: "World") -> None:
    """What an event says of when a grant ran out, or will, has all renewals of its epoch in it, and no others."""
    for place, fact in world.truth.facts.items():
        expiries = world.decisions[place].expiries
        for token, cited, is_over in _cited(fact.payload):
            expiry = ids.micros_of(cited)
            if expiry != expiries.get(token) or (
                is_over is not None and is_over != (expiry <= fact.event["timestamp"])
            ):
                raise Broken(cited_expiries_are_those_that_counted, f"{place}: {fact.payload}, and it was {expiries}")


def _cited(payload: Any) -> Iterator[tuple[int, str, bool | None]]:
    """The token, when its grant runs out, and whether that has to have passed."""
    for gone in payload.get("voided", ()):
        yield gone["token"], gone["expires_at"], gone["reason"] == "expired"
    if "lease_expires_at" in payload:
        yield payload["token"], payload["lease_expires_at"], False


def a_duplicate_is_of_the_same_command(world: "World") -> None:
    """The event that it names was made by this command: the same id, type and, while it is remembered, body."""
    for told in world.told:
        if told.status == "duplicate" and told.reply is not None:
            command, _ = codec.decode_command(world.record(told.place).value)
            journal = world.truth.journals[command.workflow_id]
            event = journal[(told.reply["event_seq"] or 0) - 1].event
            head = sum(fact.place < told.place for fact in journal)
            types = {EVENT_TYPES[command.command_type]}
            types |= {"task_blocked"} if command.command_type == "claim_task" else set()
            same = event["command_id"] == command.command_id and event["event_type"] in types
            if same and head - event["event_seq"] < world.window_slots:
                same = event["command_digest"] == digest(f"{command.command_type}\n{command.body}")
            if not same:
                raise Broken(a_duplicate_is_of_the_same_command, f"{told.place}: {command} is not {event}")


def every_outage_was_there(world: "World") -> None:
    """What no rule decided was turned away because of something that can be seen from outside."""
    for batch in world.all_batches():
        records = {record.offset: record for record in batch.records}
        for offset, code in batch.turned_away.items():
            if offset in records:
                command, _ = codec.decode_command(records[offset].value)
                if not _was_out(world, command, batch, code):
                    raise Broken(every_outage_was_there, f"{offset} {code}: there was no outage for {command}")


def origin_of(world: "World", workflow_id: str) -> str | None:
    """Of a fork, which workflow it stands on."""
    first = next(iter(world.truth.journals.get(workflow_id, ())), None)
    return first.payload.get("origin_workflow_id") if first is not None else None


def _is_rotten(world: "World", workflow_id: str | None) -> bool:
    """Whether its rows, or those of a project that it stands on, were damaged at some time."""
    while workflow_id is not None and workflow_id not in world.ever_rotten:
        workflow_id = origin_of(world, workflow_id)
    return workflow_id is not None


def _was_out(world: "World", command: Command, batch: Batch, code: str) -> bool:
    """The database away, rotten, behind what this owner saw of it, or behind a small tail; or the chain is damaged."""
    workflow_id, looks = command.workflow_id, batch.looks
    if code == "workflow_stopped":
        return workflow_id in world.truth.stopped
    if code == "integrity":
        return (older := origin(command)) is not None and _is_rotten(world, older[0])
    return (
        (workflow_id in looks.asked and looks.was_away)
        or workflow_id in looks.unread
        or ((older := origin(command)) is not None and older[0] in looks.unread)
        or any(position < batch.seen for position in looks.fetched)
        or (world.tail_bytes_max < TAIL_BYTES_MAX and _is_beyond_the_tail(world, workflow_id, batch))
        or _is_rotten(world, workflow_id)
        or workflow_id in world.truth.stopped
    )


def _is_beyond_the_tail(world: "World", workflow_id: str, batch: Batch) -> bool:
    """Whether it has an event that the database did not have yet, and the tail not any more."""
    journal = world.truth.journals.get(workflow_id, ())
    return any(position <= record.offset < batch.tail_start for position in batch.looks.fetched for record in journal)
