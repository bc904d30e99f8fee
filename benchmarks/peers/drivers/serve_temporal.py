"""Temporal's side that a user writes: a workflow with an update handler, and the worker that runs it.

Argument: the server's address.
"""

import asyncio
import sys

from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

QUEUE = NAMESPACE = "floor"


@workflow.defn(name="Work")
class Work:
    """Waits for changes, for ever."""

    def __init__(self) -> None:
        self.state = ""

    @workflow.run
    async def run(self) -> None:
        """Nothing of its own."""
        await workflow.wait_condition(lambda: False)

    @workflow.update
    async def change(self, state: str) -> int:
        """The change that is measured."""
        self.state = state
        return len(state)


async def main() -> None:
    """Work until told to stop. The sandbox is a help for developers that costs time: it is off."""
    client = await Client.connect(sys.argv[1], namespace=NAMESPACE)
    worker = Worker(client, task_queue=QUEUE, workflows=[Work], workflow_runner=UnsandboxedWorkflowRunner())
    print("ready", flush=True)
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main())
