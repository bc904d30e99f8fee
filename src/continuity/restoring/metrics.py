"""What reading states back takes, and what it went round."""

from prometheus_client import Counter, Histogram

RESTORE_TIME = Histogram(
    "restore_time_ms",
    "Time to read one state back, in milliseconds: of several that are read together, its share.",
    buckets=(0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000),
)
EVENTS_REPLAYED = Histogram(
    "events_replayed_per_restore",
    "Events that were applied on top of a snapshot to read one state back.",
    buckets=(0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 10_000, 100_000, 1_000_000),
)
HEALED = Counter("continuity_restores_healed", "Damage that a restore went round, by where it was.", ["where"])
