"""The whole stack of a data folder, `up` and `down`, as the command line and the tests call them.

`up` hands a request to a process of its own (`continuity.embedded.__main__`), which becomes the supervisor and tells
through a pipe what it does, until everything is ready or cannot be. From then on the lock and the files of `register`
are all that connects them.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from signal import SIGKILL, SIGTERM, Signals

from continuity.config import Settings, read_endpoints
from continuity.embedded import holding, logs, process, register
from continuity.embedded.broker import Door
from continuity.embedded.launch import READY, Request, supervise
from continuity.embedded.progress import Progress, Step, silent
from continuity.embedded.services import SERVICES, Service
from continuity.errors import ConfigError

STOP_SECONDS_MAX = 120.0
POLL_SECONDS = 0.05


def up(
    settings: Settings,
    progress: Progress = silent,
    *,
    services: Iterable[Service] = SERVICES,
    detach: bool = True,
    owner_pid: int | None = None,
    doors: Iterable[Door] = (),
) -> Settings:
    """Start the stack of `settings.data_dir` and return when all of it is ready, with the addresses that it got.

    With `detach=False` the calling process is the supervisor: it returns when the stack was stopped, by SIGTERM or
    SIGINT. With `owner_pid` it also stops when that process is gone. The ports are the configured ones, else those of
    the last time, else free ones; `doors` are further listeners of the broker. Raises ConfigError, with code
    `already_running` when the folder's stack runs, and otherwise with what is missing and the fix.
    """
    owner = process.identify(owner_pid) if owner_pid is not None else None
    request = Request(settings, tuple(services), owner, tuple(doors))
    if not detach:
        supervise(request, progress)
        return settings
    with subprocess.Popen(
        # -P: no module of the folder that the user happens to be in.
        [sys.executable, "-P", "-m", "continuity.embedded"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as launcher:
        assert launcher.stdin is not None
        assert launcher.stdout is not None
        try:
            launcher.stdin.write(request.to_json())
            launcher.stdin.close()
            _follow(launcher.stdout, settings, progress)
        except KeyboardInterrupt:
            # Nobody wants half a start to go on by itself. The closed pipe ends it; this waits until it has ended.
            launcher.stdout.close()
            down(settings, progress)
            raise
    # What was asked for as "any free port" is now one of many that would have done, and may give way next time.
    asked_for = {name for name in settings.explicit if getattr(settings, name) != 0}
    return settings.with_values(**read_endpoints(settings.data_dir), explicit=frozenset(asked_for))


def down(settings: Settings, progress: Progress = silent) -> bool:
    """Stop the stack of `settings.data_dir`; what a crash left over is ended, too. False when nothing was running.

    Raises ConfigError when it belongs to somebody else.
    """
    data_dir = settings.data_dir
    if not (data_dir / register.RUN_FOLDER).exists():
        return False
    ran = register.is_held(data_dir)
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while register.is_held(data_dir):
        holder = register.holder(data_dir)
        if holder is not None:
            progress(Step(READY.part, f"stopping (process {holder.pid})"))
            _signal(holder, SIGTERM)
            while process.is_alive(holder.identity) and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
            _signal(holder, SIGKILL)
        time.sleep(POLL_SECONDS)
    with holding.held(settings):
        return holding.end_leftovers(data_dir, progress) or ran


def _follow(lines: Iterable[str], settings: Settings, progress: Progress) -> None:
    """Pass on what the supervisor tells, until it is ready. Raises ConfigError when it says or shows that it failed."""
    for line in lines:
        told = json.loads(line)
        if "failed" in told:
            failed = told["failed"]
            raise ConfigError(failed["detail"], fix=failed["fix"], code=failed["code"])
        step = Step(**told["step"])
        progress(step)
        if step == READY:
            return
    log = settings.data_dir / "logs" / "supervisor.log"
    why = logs.reason(log)
    raise ConfigError(f"The supervisor ended before the stack was ready: {why or 'it left no word'}", fix=f"See {log}.")


def _signal(holder: register.Holder, number: Signals) -> None:
    if not process.is_alive(holder.identity):
        return
    try:
        os.kill(holder.pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        fix = "Stop it as its owner."
        raise ConfigError(f"The stack (process {holder.pid}) belongs to another user.", fix=fix) from None
