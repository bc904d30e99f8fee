"""Clients: commands of two tenants that mostly make sense, repeated until they are answered, and what strangers send.
Those that work under a lease or a claim are in `executors`.

A client knows a command by its id and wants one outcome. Each attempt is a record of its own, with a correlation of its
own, and only the reply to one of its own attempts counts.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from random import Random
from typing import Any, NamedTuple

from continuity import codec
from continuity.codec import Reply, ReplyTo
from continuity.core import canonical, ids
from continuity.core.canonical import loads_canonical
from continuity.core.records import Command
from tests.simulation.partition import PARTITION, PARTITIONS, Partition

TENANTS = ("acme", "zeta")
RETRY_STEPS = 150
FORKING = 0.02
FORKS_MAX = 3


def projects_at_home(per_tenant: int) -> list[tuple[str, str]]:
    """Projects whose workflows belong to the simulated partition."""
    found = []
    for tenant in TENANTS:
        found += [(tenant, name) for name in islice(names_at_home(tenant), per_tenant)]
    return found


def names_at_home(tenant: str) -> Iterator[str]:
    names = (f"p{n}" for n in count())
    return (name for name in names if ids.partition_of(ids.workflow_id(tenant, name), PARTITIONS) == PARTITION)


class Request(NamedTuple):
    """What somebody asks for, and under which token."""

    command_type: str
    body: dict[str, Any]
    token: int | None = None


@dataclass
class Wanted:
    """A command that somebody wants done. `outcome` is the final reply, once there is one."""

    command: Command
    sent_at: int
    outcome: Reply | None = None


class Clients:
    """All clients together."""

    def __init__(self, partition: Partition, random: Random, projects: int) -> None:
        self.partition = partition
        self.random = random
        self.projects = projects_at_home(projects)
        self.wanted: dict[str, Wanted] = {}
        self.attempts: dict[str, str] = {}
        self.goals: dict[str, list[str]] = {}
        self.tasks: dict[str, list[str]] = {}
        self.known_goals: dict[str, list[str]] = {}
        self.known_tasks: dict[str, list[str]] = {}
        self.added_by: dict[str, int] = {}
        self.heads: dict[str, int] = {}
        self.tokens: dict[str, int] = {}
        self.forks: list[str] = []

    def command_id(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def send_new(self, now: int, step: int) -> None:
        """A command nobody has sent before; it may well be refused."""
        tenant, project = self.random.choice(self.projects)
        workflow = ids.workflow_id(tenant, project)
        if self.heads.get(workflow) and self.random.random() < FORKING:
            self._fork(tenant, project, now, step)
            return
        command_id = self.command_id()
        command_type, body = self._work(workflow, command_id)
        token = self.any_token(workflow) if self.random.random() < 0.1 else None
        command = Command(
            command_id, command_type, canonical.text(body), tenant, project, workflow, "ada", "agent",
            expected_seq=self.random.randrange(6) if self.random.random() < 0.03 else None,
            fencing_token=token,
            after=self.random.choice(list(self.wanted)) if self.wanted and self.random.random() < 0.05 else None,
        )  # fmt: skip
        self._want(command, now, step)

    def _fork(self, tenant: str, project: str, now: int, step: int) -> None:
        """Begin another project where this one stood; now and then one that is there."""
        known = [name for owner, name in self.projects if owner == tenant]
        free = next(name for name in names_at_home(tenant) if name not in {*known, *self.forks})
        name = self.random.choice(known) if self.random.random() < 0.2 or len(self.forks) >= FORKS_MAX else free
        if name == free:
            self.forks.append(free)
        at_seq = self.earlier_seq(ids.workflow_id(tenant, project))
        self.want(Request("fork_project", {"from_project": project, "at_seq": at_seq}), tenant, name, now, step)

    def want(self, request: Request, tenant: str, project: str, now: int, step: int) -> Wanted:
        """Send what an executor asks for."""
        workflow, body = ids.workflow_id(tenant, project), canonical.text(request.body)
        return self._want(
            Command(
                self.command_id(), request.command_type, body, tenant, project, workflow, "exe", "automation",
                fencing_token=request.token,
            ), now, step,
        )  # fmt: skip

    def send_a_beginning(self, now: int) -> None:
        """A goal with a few tasks in each project."""
        for tenant, project in self.projects:
            workflow = ids.workflow_id(tenant, project)
            goal = self.want(Request("create_goal", {"text": "a goal"}), tenant, project, now, 0).command.command_id
            task = {"goal_id": ids.entity_id(workflow, goal), "title": "a task"}
            for _ in range(3):
                self.want(Request("add_task", task), tenant, project, now, 0)

    def any_token(self, workflow: str) -> int | None:
        """Somebody's, mostly of the past, and now and then one that was never given."""
        newest = self.tokens.get(workflow)
        return newest and self.random.randint(1, newest + 1)

    def earlier_seq(self, workflow: str) -> int:
        """What a rollback goes back to; it may be too far."""
        return max(1, self.heads.get(workflow, 0) - self.random.choice((0, 1, 1, 1, 2, 5)))

    def _want(self, command: Command, now: int, step: int) -> Wanted:
        wanted = self.wanted[command.command_id] = Wanted(command, step)
        self._attempt(command, now)
        return wanted

    def _work(self, workflow: str, command_id: str) -> tuple[str, dict[str, Any]]:
        choose = self.random.choice
        goals, tasks = self.goals.setdefault(workflow, []), self.tasks.setdefault(workflow, [])
        is_sure = self.random.random() < 0.8
        created = ids.entity_id(workflow, command_id)
        if not goals or self.random.random() < 0.05:
            goals.append(created)
            return "create_goal", {"text": "a goal", "priority": self.random.randint(-2, 2)}
        if self.random.random() < 0.03:
            return "rollback", {"to_seq": self.earlier_seq(workflow)}
        if not tasks or self.random.random() < 0.2:
            needs = [choose(tasks)] if tasks and self.random.random() < 0.2 else []
            tasks.append(created)
            goals = (self.known_goals.get(workflow) if is_sure else None) or goals
            return "add_task", {"goal_id": choose(goals), "title": "a task", "depends_on": needs}
        tasks = (self.known_tasks.get(workflow) if is_sure else None) or tasks
        task = {"task_id": choose(tasks[-3:])}
        return choose((
            ("start_task", task), ("start_task", task), ("complete_task", task), ("pause_task", task),
            ("reopen_task", task), ("block_task", task | {"blocker": {"text": "rain"}}),
            ("amend_task", task | {"title": "another"}),
            ("update_checkpoint", task | {"where_left_off": "here", "next_step": "go on", "context_refs": []}),
            ("update_checkpoint", task | {"where_left_off": "there", "next_step": "go on", "context_refs": ["a"]}),
            ("set_goal_priority", {"goal_id": choose(goals), "priority": self.random.randint(-2, 2)}),
            ("set_goal_status", {"goal_id": choose(goals), "status": choose(("active", "paused", "done"))}),
        ))  # fmt: skip

    def repeat_any(self, now: int) -> None:
        """A client that is not sure, though it may have been told."""
        if self.wanted:
            known = list(self.wanted.values())
            long_ago = self.random.random() < 0.4
            self._attempt(self.random.choice(known if long_ago else known[-20:]).command, now)

    def retry_late(self, now: int, step: int, patience: int = RETRY_STEPS) -> None:
        """Whoever has waited long enough asks again."""
        for wanted in self.wanted.values():
            if wanted.outcome is None and step - wanted.sent_at >= patience:
                wanted.sent_at = step
                self._attempt(wanted.command, now)

    def reuse_an_id(self, now: int) -> None:
        """A client with a bug: the same id, another body."""
        if self.wanted:
            command = self.random.choice(list(self.wanted.values())).command
            self._append(command._replace(command_type="create_goal", body='{"text":"another"}'), now)

    def send_nonsense(self, now: int) -> str:
        """A record that is no command of this partition; says which kind."""
        kind = self.random.choice(
            ("garbage", "nothing", "other partition", "other workflow", "bad form", "unknown command")
        )
        tenant, project = self.random.choice(self.projects)
        command = Command(
            self.command_id(),
            "create_goal",
            '{"text":"x"}',
            tenant,
            project,
            ids.workflow_id(tenant, project),
            "eve",
            "agent",
        )
        if kind == "garbage":
            self.partition.commands.append(now, self.random.randbytes(self.random.randint(0, 40)))
        elif kind == "nothing":
            self.partition.commands.append(now, None)
        elif kind == "other partition":
            away = next(
                name for name in (f"q{n}" for n in count())
                if ids.partition_of(ids.workflow_id(tenant, name), PARTITIONS) != PARTITION
            )  # fmt: skip
            self._append(command._replace(project=away, workflow_id=ids.workflow_id(tenant, away)), now)
        elif kind == "other workflow":
            self._append(command._replace(project=project + "x"), now)
        elif kind == "bad form":
            self._append(command._replace(body='{"text":7}'), now)
        else:
            self._append(command._replace(command_type="drop", body="{}"), now)
        return kind

    def hear(self, reply: Reply, correlation: str) -> None:
        """A reply arrived. Only the first final one to an attempt of this client counts."""
        wanted = self.wanted.get(self.attempts.get(correlation, ""))
        if wanted is None or wanted.outcome is not None:
            return
        if reply["status"] == "unavailable":
            wanted.sent_at -= RETRY_STEPS // 2
            return
        wanted.outcome = reply
        workflow = reply["workflow_id"]
        if reply["event_type"] == "project_forked":
            self._move_in(wanted.command)
        self.heads[workflow] = max(self.heads.get(workflow, 0), reply["event_seq"] or 0)
        if reply["event_type"] == "goal_created" and reply["goal_id"] is not None:
            self.known_goals.setdefault(workflow, []).append(reply["goal_id"])
        if reply["event_type"] == "task_added" and reply["task_id"] is not None:
            self.known_tasks.setdefault(workflow, []).append(reply["task_id"])
            self.added_by[reply["task_id"]] = reply["event_seq"] or 0
        self.tokens[workflow] = max(self.tokens.get(workflow, 0), reply["fencing_token"] or 0)

    def _move_in(self, fork: Command) -> None:
        """A fork is a project like any other, in which its origin's goals and tasks go on."""
        if (fork.tenant, fork.project) in self.projects:
            return
        self.projects.append((fork.tenant, fork.project))
        begun = ids.workflow_id(fork.tenant, loads_canonical(fork.body)["from_project"])
        for known in (self.goals, self.tasks, self.known_goals, self.known_tasks):
            known[fork.workflow_id] = [*known.get(begun, ())]
        self.tokens[fork.workflow_id] = self.tokens.get(begun, 0)

    @property
    def unanswered(self) -> list[str]:
        return [command_id for command_id, wanted in self.wanted.items() if wanted.outcome is None]

    def _attempt(self, command: Command, now: int) -> None:
        self.attempts[self._append(command, now)] = command.command_id

    def _append(self, command: Command, now: int) -> str:
        correlation = f"c{len(self.partition.topics)}-{self.partition.commands.end}"
        durable = self.random.random() < 0.02
        reply_to = None if durable else ReplyTo(0, correlation)
        self.partition.commands.append(now, codec.encode_command(command, reply_to))
        return correlation
