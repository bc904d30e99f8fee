"""One whole stack for the outages that it survives, with every service as a process of its own."""

import os
from collections.abc import Callable, Iterator

import pytest

from continuity import embedded
from continuity.config import Settings
from tests.faults.whole import Whole


@pytest.fixture(scope="package")
def whole(new_home: Callable[[], Settings]) -> Iterator[Whole]:
    settings = new_home()
    try:
        running = Whole(embedded.up(settings, owner_pid=os.getpid()))
        with running.http:
            yield running
    finally:
        embedded.down(settings)
