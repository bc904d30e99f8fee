"""Log files that a person can open, of bounded size. Each part of the stack writes to one of its own.

At a start a grown file moves aside (`.1`, `.2`); while the stack runs it is copied and cut back, because the part holds
it open. Nothing else touches these files.
"""

import contextlib
import re
import shutil
from pathlib import Path

LOG_BYTES_MAX = 16 * 1024 * 1024
OLD_LOGS_MAX = 2
TAIL_BYTES = 16 * 1024
REASON_CHARACTERS_MAX = 400

_TROUBLE = re.compile(r"\b(FATAL|PANIC|ERROR|CRITICAL|[A-Za-z.]*(Error|Exception)(:|$))")
# Where the stack was, in Java and in Python; what happened stands on a line that is not indented.
_STACK_LINE = re.compile(r"^\s|^Traceback \(|^$")


def prepare(path: Path) -> None:
    """Before a start: make the file, or move it aside when it has grown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX // 2:
        _shift(path)
        path.replace(_old(path, 1))
    path.touch(mode=0o600)


def bound(path: Path) -> None:
    """While its part runs: keep the file under the limit. A line written in this very moment may be lost."""
    try:
        if path.stat().st_size > LOG_BYTES_MAX:
            _shift(path)
            # On a full disk there is no room for a copy, and all the more need to cut the file back.
            with contextlib.suppress(OSError):
                shutil.copyfile(path, _old(path, 1))
            with path.open("r+b") as file:
                file.truncate(0)
    except OSError:
        return


def reason(path: Path, since: int = 0) -> str:
    """Why a part ended, in its own words: its last line of trouble after byte `since`, else its last line, else ''."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(since if since <= size else 0, size - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return ""
    told = [line for line in lines if not _STACK_LINE.match(line)]
    # A full disk causes many other errors, so it is named first.
    full = [line for line in lines if "No space left on device" in line]
    found = full or [line for line in told if _TROUBLE.search(line)] or told
    return found[-1].strip()[:REASON_CHARACTERS_MAX] if found else ""


def _shift(path: Path) -> None:
    for number in range(OLD_LOGS_MAX, 1, -1):
        older = _old(path, number - 1)
        if older.exists():
            older.replace(_old(path, number))


def _old(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
