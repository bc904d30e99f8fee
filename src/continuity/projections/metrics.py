"""The projector's figures, for `/metrics`. Never a label per workflow."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

RESULTS: Final = frozenset({"projected", "ignored", "stopped"})


class Metrics:
    """One set for each process."""

    def __init__(self) -> None:
        self.records = Counter(
            "continuity_projector_records", "Records of the events topic, by what they were to the reader.", ["verdict"]
        )
        self.results = Counter(
            "continuity_projector_events", "Events projected or ignored, and workflows stopped.", ["result"]
        )
        self.batch_seconds = Histogram(
            "continuity_projector_batch_seconds",
            "Time of one transaction.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
        )
        self.lag_records = Gauge("continuity_projector_lag_records", "Records in the log that are not projected yet.")
        self.rejections = Counter("continuity_projector_rejections", "Rejections that were read.")
        self.heartbeats = Counter("continuity_projector_heartbeats", "Published renewals that were read.")

        self.time_since_snapshot = Gauge(
            "time_since_last_snapshot_sec",
            "Seconds since this projector last wrote a snapshot of any workflow, or since it began.",
        )
        self.journal_since_snapshot = Gauge(
            "journal_size_since_snapshot_bytes",
            "The largest journal after a snapshot that a restore would have to read, of the workflows seen last.",
        )
        self.snapshots_written = Counter(
            "continuity_snapshots_written", "Snapshots written, by where the state lies.", ["place"]
        )
        self.snapshots_skipped = Counter(
            "continuity_snapshots_skipped", "Snapshots that were due and not taken: the blob store was away."
        )
        self.snapshots_pruned = Counter("continuity_snapshots_pruned", "Snapshots removed as there are newer ones.")

    def add(self, counts: Mapping[str, int]) -> None:
        """Count a batch."""
        for name, number in counts.items():
            if name in RESULTS:
                self.results.labels(name).inc(number)
            else:
                self.records.labels(name).inc(number)


METRICS = Metrics()
