"""What clients sent and what they were told: in memory for the checks, and a line each in a file for whoever asks."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

Status = Literal["sent", "accepted", "duplicate", "answered", "refused", "unclear"]
ACKNOWLEDGED = frozenset({"accepted", "duplicate"})


@dataclass(slots=True)
class Told:
    """The last word that a client had on a command. `accepted` and `duplicate` name an event: an acknowledgement."""

    status: Status
    event_seq: int | None = None
    event_id: str | None = None
    goal_id: str | None = None
    task_id: str | None = None
    token: int | None = None
    code: str | None = None
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Wish:
    """A command of a client, and what became of it. `doors` are those it was sent through, one for each try."""

    command_id: str
    command_type: str
    body: dict[str, Any]
    tenant: str
    project: str
    workflow_id: str
    token: int | None = None
    doors: list[str] = field(default_factory=list)
    sent_at: float = 0.0
    told_at: float = 0.0
    told: Told = field(default_factory=lambda: Told("sent"))

    @property
    def is_acknowledged(self) -> bool:
        """Whether an event was promised."""
        return self.told.status in ACKNOWLEDGED


class Record:
    """All wishes of a run. Times are `time.monotonic`."""

    def __init__(self, path: Path | None = None) -> None:
        self.wishes: dict[str, Wish] = {}
        self._file = path.open("ab") if path else None

    def sent(self, wish: Wish, door: str) -> None:
        """Before each try."""
        if not wish.doors:
            self.wishes[wish.command_id] = wish
            wish.sent_at = time.monotonic()
        wish.doors.append(door)
        self._write({"sent": wish.command_id, "type": wish.command_type, "project": wish.project, "door": door})

    def told(self, wish: Wish, told: Told) -> None:
        """After each try; `unclear` is the last word only until there is a better one."""
        if not wish.is_acknowledged:
            wish.told, wish.told_at = told, time.monotonic()
        self._write({"told": wish.command_id, "status": told.status, "seq": told.event_seq, "code": told.code})

    def close(self) -> None:
        """Write the rest out."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(orjson.dumps({"at": round(time.time(), 3), **line}) + b"\n")
