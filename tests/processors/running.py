"""A sequencer and a projector in threads of the test, and processes of their own where a test kills them."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM
from typing import Any

from continuity.config import Settings
from continuity.processors import Loop, Store
from continuity.projections import Projector
from continuity.service import Health
from tests.eventually import eventually

START_SECONDS = 30
STOP_SECONDS = 30


class Threaded:
    """A service's `run(stop)` in a thread. What ends it early fails the test that stops it."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._guarded)
        self.error: BaseException | None = None
        self._thread.start()

    def _guarded(self) -> None:
        try:
            self._run(self._stop)
        except BaseException as error:  # noqa: BLE001 - it is raised again, in the test's own thread
            self.error = error

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(STOP_SECONDS)
        assert not self._thread.is_alive(), "it did not stop"
        if self.error is not None:
            raise self.error


class Sequencing(Threaded):
    """A sequencer of this process. `counts` are the loop's own."""

    def __init__(self, settings: Settings) -> None:
        self.health = Health("sequencer")
        self.store = Store(settings.postgres_dsn)
        self.loop = Loop(settings, self.store, self.health)
        super().__init__(self.loop.run)

    @property
    def counts(self) -> Any:
        return self.loop.counts

    def ready(self) -> "Sequencing":
        eventually(lambda: self.health.ready or self.error, START_SECONDS, "the sequencer is ready")
        assert self.error is None, self.error
        return self

    def stop(self) -> None:
        try:
            super().stop()
        finally:
            self.store.close()


@contextmanager
def sequencing(settings: Settings, *, wait: bool = True) -> Iterator[Sequencing]:
    running = Sequencing(settings)
    try:
        yield running.ready() if wait else running
    finally:
        running.stop()


@contextmanager
def projecting(settings: Settings) -> Iterator[Projector]:
    projector = Projector(settings)
    running = Threaded(projector.run)
    try:
        eventually(lambda: projector.is_open or running.error, START_SECONDS, "the projector is open")
        yield projector
    finally:
        running.stop()


class SequencerProcess:
    """`python -m continuity.processors`, with its log in a file."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "continuity.processors"],
                env=os.environ | settings.environment(),
                stderr=out,
                stdout=out,
            )

    def says(self, words: str) -> bool:
        assert self.process.poll() is None or words in self.log.read_text(), self.log.read_text()
        return words in self.log.read_text()

    def partitions(self) -> set[int]:
        """Those whose epoch it opened, and did not give up since."""
        owned: set[int] = set()
        for line in self.log.read_text().splitlines():
            words = line.split()
            if "is open" in line:
                owned.add(int(words[words.index("partition") + 1].rstrip(":")))
            elif "gave up partitions" in line:
                owned -= {int(each) for each in line[line.index("[") + 1 : line.index("]")].split(",") if each.strip()}
        return owned

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def pause(self) -> None:
        self.process.send_signal(SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(SIGCONT)

    def terminate(self) -> int:
        self.process.send_signal(SIGTERM)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def sequencer_process(settings: Settings, log: Path) -> Iterator[SequencerProcess]:
    running = SequencerProcess(settings, log)
    try:
        yield running
    finally:
        running.kill()
