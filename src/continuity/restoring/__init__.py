"""Reading a state back from Postgres and blobs: the one way in which everybody does it. A flat adapter."""

from continuity.restoring.reading import base_of, restore, restore_all
from continuity.restoring.snapshots import COLUMNS, SnapshotRow, examined
from continuity.restoring.wanted import LogReader, Look, Restored

__all__ = [
    "COLUMNS", "LogReader", "Look", "Restored", "SnapshotRow", "base_of", "examined", "restore", "restore_all",
]  # fmt: skip
