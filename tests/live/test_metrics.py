"""The six metrics of the contract under their exact names, as a scraper finds them, by what they count."""

import urllib.request
import uuid

import pytest

from continuity import LeaseHeld
from tests.eventually import eventually
from tests.live.conftest import Live

pytestmark = pytest.mark.stack


def values(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def test_a_repeat_and_a_failed_acquisition_are_counted_once_each(live: Live, project: str) -> None:
    port = live.settings.sequencer_port
    with live.work(project) as work:
        work.create_goal("Count", 1)
        before = values(port)
        command_id = str(uuid.uuid4())
        assert work.acquire_lease("a", 60, command_id=command_id)["status"] == "accepted"
        assert work.acquire_lease("a", 60, command_id=command_id)["status"] == "duplicate"
        with pytest.raises(LeaseHeld):
            work.acquire_lease("b", 60)
    after = values(port)
    for name in ("idempotency_cache_hits_total", "lease_acquisition_failures_total"):
        assert after[name] - before[name] == 1, name


def test_snapshots_and_restores_are_measured(live: Live, project: str) -> None:
    projector = live.settings.projector_port
    with live.work(project) as work:
        goal = work.create_goal("Grow", 1)["goal_id"]
        for _ in range(99):
            work.set_goal_priority(goal, 2)
        work.get_next_step()

        def has_one() -> bool:
            return values(projector).get("time_since_last_snapshot_sec", 1e9) < 60

        eventually(has_one, 30, "a snapshot was written")
        seen = values(projector)
        assert seen["journal_size_since_snapshot_bytes"] >= 0
        api = values(live.settings.api_port)
        work.state(at_seq=100)
    after = values(live.settings.api_port)
    count = "events_replayed_per_restore_count"
    assert after[count] - api.get(count, 0) == 1
    assert after["events_replayed_per_restore_sum"] - api.get("events_replayed_per_restore_sum", 0) == 0
    assert after["restore_time_ms_count"] - api.get("restore_time_ms_count", 0) == 1


def test_no_label_tells_a_project_or_a_tenant(live: Live, project: str) -> None:
    with live.work(project) as work:
        work.create_goal("Hide", 1)
        work.get_next_step()
    for port in (live.settings.sequencer_port, live.settings.projector_port, live.settings.api_port):
        assert not [name for name in values(port) if project in name or "tenant" in name or "workflow_id" in name]
