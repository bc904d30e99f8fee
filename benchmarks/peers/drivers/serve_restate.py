"""Restate's side that a user writes: a virtual object whose handler stores the payload. hypercorn serves it.

Two of these run, each with an object of its own name, so that the handlers have more than one process.
"""

import os

import restate

work = restate.VirtualObject(os.environ["RESTATE_OBJECT"])


@work.handler()
async def change(context: restate.ObjectContext, state: str) -> int:
    """The change that is measured: the object's new state, durable before the answer."""
    context.set("state", state)
    return len(state)


app = restate.app([work])
