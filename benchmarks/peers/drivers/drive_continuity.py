"""continuity by its native client: `update_checkpoint`, waiting until the event is committed.

Address: `settings`, the environment of the services; `projects`, a file with the projects and their tasks.
"""

import json
import os
from pathlib import Path

import uvloop

from benchmarks.peers.drivers.loop import Plan, run
from benchmarks.workload import Project, accepted, checkpoint
from continuity.config import Settings
from continuity.producers import AsyncCommandClient


async def main(plan: Plan, projects: list[Project]) -> None:
    """Each call is the next checkpoint of one project."""
    counts = [0] * len(projects)
    async with AsyncCommandClient(Settings.load({**os.environ, **plan.address["settings"]})) as client:

        async def native(_: int, item: int) -> None:
            counts[item] += 1
            await accepted(client, checkpoint(projects[item], counts[item]))

        await run(plan, {"native": native})


if __name__ == "__main__":
    given = Plan.given()
    known = json.loads(Path(given.address["projects"]).read_text(encoding="utf-8"))
    uvloop.run(main(given, [Project(*each) for each in known]))
