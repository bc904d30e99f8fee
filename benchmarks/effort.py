"""How long to look: the full measurement, and the quick one."""

from typing import NamedTuple


class Effort(NamedTuple):
    """Rounds and their lengths; how many workflows and tasks there are; how much is drained, and read back."""

    warm_up_seconds: float
    rounds: int
    seconds: float
    projects: int
    large_tasks: int
    drain_rounds: int
    drain_commands: int
    warm_workflows: int
    restore_events: int


FULL = Effort(
    warm_up_seconds=20.0,
    rounds=5,
    seconds=4.0,
    projects=64,
    large_tasks=10_000,
    drain_rounds=3,
    drain_commands=80_000,
    warm_workflows=10_000,
    restore_events=1_000_000,
)
QUICK = FULL._replace(
    warm_up_seconds=4.0,
    rounds=2,
    seconds=1.25,
    drain_rounds=1,
    drain_commands=20_000,
    warm_workflows=0,
    restore_events=20_000,
)
