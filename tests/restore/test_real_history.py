"""A tracker's real history, read back at its head all along and at any of its events afterwards."""

import asyncio
import random
from itertools import pairwise

import pytest
from prometheus_client import REGISTRY

from continuity.core.restore import Fold
from continuity.core.snapshot import KEEP_EVERY, Policy
from continuity.core.state import State
from continuity.replay.plan import plan
from continuity.replay.sending import send_all
from tests.replay.core_log import CoreLog
from tests.replay.histories import example
from tests.restore.conftest import Keeping, same

pytestmark = pytest.mark.stack

REPLAYED_MAX = 100
EVERY, KEPT = Policy().every_events, Policy().keep
SAMPLE = 60


@pytest.fixture(scope="module")
def log() -> CoreLog:
    made = CoreLog(random.Random(1))
    asyncio.run(send_all(plan(example(), "local", "tests"), made, {}, workers=1))
    return made


def states_at(log: CoreLog, seqs: set[int]) -> dict[int, State]:
    fold = Fold(State(log.state.workflow_id))
    found: dict[int, State] = {}
    for event in log.events:
        fold.add(event)
        if event["event_seq"] in seqs:
            found[event["event_seq"]] = fold.state()
    return found


def replays(bound: str) -> float:
    return REGISTRY.get_sample_value("events_replayed_per_restore_bucket", {"le": bound}) or 0


def test_no_restore_of_a_head_replays_more_than_a_hundred_events(keeping: Keeping, log: CoreLog) -> None:
    """Up to a megabyte of state. Towards its end the history has more: then the journal is below a tenth of that."""
    kept, rng = keeping(), random.Random(2)
    ends = [0, *sorted(rng.sample(range(1, len(log.events)), SAMPLE)), len(log.events)]
    known = states_at(log, set(ends))
    small = [end for end in ends[1:] if known[end].size_bytes <= Policy().small_bytes_max]
    assert len(log.events) > small[-1] > 30 * EVERY, "most of it is below a megabyte, and not all"
    before = replays(f"{REPLAYED_MAX:.1f}"), replays("+Inf")
    most, counted = 0, (0.0, 0.0)
    for begin, end in pairwise(ends):
        kept.project(log.events[begin:end])
        found = kept.restored(log.state.workflow_id)
        assert same(found.state, known[end])
        assert not found.healed
        if end in small:
            most = max(most, found.replayed)
            counted = replays(f"{REPLAYED_MAX:.1f}") - before[0], replays("+Inf") - before[1]
        else:
            assert found.journal_bytes * 10 < found.state.size_bytes
    assert REPLAYED_MAX / 2 < most <= REPLAYED_MAX
    assert counted[0] == counted[1] >= len(small), "the histogram says the same"


def test_older_events_are_replayed_from_what_pruning_has_left(keeping: Keeping, log: CoreLog) -> None:
    """The newest ten snapshots stay, and every tenth for good: so no journey back replays more than a thousand."""
    kept, rng = keeping(), random.Random(3)
    kept.project(log.events)
    numbers = [row[0] for row in kept.rows("SELECT number FROM snapshots ORDER BY number")]
    last = numbers[-1]
    assert numbers == sorted({*range(last - KEPT + 1, last + 1), *range(KEEP_EVERY, last + 1, KEEP_EVERY)})
    seqs = kept.seqs()
    oldest, newest = seqs[-KEPT], seqs[-1]
    wanted = {1, oldest - 1, oldest, newest, len(log.events), *rng.sample(range(1, len(log.events)), SAMPLE)}
    known = states_at(log, wanted)
    for seq in sorted(wanted):
        found = kept.restored(log.state.workflow_id, seq)
        assert same(found.state, known[seq]), seq
        assert found.base_seq == max((each for each in seqs if each <= seq), default=0)
        is_dense = seq >= oldest and known[seq].size_bytes <= Policy().small_bytes_max
        assert found.replayed <= (REPLAYED_MAX if is_dense else KEEP_EVERY * EVERY)
