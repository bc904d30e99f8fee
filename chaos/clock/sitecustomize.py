"""On the PYTHONPATH of a process: its Python sees a clock that is wrong by CONTINUITY_CHAOS_CLOCK_SECONDS.

Shifted are `time.time`, `time.time_ns` and what `datetime` calls now; the monotonic clock is right, as it is on a
machine whose date somebody sets.
"""

import datetime as dt
import os
import time
from typing import Self

SHIFT = float(os.environ.get("CONTINUITY_CHAOS_CLOCK_SECONDS", "0"))

_time, _time_ns = time.time, time.time_ns


class _Shifted(dt.datetime):
    """A `datetime` whose now is another."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Self:
        """The shifted moment."""
        return cls.fromtimestamp(_time() + SHIFT, tz)

    @classmethod
    def utcnow(cls) -> Self:
        """The shifted moment, without a zone."""
        return cls.now(dt.UTC).replace(tzinfo=None)


if SHIFT:
    time.time = lambda: _time() + SHIFT
    time.time_ns = lambda: _time_ns() + int(SHIFT * 1e9)
    dt.datetime = _Shifted  # type: ignore[misc]  # that is what this file is for
