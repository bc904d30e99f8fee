"""DBOS: a workflow with one step that returns the payload; and one more step within a workflow that runs already.

Address: `url` of the system database; `pool_size`.
"""

from collections.abc import Callable
from itertools import count

from dbos import DBOS, DBOSConfig

from benchmarks.peers.drivers.loop import Plan, leave, run_in_threads

PLAN = Plan.given()
WAITING: dict[int, Callable[[], None]] = {}
NUMBERS = count()


@DBOS.step()
def change(number: int) -> str:
    """The change that is measured: its result is stored."""
    return f"{number:06}{PLAN.payload[6:]}"


@DBOS.workflow()
def one_step(number: int) -> str:
    """A whole unit of work."""
    return str(change(number))


@DBOS.workflow()
def many_steps(number: int) -> None:
    """All calls of one caller are steps of this one."""
    WAITING.pop(number)()


def inside(calls: Callable[[], None]) -> None:
    """Run all calls of a caller in one workflow. It is told by a number, as arguments are stored."""
    number = next(NUMBERS)
    WAITING[number] = calls
    many_steps(number)


def main() -> None:
    """Each call is a workflow, or a step."""
    config: DBOSConfig = {
        "name": "floor",
        "system_database_url": PLAN.address["url"],
        "sys_db_pool_size": PLAN.address["pool_size"],
        "log_level": "WARNING",
    }
    DBOS(config=config)
    DBOS.launch()
    run_in_threads(
        PLAN, {"workflow": lambda _, item: one_step(item) and None, "step": lambda _, item: change(item) and None},
        {"step": inside},
    )  # fmt: skip
    leave()


if __name__ == "__main__":
    main()
