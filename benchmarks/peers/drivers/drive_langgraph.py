"""LangGraph: a graph of one node is invoked on a thread that has checkpoints; and the checkpointer's `put` alone.

A checkpointer holds a lock while it talks to the database: callers share as many as there may be connections.
Address: `url` of the database; `pool_size`.
"""

from contextlib import AsyncExitStack
from typing import TypedDict

import uvloop
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph

from benchmarks.peers.drivers.loop import Plan, run


class State(TypedDict):
    """What is stored."""

    state: str


async def main() -> None:
    """Each call is an `ainvoke`, with the library's own choice of durability, or an `aput`."""
    plan = Plan.given()

    async def change(_: State) -> State:
        return {"state": plan.payload}

    graph = StateGraph(State)
    graph.add_node("change", change)
    graph.add_edge(START, "change")
    graph.add_edge("change", END)
    async with AsyncExitStack() as opened:
        connect = AsyncPostgresSaver.from_conn_string
        callers = min(plan.address["pool_size"], max(each.concurrency for each in plan.measurements))
        savers = [await opened.enter_async_context(connect(plan.address["url"])) for _ in range(callers)]
        await savers[0].setup()
        graphs = [graph.compile(checkpointer=each) for each in savers]

        async def invoke(caller: int, item: int) -> None:
            config = {"configurable": {"thread_id": f"invoke-{item}"}}
            await graphs[caller % callers].ainvoke({"state": "wanted"}, config)

        async def put(caller: int, item: int) -> None:
            config = {"configurable": {"thread_id": f"put-{item}", "checkpoint_ns": ""}}
            checkpoint = empty_checkpoint()
            checkpoint["channel_values"] = {"state": plan.payload}
            checkpoint["channel_versions"] = {"state": 1}
            metadata = {"source": "loop", "step": 0, "parents": {}}
            await savers[caller % callers].aput(config, checkpoint, metadata, {"state": 1})

        await run(plan, {"invoke": invoke, "put": put})


if __name__ == "__main__":
    uvloop.run(main())
