"""Processes of the stack: how one is started, told apart from a stranger with the same number, and ended.

A number alone names nobody: the kernel hands it out again. An `Identity` is the number together with the moment the
process began, so a file that outlived a crash never leads to the end of somebody else's process. This module starts and
signals processes; it knows nothing of what they do.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil

POLL_SECONDS = 0.05
PR_SET_PDEATHSIG = 1
LINUX = sys.platform.startswith("linux")
_LIBC = ctypes.CDLL(None) if LINUX else None


class Identity(NamedTuple):
    """One process for all time on this machine: its number, and when it began, as text that differs between boots."""

    pid: int
    began: str


class Account(NamedTuple):
    """Whom a process runs as, where that is not whoever starts it."""

    uid: int
    gid: int


def identify(pid: int) -> Identity | None:
    """The process that has this number now, or None when there is none, or only the remains of one."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return Identity(pid, _ticks_since_boot(pid) if LINUX else f"{process.create_time():.2f}")
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None


def is_alive(identity: Identity) -> bool:
    """Whether this very process runs; a later one with the same number does not count."""
    return identify(identity.pid) == identity


def listens(pid: int, port: int) -> bool:
    """Whether this very process, and not another one, serves that port. True where the kernel does not tell."""
    try:
        found = psutil.Process(pid).net_connections("tcp")
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in found)


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    folder: Path,
    account: Account | None,
    death_signal: signal.Signals,
) -> subprocess.Popen[bytes]:
    """Start a process that writes to the end of `log` and, on Linux, gets `death_signal` when this one dies.

    Call it from the main thread: the kernel watches the thread that started the child. The child has a session of its
    own, so that Ctrl-C in a terminal reaches only us, and we end all in the right order. Raises OSError.
    """
    # Append mode, so that cutting the file back to nothing (see `logs`) leaves no hole.
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            # The one safe place for it: after the change of user, which clears it. We have no threads that hold locks.
            preexec_fn=partial(_die_with, os.getpid(), int(death_signal)) if LINUX else None,  # noqa: PLW1509
        )


def end(identity: Identity, *, stop_signal: signal.Signals, seconds: float) -> bool:
    """Ask a process to stop, wait, and kill it when it does not. True when it needed no killing.

    It may be anybody's child, or nobody's. A process that is gone already counts as stopped.
    """
    if _signalled(identity, stop_signal) and _gone(identity, seconds):
        return True
    if not is_alive(identity):
        return True
    _signalled(identity, signal.SIGKILL)
    _gone(identity, seconds)
    return False


def _signalled(identity: Identity, number: signal.Signals) -> bool:
    if not is_alive(identity):
        return False
    try:
        os.kill(identity.pid, number)
    except ProcessLookupError:
        return False
    return True


def _gone(identity: Identity, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(identity):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _ticks_since_boot(pid: int) -> str:
    # Wall-clock start times move when the clock is set; ticks since boot, with the boot's own name, do not.
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}:{stat.rpartition(')')[2].split()[19]}"


def _die_with(parent: int, number: int) -> None:
    if _LIBC is None or _LIBC.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0 or os.getppid() != parent:
        os._exit(1)
