"""One function for each thing that must hold after a run: each yields a sentence for everything that does not. Pure.

They see what clients were told (`record`), what the topic and the journal hold, and what the APIs answer; none of them
looks into a service. `lost` and `doubled` are what the campaign counts under those names, all others are violations.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from chaos.evidence import Answers, Fact, Row
from chaos.record import Wish
from continuity.core.ids import ZERO_HASH
from continuity.core.next_step import next_step
from continuity.core.state import State

Place = tuple[str, int]
WHOLE = "workflow"
"""The key of a lease among those that are held; a claim's is its task."""


# What was acknowledged


def lost(wishes: Iterable[Wish], facts: Sequence[Fact], journal: Sequence[Row]) -> Iterator[str]:
    """An acknowledged command is the event that its client was told, in the topic and in the journal."""
    in_topic = {(fact.workflow_id, fact.event_seq): (fact.command_id, fact.event_id) for fact in facts}
    in_journal = {(row.workflow_id, row.event_seq): (row.command_id, row.event_id) for row in journal}
    for wish in wishes:
        if not wish.is_acknowledged or wish.told.event_seq is None:
            continue
        place = wish.workflow_id, wish.told.event_seq
        for name, held in (("topic", in_topic), ("journal", in_journal)):
            command_id, event_id = held.get(place, (None, None))
            if command_id != wish.command_id or wish.told.event_id not in (None, event_id):
                yield f"{_named(wish)} was told event {wish.told.event_seq}; the {name} has {command_id} there"
                break


def acknowledged_without_event(wishes: Iterable[Wish]) -> Iterator[str]:
    """Whoever is told that a command was accepted is told which event it is."""
    for wish in wishes:
        if wish.is_acknowledged and wish.told.event_seq is None:
            yield f"{_named(wish)} was {wish.told.status} as no event"


def doubled(facts: Sequence[Fact], journal: Sequence[Row]) -> Iterator[str]:
    """No command is two events, in the topic or in the journal."""
    for name, found in (
        ("topic", Counter((fact.workflow_id, fact.command_id) for fact in facts)),
        ("journal", Counter((row.workflow_id, row.command_id) for row in journal)),
    ):
        for (workflow, command_id), times in found.items():
            if times > 1:
                yield f"command {command_id} of workflow {workflow} is {times} events in the {name}"


def refused_and_yet_a_fact(wishes: Iterable[Wish], facts: Sequence[Fact]) -> Iterator[str]:
    """A command whose last try was refused is no event.

    Only of those of the native client, whose tries reach the log in their order. Through the APIs an earlier try may
    still be on its way when a later one is refused, and a refusal is not remembered: a repeat is decided again.
    """
    events = {(fact.workflow_id, fact.command_id): fact.event_seq for fact in facts}
    for wish in wishes:
        seq = events.get((wish.workflow_id, wish.command_id))
        if wish.told.status == "refused" and seq is not None and set(wish.doors) == {"native"}:
            yield f"{_named(wish)} was refused ({wish.told.code}) and is event {seq}"


def outcomes_asked_for_later(
    wishes: Iterable[Wish], facts: Sequence[Fact], told: Mapping[str, Mapping[str, Any] | None]
) -> Iterator[str]:
    """What an API says later of a command without an answer is what the topic holds."""
    events = {(fact.workflow_id, fact.command_id): fact for fact in facts}
    for wish in wishes:
        if wish.command_id not in told:
            continue
        fact, said = events.get((wish.workflow_id, wish.command_id)), told[wish.command_id]
        said_seq = said.get("event_seq") if said is not None and said["status"] == "accepted" else None
        if said_seq != (fact.event_seq if fact else None):
            yield f"{_named(wish)} is event {fact.event_seq if fact else None}, the API says {said_seq}"


def nobody_asked(wishes: Mapping[str, Wish], facts: Sequence[Fact]) -> Iterator[str]:
    """Every event is of a command that a client has sent, to that project."""
    for fact in facts:
        wish = wishes.get(fact.command_id)
        if wish is None or wish.workflow_id != fact.workflow_id:
            yield f"{_at(fact)} is of command {fact.command_id}: nobody sent it"


# The chain


def holes(facts: Sequence[Fact]) -> Iterator[str]:
    """Each workflow's events are numbered 1, 2, 3 … in the order of the topic, each citing the one before."""
    heads: dict[str, tuple[int, str]] = {}
    for fact in facts:
        seq, digest = heads.get(fact.workflow_id, (0, ZERO_HASH))
        if (fact.event_seq, fact.prev_hash) != (seq + 1, digest):
            yield f"{_at(fact)} follows event {seq}, or cites another"
        heads[fact.workflow_id] = fact.event_seq, fact.event_hash


def journal_is_the_topic(facts: Sequence[Fact], journal: Sequence[Row]) -> Iterator[str]:
    """The journal has every fact, as it is, and nothing else."""
    rows = {(row.workflow_id, row.event_seq): row for row in journal}
    for fact in facts:
        row = rows.pop((fact.workflow_id, fact.event_seq), None)
        if row is None or (row.event_id, row.event_hash) != (fact.event_id, fact.event_hash):
            yield f"{_at(fact)} is {'another' if row else 'missing'} in the journal"
    for workflow, seq in rows:
        yield f"workflow {workflow}: the journal's event {seq} is not in the topic"


# Who may work


def tokens_that_do_not_grow(facts: Sequence[Fact]) -> Iterator[str]:
    """Each grant of a workflow has a larger token than all before it."""
    last: dict[str, int] = {}
    for fact in facts:
        if fact.event_type in ("lease_acquired", "task_claimed"):
            token = fact.payload["token"]
            if token <= last.get(fact.workflow_id, 0):
                yield f"{_at(fact)} grants token {token}, after a larger one"
            last[fact.workflow_id] = max(token, last.get(fact.workflow_id, 0))


def tokens_told_twice(wishes: Iterable[Wish]) -> Iterator[str]:
    """No two commands of a workflow were given the same token."""
    given: dict[Place, str] = {}
    for wish in wishes:
        if wish.command_type in ("acquire_lease", "claim_task") and wish.is_acknowledged and wish.told.token:
            other = given.setdefault((wish.workflow_id, wish.told.token), wish.command_id)
            if other != wish.command_id:
                yield f"{_named(wish)} was given token {wish.told.token}, and so was command {other}"


def holders_at_once(facts: Sequence[Fact]) -> Iterator[str]:
    """A task has one holder, a project that is leased no other; what is done under a token is done by who holds it."""
    held: dict[str, dict[str, tuple[int, str]]] = {}
    for fact in facts:
        grants = held.setdefault(fact.workflow_id, {})
        for gone in fact.payload.get("voided", ()):
            grants.pop(gone["task_id"] or WHOLE, None)
        if fact.event_type in ("lease_acquired", "task_claimed"):
            key, owner = fact.payload["task_id"] or WHOLE, fact.payload["owner_id"]
            others = (
                grants.items() if key == WHOLE else [(each, grants[each]) for each in (key, WHOLE) if each in grants]
            )
            for taken, (token, whose) in others:
                if taken == key or whose != owner:
                    yield f"{_at(fact)} grants {key} to {owner}, while token {token} of {whose} lives"
            grants[key] = fact.payload["token"], owner
        elif fact.fencing_token is not None and fact.fencing_token not in {token for token, _ in grants.values()}:
            yield f"{_at(fact)} ({fact.event_type}) was done under token {fact.fencing_token}, which nobody holds"
        if fact.event_type == "lease_released":
            grants.pop(fact.payload["task_id"] or WHOLE, None)
        elif fact.event_type == "task_completed":
            grants.pop(fact.payload["task_id"], None)


# Steps


def steps_completed_twice(facts: Sequence[Fact]) -> Iterator[str]:
    """A step is completed at most once."""
    done: dict[tuple[str, str], int] = {}
    for fact in facts:
        if fact.event_type == "step_completed":
            step = fact.payload["step_id"]
            first = done.setdefault((fact.workflow_id, step), fact.event_seq)
            if first != fact.event_seq:
                yield f"{_at(fact)} completes step {step}, and so did event {first}"


def results_that_are_others(wishes: Iterable[Wish], states: Mapping[str, State]) -> Iterator[str]:
    """The result of an acknowledged completion is the one that is stored, and the one that everybody was told."""
    for wish in wishes:
        state = states.get(wish.workflow_id)
        step = state.steps.get(wish.body.get("step_id", "")) if state is not None else None
        stored = (step or {}).get("result_ref"), (step or {}).get("result_checksum")
        if wish.command_type == "complete_step" and wish.is_acknowledged:
            claimed = wish.body["result_ref"], wish.body["result_checksum"]
        elif wish.told.status == "answered" and wish.told.result.get("status") == "already_completed":
            claimed = wish.told.result.get("result_ref"), wish.told.result.get("result_checksum")
        else:
            continue
        if claimed != stored:
            yield f"{_named(wish)}: the result is {stored}, its client knows {claimed}"


# What is answered


def answers_that_differ(answers: Iterable[Answers], states: Mapping[str, State]) -> Iterator[str]:
    """Each API answers the fold of the topic: state, checksum and next step of each project."""
    for told in answers:
        state = states.get(told.workflow_id)
        if state is None:
            yield f"{told.api}: workflow {told.workflow_id} is answered, and has no event"
            continue
        must = {
            "as_of_seq": state.head_seq,
            "state_checksum": state.checksum,
            "goals": _by(state.goals.values(), "goal_id"),
            "tasks": _by(state.tasks.values(), "task_id"),
            "checkpoints": _by(state.checkpoints.values(), "task_id"),
        }
        said = {
            "as_of_seq": told.state["as_of_seq"],
            "state_checksum": told.state["state_checksum"],
            "goals": _by(told.state["goals"], "goal_id"),
            "tasks": _by(told.state["tasks"], "task_id"),
            "checkpoints": _by(told.state["checkpoints"], "task_id"),
        }
        for name, value in must.items():
            if said[name] != value:
                yield f"{told.api}: {name} of workflow {told.workflow_id} is not what its events say"
        if told.next_step != next_step(state):
            yield f"{told.api}: the next step of workflow {told.workflow_id} is not that of its events"


def _by(documents: Iterable[Any], key: str) -> dict[str, Any]:
    return {each[key]: each for each in documents}


def _at(fact: Fact) -> str:
    return f"workflow {fact.workflow_id}: event {fact.event_seq}"


def _named(wish: Wish) -> str:
    return f"{wish.command_type} {wish.command_id} ({wish.tenant}/{wish.project})"
