"""Small file systems in memory that can be full or read-only, in a mount namespace of our own. Linux, as root.

The namespace ends with the last process in it, and its mounts with it: nothing stays behind, however the run ends.
"""

import ctypes
import errno
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

CLONE_NEWNS = 0x20000
MEBIBYTE = 1024 * 1024
TRIES = 20


def why_not() -> str | None:
    """Why there can be no small file systems here; None where there can."""
    if not sys.platform.startswith("linux"):
        return "only Linux has them as they are made here"
    if os.geteuid() != 0:
        return "only root may mount a small file system"
    return None


def enter_namespace() -> str | None:
    """See mounts of our own from now on, and show them to nobody. Call it before anything is started; why not."""
    if (reason := why_not()) is not None:
        return reason
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        return f"no mount namespace: {os.strerror(ctypes.get_errno())}"
    try:
        _mount("--make-rprivate", "/")
    except OSError as error:
        return str(error)
    return None


class Disk:
    """A file system of `mebibytes` at `path`."""

    def __init__(self, name: str, path: Path, mebibytes: int) -> None:
        self.name = name
        self.path = path
        self._bytes = mebibytes * MEBIBYTE
        path.mkdir(mode=0o711, parents=True, exist_ok=True)
        _mount("-t", "tmpfs", "-o", f"size={self._bytes},mode=711", "none", str(path))

    def fill(self) -> None:
        """Leave no room: the file system becomes as large as what is in it."""
        for _ in range(TRIES):
            found = os.statvfs(self.path)
            used = (found.f_blocks - found.f_bfree) * found.f_frsize
            with suppress(OSError):  # it has grown meanwhile
                self._remount(f"size={max(used, found.f_frsize)}")
                return
        raise OSError(errno.EBUSY, f"{self.path} grows faster than it can be filled")

    def forbid(self) -> None:
        """Let nothing be written. Raises OSError while a file is open for writing."""
        self._remount("ro")

    def heal(self) -> None:
        """Room again, and writing."""
        self._remount(f"rw,size={self._bytes}")

    def refusal(self) -> str | None:
        """The name of the error that writing meets now, or None when it works."""
        probe = self.path / ".probe"
        try:
            probe.write_bytes(b"\0" * 64 * 1024)
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, str(error))
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
        return None

    def close(self) -> None:
        """Take it away, at the latest when nobody uses it any more."""
        with suppress(OSError):
            _run("umount", "--lazy", str(self.path))

    def _remount(self, options: str) -> None:
        _mount("-o", f"remount,{options}", str(self.path))


def _mount(*arguments: str) -> None:
    _run("mount", *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(errno.EIO, f"{' '.join(command)}: {done.stderr.strip()}")
