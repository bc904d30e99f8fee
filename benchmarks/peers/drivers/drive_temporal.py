"""Temporal: `execute_update` on workflows that run already. An answer means that the update is complete.

Address: `target`, the server's frontend. Called with `namespace` as its address's `only`, it makes the namespace.
"""

import asyncio
from datetime import timedelta
from uuid import uuid4

import uvloop
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from benchmarks.peers.drivers.loop import OBJECTS, Plan, run

QUEUE = NAMESPACE = "floor"
RETENTION = timedelta(days=1)
STARTS_AT_ONCE = 16
NAMESPACE_SECONDS = 90.0
POLL_SECONDS = 0.5


async def register(target: str) -> None:
    """Make the namespace, and wait until every part of the server knows it."""
    client = await Client.connect(target)
    retention = Duration()
    retention.FromTimedelta(RETENTION)
    asked = RegisterNamespaceRequest(namespace=NAMESPACE, workflow_execution_retention_period=retention)
    async with asyncio.timeout(NAMESPACE_SECONDS):
        while True:
            try:
                await client.workflow_service.register_namespace(asked)
            except RPCError as error:
                if error.status is RPCStatusCode.ALREADY_EXISTS:
                    break
            await asyncio.sleep(POLL_SECONDS)
        own = await Client.connect(target, namespace=NAMESPACE)
        while True:
            try:
                # Parts of the server learn of a namespace with a delay of seconds: until then nothing can be started.
                await own.start_workflow("Work", id=f"probe-{uuid4()}", task_queue="probe")
            except RPCError:
                await asyncio.sleep(POLL_SECONDS)
            else:
                return


async def main() -> None:
    """Each call is an update of one workflow."""
    plan = Plan.given()
    if plan.address.get("only") == "namespace":
        await register(plan.address["target"])
        return
    client = await Client.connect(plan.address["target"], namespace=NAMESPACE)
    turns = asyncio.Semaphore(STARTS_AT_ONCE)

    async def started() -> str:
        async with turns:
            name = f"work-{uuid4()}"
            await client.start_workflow("Work", id=name, task_queue=QUEUE)
            return name

    names = await asyncio.gather(*(started() for _ in range(OBJECTS)))
    handles = [client.get_workflow_handle(name) for name in names]

    async def update(_: int, item: int) -> None:
        await handles[item].execute_update("change", plan.payload)

    await run(plan, {"update": update})


if __name__ == "__main__":
    uvloop.run(main())
