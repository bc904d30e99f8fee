"""A sequencer that its group has lost and does not take back ends, for a new one to join. Outages are waited for."""

import pytest

from continuity import kafka
from continuity.config import Settings
from continuity.processors import Store, loop
from continuity.processors.loop import Apart, Loop
from continuity.service import Health
from tests.eventually import eventually
from tests.processors.running import Sequencing


@pytest.mark.stack
def test_one_that_is_not_taken_back_ends_though_the_broker_answers(settings, projector, monkeypatch):
    del projector
    sequencing = Sequencing(settings)

    def lost():
        sequencing.loop._lost(sequencing.loop._consumer, [])
        return sequencing.error is not None

    try:
        sequencing.ready()
        monkeypatch.setattr(loop, "APART_SECONDS_MAX", 0.0)
        eventually(lost, 20, "it has ended")
    finally:
        with pytest.raises(Apart, match="not taken"):
            sequencing.stop()


def test_while_the_broker_is_away_it_goes_on_waiting(monkeypatch):
    monkeypatch.setattr(loop, "APART_SECONDS_MAX", 0.0)
    monkeypatch.setattr(kafka, "TIMEOUT_SECONDS", 0.2)
    nobody = Settings(kafka_bootstrap="127.0.0.1:1")
    Loop(nobody, Store("postgresql://127.0.0.1:1/"), Health("sequencer"))._check_membership()
