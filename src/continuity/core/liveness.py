"""When a grant runs out: decided by the broker's clock, and by renewals that only the sequencer knows. Pure.

Renewals are never written, so a new owner of the partition knows none of those before it: for it, every grant counts as
renewed when it began. A failover may delay a takeover by one ttl, and never causes one. (Design, section 4.)
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from continuity.core.ids import micros_of

SECOND = 1_000_000


class Liveness(NamedTuple):
    """`renewed`: the last renewal of each token of the workflow in this epoch; `opened_at`: when the epoch began.

    Microseconds since 1970, both by the broker's clock.
    """

    renewed: Mapping[int, int] = MappingProxyType({})
    opened_at: int = 0

    def expiry(self, grant: Mapping[str, Any]) -> int:
        """When the grant runs out, unless it is renewed: microseconds since 1970."""
        seen = max(self.renewed.get(grant["token"], 0), self.opened_at)
        ttl_seconds: int = grant["ttl_seconds"]
        return max(micros_of(grant["expires_at"]), seen + ttl_seconds * SECOND)


NO_RENEWALS = Liveness()
