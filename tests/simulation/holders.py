"""Checkers of leases, claims and steps: who held what, by what the log says alone, and what came of it.

They fold the payloads by their own few lines, so that a rule which is wrong in the product is not wrong here too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from continuity.core import ids
from continuity.core.audit import Audit, returns
from continuity.core.canonical import loads_canonical
from continuity.core.limits import SILENT_DEATHS_MAX
from continuity.core.records import Event
from continuity.core.state import State
from tests.simulation.broken import Broken
from tests.simulation.replay import epochs
from tests.simulation.truth import Place, Record

if TYPE_CHECKING:
    from tests.simulation.world import World

GRANTING = ("lease_acquired", "task_claimed")
ENDING = ("step_completed", "step_failed")
WORKING = (
    "task_started", "task_paused", "task_blocked", "task_completed", "task_reopened", "checkpoint_updated",
    "step_begun", *ENDING,
)  # fmt: skip
TOO_LATE = ("fenced", "lease_held", "step_completed", "attempt_closed")
KEEP_FAILING = "executors_keep_failing"
BEFORE_ALL: Place = (-1, -1)


@dataclass
class Held:
    """A grant that has not ended. `acted`: something was done on its task since it was given."""

    token: int
    owner_id: str
    acted: bool = False


@dataclass
class Holding:
    """Who holds what in one workflow: by task, or by None for all of it. `ended` are the tokens of the past."""

    held: dict[str | None, Held] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    deaths: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, base: State) -> "Holding":
        """What a fork inherits; without an origin, nothing."""
        grants = base.grants.values()
        held = {each["task_id"]: Held(each["token"], each["owner_id"], each["acted"]) for each in grants}
        return cls(held, deaths=dict(base.silent_deaths))

    @property
    def tokens(self) -> set[int]:
        return {each.token for each in self.held.values()}

    def end(self, task_id: str | None, token: int) -> Held | None:
        """The grant that ends, if it was there under this token."""
        held = self.held.get(task_id)
        if held is None or held.token != token:
            return None
        self.ended.add(token)
        return self.held.pop(task_id)

    def follow(self, event: Event, payload: Any) -> None:
        """What the event did to it."""
        for gone in payload.get("voided", ()):
            self._gone(gone)
        task_id, kind = payload.get("task_id"), event["event_type"]
        if kind in GRANTING:
            self.held[task_id] = Held(payload["token"], payload["owner_id"])
        elif kind == "lease_released":
            self.end(task_id, payload["token"])
        elif kind in WORKING and task_id is not None:
            self.deaths.pop(task_id, None)
            if task_id in self.held:
                self.held[task_id].acted = True
                if kind == "task_completed":
                    self.end(task_id, self.held[task_id].token)

    def _gone(self, gone: Any) -> None:
        task_id = gone["task_id"]
        held = self.end(task_id, gone["token"])
        if held is not None and task_id is not None and gone["reason"] == "expired":
            self.deaths[task_id] = 0 if held.acted else self.deaths.get(task_id, 0) + 1


def is_given_up(payload: Any) -> bool:
    """The event of a claim that blocked the task instead."""
    return str(payload.get("blocker", {}).get("text")).startswith(KEEP_FAILING)


def told_in_full(world: "World") -> Iterator[tuple[Record, Any, Holding]]:
    """Each fact, its payload, and who held what before it."""
    for workflow_id, journal in world.truth.journals.items():
        holding = Holding.of(world.truth.histories[workflow_id][0])
        for fact in journal:
            payload = fact.payload
            yield fact, payload, holding
            holding.follow(fact.event, payload)


# Grants


def tokens_only_grow(world: "World") -> None:
    """Across release, expiry, takeover, rollback and every failover; and nobody is told a token that was not given."""
    given: dict[str, dict[int, Place]] = {
        workflow_id: dict.fromkeys(range(1, base.token_counter + 1), BEFORE_ALL)
        for workflow_id, (base, *_) in world.truth.histories.items()
    }
    for fact, payload, _ in told_in_full(world):
        tokens = given.setdefault(fact.event["workflow_id"], {})
        if fact.event["event_type"] in GRANTING:
            token = fact.event["fencing_token"]
            if token is None or token != payload["token"] or token <= max(tokens, default=0):
                raise Broken(tokens_only_grow, f"{fact.place}: {token} after {max(tokens, default=0)}")
            tokens[token] = fact.place
    for told in world.told:
        if told.reply is not None and (token := told.reply["fencing_token"]) is not None:
            at = given.get(told.reply["workflow_id"], {}).get(token)
            if at is None or at > told.place:
                raise Broken(tokens_only_grow, f"{told}: nobody was given {token}")


def there_is_one_live_holder(world: "World") -> None:
    """One of a task, one of a project, and not another of one of its tasks. Who is replaced has run out, or is the same
    owner; and what is said to end was there."""
    for fact, payload, holding in told_in_full(world):
        for gone in payload.get("voided", ()):
            held = holding.held.get(gone["task_id"])
            own = gone["owner_id"] == payload.get("owner_id")
            has_ended = ids.micros_of(gone["expires_at"]) <= fact.event["timestamp"] or own
            if held is None or (held.token, held.owner_id) != (gone["token"], gone["owner_id"]) or not has_ended:
                raise Broken(there_is_one_live_holder, f"{fact.place} ends {gone}, and it was {held}")
        if fact.event["event_type"] not in GRANTING:
            continue
        ended = {gone["token"] for gone in payload.get("voided", ())}
        for task_id, held in holding.held.items():
            same = task_id == payload["task_id"]
            excluded = held.owner_id != payload["owner_id"] and None in (task_id, payload["task_id"])
            if (same or excluded) and held.token not in ended:
                raise Broken(there_is_one_live_holder, f"{fact.place}: {payload}, beside {task_id} {held}")


def a_fenced_executor_commits_nothing(world: "World") -> None:
    """A command that names a token counts only while that is current; and what is held is worked on under the token of
    who holds it, or when it has run out, which then ends it."""
    for fact, payload, holding in told_in_full(world):
        event, token = fact.event, fact.event["fencing_token"]
        if event["event_type"] in GRANTING:
            continue
        if token is not None and token not in holding.tokens:
            raise Broken(a_fenced_executor_commits_nothing, f"{fact.place}: {event}, and {holding}")
        if event["event_type"] == "rolled_back":
            needed = set(holding.held)
        elif event["event_type"] in WORKING and not is_given_up(payload):
            needed = {None, payload["task_id"]}
        else:
            continue
        held = {holding.held[key].token for key in needed if key in holding.held}
        others = held - {token} - {gone["token"] for gone in payload.get("voided", ())}
        is_own = token in held and event["event_type"] != "rolled_back"
        if others and not is_own:
            raise Broken(a_fenced_executor_commits_nothing, f"{fact.place}: {event} under {token}, beside {others}")


def nobody_is_replaced_before_the_expiry_that_was_promised(world: "World") -> None:
    """The expiry that a holder was told counts, also for owners who never heard of the renewal. Only where the broker's
    own clock has stepped back between two epochs, it counts by that much less."""
    promised: dict[tuple[str, int], list[tuple[Place, int]]] = {}
    for told in world.told:
        if told.reply is not None and told.reply["result"] is not None:
            result = loads_canonical(told.reply["result"])
            if "expires_at" in result:
                key = (told.reply["workflow_id"], result["token"])
                promised.setdefault(key, []).append((told.place, ids.micros_of(result["expires_at"])))
    opened = {epoch.record.event["epoch"]: (epoch.record.place[0], epoch.first) for epoch in epochs(world)}
    for fact, payload, _ in told_in_full(world):
        decision = world.decisions[fact.place]
        for gone in payload.get("voided", ()):
            if gone["reason"] == "expired":
                for place, expiry in promised.get((fact.event["workflow_id"], gone["token"]), ()):
                    behind = decision.behind if place < opened[decision.epoch] else 0
                    if place < fact.place and fact.event["timestamp"] < expiry - behind:
                        raise Broken(
                            nobody_is_replaced_before_the_expiry_that_was_promised,
                            f"{fact.place} ends {gone}; {place} was promised {ids.instant(expiry)}",
                        )


def five_silent_deaths_block(world: "World") -> None:
    """A task whose holders have vanished five times in a row, without a sign of life, is blocked and not handed out;
    and not before. Who claims anew what it holds has not vanished."""
    for fact, payload, holding in told_in_full(world):
        task_id, kind = payload.get("task_id"), fact.event["event_type"]
        blocks = kind == "task_blocked" and is_given_up(payload)
        if kind != "task_claimed" and not blocks:
            continue
        after = Holding(dict(holding.held), set(holding.ended), dict(holding.deaths))
        for gone in payload.get("voided", ()):
            after._gone(gone)
        is_there = (task_id, "replaced") in [(gone["task_id"], gone["reason"]) for gone in payload.get("voided", ())]
        too_many = after.deaths.get(task_id, 0) >= SILENT_DEATHS_MAX and not is_there
        was_doing = "from_status" not in payload
        if too_many != blocks and (was_doing or blocks):
            raise Broken(five_silent_deaths_block, f"{fact.place}: {kind} after {after.deaths.get(task_id, 0)} deaths")


# Steps


def one_completion_per_step_for_ever(world: "World") -> None:
    """Nothing is begun or ended of a step that is completed, and whoever asks is told that one result."""
    completed: dict[tuple[str, str], Any] = {
        (workflow_id, step_id): {**step, "attempt_id": step["attempts"][-1]["attempt_id"]}
        for workflow_id, step_id, step in _inherited(world)
        if step["status"] == "completed"
    }
    for fact, payload, _ in told_in_full(world):
        key = (fact.event["workflow_id"], payload.get("step_id"))
        if payload.get("step_id") is not None and key in completed:
            raise Broken(one_completion_per_step_for_ever, f"{fact.place}: {payload} after {completed[key]}")
        if fact.event["event_type"] == "step_completed":
            completed[key] = payload
    for told in world.told:
        result = loads_canonical(told.reply["result"]) if told.reply and told.reply["result"] else {}
        if told.reply and result.get("status") == "already_completed":
            payload = completed.get((told.reply["workflow_id"], result["step_id"]), {})
            names = ("attempt_id", "result_ref", "result_checksum")
            if not payload or any(result[name] != payload.get(name) for name in names):
                raise Broken(one_completion_per_step_for_ever, f"{told}: it was {payload}")


def attempts_are_numbered_without_gaps(world: "World") -> None:
    """1, 2, 3 ...; only the last one ends, once, and under the token that it was begun under."""
    last: dict[tuple[str, str], tuple[int, int | None]] = {}
    for workflow_id, step_id, step in _inherited(world):
        final = step["attempts"][-1]
        last[workflow_id, step_id] = (final["attempt_id"], final["token"] if final["status"] == "open" else None)
    for fact, payload, _ in told_in_full(world):
        kind, token = fact.event["event_type"], fact.event["fencing_token"]
        key = (fact.event["workflow_id"], payload.get("step_id"))
        if kind == "step_begun":
            if payload["attempt_id"] != last.get(key, (0, None))[0] + 1:
                raise Broken(attempts_are_numbered_without_gaps, f"{fact.place}: {payload} after {last.get(key)}")
            last[key] = (payload["attempt_id"], token)
        elif kind in ENDING:
            if token is None or last.get(key) != (payload["attempt_id"], token):
                raise Broken(attempts_are_numbered_without_gaps, f"{fact.place}: {payload} ends {last.get(key)}")
            last[key] = (payload["attempt_id"], None)


def one_effect_for_one_key(world: "World") -> None:
    """What a `non_idempotent` step does in the world outside is done under one key, however often it is tried; and
    whoever tries is told that key, and of every try before that nobody came back from."""
    for (workflow_id, step_id), keys in world.executors.effects.items():
        if len(keys) > 1:
            raise Broken(one_effect_for_one_key, f"{step_id} of {workflow_id}: {keys}")
    for fact, payload, _ in told_in_full(world):
        done: Any = world.executors.effects.get((fact.event["workflow_id"], payload.get("step_id")), {})
        if fact.event["event_type"] == "step_begun" and payload["external_key"] not in (None, *done) and done:
            raise Broken(one_effect_for_one_key, f"{fact.place}: {payload}, and it was done as {done}")


def _inherited(world: "World") -> Iterator[tuple[str, str, Any]]:
    for workflow_id, (base, *_) in world.truth.histories.items():
        for step_id, step in base.steps.items():
            yield workflow_id, step_id, step


def late_results_are_kept(world: "World") -> None:
    """What was found out by an executor that was refused stands in a mark, as it was sent; and nothing else does."""
    late = world.truth.late
    for told in world.told:
        if told.code in TOO_LATE and told.place not in late and (lost := _found_out(world, told.place)):
            raise Broken(late_results_are_kept, f"{told.place} {told.code}: {lost} is lost")
    for place, entries in late.items():
        sent = _found_out(world, place)
        kept = [{name: each[name] for name in sent or ()} for each in entries]
        if sent is None or kept != [sent] or place in world.truth.facts:
            raise Broken(late_results_are_kept, f"{place}: {entries}, and it was {sent}")


def _found_out(world: "World", place: Place) -> dict[str, Any] | None:
    """The result that a completion came with, if it is not the stored one."""
    command = world.decisions[place].command
    if command is None or command.command_type != "complete_step":
        return None
    body: Any = loads_canonical(command.body)
    step: Any = world.truth.state_before(command.workflow_id, place).steps.get(body["step_id"]) or {}
    if body.get("result_ref") in (None, step.get("result_ref")):
        return None
    found = {name: body[name] for name in ("step_id", "attempt_id", "result_ref", "result_checksum")}
    return found | {
        "workflow_id": command.workflow_id,
        "command_id": command.command_id,
        "operator_id": command.operator_id,
        "fencing_token": command.fencing_token,
        "timestamp": ids.instant(world.record(place).timestamp),
    }


# All of it


def the_audit_finds_nothing(world: "World") -> None:
    """What `continuity verify` holds of any history holds of these."""
    for workflow_id, journal in world.truth.journals.items():
        events = [fact.event for fact in journal]
        rollbacks = {to_seq for event in events if (to_seq := returns(event)) is not None}
        audit = Audit(world.truth.histories[workflow_id][0], rollbacks)
        for event in events:
            if (problem := audit.add(event)) is not None:
                raise Broken(the_audit_finds_nothing, f"{problem} in {event}")
