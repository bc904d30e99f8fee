"""In-memory neighbours of the API, for tests of its own rules: forms, keys, answers. They decide nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from continuity.blobs import missing, ref_of, verified
from continuity.core.ids import entity_id, workflow_id
from continuity.core.next_step import NextStep
from continuity.core.records import Event
from continuity.core.transitions import EVENT_TYPES
from continuity.errors import ContinuityError, Retryable
from continuity.producers import Outcome, Request, Wait
from continuity.producers.request import command_of

CHECKSUM = "ab" * 32
HEAD_SEQ = 3


@dataclass
class RecordingCommands:
    """Checks the form as the real client does, accepts everything else, and keeps what it was given."""

    sent: list[tuple[Request, str]] = field(default_factory=list)
    answers: dict[str, Outcome] = field(default_factory=dict)
    failure: ContinuityError | Exception | None = None
    refuse_with: tuple[str, str] | None = None
    refuse_in: set[str] = field(default_factory=set)
    """Projects in which nothing is to be claimed."""
    results: dict[str, Any] = field(default_factory=dict)
    """What a command is told besides, by its type."""

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
        if request.project in self.refuse_in:
            return outcome | {"status": "refused", "code": "nothing_to_claim", "detail": "Nothing."}
        if wait == "durable":
            return outcome | {"status": "durable"}
        if known:
            return known | {"status": "duplicate"}
        result = self.results.get(request.command_type)
        if request.command_type == "renew_lease":
            return outcome | {"status": "answered", "result": result or lease(request)}
        outcome |= {
            "status": "accepted",
            "event_seq": len(self.sent),
            "event_id": entity_id(workflow, "event"),
            "event_type": EVENT_TYPES[request.command_type],
            "goal_id": request.body.get("goal_id") or entity_id(workflow, request.command_id),
            "state_checksum": CHECKSUM,
            "result": result or told(request),
        }
        self.answers[request.command_id] = outcome
        return outcome


def told(request: Request) -> dict[str, Any] | None:
    """The result of an accepted command, as the sequencer gives it."""
    body, kind = request.body, request.command_type
    if kind in {"acquire_lease", "claim_task"}:
        return lease(request) | {"handover": {"predecessor": None, "checkpoint": None, "open_attempts": []}}
    if kind == "begin_step":
        names = ("step_id", "step_type", "external_key")
        step = {name: body.get(name) for name in names} | {"attempt_id": 1, "ambiguous": False, "earlier_attempts": []}
        return {"status": "begun", **step}
    if kind in {"complete_step", "fail_step"}:
        return {"status": EVENT_TYPES[kind].removeprefix("step_"), "attempt_id": body["attempt_id"]}
    return None


def lease(request: Request) -> dict[str, Any]:
    body = request.body
    return {
        "token": request.fencing_token or 7,
        "owner_id": body.get("owner_id", "me"),
        "task_id": body.get("task_id"),
        "ttl_seconds": body.get("ttl_seconds", 60),
        "expires_at": "2026-01-01T00:01:00.000000Z",
    }


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
    late: list[Any] = field(default_factory=list)
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

    async def next_step(
        self, tenant: str, project: str, *, min_seq: int = 0, for_owner: str | None = None
    ) -> NextStep | None:
        how: dict[str, Any] = {} if for_owner is None else {"for_owner": for_owner}
        return NEXT if self._knows(tenant, project, min_seq=min_seq, **how) else None

    async def late_results(
        self, tenant: str, project: str, *, task_id: str | None = None, limit: int, min_seq: int = 0
    ) -> Any:
        if not self._knows(tenant, project, task_id=task_id, limit=limit, min_seq=min_seq):
            return None
        return self.late

    async def head_seq(self, tenant: str, project: str, *, min_seq: int = 0) -> int | None:
        if not self._knows(tenant, project, min_seq=min_seq):
            return None
        if min_seq > HEAD_SEQ:
            raise Retryable("The projection is behind.", code="not_yet")
        return HEAD_SEQ

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


@dataclass
class KeptPast:
    """Knows the past of one project of one tenant: three events."""

    tenant: str
    project: str = "known"
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    failure: Exception | None = None
    pieces: list[bytes] = field(default_factory=lambda: [b"a", b"b"])

    def reset(self) -> None:
        vars(self).update(vars(KeptPast(self.tenant)))

    def _told(self, tenant: str, project: str, *how: Any) -> Any:
        if self.failure:
            raise self.failure
        if (tenant, project) != (self.tenant, self.project):
            return None
        self.asked.append(how)
        return {"asked": list(how)}

    def state(self, tenant: str, project: str, at_seq: int) -> Any:
        told = self._told(tenant, project, "state", at_seq)
        return told and told | {"as_of_seq": at_seq}

    def next_step(self, tenant: str, project: str, at_seq: int, for_owner: str | None = None) -> Any:
        told = self._told(tenant, project, "next_step", at_seq, for_owner)
        return told and NEXT | {"as_of_seq": at_seq}

    def explain(self, tenant: str, project: str, at_seq: int | None = None, for_owner: str | None = None) -> Any:
        return self._told(tenant, project, "explain", at_seq, for_owner)

    def diff(self, tenant: str, project: str, from_seq: int, to_seq: int | None = None) -> Any:
        return self._told(tenant, project, "diff", from_seq, to_seq)

    def history(self, tenant: str, project: str, task_id: str, *, after_seq: int = 0, limit: int = 100) -> Any:
        return self._told(tenant, project, "history", task_id, after_seq, limit)

    def snapshots(self, tenant: str, project: str, *, limit: int) -> Any:
        return self._told(tenant, project, "snapshots", limit)

    def verify(self, tenant: str, project: str) -> Any:
        return self._told(tenant, project, "verify")

    def export(self, tenant: str, project: str, at_seq: int | None = None) -> Any:
        told = self._told(tenant, project, "export", at_seq)
        return told and iter(self.pieces)


@dataclass
class KeptAssignments:
    """Remembers in memory where a claim was sent."""

    projects: list[str] = field(default_factory=list)
    sent_to: dict[tuple[str, str], str] = field(default_factory=dict)
    moves: list[str] = field(default_factory=list)

    def reset(self) -> None:
        vars(self).update(vars(KeptAssignments()))

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def assigned(self, tenant: str, command_id: str) -> str | None:
        return self.sent_to.get((tenant, command_id))

    @asynccontextmanager
    async def held(self, tenant: str, command_id: str) -> AsyncIterator["KeptAssignment"]:
        yield KeptAssignment(self, (tenant, command_id))


class KeptAssignment:
    def __init__(self, kept: KeptAssignments, key: tuple[str, str]) -> None:
        self.kept, self.key, self.project = kept, key, kept.sent_to.get(key)

    async def candidates(self) -> list[str]:
        return self.kept.projects

    async def move(self, project: str) -> None:
        self.kept.sent_to[self.key] = project
        self.kept.moves.append(project)


@dataclass
class KeptBlobs:
    """Blobs in memory."""

    kept: dict[str, bytes] = field(default_factory=dict)

    def reset(self) -> None:
        self.kept.clear()

    def put(self, content: bytes) -> str:
        self.kept[ref_of(content)] = content
        return ref_of(content)

    def get(self, ref: str) -> bytes:
        if ref not in self.kept:
            raise missing(ref)
        return verified(ref, self.kept[ref])
