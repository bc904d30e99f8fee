"""Renewals of one partition's grants: remembered while the epoch lasts, and never written. Pure.

Nobody else can know them, so a new owner begins with none (`core.liveness`). Outsiders see them in `continuity.leases`,
a view that lags: a renewal is shown once it has moved the expiry by a tenth of the ttl.
"""

from continuity.codec import Lease
from continuity.core.ids import micros_of
from continuity.core.limits import TTL_SECONDS_MAX
from continuity.core.liveness import NO_RENEWALS, SECOND, Liveness
from continuity.core.records import Grant
from continuity.core.state import State

SHOWN_PARTS = 10
SWEEP_AT = 10_000


class Renewals:
    """`opened_at` is the timestamp of the first command that the epoch decides, in microseconds."""

    def __init__(self) -> None:
        self.opened_at: int | None = None
        self._seen: dict[str, dict[int, int]] = {}
        self._shown: dict[tuple[str, int], int] = {}
        self._sweep_at = SWEEP_AT

    def liveness(self, state: State) -> Liveness:
        """What a decision about this workflow has to know."""
        if not state.grants:
            return NO_RENEWALS
        return Liveness(self._seen.get(state.workflow_id, {}), self.opened_at or 0)

    def renew(self, state: State, token: int, now: int) -> Lease | None:
        """The grant of a current token is alive at `now`. What outsiders are to see, if it moves far enough."""
        seen = self._seen.setdefault(state.workflow_id, {})
        now = seen[token] = max(now, seen.get(token, 0))  # a clock that steps back takes nothing from a holder
        grant: Grant = state.grants[state.lookup.tokens[token]]
        ttl = grant["ttl_seconds"] * SECOND
        key = (state.workflow_id, token)
        if now - self._shown.get(key, 0) < ttl // SHOWN_PARTS:
            return None
        self._shown[key] = now
        return Lease(
            workflow_id=state.workflow_id,
            fencing_token=token,
            owner_id=grant["owner_id"],
            task_id=grant["task_id"],
            acquired_at=micros_of(grant["acquired_at"]),
            lease_expires_at=now + ttl,
            heartbeat_at=now,
        )

    def forget_ended(self, state: State, now: int) -> None:
        """Drop what is known of grants that the workflow no longer has, and, now and then, of all that has run out."""
        seen = self._seen.get(state.workflow_id)
        if seen is not None and len(seen) > len(state.lookup.tokens):
            for token in [token for token in seen if token not in state.lookup.tokens]:
                self._forget(state.workflow_id, token)
        if len(self._shown) > self._sweep_at:
            longest = TTL_SECONDS_MAX * SECOND
            for (workflow_id, token), shown in list(self._shown.items()):
                if now - max(shown, self._seen[workflow_id][token]) > longest:
                    self._forget(workflow_id, token)
            self._sweep_at = 2 * len(self._shown) + SWEEP_AT

    def _forget(self, workflow_id: str, token: int) -> None:
        self._shown.pop((workflow_id, token), None)
        seen = self._seen[workflow_id]
        del seen[token]
        if not seen:
            del self._seen[workflow_id]
