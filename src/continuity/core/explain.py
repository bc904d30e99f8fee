"""Why a next step is what it is: the rule that chose, the candidates that lost to it, and why earlier rules had none.

Pure, and made from the same state as the answer. It chooses by the same order as `core.next_step`, and a property test
holds the two to the same choice: an explanation that could disagree with the answer would explain nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from heapq import nsmallest
from typing import Any, Final, Literal, NamedTuple, TypedDict

from continuity.core.next_step import NextStep, is_ready, next_step
from continuity.core.records import Task
from continuity.core.state import State

CANDIDATES_MAX: Final = 20

RuleName = Literal["doing", "blocked", "ready", "none"]
Verdict = Literal["chose", "had_none", "not_asked"]
Obstacle = Literal["goal_paused", "goal_done", "held_by_another", "unmet_dependencies"]

RULES: Final[tuple[tuple[int, RuleName, str], ...]] = (
    # rule, name, the status of the tasks that it chooses among
    (1, "doing", "doing"),
    (2, "blocked", "blocked"),
    (3, "ready", "todo"),
)
WORDS: Final[Mapping[Obstacle, str]] = {
    "goal_paused": "in a paused goal",
    "goal_done": "in a goal that is done",
    "held_by_another": "held by another executor",
    "unmet_dependencies": "waiting for tasks that are not done",
}
_ACTIVE: Final = "active"


class Candidate(TypedDict):
    """A task that the rule could choose. `key` is its rank: `[changed_seq]`, or `[goal priority, created_seq]`."""

    task_id: str
    goal_id: str
    title: str
    key: list[int]


class PassedOver(TypedDict):
    """A task of the rule's status that it could not choose. `by`: the tasks it waits for, or the owner who holds it."""

    task_id: str
    title: str
    why: Obstacle
    by: list[str]


class RuleExplained(TypedDict):
    """What a rule found. `candidates` best first, the chosen one before all. Lists are bounded, counts are not."""

    rule: int
    name: RuleName
    verdict: Verdict
    because: str
    candidates_count: int
    candidates: list[Candidate]
    passed_over_count: int
    passed_over: list[PassedOver]


class Explanation(TypedDict):
    """The answer, and the four rules in the order in which they are asked."""

    answer: NextStep
    rules: list[RuleExplained]


class _Looked(NamedTuple):
    """A task of the rule's status, as the rule sees it."""

    task: Task
    obstacle: Obstacle | None
    by: list[str]


def explain(state: State, for_owner: str | None = None, candidates_max: int = CANDIDATES_MAX) -> Explanation:
    """Why `next_step(state, for_owner)` is what it is."""
    holders = {} if for_owner is None else _holders(state, for_owner)
    answer = next_step(state, for_owner)
    rules: list[RuleExplained] = []
    chosen = False
    for rule, name, status in RULES:
        looked = [_look(state, task, holders, name) for task in _tasks(state, status)]
        explained = _explained(state, (rule, name), looked, candidates_max, asked=not chosen)
        chosen = chosen or explained["candidates_count"] > 0
        rules.append(explained)
    rules.append(_last(asked=not chosen))
    return Explanation(answer=answer, rules=rules)


def _explained(
    state: State, rule: tuple[int, RuleName], looked: list[_Looked], candidates_max: int, *, asked: bool
) -> RuleExplained:
    number, name = rule
    free = [each.task for each in looked if each.obstacle is None]
    stuck = [each for each in looked if each.obstacle is not None]
    verdict: Verdict = "not_asked" if not asked else "chose" if free else "had_none"
    return RuleExplained(
        rule=number,
        name=name,
        verdict=verdict,
        because=_because(name, verdict, len(free), stuck),
        candidates_count=len(free),
        candidates=[_candidate(state, task, name) for task in nsmallest(candidates_max, free, _order(state, name))],
        passed_over_count=len(stuck),
        passed_over=[
            PassedOver(task_id=each.task["task_id"], title=each.task["title"], why=each.obstacle, by=each.by)
            for each in nsmallest(candidates_max, stuck, lambda each: each.task["created_seq"])
            if each.obstacle is not None
        ],
    )


def _last(*, asked: bool) -> RuleExplained:
    because = "no rule before it had a task: new ones have to be proposed" if asked else "an earlier rule chose"
    return RuleExplained(
        rule=4,
        name="none",
        verdict="chose" if asked else "not_asked",
        because=because,
        candidates_count=0,
        candidates=[],
        passed_over_count=0,
        passed_over=[],
    )


def _tasks(state: State, status: str) -> Iterator[Task]:
    return (task for task in state.tasks.values() if task["status"] == status)


def _look(state: State, task: Task, holders: Mapping[str, str], name: RuleName) -> _Looked:
    goal_status = state.goals[task["goal_id"]]["status"]
    if goal_status != _ACTIVE:
        return _Looked(task, "goal_done" if goal_status == "done" else "goal_paused", [task["goal_id"]])
    if task["task_id"] in holders:
        return _Looked(task, "held_by_another", [holders[task["task_id"]]])
    if name == "ready" and not is_ready(state, task):
        unmet = [needed for needed in task["depends_on"] if state.tasks[needed]["status"] != "done"]
        return _Looked(task, "unmet_dependencies", unmet)
    return _Looked(task, None, [])


def _holders(state: State, owner_id: str) -> dict[str, str]:
    grants = state.grants.values()
    return {each["task_id"]: each["owner_id"] for each in grants if each["task_id"] and each["owner_id"] != owner_id}


def _order(state: State, name: RuleName) -> Any:
    """What the rule goes by: the smallest is chosen."""
    if name == "ready":
        return lambda task: (-state.goals[task["goal_id"]]["priority"], task["created_seq"])
    return lambda task: -task["changed_seq"]


def _candidate(state: State, task: Task, name: RuleName) -> Candidate:
    priority = state.goals[task["goal_id"]]["priority"]
    key = [priority, task["created_seq"]] if name == "ready" else [task["changed_seq"]]
    return Candidate(task_id=task["task_id"], goal_id=task["goal_id"], title=task["title"], key=key)


def _because(name: RuleName, verdict: Verdict, free: int, stuck: list[_Looked]) -> str:
    if verdict == "not_asked":
        return "an earlier rule chose"
    if verdict == "chose":
        order = "the highest priority, then the oldest" if name == "ready" else "the one changed last"
        return f"{_counted(free, name)}: {order}"
    if not stuck:
        return f"no task is {'todo' if name == 'ready' else name}"
    counts = Counter(each.obstacle for each in stuck)
    told = ", ".join(f"{count} {WORDS[obstacle]}" for obstacle, count in sorted(counts.items()) if obstacle is not None)
    return f"{_counted(len(stuck), 'todo' if name == 'ready' else name)}, and none can be chosen: {told}"


def _counted(count: int, status: str) -> str:
    return f"1 task is {status}" if count == 1 else f"{count} tasks are {status}"
