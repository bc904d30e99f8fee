"""How long a lease or claim may be worked under, as its holder knows it: the logic of both clients' grants, no I/O.

The holder's clock is monotonic and counts from before a request was sent, so it never believes in more time than the
service has given. It decides nothing: it only tells the holder when to renew, and when to stop.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from continuity.answers import Handover, Lease, WriteAnswer
from continuity.client.errors import Fenced, LeaseLost, TaskBlocked
from continuity.client.wire import Steps, Wire, WriteOptions

TTL_SECONDS = 60
RENEWALS_IN_TTL = 3
RETRY_SECONDS = 0.5
STOP = "Stop this work and undo nothing: read the state, then acquire or claim again."

Clock = Callable[[], float]
Ask = Callable[[WriteOptions], Steps[WriteAnswer]]
State = Literal["held", "ended", "lost"]
ENDING = frozenset({"complete_task", "release_lease"})
"""Commands that can end a grant with its holder's will."""


class Granted(NamedTuple):
    """A grant as it was given; `sent_at` is the clock before the request."""

    answer: WriteAnswer
    lease: Lease
    sent_at: float


class Tenure:
    """One grant as its holder sees it. Thread-safe."""

    def __init__(self, granted: Granted, clock: Clock = time.monotonic) -> None:
        self.lease = granted.lease
        self._clock = clock
        self._lock = threading.Lock()
        self._state: State = "held"
        self._reason = ""
        self._ending = 0
        self._renewed_at = granted.sent_at

    @property
    def what(self) -> str:
        """How an error names it."""
        task_id = self.lease["task_id"]
        return "The lease on the project" if task_id is None else f"The claim on task {task_id}"

    @property
    def state(self) -> State:
        """`held`, `ended` by its holder, or `lost`: for good, also if it is only our clock that says so."""
        with self._lock:
            left = self._until() - self._clock()
            if self._state == "held" and left <= 0:
                self._state = "lost"
                self._reason = f"no renewal went through for {self.lease['ttl_seconds']} s"
            return self._state

    @property
    def seconds_to_renewal(self) -> float:
        """When the next renewal is due; at once after one that failed, but not in a rush."""
        due = self._renewed_at + self.lease["ttl_seconds"] / RENEWALS_IN_TTL
        return max(due - self._clock(), 0.0)

    @property
    def seconds_left(self) -> float:
        """How long it lasts without another renewal."""
        return max(self._until() - self._clock(), 0.0)

    def renewed(self, sent_at: float) -> None:
        """The service has renewed it by a request that was sent then."""
        with self._lock:
            self._renewed_at = max(self._renewed_at, sent_at)

    def end(self) -> None:
        """Its holder has given it up."""
        with self._lock:
            if self._state == "held":
                self._state = "ended"

    def lose(self, reason: str) -> None:
        """Somebody else has ended it. While the holder is ending it itself, that is no loss."""
        with self._lock:
            if self._state == "held" and not self._ending:
                self._state, self._reason = "lost", reason

    @contextmanager
    def ending(self, command_type: str) -> Iterator[None]:
        """While a command is on its way that may end the grant: until its outcome is known, or will not be."""
        if command_type not in ENDING:
            yield
            return
        with self._lock:
            self._ending += 1
        try:
            yield
        finally:
            with self._lock:
                self._ending -= 1

    def answered(
        self, command_type: str, fields: Mapping[str, Any], options: WriteOptions, answer: WriteAnswer, sent_at: float
    ) -> None:
        """A command of its holder was accepted: under the token that renews the grant, or ends it."""
        if options.get("fencing_token") != self.lease["token"]:
            return
        if ends(self.lease, command_type, fields.get("task_id")):
            self.end()
        elif answer["status"] == "accepted":
            self.renewed(sent_at)

    def check(self) -> None:
        """Raise LeaseLost when it is lost."""
        if self.state == "lost":
            raise self.loss()

    def loss(self) -> LeaseLost:
        """The error that says so."""
        return LeaseLost(f"{self.what} (token {self.lease['token']}) is lost: {self._reason}.", fix=STOP)

    def _until(self) -> float:
        return self._renewed_at + self.lease["ttl_seconds"]


def granted(ask: Ask, wire_of: Callable[[WriteAnswer], Wire], command_id: str | None, *, named: bool) -> Steps[Granted]:
    """Ask for a grant until there is one. A task that was blocked instead is passed over, unless it was `named`.

    A repeat is told of the grant as it was given: a renewal shows that it is still there, and for how long.
    """
    first = command_id or str(uuid.uuid4())
    number, attempt = 0, first
    while True:
        sent_at = time.monotonic()
        answer = yield from ask({"command_id": attempt})
        lease = answer.get("lease")
        if lease is not None:
            break
        if answer.get("event_type") != "task_blocked":
            detail = f"Command {attempt} was given a grant that has ended since."
            raise LeaseLost(detail, fix="Ask again under a new command_id.", command_id=attempt)
        if named:
            detail = f"Task {answer.get('task_id')} was blocked: its executors keep vanishing."
            raise TaskBlocked(detail, fix="Find out why, then start the task again.", command_id=attempt)
        number += 1
        attempt = str(uuid.uuid5(uuid.UUID(first), str(number)))
    if answer["status"] == "duplicate":
        sent_at = time.monotonic()
        try:
            renewal = yield from renewal_of(wire_of(answer), lease)
        except Fenced as error:
            detail = f"The grant of token {lease['token']} has ended since."
            raise LeaseLost(detail, fix=STOP, command_id=attempt) from error
        lease = {**lease, "expires_at": (renewal.get("lease") or lease)["expires_at"]}
    return Granted(answer, lease, sent_at)


def renewal_of(wire: Wire, lease: Lease) -> Steps[WriteAnswer]:
    """Renew a grant."""
    return wire.write("renew_lease", {"task_id": lease["task_id"]}, {"fencing_token": lease["token"]})


def ends(lease: Lease, command_type: str, task_id: str | None) -> bool:
    """Whether an accepted command of the holder has ended the grant."""
    if command_type == "release_lease":
        return task_id in (None, lease["task_id"])
    return command_type == "complete_task" and task_id is not None and task_id == lease["task_id"]


NO_HANDOVER: Handover = {"predecessor": None, "checkpoint": None, "open_attempts": []}
