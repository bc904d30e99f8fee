"""An agent, as a process of its own: asks what to do next, does it, says where it stands, and asks again.

`python -m continuity.demo.agent PROJECT NAME` knows nothing else: where the service is and with which key comes from
the environment, everything about the work from `get_next_step`. What it does is told on standard output, a JSON object
a line, so that the demonstration can show it.
"""

import argparse
import json
import signal
from collections.abc import Sequence
from typing import Any

from continuity import Continuity
from continuity.core import canonical
from continuity.demo import executor


class Agent:
    """The loop that every agent has, whatever carries out its steps."""

    def __init__(self, work: Continuity, *, hang_in: str | None = None, leave_before: str | None = None) -> None:
        self._work = work
        self._hang_in = hang_in
        self._leave_before = leave_before

    def plan(self) -> None:
        """Begin the project: a goal, and tasks that depend on each other."""
        goal_id = self._work.create_goal(executor.GOAL)["goal_id"]
        tell("goal", text=executor.GOAL)
        before: list[str] = []
        for task in executor.PLAN:
            made = self._work.add_task(goal_id, task.title, task.criteria, depends_on=before)
            before = [made["task_id"]]
            tell("task", title=task.title)

    def go_on(self) -> None:
        """Do what is next, until there is nothing more or it is time to leave."""
        while True:
            step = self._work.get_next_step()
            tell("asked", answer=canonical.text(step))
            task_id, title = step["task_id"], step["title"]
            if task_id is None or title is None or (self._leave_before and step["next_step"] == self._leave_before):
                tell("left")
                return
            if step["action"] == "start":
                self._work.start_task(task_id)
                tell("started", title=title)
            result = self._carry_out(title, step["next_step"])
            if result.next_step is None:
                self._work.complete_task(task_id, result.left_off)
                tell("completed", title=title, evidence=result.left_off)
            else:
                self._work.update_checkpoint(task_id, result.left_off, result.next_step, result.refs)
                tell("checkpoint", left_off=result.left_off, next_step=result.next_step)

    def _carry_out(self, title: str, step: str | None) -> executor.Result:
        tell("doing", step=step or title)
        while self._hang_in is not None and step == self._hang_in:
            signal.pause()  # in the middle of a step: only a signal ends it
        return executor.carry_out(title, step)


def tell(what: str, **told: Any) -> None:
    """One line for whoever watches."""
    print(json.dumps({"what": what, **told}), flush=True)  # noqa: T201 - standard output is how it reports


def main(arguments: Sequence[str] | None = None) -> None:
    """Work on a project until there is nothing more to do."""
    parser = argparse.ArgumentParser(prog="python -m continuity.demo.agent", description=__doc__)
    parser.add_argument("project")
    parser.add_argument("name")
    parser.add_argument("--plan", action="store_true", help="begin the project with a goal and its tasks")
    parser.add_argument("--hang-in", metavar="STEP", help="never come back from this step")
    parser.add_argument("--leave-before", metavar="STEP", help="stop working when this step is next")
    given = parser.parse_args(arguments)
    with Continuity(given.project, session_id=given.name) as work:
        agent = Agent(work, hang_in=given.hang_in, leave_before=given.leave_before)
        if given.plan:
            agent.plan()
        agent.go_on()


if __name__ == "__main__":
    main()
