"""What a decision has to find in a state without looking at all of it. Pure; derived from the entities alone.

One form for one content, whatever its past: two equal states have equal lookups.
"""

from __future__ import annotations  # HashTrieMap takes type arguments in its stub only

from collections.abc import Mapping
from typing import Any, NamedTuple

from rpds import HashTrieMap, HashTrieSet

from continuity.core.queue import Queue

Document = Mapping[str, Any]

_COUNTS: HashTrieMap[str, int] = HashTrieMap()
_QUEUES: HashTrieMap[str, Queue] = HashTrieMap()
_TOKENS: HashTrieMap[int, str] = HashTrieMap()
_GRANTS: HashTrieMap[str, str] = HashTrieMap()
_IDS: HashTrieSet[str] = HashTrieSet()


class Lookup(NamedTuple):
    """`open_tasks`: how many tasks of a goal are not done. `todo`: those that can be claimed, by goal, oldest first.

    `tokens` and `grant_ids` lead from a live token, and from a grant's id, to its key among the grants.
    """

    open_tasks: HashTrieMap[str, int] = _COUNTS
    todo: HashTrieMap[str, Queue] = _QUEUES
    doing: HashTrieSet[str] = _IDS
    open_steps: HashTrieSet[str] = _IDS
    tokens: HashTrieMap[int, str] = _TOKENS
    grant_ids: HashTrieMap[str, str] = _GRANTS

    def changed(self, collection: str, key: str, before: Document | None, after: Document | None) -> Lookup:
        """The lookup after one entity has changed."""
        if collection == "tasks":
            return self._task(before, after)
        if collection == "grants":
            return self._grant(key, before, after)
        if collection == "steps":
            return self._step(key, before, after)
        return self

    def _task(self, before: Document | None, after: Document | None) -> Lookup:
        was, now = _status(before), _status(after)
        if before and after and before["created_seq"] != after["created_seq"]:
            # Created again after a rollback, under the same id: another task, perhaps of another goal.
            key = after["task_id"]
            return self.changed("tasks", key, before, None).changed("tasks", key, None, after)
        if was == now:
            return self
        task: Any = after or before  # a task never changes its goal
        goal_id, task_id = task["goal_id"], task["task_id"]
        change = _is_open(now) - _is_open(was)
        open_tasks = _counted(self.open_tasks, goal_id, change) if change else self.open_tasks
        todo, doing = self.todo, self.doing
        if "todo" in (was, now):
            queue = todo.get(goal_id) or Queue()
            queue = (queue.add if now == "todo" else queue.remove)(task["created_seq"], task_id)
            todo = todo.insert(goal_id, queue) if queue.chunks else todo.remove(goal_id)
        if "doing" in (was, now):
            doing = doing.insert(task_id) if now == "doing" else doing.remove(task_id)
        return self._replace(open_tasks=open_tasks, todo=todo, doing=doing)

    def _grant(self, key: str, before: Document | None, after: Document | None) -> Lookup:
        if before and after and before["token"] == after["token"]:
            return self
        tokens, grant_ids = self.tokens, self.grant_ids
        if before is not None:
            tokens = tokens.remove(before["token"])
            # A claim that was repeated long after can have moved on to another task, with its id, in the same changes.
            if grant_ids.get(before["grant_id"]) == key:
                grant_ids = grant_ids.remove(before["grant_id"])
        if after is not None:
            tokens, grant_ids = tokens.insert(after["token"], key), grant_ids.insert(after["grant_id"], key)
        return self._replace(tokens=tokens, grant_ids=grant_ids)

    def _step(self, key: str, before: Document | None, after: Document | None) -> Lookup:
        was, now = _status(before) == "open", _status(after) == "open"
        if was == now:
            return self
        return self._replace(open_steps=self.open_steps.insert(key) if now else self.open_steps.remove(key))


def _status(document: Document | None) -> str | None:
    return None if document is None else document["status"]


def _is_open(status: str | None) -> bool:
    return status is not None and status != "done"


def _counted(counts: HashTrieMap[str, int], goal_id: str, change: int) -> HashTrieMap[str, int]:
    left = (counts.get(goal_id) or 0) + change
    return counts.insert(goal_id, left) if left else counts.remove(goal_id)


EMPTY = Lookup()
