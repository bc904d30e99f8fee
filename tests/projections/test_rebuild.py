"""A rebuild, while reads and the live projector go on."""

import itertools
import threading
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from continuity import postgres
from continuity.api import assembly
from continuity.api.reads import _statement
from continuity.codec import Rejection, encode_lease, encode_rejection
from continuity.config import Settings
from continuity.core import canonical, ids
from continuity.core.next_step import next_step
from continuity.errors import ConfigError
from continuity.processors.store import Store
from continuity.projections import Heartbeats, Projector, Rejections, rebuild
from tests.eventually import eventually
from tests.projections.histories import Log, Published, busy, executed, late_result, scripted
from tests.projections.test_heartbeats import renewal
from tests.projections.test_projector import asked, caught_up, step_of

pytestmark = pytest.mark.stack


class Background:
    """Calls something again and again in a thread; what it raises is raised by `stop`."""

    def __init__(self, call: Any) -> None:
        self._call, self._stop, self.calls = call, threading.Event(), 0
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._call()
                self.calls += 1
        except BaseException as error:  # noqa: BLE001 - told by `stop`
            self.error = error

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(20)
        if self.error is not None:
            raise self.error


def test_reads_and_the_live_projector_go_on_while_all_is_made_anew(settings: Settings):  # noqa: PLR0915 - one story
    project = busy("busy", [("add_task", number, 0, []) for number in range(600)])
    log, writes = Log(), iter(project.events)
    publish = Published(settings, log)
    for _ in range(20):
        log.add(next(writes))
    publish()
    live, stop = Projector(settings, batch_records_max=3), threading.Event()
    thread = threading.Thread(target=live.run, args=(stop,))
    thread.start()
    eventually(lambda: seen(settings, project.workflow) == 20, 30)
    answers: list[int] = []
    connection = postgres.connect(settings.postgres_dsn)
    store = Store(settings.postgres_dsn)

    def read() -> None:
        row = connection.execute(_statement("next_step"), (project.workflow, "acme")).fetchone()
        assert row is not None
        answer = assembly.next_step_of(row)
        assert canonical.dumps(answer) == canonical.dumps(next_step(project.states[answer["as_of_seq"]]))
        answers.append(answer["as_of_seq"])

    def fetch() -> None:
        fetched = store.fetch(0, [project.workflow])
        assert not fetched.stopped
        assert fetched.states[project.workflow].head_seq == fetched.position.acceptance.epoch_seq

    def write() -> None:
        event = next(writes, None)
        if event is not None:
            log.add(event)
            publish()

    reading, fetching, writing = Background(read), Background(fetch), Background(write)
    try:
        progress: list[tuple[int, int]] = []
        for _ in range(3):
            before = reading.calls
            done = rebuild(settings, lambda *at: progress.append(at))
            assert done.workflows_stopped == 0
            assert done.events >= 20
            assert reading.calls > before, "nothing was read meanwhile"
        eventually(lambda: log.end()[0] == len(project.events) + 1, 60, "all is written")
        eventually(lambda: live.positions[0].next_offset == log.end()[0], 30, "all is projected")
    finally:
        for each in (reading, fetching, writing):
            each.stop()
        stop.set()
        thread.join(20)
        connection.close()
        store.close()
    assert answers == sorted(answers), "a reader went back in time"
    assert progress[-1][0] == progress[-1][1]
    last = log.end()[0] - 1
    assert step_of(settings, project.workflow) == next_step(project.states[last])
    assert asked(settings, "SELECT count(*), max(event_seq) FROM events") == [(last, last)]
    schemas = asked(settings, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'continuity%%'")
    assert sorted(schemas) == [("continuity",), ("continuity_intake",)]


def seen(settings: Settings, workflow: str) -> int:
    try:
        return int(asked(settings, "SELECT head_seq FROM workflows WHERE workflow_id = %s", workflow)[0][0])
    except Exception:  # noqa: BLE001 - not there yet
        return 0


def test_a_rebuild_heals_rotten_rows_and_another_version(settings: Settings):
    project, log = scripted("healed"), Log()
    for event in project.events:
        log.add(event)
    Published(settings, log)()
    projector = Projector(settings)
    projector.open()
    caught_up(projector, log)
    projector.close()
    asked(settings, "UPDATE tasks SET doc = 'rotten' RETURNING 1")
    asked(settings, "UPDATE workflows SET stopped_reason = 'a reason' RETURNING 1")
    asked(settings, "UPDATE schema_version SET version = 99 RETURNING 1")
    with pytest.raises(ConfigError, match="continuity rebuild"):
        projector.open()
    done = rebuild(settings)
    assert (done.records, done.events) == (log.end()[0], len(project.events))
    assert step_of(settings, project.workflow) == next_step(project.state)
    projector.open()
    projector.close()


def test_a_rebuild_gives_back_what_was_held_and_executed(settings: Settings):
    project, log = executed("held"), Log()
    for event in project.events:
        log.add(event)
    late = late_result(project), late_result(project, command_id="00000000-0000-4000-8000-000000000002")
    for told in ((late[0],), late):  # the first of them again
        log.mark(payload=canonical.text({"late_results": list(told)}))
    Published(settings, log)()
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap})
    # One of a claim that is held, one of the lease that has ended, and one of a claim that is gone.
    tokens = [grant["token"] for grant in project.state.grants.values()]
    for token in (1, tokens[0], 3, *range(1, project.state.token_counter + 1)):
        task_id = next((key for key, grant in project.state.grants.items() if grant["token"] == token), None)
        renewed = renewal(project, token, project.now + token, task_id)
        producer.produce(settings.leases_topic, encode_lease(renewed), key=f"{project.workflow}/{token}")
    assert producer.flush(20) == 0
    projector, heartbeats = Projector(settings), Heartbeats(settings)
    projector.open()
    caught_up(projector, log)
    projector.close()
    heartbeats.open()
    heartbeats.follow()
    heartbeats.close()
    tables = ("entities", "workflow_leases", "task_claims", "step_attempts", "completed_steps", "late_results")

    def everything() -> dict[str, list[Any]]:
        return {name: sorted(asked(settings, f"SELECT * FROM {name}"), key=repr) for name in (*tables, "workflows")}

    before = everything()
    assert all(before.values()), "each table has rows"
    assert asked(settings, "SELECT late_results FROM workflows") == [(len(late),)]
    rebuild(settings)
    assert everything() == before


@pytest.mark.parametrize("apart", [False, True], ids=["in one partition", "in two partitions"])
def test_a_rebuild_without_blobs_has_the_forks_of_what_comes_later(settings: Settings, *, apart: bool):
    """What a fork stands on is read from its origin's log, wherever the projection of that is."""
    origin = scripted(name_at_home(0))
    fork = origin.forked(name_at_home(1 if apart else 0, "fork"), 7)
    again = fork.forked(name_at_home(0, "again"), 1)
    assert again.do("create_goal", text="a third way", priority=3)
    log = Log()
    for project in (origin, fork, again):
        for event in project.events:
            log.add(event, ids.partition_of(project.workflow, 2))
    Published(settings, log)()
    assert rebuild(settings).events == sum(len(project.events) for project in (origin, fork, again))
    for project in (origin, fork, again):
        assert step_of(settings, project.workflow) == next_step(project.state)


def name_at_home(partition: int, prefix: str = "p") -> str:
    """A project whose workflow belongs to a partition."""
    names = (f"{prefix}{number}" for number in itertools.count())
    return next(name for name in names if ids.partition_of(ids.workflow_id("acme", name), 2) == partition)


def test_a_rebuild_makes_the_tables_where_there_are_none(settings: Settings):
    project, log = scripted("first"), Log()
    for event in project.events:
        log.add(event)
    Published(settings, log)()
    rebuild(settings)
    assert step_of(settings, project.workflow) == next_step(project.state)


def test_a_log_without_its_beginning_is_refused_and_what_is_there_stays(settings: Settings):
    project, log = scripted("cut"), Log()
    for event in project.events:
        log.add(event)
    Published(settings, log)()
    projector = Projector(settings)
    projector.open()
    caught_up(projector, log)
    projector.close()
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    for future in admin.delete_records([TopicPartition(settings.events_topic, 0, 3)]).values():
        future.result(10)
    with pytest.raises(ConfigError, match="older events are gone"):
        rebuild(settings)
    assert step_of(settings, project.workflow) == next_step(project.state)


def rejection(offset: int, **fields: Any) -> Rejection:
    made = {
        "command_id": f"00000000-0000-4000-8000-{offset:012d}", "command_type": "start_task", "tenant": "acme",
        "project": "p", "workflow_id": None, "operator_id": "ada", "operator_kind": "human", "session_id": None,
        "code": "illegal_transition", "detail": "It is done.", "fix": "Look at its state.",
        "timestamp": 4_000_000_000_000_000, "partition": 0, "source_offset": offset, "source_generation": 1, "epoch": 1,
        "raw": None,
    }  # fmt: skip
    return {**made, **fields}  # type: ignore[typeddict-item]


def test_rejections_are_kept_once_each_and_come_back_after_a_rebuild(settings: Settings):
    Published(settings, log := Log())
    log.open()
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap})
    poison = rejection(2, command_id=None, tenant=None, code="poison", detail="a\0b", raw=b"\x00\xff")
    forgotten = rejection(3, timestamp=1_000_000)
    for record in (rejection(0), rejection(1), rejection(1), poison, forgotten):
        producer.produce(settings.rejections_topic, encode_rejection(record), partition=0)
    producer.produce(settings.rejections_topic, b"none of ours", partition=1)
    assert producer.flush(20) == 0
    projector = Projector(settings)
    projector.open()
    projector.close()
    rejections = Rejections(settings)
    rejections.open()
    eventually(lambda: rejections.step() == 0 and rejections.read == 6, 20)
    rejections.close()
    kept = asked(settings, "SELECT source_offset, code, detail, raw FROM rejections ORDER BY 1")
    assert [row[0] for row in kept] == [0, 1, 2, 3]
    assert kept[2][1:] == ("poison", "a\N{REPLACEMENT CHARACTER}b", b"\x00\xff")
    rebuild(settings)
    assert asked(settings, "SELECT source_offset, code, detail, raw FROM rejections ORDER BY 1") == kept
    rejections.open()
    rejections.step(0.1)
    rejections.close()
    assert [row[0] for row in asked(settings, "SELECT source_offset FROM rejections ORDER BY 1")] == [0, 1, 2]
