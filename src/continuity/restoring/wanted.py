"""What is to be read back, from where, and what comes of it. Values, and the sources besides Postgres."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from continuity.blobs import Blobs
from continuity.core.records import Event
from continuity.core.state import State
from continuity.errors import ContinuityError, Retryable
from continuity.rows import Head

ANY_SEQ: Final = 2**62


class Restored(NamedTuple):
    """A state, and how it was read: on top of the snapshot at `base_seq` (0: of none), its workflow's `base_number`-th.

    `replayed` events were applied, which take about `journal_bytes`. `healed` says what was found damaged on the way,
    and gone round: it should be repaired (`continuity rebuild`).
    """

    state: State
    replayed: int = 0
    journal_bytes: int = 0
    base_seq: int = 0
    base_number: int = 0
    healed: tuple[str, ...] = ()


class Look(NamedTuple):
    """What a consistent look found: states, and why there is none of the others. `stopped` as the projector has it."""

    restored: Mapping[str, Restored]
    stopped: Mapping[str, str]
    failed: Mapping[str, ContinuityError]


class LogReader(Protocol):
    """The events of one workflow as the log has them, from the first on: those that are facts (`core.acceptance`)."""

    def __call__(self, workflow_id: str) -> Iterable[Event]:
        """May read a whole partition: it is asked when the journal is damaged, and not before."""
        ...


class Wanted(NamedTuple):
    """A workflow to restore: up to `to_seq`, where the head is `head`, if that is the end."""

    workflow_id: str
    to_seq: int
    head: Head | None

    @property
    def end(self) -> int:
        """The event that is to be the last one."""
        if self.to_seq != ANY_SEQ:
            return self.to_seq
        return self.head.head_seq if self.head is not None else 0


class Source:
    """Where else to read. A blob store that is away is asked once, and not once for each workflow."""

    def __init__(self, blobs: Blobs | None, log: LogReader | None) -> None:
        self.blobs = blobs
        self.log = log
        self._away: Retryable | None = None

    def blob(self, ref: str) -> bytes:
        """The content of a blob, verified."""
        if self._away is not None:
            raise self._away
        assert self.blobs is not None
        try:
            return self.blobs.get(ref)
        except Retryable as away:
            self._away = away
            raise
