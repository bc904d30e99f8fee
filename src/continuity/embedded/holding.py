"""Holding a data folder: one at a time, with a reason for whoever comes second, and with what a crash left over ended.

Everything that starts or ends processes of a data folder does it while it holds the folder.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from signal import Signals

from continuity.config import Settings, variable
from continuity.embedded import process, register
from continuity.embedded.progress import Progress, Step
from continuity.errors import ConfigError

LEFTOVER_SECONDS = 15.0


@contextlib.contextmanager
def held(settings: Settings) -> Iterator[None]:
    """Hold the data folder within; made if need be, and signed. Raises ConfigError, code `already_running`."""
    data_dir = settings.data_dir
    try:
        # Root's database runs as another user, who may pass through here but not look around.
        data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        lock = register.Lock.take(data_dir)
    except OSError as error:
        fix = f"Set {variable('data_dir')} to a folder of your own on a disk with free space."
        raise ConfigError(f"The data folder {data_dir} cannot be used: {error.strerror}.", fix=fix) from error
    if lock is None:
        raise _already_running(data_dir)
    try:
        lock.sign(_myself())
        yield
    finally:
        lock.release()


def end_leftovers(data_dir: Path, progress: Progress) -> bool:
    """End what runs here without a supervisor, while the folder is held. False when there was nothing."""
    known = register.read(data_dir)
    left = [part for part in reversed(known) if part.identity is not None and process.is_alive(part.identity)]
    for part in left:
        assert part.identity is not None
        progress(Step(part.name, f"ending what the last start left over (process {part.identity.pid})"))
        process.end(part.identity, stop_signal=Signals(part.stop_signal), seconds=LEFTOVER_SECONDS)
    if known:
        now = time.time()
        stopped = [
            replace(part, state="stopped", pid=None, began=None, since=now if part in left else part.since)
            for part in known
        ]
        # A full disk keeps nobody from stopping.
        with contextlib.suppress(OSError):
            register.write(data_dir, stopped)
    return bool(left)


def _already_running(data_dir: Path) -> ConfigError:
    holder = register.holder(data_dir)
    who = f", by process {holder.pid} since {register.instant(holder.since)}" if holder else ""
    return ConfigError(
        f"The data folder {data_dir} is in use: a stack runs there{who}.",
        fix="`continuity status` shows it, `continuity down` stops it; "
        f"another stack needs another folder ({variable('data_dir')}).",
        code="already_running",
    )


def _myself() -> register.Holder:
    myself = process.identify(os.getpid())
    assert myself is not None, "this process runs"
    return register.Holder(myself.pid, myself.began, time.time())
