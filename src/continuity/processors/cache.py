"""Warm workflows of one partition: states in memory, the least recently used out first. Pure.

A workflow with events that are not yet confirmed is pinned: nowhere else can its state be read.
"""

from collections import OrderedDict
from collections.abc import Iterable

from continuity.core.state import State


class Cache:
    """At most `workflows_max` states, more only while more are pinned.

    The states are right as of `as_of_offset` in the events partition: a later record may have moved past them.
    """

    def __init__(self, workflows_max: int) -> None:
        self.workflows_max = workflows_max
        self.as_of_offset = 0
        self._states: OrderedDict[str, State] = OrderedDict()
        self._pins: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._states)

    def __contains__(self, workflow_id: str) -> bool:
        return workflow_id in self._states

    def get(self, workflow_id: str) -> State:
        """The state, which now counts as used. KeyError when it is cold: restore it first."""
        self._states.move_to_end(workflow_id)
        return self._states[workflow_id]

    def put(self, state: State) -> None:
        """A restored state."""
        self._states[state.workflow_id] = state

    def put_unconfirmed(self, state: State) -> None:
        """The state after an event that is on its way to the log: pinned until `confirm`."""
        self._states[state.workflow_id] = state
        self._pins[state.workflow_id] = self._pins.get(state.workflow_id, 0) + 1

    def confirm(self, workflow_id: str) -> None:
        """One of the workflow's events on the way has arrived."""
        left = self._pins[workflow_id] - 1
        if left:
            self._pins[workflow_id] = left
        else:
            del self._pins[workflow_id]

    def drop_unconfirmed(self) -> None:
        """Forget every state that rests on an event whose fate is unknown."""
        self.drop(self._pins)
        self._pins.clear()

    def drop(self, workflow_ids: Iterable[str]) -> None:
        """Forget these, warm or not."""
        for workflow_id in workflow_ids:
            self._states.pop(workflow_id, None)

    def clear(self) -> None:
        """Forget everything."""
        self._states.clear()
        self._pins.clear()

    def trim(self) -> None:
        """Keep to the bound, the least recently used out first."""
        excess = len(self._states) - self.workflows_max
        if excess > 0:
            idle = (workflow_id for workflow_id in self._states if workflow_id not in self._pins)
            self.drop([workflow_id for workflow_id, _ in zip(idle, range(excess), strict=False)])
