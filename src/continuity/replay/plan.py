"""The commands of a whole history, and which of them wait for which, so that workers can send them side by side. Pure.

There is one reference order: the file's, except that what a fact names comes before it (its parent and dependencies
may stand later in the file), and that a goal is closed after the other facts of the same second, because these come
from one commit and their lines are in no order. Commands that could disturb each other keep that order, the rest is
free:

- a command has its own goal or task for itself;
- a task's command shares the task's goal and every task that it was ever said to depend on;
- changes of dependencies go one after the other, because each looks for a circle through all of them.

So a fact waits for the earlier facts of its dependencies, a goal is closed after the earlier facts of its tasks, and
both the other way round. Nothing that decides over a refusal lies outside of that: whatever order the workers happen to
come in, every command has the outcome that it has in the reference order.
"""

from collections import Counter, defaultdict
from itertools import groupby
from typing import Any, NamedTuple

from continuity.core.records import OperatorKind
from continuity.replay.history import Fact, History
from continuity.replay.mapping import OWN_GOAL_LINE, Deviation, Mapping, Step

TRACKER = "tracker"
"""The operator of facts that name nobody."""
OWN_GOAL, CIRCLES = " goal", " circles"
"""The goal of tasks without a parent, and what all changes of dependencies have in common: no ids of the tracker's."""


class Planned(NamedTuple):
    """One command. `waits_for`: places in the plan, all before its own, of commands that must have ended by then."""

    line: int
    step: int
    command_id: str
    command_type: str
    body: dict[str, Any]
    operator_id: str
    operator_kind: OperatorKind
    waits_for: tuple[int, ...]


class Count(NamedTuple):
    """A row of the table: facts of one kind, what each becomes, and how many."""

    kind: str
    becomes: tuple[str, ...]
    facts: int


class Plan(NamedTuple):
    """`commands` in the reference order, `skips` by line, `counts` by kind; `names`: the tracker's ids by our own."""

    tenant: str
    project: str
    facts: int
    commands: tuple[Planned, ...]
    skips: tuple[Deviation, ...]
    counts: tuple[Count, ...]
    names: dict[str, str]


def plan(history: History, tenant: str, project: str) -> Plan:
    """Plan a history as the work of one project."""
    mapping = Mapping(history, tenant, project)
    planner = _Planner(history, mapping)
    planner.place_all()
    names = {mapping.our_id(name): name for name in history.adds}
    return Plan(
        tenant,
        project,
        len(history.facts),
        tuple(planner.commands),
        tuple(sorted(planner.skips)),
        tuple(Count(kind, becomes, facts) for (kind, becomes), facts in sorted(planner.kinds.items())),
        names | {mapping.our_id(None): "the goal of tasks without a parent"},
    )


class Pending:
    """Which commands still wait, while the ones before them are being done."""

    def __init__(self, plan: Plan) -> None:
        self._left = [len(planned.waits_for) for planned in plan.commands]
        self._after: list[list[int]] = [[] for _ in plan.commands]
        for place, planned in enumerate(plan.commands):
            for earlier in planned.waits_for:
                self._after[earlier].append(place)

    def first(self) -> list[int]:
        """The places that wait for nothing."""
        return [place for place, left in enumerate(self._left) if not left]

    def done(self, place: int) -> list[int]:
        """The places that waited for this one last."""
        free = []
        for later in self._after[place]:
            self._left[later] -= 1
            if not self._left[later]:
                free.append(later)
        return free


class _Planner:
    """Puts the commands into the reference order, one fact at a time."""

    def __init__(self, history: History, mapping: Mapping) -> None:
        self._history = history
        self._mapping = mapping
        self._order = _Order()
        self._placed: set[int] = set()
        self._known: set[str] = set()
        self._depended: defaultdict[str, set[str]] = defaultdict(set)
        self._closings: dict[int, _Draft] = {}
        self.commands: list[Planned] = []
        self.skips: list[Deviation] = []
        self.kinds: Counter[tuple[str, tuple[str, ...]]] = Counter()

    def place_all(self) -> None:
        """All facts, second by second; of each second the closing of goals last."""
        for _, facts in groupby(self._history.facts, lambda fact: fact.second):
            late: dict[str, _Draft] = {}
            for fact in facts:
                if fact.op == "status" and fact.id in late:
                    self._send(late.pop(fact.id))
                self._place(fact)
                if fact.line in self._closings:
                    late[fact.id] = self._closings.pop(fact.line)
            for closing in late.values():
                self._send(closing)

    def _place(self, fact: Fact) -> None:
        if fact.line in self._placed:
            return
        self._placed.add(fact.line)
        for name in fact.names:
            self._place(self._history.adds[name])
        fact = self._without_circles(fact)
        translation = self._mapping.translate(fact)
        self.skips += translation.skips
        self.kinds[translation.kind, tuple(step.command_type for step in translation.steps)] += 1
        self._known.add(fact.id)
        self._depended[fact.id].update(fact.depends_on)
        for number, step in enumerate(translation.steps):
            draft = _Draft(fact.line, number, step, fact.id, fact.who)
            if step.body.get("status") == "done":
                self._closings[fact.line] = draft
            else:
                self._send(draft)

    def _without_circles(self, fact: Fact) -> Fact:
        """The fact without what it depends on and cannot come before it: they depend on each other from the start."""
        circular = [name for name in fact.depends_on if name not in self._known and fact.op == "add"]
        for name in circular:
            reason = f"Tasks {fact.id} and {name} depend on each other from the start."
            self.skips.append(Deviation(fact.line, "skipped", "circular_dependency", reason))
        return fact._replace(depends_on=tuple(name for name in fact.depends_on if name not in circular))

    def _send(self, draft: "_Draft") -> None:
        line, number, step, entity, who = draft
        own, shared = {entity}, set[str]()
        if step.command_type == "amend_task":
            own.add(CIRCLES)
        if entity != OWN_GOAL and not self._mapping.is_goal(entity):
            goal = self._history.adds[entity].parent or self._own_goal()
            shared = {goal} | self._depended[entity]
        self.commands.append(
            Planned(
                line,
                number,
                self._mapping.command_id(line, number),
                step.command_type,
                step.body,
                who or TRACKER,
                "agent" if who else "automation",
                self._order.waits_for(len(self.commands), own, shared),
            )
        )

    def _own_goal(self) -> str:
        if OWN_GOAL not in self._known:
            self._known.add(OWN_GOAL)
            self._send(_Draft(OWN_GOAL_LINE, 0, self._mapping.own_goal(), OWN_GOAL, None))
        return OWN_GOAL


class _Draft(NamedTuple):
    """A command before it has its place."""

    line: int
    number: int
    step: Step
    entity: str
    who: str | None


class _Order:
    """Who had what last: the bookkeeping of locks that are shared or exclusive, without anybody waiting."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._sharers: defaultdict[str, list[int]] = defaultdict(list)

    def waits_for(self, place: int, own: set[str], shared: set[str]) -> tuple[int, ...]:
        """The earlier places that the command at `place` must not overtake."""
        waits = {self._last[name] for name in own | shared if name in self._last}
        for name in own:
            waits.update(self._sharers.pop(name, ()))
            self._last[name] = place
        for name in shared - own:
            self._sharers[name].append(place)
        return tuple(sorted(waits))
