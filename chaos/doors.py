"""How a client gets its commands in: the native client, or the SDK over HTTP. Either tells the same words back."""

from typing import Any, Protocol

from chaos.record import Told, Wish
from continuity import AsyncContinuity
from continuity.client.errors import Refused
from continuity.errors import ContinuityError, Retryable
from continuity.producers import AsyncCommandClient, Outcome, Request

TRY_SECONDS = 8.0


class Door(Protocol):
    """One way in. Raises nothing: a try without an outcome is told as `unclear`."""

    name: str

    async def send(self, wish: Wish) -> Told:
        """Try once."""
        ...


class Native:
    """The native client, straight to the log."""

    def __init__(self, name: str, client: AsyncCommandClient) -> None:
        self.name = name
        self._client = client

    async def send(self, wish: Wish, deadline_seconds: float = TRY_SECONDS) -> Told:
        """Try once, for that long."""
        request = Request(
            wish.command_type, wish.body, wish.command_id, wish.tenant, wish.project, "chaos", "automation",
            fencing_token=wish.token,
        )  # fmt: skip
        try:
            return of_outcome(await self._client.send(request, deadline_seconds=deadline_seconds))
        except Retryable as error:
            return Told("unclear", code=error.code)


class Http:
    """The SDK, through one of the APIs; one client for each project."""

    def __init__(self, name: str, url: str, keys: dict[str, str]) -> None:
        self.name = name
        self.url = url
        self._keys = keys
        self._clients: dict[tuple[str, str], AsyncContinuity] = {}

    def client(self, tenant: str, project: str) -> AsyncContinuity:
        """The client of that project."""
        found = self._clients.get((tenant, project))
        if found is None:
            found = AsyncContinuity(
                project, self.url, self._keys[tenant], deadline_seconds=TRY_SECONDS, connect_seconds=TRY_SECONDS
            )
            self._clients[tenant, project] = found
        return found

    async def send(self, wish: Wish) -> Told:
        """Try once; within it the SDK tries again by itself."""
        call = getattr(self.client(wish.tenant, wish.project), wish.command_type)
        options: dict[str, Any] = {"command_id": wish.command_id}
        if wish.token is not None:
            options["fencing_token"] = wish.token
        try:
            answer = await call(**wish.body, **options)
        except Refused as refused:
            return Told("refused", code=refused.code)
        except ContinuityError as error:
            return Told("unclear", code=error.code)
        lease = answer.get("lease") or {}
        return Told(
            answer["status"],
            answer.get("event_seq"),
            answer.get("event_id"),
            answer.get("goal_id"),
            answer.get("task_id"),
            answer.get("fencing_token"),
            result={**lease, **answer.get("step", {})},
        )

    async def store(self, tenant: str, project: str, content: bytes) -> tuple[str, str]:
        """Keep a step's result: its reference and checksum. Raises ContinuityError."""
        client = self.client(tenant, project)
        # As the SDK's own step blocks do it, which would hide the commands that are counted here.
        stored = await client._run(client._wire.store_result(content, "application/octet-stream"))  # noqa: SLF001
        return stored["result_ref"], stored["result_checksum"]

    async def fetch(self, tenant: str, project: str, ref: str, checksum: str | None) -> bytes:
        """A stored result. Raises ContinuityError."""
        client = self.client(tenant, project)
        content, _ = await client._run(client._wire.result(ref, checksum))  # noqa: SLF001
        return content

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()


def of_outcome(outcome: Outcome) -> Told:
    """What the native client was told."""
    status: Any = outcome["status"]
    return Told(
        status,
        outcome["event_seq"],
        outcome["event_id"],
        outcome["goal_id"],
        outcome["task_id"],
        outcome["fencing_token"],
        outcome["code"],
        outcome["result"] or {},
    )
