"""No clock but the broker's: a service or a client whose own is wrong by days decides, and is told, the same."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from continuity.config import Settings
from continuity.core.ids import micros_of
from continuity.producers import CommandClient
from tests.processors.asking import request, task_in
from tests.processors.running import sequencer_process

pytestmark = pytest.mark.stack

WRONG = """
import datetime, time
_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime
OFF = {days} * 86_400
time.time = lambda: _time() + OFF
time.time_ns = lambda: _time_ns() + OFF * 10**9
class Wrong(_datetime):
    @classmethod
    def now(cls, tz=None):
        return _datetime.now(tz) + datetime.timedelta(seconds=OFF)
datetime.datetime = Wrong
"""


@pytest.mark.parametrize("days", [-30, 30])
def test_a_sequencer_with_a_wrong_clock_expires_nothing_early_or_late(
    settings: Settings, projector: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    del projector
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "sitecustomize.py").write_text(WRONG.format(days=days))
    with CommandClient(settings) as client:
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "wrong"), prepend=":")
        with sequencer_process(settings, tmp_path / "log") as running:
            task_in(client, "p")
            held = client.send(request("acquire_lease", "p", {"owner_id": "a", "ttl_seconds": 3_600}))
            assert held["result"] is not None
            refused = client.send(request("acquire_lease", "p", {"owner_id": "b", "ttl_seconds": 60}))
            assert refused["code"] == "lease_held"
            token = held["result"]["token"]
            renewed = client.send(request("renew_lease", "p", {}, fencing_token=token))
            assert renewed["result"] is not None
            moved = micros_of(renewed["result"]["expires_at"]) - micros_of(held["result"]["expires_at"])
            assert 0 <= moved < 600 * 1_000_000, "both by the broker's clock"
            assert running.terminate() == 0


def test_the_clock_that_is_wrong_is_really_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the test above shows nothing."""
    (tmp_path / "sitecustomize.py").write_text(WRONG.format(days=30))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    said = subprocess.check_output([sys.executable, "-c", "import time; print(time.time())"], text=True)
    assert float(said) - time.time() > 29 * 86_400
