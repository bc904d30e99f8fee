"""In-memory neighbours of the API, for tests of its own rules: forms, keys, answers. They decide nothing."""

from dataclasses import dataclass, field
from typing import Any

from continuity.core.ids import entity_id, workflow_id
from continuity.core.next_step import NextStep
from continuity.core.records import Event
from continuity.core.transitions import EVENT_TYPES
from continuity.errors import ContinuityError
from continuity.producers import Outcome, Request, Wait
from continuity.producers.request import command_of

CHECKSUM = "ab" * 32


@dataclass
class RecordingCommands:
    """Checks the form as the real client does, accepts everything else, and keeps what it was given."""

    sent: list[tuple[Request, str]] = field(default_factory=list)
    answers: dict[str, Outcome] = field(default_factory=dict)
    failure: ContinuityError | Exception | None = None
    refuse_with: tuple[str, str] | None = None

    def reset(self) -> None:
        vars(self).update(vars(RecordingCommands()))

    async def start(self) -> None:
        pass

    async def ready(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def send(self, request: Request, *, wait: Wait = "committed", deadline_seconds: float = 10.0) -> Any:  # noqa: ARG002
        command_of(request)
        if self.failure:
            raise self.failure
        self.sent.append((request, wait))
        workflow = workflow_id(request.tenant, request.project)
        blank: dict[str, Any] = dict.fromkeys(Outcome.__annotations__)
        known = self.answers.get(request.command_id)
        outcome: Any = blank | {"command_id": request.command_id, "workflow_id": workflow, "partition": 0, "offset": 7}
        if self.refuse_with:
            code, detail = self.refuse_with
            return outcome | {"status": "refused", "code": code, "detail": detail}
        if wait == "durable":
            return outcome | {"status": "durable"}
        if known:
            return known | {"status": "duplicate"}
        outcome |= {
            "status": "accepted",
            "event_seq": len(self.sent),
            "event_id": entity_id(workflow, "event"),
            "event_type": EVENT_TYPES[request.command_type],
            "goal_id": request.body.get("goal_id") or entity_id(workflow, request.command_id),
            "state_checksum": CHECKSUM,
        }
        self.answers[request.command_id] = outcome
        return outcome


NEXT: NextStep = {
    "action": "propose_tasks", "task_id": None, "goal_id": None, "title": None, "next_step": None,
    "where_we_left_off": None, "required_context_refs": [], "blockers": [], "as_of_seq": 3, "state_checksum": CHECKSUM,
    "rank": {"rule": 4, "name": "none", "key": []},
}  # fmt: skip


@dataclass
class StoredReads:
    """Knows one project of one tenant."""

    tenant: str
    project: str = "known"
    journal: list[Event] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    failure: Exception | None = None

    def reset(self) -> None:
        vars(self).update(vars(StoredReads(self.tenant)))

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def _knows(self, tenant: str, project: str, **how: Any) -> bool:
        if self.failure:
            raise self.failure
        self.asked.append(how)
        return (tenant, project) == (self.tenant, self.project)

    async def next_step(self, tenant: str, project: str, *, min_seq: int = 0) -> NextStep | None:
        return NEXT if self._knows(tenant, project, min_seq=min_seq) else None

    async def head_seq(self, tenant: str, project: str, *, min_seq: int = 0) -> int | None:
        return 3 if self._knows(tenant, project, min_seq=min_seq) else None

    async def state(self, tenant: str, project: str, *, min_seq: int = 0) -> Any:
        return {"as_of_seq": 3, "project": project} if self._knows(tenant, project, min_seq=min_seq) else None

    async def events(
        self, tenant: str, project: str, *, after_seq: int, limit: int, min_seq: int = 0
    ) -> list[Event] | None:
        if not self._knows(tenant, project, after_seq=after_seq, limit=limit, min_seq=min_seq):
            return None
        return [event for event in self.journal if event["event_seq"] > after_seq][:limit]

    async def projects(self, tenant: str, *, after: str, limit: int) -> Any:
        names = [f"p{number}" for number in range(5)] if tenant == self.tenant else []
        return [{"project": name} for name in names if name > after][:limit]

    async def command(self, tenant: str, command_id: str) -> Any:
        known = tenant == self.tenant and command_id.startswith("a")
        return {"command_id": command_id, "status": "accepted"} if known else None
