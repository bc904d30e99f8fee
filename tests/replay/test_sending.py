"""The workers against a log in memory that decides with the real core: interruptions, outages, repeats, strangers."""

import asyncio
import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from continuity.core import canonical
from continuity.errors import ConfigError, Retryable
from continuity.replay import check, sending
from continuity.replay.plan import plan
from continuity.replay.rehearsal import rehearse
from continuity.replay.sending import send_all
from tests.replay.core_log import CoreLog, Interrupted
from tests.replay.histories import add, deps, example, histories, planned, status

SEEDS = st.integers(0, 2**32 - 1)


def go(made, log, workers=8):
    known = log.known
    return asyncio.run(send_all(made, log, known, workers=workers)), len(known)


def deviations(made, sent):
    return tuple(sorted(check.deviations(made, sent, rehearse(made).deviations)))


def test_eight_workers_send_the_committed_history_as_the_core_rehearses_it():
    made = plan(example(), "local", "tests")
    log = CoreLog(random.Random(1))
    seen = []
    sent = asyncio.run(send_all(made, log, {}, workers=8, progress=lambda done, total: seen.append((done, total))))
    assert deviations(made, sent) == rehearse(made).deviations
    assert sorted(sent.accepted.values()) == list(range(1, len(log.events) + 1))
    assert log.at_once_max == 8
    assert seen == [(done, len(made.commands)) for done in range(1, len(made.commands) + 1)]
    assert check.facts(made, sent) == (2565, 136, 733)


@settings(max_examples=100, deadline=None)
@given(histories(), SEEDS, st.integers(0, 60))
def test_an_interrupted_replay_goes_on_where_it_was(history, seed, lasts):
    made = plan(history, "local", "tests")
    log = CoreLog(random.Random(seed), outages=10, lasts=lasts)
    with contextlib.suppress(Interrupted):
        go(made, log)
    log.lasts = None
    sent, known = go(made, log)
    assert deviations(made, sent) == rehearse(made).deviations
    assert len(log.events) == len(sent.accepted) == rehearse(made).events
    assert sent.known == known


@settings(max_examples=50, deadline=None)
@given(histories(), SEEDS)
def test_a_repeat_changes_nothing(history, seed):
    made = plan(history, "local", "tests")
    log = CoreLog(random.Random(seed))
    go(made, log)
    before = canonical.dumps(log.state.work)
    sent, known = go(made, log)
    assert canonical.dumps(log.state.work) == before
    assert known == len(log.events) == len(sent.accepted) == sent.known
    assert deviations(made, sent) == rehearse(made).deviations


def test_the_committed_history_goes_on_and_can_be_repeated_far_beyond_the_idempotency_window():
    made = plan(example(), "local", "tests")
    log = CoreLog(random.Random(2), lasts=2_000)
    with pytest.raises(Interrupted):
        go(made, log)
    log.lasts = None
    for _ in range(2):
        sent, _ = go(made, log)
        assert deviations(made, sent) == rehearse(made).deviations
        assert len(log.events) == len(sent.accepted) == rehearse(made).events


def test_a_project_with_other_work_is_refused():
    log = CoreLog(random.Random(1))
    go(planned(add("t1"), add("t2")), log)
    for other in (planned(add("t1")), planned(add("t1"), add("t2", "todo", depends_on=["t1"]))):
        with pytest.raises(ConfigError, match="Project tests holds other work") as caught:
            go(other, log)
        assert caught.value.fix == "Name a new project with --project."


def test_a_longer_history_goes_on_in_the_same_project():
    log = CoreLog(random.Random(1))
    short = (add("t1"), add("t2"), deps("t2", "t1"))
    go(planned(*short), log)
    sent, known = go(planned(*short, status("t1", "todo", "done", t=2)), log)
    assert (known, len(log.events), len(sent.accepted)) == (4, 6, 6)


def test_it_gives_up_when_the_broker_stays_away(monkeypatch):
    monkeypatch.setattr(sending, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(Retryable, match="The broker is away"):
        go(planned(add("t1")), CoreLog(random.Random(1), outages=100))
