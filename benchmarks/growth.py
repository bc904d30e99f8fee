"""What an event costs in a project of ten tasks and in one of ten thousand."""

import time
from collections.abc import Sequence
from statistics import median

from rich.console import Console

from benchmarks.effort import Effort
from benchmarks.rows import Latencies, Row, middle
from benchmarks.workload import Project, accepted, checkpoint, closed_loop, request
from continuity import codec
from continuity.core import Accepted, State, decide
from continuity.core.ids import workflow_id
from continuity.producers import AsyncCommandClient, Request
from continuity.producers.request import command_of

NOW = 1_700_000_000_000_000


def measure_decision(*, rounds: int, commands: int) -> list[Row]:
    """The path of the sequencer in one process, with ten tasks and with ten thousand."""
    few, lots = decision_costs((10, 10_000), rounds=rounds, commands=commands).values()
    return [
        Row("decide path, 10 tasks", few, "µs"),
        Row("decide path, 10,000 tasks", lots, "µs"),
        Row("decide path, 10,000 to 10 tasks", lots / few, "ratio", "<=", 1.5),
    ]


def decision_costs(sizes: Sequence[int], *, rounds: int, commands: int) -> dict[int, float]:
    """Microseconds to decode, decide, evolve and encode, by the number of tasks. Rounds of all sizes in turn."""
    states = {size: _state(size) for size in sizes}
    costs: dict[int, list[float]] = {size: [] for size in states}
    for _ in range(rounds):
        for size, (state, project) in states.items():
            after = state
            values = [
                codec.encode_command(command_of(checkpoint(project, number)), codec.ReplyTo(0, "bench-1"))
                for number in range(commands)
            ]
            began = time.perf_counter()
            for value in values:
                after = _apply(after, codec.decode_command(value)[0])
            costs[size].append((time.perf_counter() - began) / commands * 1e6)
    return {size: median(found) for size, found in costs.items()}


async def measure_end_to_end(
    client: AsyncCommandClient, small: Project, large: Project, *, effort: Effort, console: Console
) -> list[Row]:
    """Committed commands of one project, c=64: ten tasks and ten thousand in turn."""
    few, lots = await commit_rates(client, [small, large], effort=effort, console=console)
    return [
        Row("one project of 10 tasks, c=64", few.per_second, "1/s"),
        Row("one project of 10,000 tasks, c=64", lots.per_second, "1/s"),
        Row("cost of an event, 10,000 to 10 tasks", few.per_second / lots.per_second, "ratio", "<=", 1.5),
    ]


async def commit_rates(
    client: AsyncCommandClient, projects: Sequence[Project], *, effort: Effort, console: Console
) -> list[Latencies]:
    """Committed commands of each project alone, c=64, in turn."""
    seen: list[list[Latencies]] = [[] for _ in projects]
    for turn in range(effort.rounds):
        for project, found in zip(projects, seen, strict=True):

            async def call(_: int, number: int, project: Project = project) -> None:
                await accepted(client, checkpoint(project, number))

            found.append(await closed_loop(64, effort.seconds, call))
        figures = ", ".join(
            f"{len(project.tasks):,} tasks {found[-1].per_second:,.0f}/s"
            for project, found in zip(projects, seen, strict=True)
        )
        console.print(f"  one project alone, c=64, round {turn + 1}: {figures}")
    return [middle(found) for found in seen]


def _state(tasks: int) -> tuple[State, Project]:
    name = f"growth-{tasks}"
    state = State(workflow_id(request(name, "create_goal").tenant, name))
    state, goal_id = _made(state, request(name, "create_goal", text="Read the archive", priority=1), "goal_id")
    ids = []
    for number in range(tasks):
        command = request(name, "add_task", goal_id=goal_id, title=f"Read folder {number}")
        state, task_id = _made(state, command, "task_id")
        ids.append(task_id)
    project = Project(name, ids)
    for number in range(tasks):
        state = _apply(state, command_of(checkpoint(project, number)))
    return state, project


def _made(state: State, command: Request, name: str) -> tuple[State, str]:
    decided = decide(state, command_of(command), NOW)
    assert isinstance(decided, Accepted), decided
    return decided.state, str(decided.event[name])  # type: ignore[literal-required]


def _apply(state: State, command: object) -> State:
    decided = decide(state, command, NOW)  # type: ignore[arg-type]
    assert isinstance(decided, Accepted), decided
    codec.encode_event(decided.event)
    return decided.state
