"""The projector on a real broker and a real database."""

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer

from continuity import kafka, postgres, topics
from continuity.api import assembly
from continuity.api.reads import _statement
from continuity.codec import encode_event
from continuity.config import Settings
from continuity.core.ids import NIL
from continuity.core.next_step import next_step
from continuity.errors import ConfigError, Fenced
from continuity.processors.store import Store
from continuity.projections import Projector
from tests.eventually import eventually
from tests.projections.histories import Log, Published, busy, scripted

pytestmark = pytest.mark.stack


def caught_up(projector: Projector, log: Log) -> None:
    """Project all that is in the log."""
    eventually(
        lambda: (
            projector.step(0.2) == 0
            and all(projector.positions[partition].next_offset == end for partition, end in log.end().items())
        ),
        30,
        "the log is projected",
    )


def asked(settings: Settings, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with postgres.connect(settings.postgres_dsn) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def step_of(settings: Settings, workflow: str) -> Any:
    return assembly.next_step_of(asked(settings, _statement("next_step"), workflow, "acme")[0])


def test_what_is_in_the_log_is_projected_and_nothing_else(settings: Settings):
    """Strangers' bytes, a stale sequencer, repeats and marks stand between the events."""
    projects, log = [scripted(f"p{number}", 3) for number in range(4)], Log()
    stale = Log(sequencer_id="22222222-2222-4222-8222-222222222222")
    for step in itertools.zip_longest(*(project.events for project in projects)):
        for number, event in enumerate(filter(None, step)):
            partition = number % 2
            repeated = log.add(event, partition)
            log.raw(b"no Avro", partition)
            log.raw(b"", partition)
            log.raw(repeated, partition)
            log.raw(stale.add(event, partition), partition)
            log.mark(partition)
    publish = Published(settings, log)
    publish()
    projector = Projector(settings, batch_records_max=37)
    projector.open()
    try:
        caught_up(projector, log)
        events = sum(len(project.events) for project in projects)
        counts = projector.counts
        assert (counts["projected"], counts["stopped"], counts["ignored"]) == (events, 0, 0)
        assert counts["unreadable"] == 2 * events
        assert counts["mark"] == counts["repeat"] == events
        assert counts["stale"] >= events
        assert projector.lag() == 0
        for project in projects:
            assert step_of(settings, project.workflow) == next_step(project.state)
    finally:
        projector.close()


def test_a_gap_closes_the_epoch_for_good_and_the_next_epoch_goes_on(settings: Settings):
    project, log = scripted("gap"), Log()
    log.add(project.events[0])
    lost = log.add(project.events[1])
    log.values[0].pop()
    late = log.add(project.events[2])
    log.raw(lost)
    log.raw(late)
    publish = Published(settings, log)
    publish()
    projector = Projector(settings)
    projector.open()
    caught_up(projector, log)
    assert projector.counts["gap"] == 3
    projector.close()  # what it remembers is in the database
    log.open()
    for event in project.events[1:]:
        log.add(event)
    publish()
    projector.open()
    caught_up(projector, log)
    projector.close()
    assert step_of(settings, project.workflow) == next_step(project.state)


def test_of_two_projectors_one_ends_and_nothing_is_doubled(settings: Settings):
    project, log = busy("two", [("add_task", number, 0, []) for number in range(40)]), Log()
    publish = Published(settings, log)
    first, second = Projector(settings, batch_records_max=5), Projector(settings, batch_records_max=5)
    log.open()
    publish()
    first.open()
    second.open()
    try:
        for event in project.events[:20]:
            log.add(event)
        publish()
        assert eventually(lambda: first.step(0.2))
        with pytest.raises(Fenced, match="Another projector"):
            eventually(lambda: second.step(0.2) and False, 20)
        assert not second.is_open
        for event in project.events[20:]:
            log.add(event)
        publish()
        caught_up(first, log)
    finally:
        first.close()
        second.close()
    ((count, last),) = asked(settings, "SELECT count(*), max(event_seq) FROM events")
    assert count == last == len(project.events)


def test_another_events_topic_is_refused(settings: Settings):
    log = Log()
    log.open()
    Published(settings, log)()
    projector = Projector(settings)
    projector.open()
    caught_up(projector, log)
    projector.close()
    former, _ = kafka.topic_id(settings, settings.events_topic)
    topics.delete(settings)
    eventually(lambda: made_again(settings, former), 20, "the topics are made again")
    with pytest.raises(ConfigError, match="is not the one"):
        projector.open()
    projector.close()


def test_a_log_that_has_lost_its_end_is_refused(settings: Settings):
    log = Log()
    log.open()
    Published(settings, log)()
    projector = Projector(settings)
    projector.open()
    caught_up(projector, log)
    projector.close()
    asked(settings, "UPDATE projection_offsets SET next_offset = 99 WHERE partition = 0 RETURNING 1")
    with pytest.raises(ConfigError, match="stands at offset 99"):
        projector.open()
    projector.close()


def made_again(settings: Settings, former: str) -> bool:
    try:
        topics.create(settings)
        topics.check(settings)
        return kafka.topic_id(settings, settings.events_topic)[0] != former
    except Exception:  # noqa: BLE001 - the broker deletes at its own pace
        return False


def test_the_service_survives_kill_9_and_ends_on_sigterm(settings: Settings):
    project, log = busy("killed", [("add_task", number, 0, []) for number in range(300)]), Log()
    publish = Published(settings, log)
    environment = {**os.environ, **settings.environment()}

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-m", "continuity.projections"], env=environment)

    service = start()
    for event in project.events[:200]:
        log.add(event)
    publish()
    eventually(lambda: projected(settings) > 0, 30, "something is projected")
    service.send_signal(signal.SIGKILL)
    service.wait(10)
    for event in project.events[200:]:
        log.add(event)
    publish()
    service = start()
    try:
        eventually(lambda: projected(settings) == len(project.events), 30, "all is projected")
        service.send_signal(signal.SIGTERM)
        assert service.wait(10) == 0
    finally:
        service.kill()
        service.wait()
    store = Store(settings.postgres_dsn)
    fetched = store.fetch(0, [project.workflow])
    store.close()
    assert fetched.states[project.workflow] == project.state


def projected(settings: Settings) -> int:
    try:
        return int(asked(settings, "SELECT count(*) FROM events")[0][0])
    except Exception:  # noqa: BLE001 - the tables are not there yet
        return 0


def test_a_database_that_comes_back_is_written_to_again(settings: Settings):
    project, log = scripted("away"), Log()
    publish = Published(settings, log)
    projector, stop = Projector(settings), threading.Event()
    thread = threading.Thread(target=projector.run, args=(stop,))
    thread.start()
    try:
        log.add(project.events[0])
        publish()
        eventually(lambda: projected(settings) == 1, 30)
        with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        for event in project.events[1:]:
            log.add(event)
        publish()
        eventually(lambda: projected(settings) == len(project.events), 30)
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
    assert step_of(settings, project.workflow) == next_step(project.state)


def test_a_stranger_who_knows_the_format_is_not_believed(settings: Settings, eventually: Callable[..., object]):
    """An event with good digests, right number and hash, from a sequencer that no epoch record names."""
    project, log = scripted("forged"), Log()
    for event in project.events[:-1]:
        log.add(event)
    Published(settings, log)()
    forged: Any = {**project.events[-1], "epoch": 1, "sequencer_id": NIL, "epoch_seq": 99, "source_offset": 10**6}
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap})
    producer.produce(settings.events_topic, encode_event(forged), partition=0)
    assert producer.flush(20) == 0
    projector = Projector(settings)
    projector.open()
    eventually(lambda: projector.step(0.2) == 0 and projector.counts["stale"] == 1, 20)
    projector.close()
    assert asked(settings, "SELECT max(event_seq) FROM events") == [(len(project.events) - 1,)]
