"""A plan played through the core alone, without a broker: the outcome that every command must have. Pure.

This is where the committed list of expected refusals comes from, and what a history without such a list is held
against: the real run has to refuse the same lines for the same reasons.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from continuity.core import Accepted, Command, Rejected, State, canonical, decide
from continuity.core.ids import UUID_TEXT, workflow_id
from continuity.replay.mapping import Deviation
from continuity.replay.plan import Pending, Plan, Planned

UNKNOWN = frozenset({"unknown_goal", "unknown_task", "unknown_dependency"})
"""Refusals that no run may have: every id that a plan names is made by an earlier command of it."""

Pick = Callable[[list[int]], int]


class Rehearsal(NamedTuple):
    """All deviations by line, skips among them, the number of events, and the state at the end."""

    deviations: tuple[Deviation, ...]
    events: int
    state: State


def rehearse(plan: Plan, pick: Pick = min) -> Rehearsal:
    """Play the plan. `pick` chooses among the places that wait for nothing more; all choices have the same outcomes."""
    workflow = workflow_id(plan.tenant, plan.project)
    state = State(workflow)
    refused: dict[int, Deviation] = {}
    pending = Pending(plan)
    ready = pending.first()
    while ready:
        place = pick(ready)
        ready.remove(place)
        planned = plan.commands[place]
        if planned.line not in refused:
            decision = decide(state, command(plan, planned), now=0)
            if isinstance(decision, Accepted):
                state = decision.state
            else:
                assert isinstance(decision, Rejected), "a plan holds every command once"
                refused[planned.line] = refusal(plan, planned.line, decision.code, decision.detail)
        ready += pending.done(place)
    return Rehearsal(tuple(sorted((*plan.skips, *refused.values()))), state.head_seq, state)


def command(plan: Plan, planned: Planned) -> Command:
    """A planned command as the record that the log would hold."""
    return Command(
        planned.command_id,
        planned.command_type,
        canonical.text(planned.body),
        plan.tenant,
        plan.project,
        workflow_id(plan.tenant, plan.project),
        planned.operator_id,
        planned.operator_kind,
    )


def refusal(plan: Plan, line: int, code: str, detail: str) -> Deviation:
    """A refusal in the tracker's words, so that it reads the same in every project."""
    reason = re.sub(UUID_TEXT, lambda found: plan.names.get(found[0], found[0]), detail)
    return Deviation(line, "refused", code, reason)
