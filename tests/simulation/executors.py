"""Executors: they acquire and claim, renew, do steps, let go or vanish; and some wake up long after they were replaced.

An executor believes what it was told and never looks at the log. So it may go on under a token that is nobody's any
more: that is what fencing is for.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from continuity.core import ids
from continuity.core.canonical import loads_canonical
from tests.simulation.clients import Clients, Request, Wanted

OWNERS = ("ada", "bob", "cleo", "dan")
EXECUTORS = 6
SLEEPERS_MAX = 8
STEP_TYPES = ("pure", "idempotent", "non_idempotent")
STEPS_PER_TASK = 3
TTL_SECONDS = (1, 2, 5, 20, 20, 60)
SHORT_TTL_SECONDS = (1, 1, 2)
CHECKPOINT: dict[str, Any] = {"where_left_off": "here", "next_step": "go on", "context_refs": []}
GIVE_UP = frozenset({"fenced", "lease_expired", "not_held"})


Effects = dict[tuple[str, str], Counter[str]]
"""The world outside: by workflow and step, how often what was done there under each key."""


@dataclass
class Executor:
    """One life of one. `grant` and `attempts` are as it was told, `left_open` the steps that its predecessor was in the
    middle of; `waits_for` is what it has asked."""

    owner_id: str
    tenant: str
    project: str
    grant: Any = None
    attempts: dict[str, int] = field(default_factory=dict)
    left_open: list[str] = field(default_factory=list)
    waits_for: Wanted | None = None

    @property
    def workflow(self) -> str:
        return ids.workflow_id(self.tenant, self.project)

    def hear(self, effects: "Effects", *, is_stubborn: bool) -> None:
        """What came of the last request, if that is known by now. A stubborn one goes on after it was fenced."""
        wanted = self.waits_for
        if wanted is None or wanted.outcome is None:
            return
        self.waits_for = None
        reply, kind = wanted.outcome, wanted.command.command_type
        if reply["code"] in GIVE_UP and not is_stubborn:
            self.grant = None
        result = loads_canonical(reply["result"]) if reply["result"] else {}
        if kind in ("acquire_lease", "claim_task"):
            self.grant = result if result.get("token") else self.grant
            self.left_open += [each["step_id"] for each in result.get("handover", {}).get("open_attempts", ())]
        elif kind == "begin_step" and result.get("status") == "begun":
            self.attempts[result["step_id"]] = result["attempt_id"]
            body = loads_canonical(wanted.command.body)
            if body["step_type"] == "non_idempotent":
                done = effects.setdefault((self.workflow, result["step_id"]), Counter())
                done[result["external_key"]] += 1
        elif kind == "renew_lease" and reply["status"] == "answered" and self.grant is not None:
            self.grant = self.grant | {"expires_at": result["expires_at"]}
        elif kind == "release_lease" and reply["status"] == "accepted":
            self.grant = None


class Executors:
    """All of them. `vanishing` is how likely one that holds something is to be never heard of again: where nearly all
    do, nobody sleeps long."""

    def __init__(self, clients: Clients, random: Random, vanishing: float) -> None:
        self.clients = clients
        self.random = random
        self.vanishing = vanishing
        self.awake = [self._born() for _ in range(EXECUTORS)]
        self.asleep: list[Executor] = []
        self.vanished = 0
        self.effects: Effects = {}
        self.ttl_seconds = SHORT_TTL_SECONDS if vanishing > 0.5 else TTL_SECONDS

    @property
    def expiries(self) -> list[tuple[int, Executor]]:
        """When grants run out, as their holders believe, vanished or not."""
        known = [*self.awake, *self.asleep]
        return [(ids.micros_of(each.grant["expires_at"]), each) for each in known if each.grant]

    def act_at_the_end(self, holder: Executor, now: int, step: int) -> None:
        """At this very moment its grant runs out: it begins a step all the same, and somebody else comes."""
        if self.random.random() < 0.5:
            self._send(holder, self._begin(holder), now, step)
        body = {"owner_id": self.random.choice(OWNERS), "ttl_seconds": self.random.choice(self.ttl_seconds)}
        task_id = holder.grant["task_id"]
        wish = Request("claim_task", body | {"task_id": task_id}) if task_id else Request("acquire_lease", body)
        work = Request("update_checkpoint", CHECKPOINT | {"task_id": task_id})
        self._send(holder, work if task_id and self.random.random() < 0.3 else wish, now, step)

    def act(self, now: int, step: int) -> None:
        """One of them does its next thing, if it is not waiting."""
        if self.asleep and self.random.random() < 0.15 * (1 - self.vanishing):
            self._wake_up(now, step)
            return
        for executor in self.awake:
            executor.hear(self.effects, is_stubborn=self.random.random() < 0.2)
        free = [at for at, executor in enumerate(self.awake) if executor.waits_for is None]
        if not free or self.random.random() < 0.1:
            if self.random.random() < 0.4:
                self._renew_anyway(now, step)
            return
        at = self.random.choice(free)
        executor = self.awake[at]
        if not self.clients.known_tasks.get(executor.workflow):
            self.clients.send_new(now, step)  # who finds nothing to do sees to it that there is something
        elif executor.grant is None:
            self._ask(executor, self._wish(executor), now, step)
        elif self.random.random() < self.vanishing:
            self.vanished += 1
            self.asleep = [*self.asleep[-SLEEPERS_MAX:], executor]
            self.awake[at] = self._born()
        else:
            self._ask(executor, self._work(executor), now, step)

    def _born(self) -> Executor:
        tenant, project = self.random.choice(self.clients.projects)
        return Executor(self.random.choice(OWNERS), tenant, project)

    def _wake_up(self, now: int, step: int) -> None:
        """As if no time had passed: it goes on where it was, with what it found out meanwhile."""
        executor = self.random.choice(self.asleep)
        executor.hear(self.effects, is_stubborn=True)
        if executor.grant is None or self.random.random() < 0.3:
            self.asleep.remove(executor)
        if executor.waits_for is None and executor.grant is not None:
            act = self._complete if executor.attempts and self.random.random() < 0.7 else self._work
            self._ask(executor, act(executor), now, step)

    def _renew_anyway(self, now: int, step: int) -> None:
        """Somebody's renewal loop, that runs beside the work and waits for nothing."""
        holding = [executor for executor in self.awake if executor.grant is not None]
        if holding:
            executor = self.random.choice(holding)
            self._send(executor, self._renew(executor), now, step)

    def _ask(self, executor: Executor, request: Request, now: int, step: int) -> None:
        executor.waits_for = self._send(executor, request, now, step)

    def _send(self, executor: Executor, request: Request, now: int, step: int) -> Wanted:
        return self.clients.want(request, executor.tenant, executor.project, now, step)

    def _wish(self, executor: Executor) -> Request:
        """For who holds nothing."""
        dice = self.random.random()
        wanted = {"owner_id": executor.owner_id, "ttl_seconds": self.random.choice(self.ttl_seconds)}
        if dice < 0.25:
            return Request("acquire_lease", wanted)
        if dice < 0.3:
            return Request("release_lease", {"force": True} | self._maybe_task(executor))
        return Request("claim_task", wanted | (self._maybe_task(executor) if dice < 0.6 else {}))

    def _work(self, executor: Executor) -> Request:
        """For who holds something."""
        act = self.random.choices(*zip(*_ACTS, strict=True))[0]
        if act in (Executors._complete, Executors._fail) and not executor.attempts:
            act = Executors._begin
        request: Request = act(self, executor)
        if self.random.random() < 0.06:
            request = request._replace(token=self.clients.any_token(executor.workflow))
        return request

    def _renew(self, executor: Executor) -> Request:
        named = executor.grant["task_id"] and self.random.random() < 0.5
        return self._under(executor, "renew_lease", {"task_id": executor.grant["task_id"]} if named else {})

    def _begin(self, executor: Executor) -> Request:
        task_id = executor.grant["task_id"] or self._maybe_task(executor).get("task_id")
        step_id = f"{(task_id or 'whole')[:8]}.{self.random.randrange(STEPS_PER_TASK)}"
        if executor.left_open:
            step_id = executor.left_open.pop()
            known = self.clients.known_tasks.get(executor.workflow, ())
            task_id = next((each for each in known if each.startswith(step_id[:8])), None)
        body: dict[str, Any] = {"step_id": step_id, "step_type": STEP_TYPES[int(step_id[-1])]}
        if executor.grant["task_id"] is None and task_id is not None:
            body["task_id"] = task_id
        if self.random.random() < 0.03:
            body["step_type"] = "idempotent"
        if body["step_type"] == "non_idempotent":
            other = self.random.random() < 0.05  # as of a program that draws a new key each time
            body["external_key"] = f"key-{self.clients.command_id()[:4] if other else body['step_id']}"
        return self._under(executor, "begin_step", body)

    def _complete(self, executor: Executor) -> Request:
        body: dict[str, Any] = self._attempt(executor)
        if self.random.random() < 0.85:
            # Not the same result twice: an executor found it out by itself.
            found = self.clients.command_id()
            body |= {"result_ref": f"blob:{found}", "result_checksum": found.replace("-", "") * 2}
        return self._under(executor, "complete_step", body)

    def _fail(self, executor: Executor) -> Request:
        return self._under(executor, "fail_step", self._attempt(executor) | {"error": "no route"})

    def _attempt(self, executor: Executor) -> dict[str, Any]:
        step_id = self.random.choice(sorted(executor.attempts))
        attempt_id = executor.attempts[step_id]
        if self.random.random() < 0.5:
            del executor.attempts[step_id]  # else it is ended again, or begun again while it is open
        return {"step_id": step_id, "attempt_id": attempt_id + (self.random.random() < 0.03)}

    def _checkpoint(self, executor: Executor) -> Request:
        return self._on_task(executor, "update_checkpoint", CHECKPOINT)

    def _transit(self, executor: Executor) -> Request:
        kind = self.random.choice(("start_task", "complete_task", "pause_task", "block_task"))
        return self._on_task(executor, kind, {"blocker": {"text": "rain"}} if kind == "block_task" else {})

    def _on_task(self, executor: Executor, kind: str, body: dict[str, Any]) -> Request:
        task_id = executor.grant["task_id"] or self._maybe_task(executor).get("task_id")
        if task_id is None:
            return self._renew(executor)
        return self._under(executor, kind, body | {"task_id": task_id})

    def _release(self, executor: Executor) -> Request:
        return self._under(executor, "release_lease", {})

    def _roll_back(self, executor: Executor) -> Request:
        """Often so far that the task which it holds is undone too."""
        seq = self.clients.added_by.get(executor.grant["task_id"], 0) - 1
        if seq < 1 or self.random.random() < 0.4:
            seq = self.clients.earlier_seq(executor.workflow)
        return self._under(executor, "rollback", {"to_seq": seq})

    def _take_again(self, executor: Executor) -> Request:
        """What it holds already: a new token replaces its own."""
        body = {"owner_id": executor.owner_id, "ttl_seconds": self.random.choice(self.ttl_seconds)}
        task_id = executor.grant["task_id"]
        return Request("claim_task", body | {"task_id": task_id}) if task_id else Request("acquire_lease", body)

    def _under(self, executor: Executor, kind: str, body: dict[str, Any]) -> Request:
        return Request(kind, body, executor.grant["token"])

    def _maybe_task(self, executor: Executor) -> dict[str, Any]:
        tasks = self.clients.known_tasks.get(executor.workflow)
        return {"task_id": self.random.choice(tasks[-3:])} if tasks else {}


_ACTS: tuple[tuple[Callable[[Executors, Executor], Request], float], ...] = (
    (Executors._renew, 5), (Executors._begin, 6), (Executors._complete, 5), (Executors._fail, 2),
    (Executors._checkpoint, 2), (Executors._transit, 2), (Executors._release, 1.5), (Executors._roll_back, 1),
    (Executors._take_again, 1),
)  # fmt: skip
