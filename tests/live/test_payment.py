"""The example of a payment, on the whole stack: an executor killed at every point, and one charge each time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.stack

RUN = Path(__file__).parents[2] / "examples" / "payment" / "run.py"


def test_an_executor_killed_at_every_point_charges_once(live):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CONTINUITY_")}
    ended = subprocess.run(
        [sys.executable, str(RUN)],
        env={**plain, "CONTINUITY_HOME": str(live.settings.data_dir)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    *lines, last = ended.stdout.splitlines()
    told = json.loads(last)
    assert (ended.returncode, told["ok"]) == (0, True), ended.stdout + ended.stderr
    # Claim, begin, store, complete the step, complete the task: each before and after, and so for the charge.
    assert told["killed"] >= 12
    assert told["charges"] == told["payments"] == told["killed"] + 1
    assert any("after the charge" in line and "attempts 2" in line for line in lines)
