"""A sequencer over the real broker, beside a projector over the real database."""

from collections.abc import Iterator

import pytest

from continuity.config import Settings
from continuity.producers import CommandClient
from tests.processors.running import Sequencing, projecting, sequencing


@pytest.fixture
def projector(settings: Settings) -> Iterator[None]:
    with projecting(settings):
        yield


@pytest.fixture
def sequencer(settings: Settings, projector: None) -> Iterator[Sequencing]:
    """In a thread, open on all partitions."""
    del projector
    with sequencing(settings) as running:
        yield running


@pytest.fixture
def client(settings: Settings, sequencer: Sequencing) -> Iterator[CommandClient]:
    """Ready to send; somebody is there to decide."""
    del sequencer
    with CommandClient(settings) as connected:
        yield connected
