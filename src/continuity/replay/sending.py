"""Sends a plan to the log, by several workers side by side over the native client, and tells what became of it.

Safe to repeat: what the project's journal has is not sent again, and an interrupted replay goes on where it was.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from continuity.core import canonical
from continuity.core.seal import digest
from continuity.errors import ConfigError, Retryable
from continuity.producers import Outcome, Request, Wait
from continuity.replay.mapping import Deviation
from continuity.replay.plan import Pending, Plan, Planned
from continuity.replay.rehearsal import refusal

PATIENCE_SECONDS = 60.0
"""How long a command is repeated while the broker or the sequencer is away."""

Progress = Callable[[int, int], None]


class Sender(Protocol):
    """The part of `producers.AsyncCommandClient` that a replay uses."""

    async def send(self, request: Request, *, wait: Wait = "committed", deadline_seconds: float = 10.0) -> Outcome:
        """One command and its outcome; Retryable when that is unknown."""
        ...


class Sent(NamedTuple):
    """What became of a plan's commands.

    `accepted`: event_seq by command_id, those of an earlier replay among them; `known`: how many of these were there
    before. `refused`: by line, in the tracker's words. `settled`: lines of an earlier replay that it saw refused.
    """

    accepted: dict[str, int]
    known: int
    refused: dict[int, Deviation]
    settled: frozenset[int]
    seconds: float

    @property
    def commands_per_second(self) -> float:
        """How fast commands were decided, refused ones among them."""
        return (len(self.accepted) - self.known + len(self.refused)) / max(self.seconds, 1e-9)


async def send_all(
    plan: Plan,
    sender: Sender,
    known: Mapping[str, tuple[int, str]],
    *,
    workers: int,
    progress: Progress = lambda _done, _total: None,
) -> Sent:
    """Send what is not known yet. `known`: event_seq and command digest of each command_id in the project's journal.

    `progress(done, all)` counts commands. Raises ConfigError when the journal is not one of this plan, and Retryable
    when the broker or the sequencer stays away.
    """
    check_known(plan, known)
    accepted = {command_id: seq for command_id, (seq, _) in known.items()}
    run = _Run(plan, sender, accepted, decided_before(plan, known), progress)
    started = time.monotonic()
    tasks = [asyncio.create_task(run.work(f"replay-worker-{number}")) for number in range(1, workers + 1)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    seconds = time.monotonic() - started
    return Sent(accepted, len(known), run.refused, frozenset(run.settled), seconds)


def check_known(plan: Plan, known: Mapping[str, tuple[int, str]]) -> None:
    """Refuse a project that holds anything else than this plan's commands."""
    planned = {each.command_id: each for each in plan.commands}
    for command_id, (seq, command_digest) in known.items():
        each = planned.get(command_id)
        if each is None or digest(f"{each.command_type}\n{canonical.text(each.body)}") != command_digest:
            raise ConfigError(
                f"Project {plan.project} holds other work: its event {seq} is not of this history.",
                fix="Name a new project with --project.",
            )


def decided_before(plan: Plan, known: Mapping[str, object]) -> list[bool]:
    """By place: whether an earlier replay has seen the command decided, although it became no event.

    It has when a command that waits for it was accepted. If none was, nothing that decides over it has changed since,
    so asking (again) gives the same answer: the plan's order lets nothing else touch it.
    """
    decided = [False] * len(plan.commands)
    for place in range(len(plan.commands) - 1, -1, -1):
        if decided[place] or plan.commands[place].command_id in known:
            for earlier in plan.commands[place].waits_for:
                decided[earlier] = True
    return decided


class _Run:
    """The workers' common ground: a queue of places that wait for nothing, the lowest first."""

    def __init__(
        self, plan: Plan, sender: Sender, accepted: dict[str, int], decided: list[bool], progress: Progress
    ) -> None:
        self._plan = plan
        self._sender = sender
        self._accepted = accepted
        self._decided = decided
        self._progress = progress
        self._pending = Pending(plan)
        self._ready: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
        self._done = 0
        self._end = len(plan.commands)
        self.refused: dict[int, Deviation] = {}
        self.settled: set[int] = set()
        self._put(self._pending.first())

    async def work(self, session_id: str) -> None:
        """Take one command after the other until none is left."""
        while self._done < self._end and (place := await self._ready.get()) < self._end:
            await self._attend(place, session_id)
            self._put(self._pending.done(place))
            self._done += 1
            self._progress(self._done, self._end)
        self._ready.put_nowait(self._end)  # wakes the next worker, who wakes the next

    def _put(self, places: list[int]) -> None:
        for place in places:
            self._ready.put_nowait(place)

    async def _attend(self, place: int, session_id: str) -> None:
        planned = self._plan.commands[place]
        if planned.command_id in self._accepted or planned.line in self.refused or planned.line in self.settled:
            return
        if self._decided[place]:
            self.settled.add(planned.line)
            return
        outcome = await self._send(planned, session_id)
        seq = outcome["event_seq"]
        if seq is not None:
            self._accepted[planned.command_id] = seq
        else:
            code, detail = outcome["code"] or "", outcome["detail"] or ""
            self.refused[planned.line] = refusal(self._plan, planned.line, code, detail)

    async def _send(self, planned: Planned, session_id: str) -> Outcome:
        request = Request(
            command_type=planned.command_type,
            body=planned.body,
            command_id=planned.command_id,
            tenant=self._plan.tenant,
            project=self._plan.project,
            operator_id=planned.operator_id,
            operator_kind=planned.operator_kind,
            session_id=session_id,
        )
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return await self._sender.send(request)
            except Retryable as error:
                if time.monotonic() > give_up:
                    raise
                await asyncio.sleep(error.retry_after_seconds)
