"""The stream processors: the sequencer, which alone writes events. Run one with `python -m continuity.processors`."""

from continuity.processors.adopt import adopt
from continuity.processors.answering import Answer, CommandRecord
from continuity.processors.loop import Loop
from continuity.processors.opening import Outdated, read_log
from continuity.processors.ports import Fetched, PartitionLog, SourceFacts, StoredPosition, WorkStore
from continuity.processors.sequencer import Dislodged, Outgoing, Sequencer
from continuity.processors.store import Store

__all__ = [
    "Answer", "CommandRecord", "Dislodged", "Fetched", "Loop", "Outdated", "Outgoing", "PartitionLog", "Sequencer",
    "SourceFacts", "Store", "StoredPosition", "WorkStore", "adopt", "read_log",
]  # fmt: skip
