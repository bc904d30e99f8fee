"""Who holds what, and which steps were done, as plain dicts: the oracle of `test_holding.py`.

Written from the specification alone, on top of the project of `naive.py`. Besides what a sequencer knows it remembers
every sign of life there ever was (`alive_until`), so it can tell a takeover that came too early.
"""

from typing import Any

from tests.core.naive import OPEN, Project, Refused

GIVE_UP_AT = 5
TRANSITIONS = ("start_task", "pause_task", "block_task", "complete_task", "reopen_task")
STEPS = ("begin_step", "complete_step", "fail_step")
SECOND = 1_000_000


class Answered(Exception):
    """Leaves a rule that has an answer and changes nothing."""


class HeldProject(Project):
    """`holders` by task, or None for the whole project; times in microseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.holders: dict[str | None, dict[str, Any]] = {}
        self.steps: dict[str, dict[str, Any]] = {}
        self.deaths: dict[str, int] = {}
        self.tokens = 0
        self.now = self.last = 0
        self.opened_at: int | None = 0
        self.token: int | None = None
        self.task_id: str | None = None

    def ask(self, name: str, body: dict[str, Any], token: int | None, now: int) -> str | None:
        """The code of the refusal, "answered", or None: then it is done. `task_id` is the one that it was about."""
        if self.opened_at is None:
            self.opened_at = now
        self.now = max(now, self.last)
        self.token, self.task_id = token, body["new_id"] if name == "add_task" else body.get("task_id")
        try:
            gone = self._gate(name, body)
            getattr(self, name)(**body)
        except Refused as refused:
            return str(refused)
        except Answered:
            return "answered"
        for key in gone:
            self._end(key)
        if name in (*TRANSITIONS, *STEPS, "update_checkpoint"):
            self._lives(name, self.task_id)
        self.head += 1
        self.last = self.now
        self._renew()
        return None

    def failover(self) -> None:
        """Another sequencer: it knows what is written, and nothing else."""
        self.opened_at = None
        for holder in self.holders.values():
            holder["seen"] = holder["granted"]

    # Leases and claims

    def acquire_lease(self, owner_id: str, ttl_seconds: int) -> None:
        taken = [key for key, holder in self.holders.items() if key is None or holder["owner"] != owner_id]
        self._must_be_free(taken, owner_id)
        for key in taken:
            self._end(key)
        self._grant(None, owner_id, ttl_seconds)

    def claim_task(self, owner_id: str, ttl_seconds: int, task_id: str | None = None) -> None:
        leased_to = self.holders.get(None, {}).get("owner", owner_id)
        taken: list[str | None] = [] if leased_to == owner_id else [None]
        self._must_be_free(taken, owner_id)
        self.task_id = task_id = task_id or self.next_claim()
        if task_id is None:
            raise Refused("nothing_to_claim")
        task = self._task(task_id)
        taken += [task_id] if task_id in self.holders else []
        self._must_be_free(taken, owner_id)
        self._from(task_id, "todo", "doing")
        if self.goals[task["goal_id"]]["status"] != "active":
            raise Refused("goal_paused")
        if task["status"] == "todo" and not self._is_ready(task):
            raise Refused("unmet_dependencies")
        is_there = task_id in taken and self._expiry(self.holders[task_id]) > self.now
        for key in taken:
            self._end(key)
        if task["status"] == "doing" and not is_there and self.deaths.get(task_id, 0) >= GIVE_UP_AT:
            del self.deaths[task_id]
            self._change(task_id, status="blocked", blockers=["given up"])
            return
        if task["status"] == "todo":
            self._change(task_id, status="doing")
        self._grant(task_id, owner_id, ttl_seconds)

    def renew_lease(self, task_id: str | None = None) -> None:
        self._of_token(task_id)
        self._renew()
        raise Answered

    def release_lease(self, task_id: str | None = None, *, force: bool = False) -> None:
        self.task_id = key = task_id if force else self._of_token(task_id)
        if key not in self.holders:
            raise Refused("not_held")
        del self.holders[key]

    def next_claim(self) -> str | None:
        """A look at every task there is."""
        free = {
            key: task
            for key, task in self.tasks.items()
            if self.goals[task["goal_id"]]["status"] == "active"
            and (key not in self.holders or self._expiry(self.holders[key]) <= self.now)
        }
        left = sorted((task["changed"], key) for key, task in free.items() if task["status"] == "doing")
        ready = sorted(
            (-self.goals[task["goal_id"]]["priority"], task["created"], key)
            for key, task in free.items()
            if task["status"] == "todo" and self._is_ready(task)
        )
        return left[-1][-1] if left else ready[0][-1] if ready else None

    # Steps

    def begin_step(
        self, step_id: str, step_type: str, task_id: str | None = None, external_key: str | None = None
    ) -> None:
        key = self._of_token(None, "token_needed")
        if self._expiry(self.holders[key]) <= self.now:
            raise Refused("lease_expired")
        self.task_id = task_id = task_id or key
        if task_id is not None:
            self._task(task_id)
        if key not in (None, task_id):
            raise Refused("token_needed")
        named = {"type": step_type, "task": task_id, "key": external_key}
        step = self.steps.get(step_id, named | {"attempts": [], "result": None})
        if {name: step[name] for name in named} != named:
            raise Refused("step_conflict")
        if step["result"]:
            raise Answered
        if step["attempts"] and step["attempts"][-1] == {"token": self.token, "status": "open"}:
            raise Refused("step_in_progress")
        step["attempts"].append({"token": self.token, "status": "open"})
        self.steps[step_id] = step

    def complete_step(
        self, step_id: str, attempt_id: int, result_ref: str | None = None, result_checksum: str | None = None
    ) -> None:
        step = self._step(step_id)
        if step["result"] == (result_ref, result_checksum):
            raise Answered
        self._open_attempt(step, attempt_id)["status"] = "completed"
        step["result"] = (result_ref, result_checksum)

    def fail_step(self, step_id: str, attempt_id: int) -> None:
        self._open_attempt(self._step(step_id), attempt_id)["status"] = "failed"

    def _step(self, step_id: str) -> dict[str, Any]:
        if step_id not in self.steps:
            raise Refused("unknown_step")
        self.task_id = self.steps[step_id]["task"]
        return self.steps[step_id]

    def _open_attempt(self, step: dict[str, Any], attempt_id: int) -> dict[str, Any]:
        if step["result"]:
            raise Refused("step_completed")
        if self.token is None:
            raise Refused("token_needed")
        if attempt_id > len(step["attempts"]):
            raise Refused("unknown_attempt")
        attempt: dict[str, Any] = step["attempts"][-1]
        if attempt_id < len(step["attempts"]) or attempt["token"] != self.token:
            raise Refused("fenced")
        if attempt["status"] != "open":
            raise Refused("attempt_closed")
        return attempt

    # What holds, and for how long

    def _gate(self, name: str, body: dict[str, Any]) -> list[str | None]:
        """The holders that have run out, for a command that may end them."""
        if self.token is not None and self._held_under(self.token) is None:
            raise Refused("fenced")
        if name in STEPS:
            step = self.steps.get(body["step_id"])
            own = None if self.token is None else self._held_under(self.token)
            task_id = step["task"] if step else body.get("task_id") or (own and own[0])
        elif name in TRANSITIONS or name == "update_checkpoint":
            task_id = body["task_id"]
        else:
            return []
        there: list[str | None] = [key for key in {task_id, None} if key in self.holders]
        if any(self.holders[key]["token"] == self.token for key in there):
            return []
        if any(self._expiry(self.holders[key]) > self.now for key in there):
            raise Refused("token_needed" if self.token is None else "lease_held")
        return there

    def _expiry(self, holder: dict[str, Any]) -> int:
        assert self.opened_at is not None
        expiry: int = max(holder["granted"], holder["seen"], self.opened_at) + holder["ttl"] * SECOND
        return expiry

    def _must_be_free(self, keys: list[str | None], owner_id: str) -> None:
        for holder in (self.holders[key] for key in keys):
            if holder["owner"] != owner_id and self._expiry(holder) > self.now:
                assert self.opened_at is not None
                delayed_until = self.opened_at + holder["ttl"] * SECOND
                assert self.now < max(holder["alive_until"], delayed_until), "delayed by more than one ttl"
                raise Refused("lease_held")

    def _grant(self, key: str | None, owner_id: str, ttl_seconds: int) -> None:
        self.tokens += 1
        self.holders[key] = {
            "token": self.tokens, "owner": owner_id, "ttl": ttl_seconds, "granted": self.now, "seen": self.now,
            "alive_until": self.now + ttl_seconds * SECOND, "acted": False,
        }  # fmt: skip

    def _end(self, key: str | None) -> None:
        holder = self.holders.pop(key)
        if self._expiry(holder) > self.now:
            return  # replaced by its own owner
        assert holder["alive_until"] <= self.now, "a holder that gave a sign of life was taken over"
        if key is not None and not holder["acted"]:
            self.deaths[key] = self.deaths.get(key, 0) + 1

    def _lives(self, name: str, task_id: str | None) -> None:
        if task_id is None:
            return
        self.deaths.pop(task_id, None)
        if task_id in self.holders:
            self.holders[task_id]["acted"] = True
            if name == "complete_task":
                del self.holders[task_id]

    def _renew(self) -> None:
        found = None if self.token is None else self._held_under(self.token)
        if found is not None:
            _, holder = found
            holder["seen"] = max(holder["seen"], self.now)
            holder["alive_until"] = max(holder["alive_until"], self.now + holder["ttl"] * SECOND)

    def _held_under(self, token: int) -> tuple[str | None, dict[str, Any]] | None:
        return next(((key, holder) for key, holder in self.holders.items() if holder["token"] == token), None)

    def _of_token(self, task_id: str | None, otherwise: str = "token_needed") -> str | None:
        found = None if self.token is None else self._held_under(self.token)
        if found is None:
            raise Refused(otherwise)
        if task_id is not None and found[0] != task_id:
            raise Refused("fenced")
        return found[0]

    def _is_ready(self, task: dict[str, Any]) -> bool:
        return all(self.tasks[needed]["status"] not in OPEN for needed in task["depends_on"])
