"""The whole stack of a data folder as a test sees it: an address, a key, and processes that can be stopped."""

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psutil

from continuity import embedded
from continuity.config import Settings
from continuity.keys import local_key

ANSWER_SECONDS = 30.0


class Whole:
    """A running stack. Every call over HTTP is made once: what the API says is what the test sees."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        key = local_key(settings.data_dir)
        self.http = httpx.Client(
            base_url=settings.api_url, headers={"Authorization": f"Bearer {key}"}, timeout=ANSWER_SECONDS
        )

    def write(self, method: str, path: str, body: dict[str, Any], key: str | None = None) -> httpx.Response:
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return self.http.request(method, f"/v1/projects/{path}", json=body, headers=headers)

    def goal(self, project: str, text: str = "Survive", key: str | None = None) -> httpx.Response:
        return self.write("POST", f"{project}/goals", {"text": text}, key)

    def read(self, path: str) -> httpx.Response:
        return self.http.get(f"/v1/projects/{path}")

    def process(self, part: str) -> psutil.Process:
        found = {each["name"]: each["pid"] for each in embedded.status(self.settings)["parts"]}
        pid = found[part]
        assert pid is not None, f"{part} does not run: {found}"
        return psutil.Process(pid)

    def kill(self, part: str) -> None:
        self.process(part).send_signal(signal.SIGKILL)

    @contextmanager
    def stopped(self, part: str) -> Iterator[None]:
        """The part and its children stand still, as on a machine that swaps or a disk that hangs."""
        root = self.process(part)
        family = [root, *root.children(recursive=True)]
        for process in family:
            os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in family:
                os.kill(process.pid, signal.SIGCONT)
