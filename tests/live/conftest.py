"""The whole stack, every service a process of its own, for the tests of API, SDK and command line together."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from continuity import Continuity, embedded, keys
from continuity.config import Settings


class Live(NamedTuple):
    """A running stack and the local key."""

    settings: Settings
    key: str

    def work(self, project: str, *, key: str | None = None, session_id: str | None = None) -> Continuity:
        return Continuity(project, url=self.settings.api_url, key=key or self.key, session_id=session_id)


@pytest.fixture(scope="package")
def live(new_home: Callable[[], Settings]) -> Iterator[Live]:
    settings = new_home()
    try:
        started = embedded.up(settings, owner_pid=os.getpid())
        key = keys.local_key(settings.data_dir)
        assert key is not None
        yield Live(started, key)
    finally:
        embedded.down(settings)


@pytest.fixture
def project() -> str:
    return f"p-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def run(live: Live, project: str) -> Callable[..., Any]:
    """Calls the command line as a process: what the last line says."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CONTINUITY_")}
    environment = {**plain, "CONTINUITY_HOME": str(live.settings.data_dir), "CONTINUITY_PROJECT": project}

    def call(*words: str, code: int = 0) -> Any:
        ended = subprocess.run(
            [sys.executable, "-m", "continuity.cli", *words, "--json"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])

    return call
