"""One `continuity run` as a person starts it, in an empty home folder, and what it prints while it runs."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGINT
from typing import Any

import pytest

from tests.eventually import eventually

PROGRAM = Path(sys.executable).with_name("continuity")
RUN_SECONDS = 400.0
STYLES = re.compile(r"\x1b\[[0-9;]*m")


class Tour:
    """The process, and what it has printed so far."""

    def __init__(self, home: Path, *words: str) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("CONTINUITY_")}
        self.environment = {**plain, "CONTINUITY_HOME": str(home)}
        self.process = subprocess.Popen(
            [PROGRAM, "run", *words],
            env=self.environment | {"CONTINUITY_API_PORT": "0"},  # any free one: other tests run at the same time
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._err: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def story(self) -> str:
        """What a person has seen."""
        return STYLES.sub("", "".join(self._err))

    def answer(self) -> dict[str, Any]:
        """The object on standard output."""
        assert self.process.stdout is not None
        line: dict[str, Any] = json.loads(self.process.stdout.readline())
        return line

    def until(self, text: str) -> None:
        """Wait until a person has seen this."""

        def seen() -> bool:
            return text in self.story or self.process.poll() is not None

        eventually(seen, RUN_SECONDS, f"the run says {text!r}")
        assert text in self.story, self.story

    def end(self) -> int:
        """Press Ctrl-C, and wait for the end."""
        if self.process.poll() is None:
            self.process.send_signal(SIGINT)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end by itself."""
        code = self.process.wait(RUN_SECONDS)
        self._reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return code

    def shell(self, command: str) -> str:
        """Run a line in another terminal, in the same folder; its output."""
        done = subprocess.run(
            ["sh", "-c", command], env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._err.append(line)


@pytest.fixture(scope="module")
def tour(data_home: Callable[[], Path]) -> Iterator[Tour]:
    running = Tour(data_home(), "--json")
    try:
        running.until("Ctrl-C")
        yield running
    finally:
        running.end()
