"""The log heals what the database has lost: of the records in it, the facts and no others."""

from typing import Any

import pytest

from continuity.config import Settings
from continuity.core.ids import partition_of
from continuity.errors import IntegrityError
from continuity.logged import Logged
from tests.projections.histories import Log, Published, scripted
from tests.restore.conftest import Keeping, same

pytestmark = pytest.mark.stack


def test_a_damaged_journal_is_healed_from_the_topic(settings: Settings, keeping: Keeping) -> None:
    project, other = scripted("rotten"), scripted("other")
    kept = keeping()
    kept.project(project.events)
    partition = partition_of(project.workflow, settings.partitions)
    log = Log()
    for event in other.events[:3]:
        log.add(event, partition)
    for at, event in enumerate(project.events):
        log.raw(b"of somebody else", partition)
        fact = log.add(event, partition)
        if at == 4:
            log.raw(fact, partition)  # a repeat
            stale: Any = {**event, "operator_id": "eve"}
            log.raw(Log("22222222-2222-4222-8222-222222222222").add(stale, partition), partition)
    Published(settings, log)()
    kept.change("DELETE FROM events WHERE event_seq = 5")
    with pytest.raises(IntegrityError):
        kept.restored(project.workflow)
    found = kept.restored(project.workflow, log=Logged(settings))
    assert same(found.state, project.state)
    assert len(found.healed) == 1
