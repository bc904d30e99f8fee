"""Whether a replay held: no fact is lost or doubled, and topic, journal, folds and Postgres tell one story. Pure.

Each check is one function over the evidence, with one sentence that says what it saw.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from continuity.answers import ActiveWorkState
from continuity.core import State, canonical, evolve, next_step, restore
from continuity.core.records import Event
from continuity.replay.expected import Difference, compare
from continuity.replay.mapping import Deviation
from continuity.replay.plan import Plan
from continuity.replay.rehearsal import UNKNOWN
from continuity.replay.sending import Sent

POSITIONS = 50


class Check(NamedTuple):
    """One thing that has to hold. `name` is for programs, `saw` for people."""

    name: str
    ok: bool
    saw: str


class Facts(NamedTuple):
    """Every line of the history is one of these."""

    applied: int
    refused: int
    skipped: int


class Folds(NamedTuple):
    """The state after all events, folded in two ways, and core's next step at the sampled positions, as bytes."""

    events: State
    deltas: State
    next_steps: Mapping[int, bytes]


def positions(head_seq: int, count: int = POSITIONS) -> list[int]:
    """`count` places spread evenly over the events, the last one among them; all of them where there are fewer."""
    return sorted({head_seq * number // count for number in range(1, count + 1)} - {0})


def fold(workflow: str, events: Sequence[Event], at: Sequence[int]) -> Folds:
    """Fold the events, and their deltas, from nothing. Raises `Damaged` on the first event that does not fit."""
    by_events, steps, wanted = State(workflow), {}, set(at)
    for event in events:
        by_events = evolve(by_events, event)
        if event["event_seq"] in wanted:
            steps[event["event_seq"]] = canonical.dumps(next_step(by_events))
    return Folds(by_events, restore(workflow, events), steps)


def deviations(plan: Plan, sent: Sent, expected: Sequence[Deviation]) -> tuple[Deviation, ...]:
    """What did not come to pass as it stands. Of lines that an earlier replay saw refused only that is known."""
    known = {each.line: each for each in expected if each.outcome == "refused"}
    settled = [
        known.get(line, Deviation(line, "refused", "refused_before", "An earlier replay saw it refused."))
        for line in sent.settled
    ]
    return (*plan.skips, *sent.refused.values(), *settled)


def facts(plan: Plan, sent: Sent) -> Facts:
    """How the history's lines ended."""
    lines = {planned.line for planned in plan.commands} - {0}
    refused = (sent.refused.keys() | sent.settled) - {0}
    return Facts(len(lines - refused), len(refused), plan.facts - len(lines))


def check_facts(plan: Plan, sent: Sent, events: Sequence[Event]) -> Check:
    """No fact is lost or doubled: each accepted command is the event that its sender was told, and no other is."""
    refused = sent.refused.keys() | sent.settled
    due = {planned.command_id for planned in plan.commands if planned.line not in refused}
    found = Counter(event["command_id"] for event in events)
    wrong = {
        "lost": len((due | sent.accepted.keys()) - found.keys()),
        "doubled": sum(count > 1 for count in found.values()),
        "foreign": len(found.keys() - sent.accepted.keys()),
        "elsewhere": sum(sent.accepted.get(event["command_id"]) != event["event_seq"] for event in events),
    }
    ended = facts(plan, sent)
    ok = not any(wrong.values()) and sum(ended) == plan.facts
    saw = f"{plan.facts:,} facts: {ended.applied:,} applied, {ended.refused:,} refused, {ended.skipped:,} skipped"
    if not ok:
        saw += "; " + ", ".join(f"{count} {what}" for what, count in wrong.items() if count)
    return Check("no_fact_lost_or_doubled", ok, saw)


def check_deviations(found: Sequence[Deviation], expected: Sequence[Deviation]) -> tuple[Check, Difference]:
    """What was refused and skipped is what had to be, line by line; and nothing named an id that should exist."""
    difference = compare(tuple(found), tuple(expected))
    unknown = sum(each.code in UNKNOWN for each in found)
    ok = not any(difference) and not unknown
    counts = Counter(each.outcome for each in found)
    saw = f"{counts['refused']:,} refused, {counts['skipped']:,} skipped, line by line"
    if not ok:
        unexpected, missing = map(len, difference)
        saw = f"{unexpected} not on the list, {missing} did not happen, {unknown} name an id that should exist"
    return Check("refusals_and_skips_expected", ok, saw), difference


def check_journal(journal: Sequence[Event], topic: Sequence[Event]) -> Check:
    """The journal in Postgres and the facts in the topic are the same events, field by field, in the same order."""
    first = next((one["event_seq"] for one, other in zip(journal, topic, strict=False) if one != other), None)
    ok = first is None and len(journal) == len(topic)
    saw = f"{len(journal):,} events in both"
    if not ok:
        saw = f"{len(journal):,} and {len(topic):,} events, different first at {first}"
    return Check("journal_is_topic", ok, saw)


def check_folds(folds: Folds, rows: ActiveWorkState | None) -> Check:
    """Folding events, folding deltas, and the rows of Postgres give the same state."""
    assert rows is not None, "an empty project is not checked"
    projected = {
        "goals": {goal["goal_id"]: goal for goal in rows["goals"]},
        "tasks": {task["task_id"]: task for task in rows["tasks"]},
        "checkpoints": {checkpoint["task_id"]: checkpoint for checkpoint in rows["checkpoints"]},
    }
    works = [
        canonical.dumps({name: work[name] for name in projected}) for work in (folds.events.work, folds.deltas.work)
    ]
    checksums = {folds.events.checksum, folds.deltas.checksum, rows["state_checksum"]}
    seqs = {folds.events.head_seq, folds.deltas.head_seq, rows["as_of_seq"]}
    ok = {*works, canonical.dumps(projected)} == {works[0]} and len(checksums) == len(seqs) == 1
    saw = f"{len(rows['goals'])} goals, {len(rows['tasks']):,} tasks, {len(rows['checkpoints'])} checkpoints, "
    return Check("folds_are_postgres", ok, saw + f"checksum {' ≠ '.join(sorted(each[:12] for each in checksums))}")


def check_next_steps(from_core: Mapping[int, bytes], from_sql: Mapping[int, bytes], live: bytes) -> Check:
    """SQL answers at every sampled position what the core does, byte for byte; so do the live tables, at the head."""
    wrong = [seq for seq in sorted(from_core.keys() | from_sql.keys()) if from_core.get(seq) != from_sql.get(seq)]
    if live != from_core.get(max(from_core)):
        wrong.append(max(from_core))
    actions = Counter(canonical.loads(step)["action"] for step in from_core.values())
    saw = f"{len(from_core)} positions: " + ", ".join(f"{count} {action}" for action, count in sorted(actions.items()))
    return Check("next_step_is_core", not wrong, saw if not wrong else f"different at {wrong}")
