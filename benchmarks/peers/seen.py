"""What a driver saw in one measurement, as it prints it."""

from dataclasses import dataclass

from benchmarks.rows import Latencies


@dataclass(frozen=True)
class Seen:
    """So many calls of one operation by so many callers at once, in so many seconds."""

    operation: str
    concurrency: int
    count: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def latencies(self) -> Latencies:
        """The same, as other measurements give it."""
        return Latencies(self.count / self.seconds, self.p50_ms, self.p99_ms)
