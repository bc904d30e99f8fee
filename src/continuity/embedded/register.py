"""What is known of a running stack: who holds the data folder, and which processes are its parts. Two small files.

`run/lock` is held with an advisory lock for as long as a supervisor (or an `up` that is about to become one) lives: the
kernel lets go of it however that process ends. `run/state.json` says what runs; after a crash it leads to what was left
over. Both are in the data folder, so two data folders never meet.
"""

import fcntl
import json
import os
import signal
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from continuity import files
from continuity.embedded.process import Identity

RUN_FOLDER = "run"


@dataclass(frozen=True)
class PartState:
    """One part as the supervisor last saw it. `since` is when this state began, in seconds since 1970."""

    name: str
    state: str
    since: float
    port: int
    log: str
    pid: int | None = None
    began: str | None = None
    stop_signal: int = signal.SIGTERM
    restarts: int = 0
    reason: str | None = None

    @property
    def identity(self) -> Identity | None:
        """The process, where there is one."""
        return Identity(self.pid, self.began) if self.pid and self.began else None


@dataclass(frozen=True)
class Holder:
    """The process that holds a data folder, and since when, in seconds since 1970."""

    pid: int
    began: str
    since: float

    @property
    def identity(self) -> Identity:
        """The process that holds it."""
        return Identity(self.pid, self.began)


class Lock:
    """The data folder, held. The descriptor can be handed to another process, which then holds it as well."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def take(cls, data_dir: Path) -> "Lock | None":
        """Hold the folder, or None when somebody else does. Raises OSError when the folder cannot be written."""
        path = data_dir / RUN_FOLDER / "lock"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def sign(self, holder: Holder) -> None:
        """Write who holds it, for whoever comes second."""
        text = json.dumps(asdict(holder)).encode("ascii")
        os.pwrite(self.descriptor, text, 0)
        os.ftruncate(self.descriptor, len(text))

    def release(self) -> None:
        """Let go of it here; a process that it was handed to goes on holding it."""
        os.close(self.descriptor)


def is_held(data_dir: Path) -> bool:
    """Whether somebody holds the folder now."""
    path = data_dir / RUN_FOLDER / "lock"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # A shared lock, so that two who only look never take each other for a holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def holder(data_dir: Path) -> Holder | None:
    """Who signed the lock last; it may be gone. None when nobody has."""
    try:
        return Holder(**json.loads((data_dir / RUN_FOLDER / "lock").read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def read(data_dir: Path) -> list[PartState]:
    """The parts as last written; none when nothing was, or the file was cut short by a full disk."""
    try:
        rows = json.loads((data_dir / RUN_FOLDER / "state.json").read_bytes())
        return [PartState(**row) for row in rows["parts"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []


def write(data_dir: Path, parts: list[PartState]) -> None:
    """Write the parts down, whole or not at all. Raises OSError."""
    replace_file(
        data_dir / RUN_FOLDER / "state.json", json.dumps({"parts": [asdict(each) for each in parts]}, indent=1)
    )


def replace_file(path: Path, text: str) -> None:
    """Give a file, readable by its owner only, this text: a reader sees the old one or the new one. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.replace(path, text.encode())


def instant(seconds: float) -> str:
    """Seconds since 1970 as people read them, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
