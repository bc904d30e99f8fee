"""What a run has been through, of leases, claims and steps: a state that never occurs was never held to be right."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from continuity.core.canonical import loads_canonical
from continuity.core.outcome import Accepted, Rejected
from tests.simulation.holders import GRANTING, is_given_up, told_in_full
from tests.simulation.justification import origin_of
from tests.simulation.replay import Decision
from tests.simulation.truth import Place, Record

if TYPE_CHECKING:
    from tests.simulation.world import World


def reached(world: "World") -> Counter[str]:
    counts: Counter[str] = Counter()
    counts.update(name for fact, payload, _ in told_in_full(world) for name in _done(fact, payload))
    counts.update(name for told in world.told for name in _heard(world, told.place, told.reply))
    bases = [each for each in world.truth.histories.items() if each[1][0].tasks or each[1][0].goals]
    counts["forked"] = len(bases)
    counts["forked again"] = sum(origin_of(world, str(origin_of(world, key))) is not None for key, _ in bases)
    counts["late result kept"] = sum(len(each) for each in world.truth.late.values())
    renewed = _renewals_told(world)
    for place, decision in world.decisions.items():
        counts.update(_held_on(place, decision, renewed))
    return counts


def _done(fact: Record, payload: Any) -> Iterator[str]:
    """What an event has done."""
    kind = fact.event["event_type"]
    reasons = {gone["reason"] for gone in payload.get("voided", ())}
    if kind in GRANTING:
        yield from (f"{kind}: {reason} predecessor" for reason in sorted(reasons))
    elif reasons:
        yield "run out, and ended by " + ("a rollback" if kind == "rolled_back" else "work")
    if kind == "task_blocked" and is_given_up(payload):
        yield "blocked by silent deaths"
    if kind == "lease_released":
        yield "released by force" if payload["forced"] else "released"
    if kind == "step_begun" and payload["attempt_id"] > 1:
        yield f"begun again: {payload['step_type']}"
    if kind in ("rolled_back", "step_completed", "step_failed"):
        yield kind
    if kind in ("lease_released", "step_completed", "step_failed") and payload["task_id"] and not fact.event["goal_id"]:
        yield "ended after its task was undone"


def _heard(world: "World", place: Place, reply: Any) -> Iterator[str]:
    """What somebody was told."""
    result = loads_canonical(reply["result"]) if reply and reply["result"] else {}
    if result.get("status") == "already_completed":
        yield f"completed step: {reply['status']}"
    elif reply and reply["status"] == "answered":
        yield "renewal: answered"
    if result.get("ambiguous"):
        yield "ambiguous attempt told"
    handover = result.get("handover") or {}
    yield from (f"handed over: {name}" for name, value in handover.items() if value)
    if reply and reply["status"] == "duplicate" and "token" in result:
        head = world.truth.state_before(reply["workflow_id"], place).head_seq
        yield "grant told again" + (" beyond the window" if head - reply["event_seq"] >= world.window_slots else "")


def _renewals_told(world: "World") -> dict[tuple[str, int], Place]:
    """The first renewal of each token that was acknowledged."""
    first: dict[tuple[str, int], Place] = {}
    for told in world.told:
        if told.reply is not None and told.status == "answered":
            result = loads_canonical(told.reply["result"] or "{}")
            if "token" in result:
                first.setdefault((told.reply["workflow_id"], result["token"]), told.place)
    return first


def _held_on(place: Place, decision: Decision, renewed: dict[tuple[str, int], Place]) -> Iterator[str]:
    """Where a grant that the log alone says has run out made the difference, because it was renewed."""
    outcome, command = decision.outcome, decision.command
    begun = isinstance(outcome, Accepted) and outcome.event["event_type"] == "step_begun"
    waits = isinstance(outcome, Rejected) and outcome.code in ("lease_held", "token_needed")
    if command is None or not (begun or waits):
        return
    for token, recorded in decision.recorded.items():
        if (begun and token != command.fencing_token) or not recorded <= decision.now < decision.expiries[token]:
            continue
        if token in decision.renewed:
            yield "held by a renewal"
        elif renewed.get((command.workflow_id, token), place) < place:
            yield "held by a renewal across a failover"
        else:
            yield "held by a failover"
