"""A disk that fills up: an honest refusal, and everything that was acknowledged is there when there is room again."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from continuity import embedded
from continuity.config import Settings
from tests.eventually import eventually
from tests.faults.whole import Whole

DISK_MEGABYTES = 900
HEAL_SECONDS = 90.0

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount a small file system"
)


@pytest.fixture
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("disk")
    for parent in (folder, *folder.parents):
        if parent.owner() == "root" and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)  # the database's user passes through
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m,mode=711", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_full_disk_refuses_and_heals(small_disk: Path) -> None:
    settings = Settings(data_dir=small_disk / "home", api_port=0, explicit=frozenset({"api_port"}))
    ballast = small_disk / "ballast"
    try:
        whole = Whole(embedded.up(settings, owner_pid=os.getpid()))
        with whole.http:
            acknowledged = [_write(whole) for _ in range(5)]
            _fill(ballast)
            refused = _found(lambda: _refused(whole, acknowledged), HEAL_SECONDS, "a write is refused")
            assert refused.status_code == 503
            assert refused.headers["retry-after"]
            assert refused.json()["detail"]
            ballast.unlink()
            eventually(lambda: _try(whole, acknowledged), HEAL_SECONDS, "there is room, so writes are accepted")
            last = len(acknowledged)
            page = _found(lambda: _page(whole, last), HEAL_SECONDS, "all of it is projected")
            events = {event["command_id"] for event in page.json()["events"]}
            assert set(acknowledged) <= events
    finally:
        embedded.down(settings)


def _found(look: Callable[[], httpx.Response | None], seconds: float, what: str) -> httpx.Response:
    response = eventually(look, seconds, what)
    assert response is not None
    return response


def _write(whole: Whole) -> str:
    key = str(uuid.uuid4())
    assert whole.goal("full", "x" * 3_000, key).status_code == 201
    return key


def _try(whole: Whole, acknowledged: list[str]) -> httpx.Response | None:
    key = str(uuid.uuid4())
    response = whole.goal("full", "x" * 3_000, key)
    if not response.is_success:
        return None
    acknowledged.append(key)
    return response


def _refused(whole: Whole, acknowledged: list[str]) -> httpx.Response | None:
    key = str(uuid.uuid4())
    response = whole.goal("full", "x" * 3_000, key)
    if response.is_success:
        acknowledged.append(key)
        return None
    return response


def _page(whole: Whole, last: int) -> httpx.Response | None:
    response = whole.read(f"full/events?limit=1000&min_seq={last}")
    return response if response.status_code == 200 else None


def _fill(ballast: Path) -> None:
    """Write until the disk takes no more byte."""
    block = b"\0" * (1024 * 1024)
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(block)
        except OSError:
            pass
        try:
            while True:
                file.write(b"\0" * 512)
        except OSError:
            pass
