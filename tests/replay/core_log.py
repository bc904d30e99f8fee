"""A log in memory that decides with the real core, in the place of the native client."""

import asyncio
import random
from collections import Counter

from continuity.core import Accepted, Duplicate, Rejected, State, decide
from continuity.core.ids import workflow_id
from continuity.core.records import Event
from continuity.errors import Retryable
from continuity.producers import Outcome
from continuity.producers.request import command_of

NO_ANSWER = dict.fromkeys(Outcome.__annotations__)


class Interrupted(Exception):
    pass


class CoreLog:
    """One workflow's log. Of 100 sends `outages` fail before the decision, as many after it; it ends after `lasts`."""

    def __init__(self, rng: random.Random, *, outages: int = 0, lasts: int | None = None) -> None:
        self.state = State(workflow_id("local", "tests"))
        self.events: list[Event] = []
        self.sent: Counter[str] = Counter()
        self.at_once = self.at_once_max = 0
        self.outages, self.lasts = outages, lasts
        self._rng = rng

    async def send(self, request, *, wait="committed", deadline_seconds=10.0):
        assert (wait, deadline_seconds) == ("committed", 10.0)
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            for _ in range(self._rng.randrange(3)):
                await asyncio.sleep(0)
            return self._decide(request)
        finally:
            self.at_once -= 1

    def _decide(self, request):
        if self.lasts is not None and len(self.sent) >= self.lasts:
            raise Interrupted
        self._fail_at_times()
        self.sent[request.command_id] += 1
        decision = decide(self.state, command_of(request), now=0)
        if isinstance(decision, Accepted):
            self.state = decision.state
            self.events.append(decision.event)
        self._fail_at_times()
        if isinstance(decision, Accepted):
            return NO_ANSWER | {"status": "accepted", "event_seq": decision.event["event_seq"]}
        if isinstance(decision, Duplicate):
            return NO_ANSWER | {"status": "duplicate", "event_seq": decision.event_seq}
        assert isinstance(decision, Rejected), "The history has nothing that is merely answered."
        return NO_ANSWER | {"status": "refused", "code": decision.code, "detail": decision.detail}

    def _fail_at_times(self) -> None:
        if self._rng.randrange(100) < self.outages:
            raise Retryable("The broker is away.", retry_after_seconds=0)

    @property
    def known(self):
        return {event["command_id"]: (event["event_seq"], event["command_digest"]) for event in self.events}
