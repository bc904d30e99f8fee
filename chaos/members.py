"""The services as children of the campaign: each may be killed, stopped and continued, and is started again by itself.

`keep` is their supervisor: it starts again what has died, after a pause, unless somebody holds it down.
"""

import asyncio
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from continuity.config import Settings
from continuity.embedded import process

PAUSE_SECONDS = (0.1, 0.5)
LOOK_SECONDS = 0.05
STOP_SECONDS_MAX = 20.0
CLOCK = Path(__file__).parent / "clock"
CLOCK_VARIABLE = "CONTINUITY_CHAOS_CLOCK_SECONDS"


class Member:
    """One service process and its successors. `clock_shift_seconds` is how wrong the clock of the next start is."""

    def __init__(self, name: str, module: str, settings: Settings, port: int, log: Path) -> None:
        self.name = name
        self.port = port
        self.log = log
        self.starts = 0
        self.is_held_down = False
        self.clock_shift_seconds = 0.0
        self.endings: list[int] = []
        self._module = module
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process, where one runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it. Call it in the main thread."""
        assert self.pid is None, f"{self.name} runs already"
        self._process = process.spawn(
            [sys.executable, "-m", self._module],
            log=self.log,
            environment=self._environment(),
            folder=self._settings.data_dir,
            account=None,
            death_signal=signal.SIGKILL,
        )
        self.starts += 1

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; whether there was anybody to get it."""
        if self.pid is None or self._process is None:
            return False
        self._process.send_signal(number)
        return True

    def collect(self) -> int | None:
        """Its exit code, once, when it has ended (minus the signal that ended it)."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._process = None
        self.endings.append(code)
        return code

    async def ended(self, seconds: float = STOP_SECONDS_MAX) -> int | None:
        """Wait until the process of this moment has ended; its exit code, or None when it did not in that time."""
        child = self._process
        deadline = time.monotonic() + seconds
        while child is not None and child.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - a process
            await asyncio.sleep(LOOK_SECONDS / 5)
        return None if child is None else child.poll()

    def is_stopped(self) -> bool:
        """Whether the kernel says that it stands still."""
        pid = self.pid
        try:
            return pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return False

    async def health(self) -> dict[str, Any] | None:
        """What it says of itself, or None when it says nothing."""
        return await asyncio.to_thread(_ask, self.port)

    async def partitions(self) -> list[int]:
        """Of a sequencer: those that it owns now."""
        told = await self.health()
        detail = str((told or {}).get("detail", ""))
        return json.loads(detail.removeprefix("partitions ")) if detail.startswith("partitions ") else []

    def end(self) -> None:
        """End it, whatever state it is in."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self.collect()

    def _environment(self) -> Mapping[str, str]:
        environment = {**os.environ, **self._settings.environment(), "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
        if self.clock_shift_seconds:
            paths = [str(CLOCK), *filter(None, [os.environ.get("PYTHONPATH")])]
            environment |= {"PYTHONPATH": os.pathsep.join(paths), CLOCK_VARIABLE: str(self.clock_shift_seconds)}
        return environment


async def keep(members: list[Member], drawn: random.Random) -> None:
    """Start again what has died, until cancelled."""
    loop = asyncio.get_running_loop()
    due: dict[str, float] = {}
    while True:
        for member in members:
            if member.collect() is not None:
                due[member.name] = loop.time() + drawn.uniform(*PAUSE_SECONDS)
            if member.pid is None and not member.is_held_down and loop.time() >= due.get(member.name, 0.0):
                member.start()
        await asyncio.sleep(LOOK_SECONDS)


def _ask(port: int) -> dict[str, Any] | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        found: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    else:
        return found
    finally:
        connection.close()
