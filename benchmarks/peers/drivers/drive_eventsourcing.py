"""eventsourcing: an event is triggered on an aggregate in memory, and the application saves it.

Address: `environment`, the library's own variables.
"""

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from benchmarks.peers.drivers.loop import OBJECTS, Plan, run_in_threads


class Work(Aggregate):
    """What a checkpoint belongs to."""

    def __init__(self) -> None:
        self.state = ""

    @event("Noted")
    def note(self, state: str) -> None:
        """The change that is measured."""
        self.state = state


def main() -> None:
    """Each call saves one new event of one aggregate."""
    plan = Plan.given()
    application: Application = Application(env=plan.address["environment"])
    works = [Work() for _ in range(OBJECTS)]
    application.save(*works)

    def save(_: int, item: int) -> None:
        works[item].note(plan.payload)
        application.save(works[item])

    run_in_threads(plan, {"save": save})
    application.close()


if __name__ == "__main__":
    main()
