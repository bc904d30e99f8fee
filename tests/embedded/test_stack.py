"""The embedded stack as a user has it: started, refused, killed, and there again with everything that was in it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from continuity import embedded
from continuity.config import Settings
from continuity.embedded import holding, launch, register, report
from continuity.embedded.process import Identity
from continuity.errors import ConfigError
from tests.eventually import eventually

WARM_START_SECONDS_MAX = 10
# Stands in for a service: answers 200 to every request, and says in its log that it runs.
STAND_IN = """
import http.server, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
print("the stand-in runs", flush=True)
http.server.HTTPServer(("127.0.0.1", int(__import__("os").environ["CONTINUITY_SEQUENCER_PORT"])), Ready).serve_forever()
"""
SERVICES = (embedded.Service("stand-in", ("{python}", "-c", STAND_IN), "sequencer_port"),)


@pytest.fixture(scope="module")
def started(data_home: Callable[[], Path]) -> Iterator[Settings]:
    # A name that a shell, a connection string and a properties file would each stumble over.
    home = data_home().with_name("a user's höme")
    # Any free port for the API, so that a stack of the developer's own on this machine does not matter.
    settings = Settings(data_dir=home, api_port=0, explicit=frozenset({"api_port"}))
    try:
        yield up(settings)
    finally:
        embedded.down(settings)


@pytest.fixture
def running(started: Settings) -> Settings:
    """The stack of this module, up with all parts ready, whatever the test before did to it."""
    if not embedded.status(started)["running"]:
        up(started)
    eventually(lambda: all_ready(started), 30, "all parts are ready")
    return started


def up(settings: Settings) -> Settings:
    return embedded.up(settings, services=SERVICES, owner_pid=os.getpid())


def part(settings: Settings, name: str) -> embedded.PartStatus:
    return next(each for each in embedded.status(settings)["parts"] if each["name"] == name)


def pid(settings: Settings, name: str) -> int:
    found = part(settings, name)["pid"]
    assert found is not None, f"{name} runs"
    return found


def all_ready(settings: Settings) -> bool:
    parts = embedded.status(settings)["parts"]
    return len(parts) == 3 and all(each["state"] == "ready" for each in parts)


def is_back(settings: Settings, name: str, killed: int) -> bool:
    return all_ready(settings) and part(settings, name)["pid"] not in {killed, None}


def produce(settings: Settings, value: bytes) -> None:
    errors = []
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "acks": "all"})
    producer.produce(
        settings.events_topic, value, partition=0, on_delivery=lambda error, _: errors.append(error) if error else None
    )
    assert producer.flush(20) == 0
    assert errors == []


def values(settings: Settings) -> list[bytes | None]:
    """Everything in the first partition of the events."""
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka_bootstrap, "group.id": "test", "enable.auto.commit": False}
    )
    try:
        place = TopicPartition(settings.events_topic, 0)
        _, end = eventually(lambda: consumer.get_watermark_offsets(place, timeout=10), 30, "the broker tells its end")
        consumer.assign([TopicPartition(settings.events_topic, 0, 0)])
        return [record.value() for record in consumer.consume(end, 20)] if end else []
    finally:
        consumer.close()


def insert(settings: Settings, value: int) -> None:
    with psycopg.connect(settings.postgres_dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value])


def inserted(settings: Settings) -> set[int]:
    with psycopg.connect(settings.postgres_dsn) as connection:
        return {row[0] for row in connection.execute("SELECT value FROM kept")}


def test_everything_is_ready_and_tells_where_it_is(running):
    found = embedded.status(running)
    assert found["running"]
    assert found["kafka_bootstrap"] == running.kafka_bootstrap
    assert [each["name"] for each in found["parts"]] == ["postgres", "broker", "stand-in"]
    assert all(Path(each["log"]).stat().st_size > 0 for each in found["parts"])
    assert "the stand-in runs" in Path(part(running, "stand-in")["log"]).read_text(encoding="utf-8")


def test_a_second_start_on_the_same_folder_is_refused_with_who_and_what_to_do(running):
    holder = embedded.status(running)["supervisor_pid"]
    with pytest.raises(ConfigError, match="is in use") as refused:
        up(running)
    assert refused.value.code == "already_running"
    assert f"process {holder} since 20" in refused.value.detail
    assert "continuity down" in refused.value.fix
    assert "CONTINUITY_HOME" in refused.value.fix
    assert embedded.status(running)["supervisor_pid"] == holder


def test_a_killed_broker_comes_back_with_what_it_acknowledged(running):
    before = values(running)
    produce(running, b"acknowledged before the broker was killed")
    killed = pid(running, "broker")
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: is_back(running, "broker", killed), 40, "the broker is back")
    assert values(running) == [*before, b"acknowledged before the broker was killed"]
    assert part(running, "broker")["restarts"] >= 1
    assert "SIGKILL" in (part(running, "broker")["reason"] or "")


def test_a_killed_database_comes_back_with_what_it_committed(running):
    insert(running, 1)
    killed = pid(running, "postgres")
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: is_back(running, "postgres", killed), 40, "the database is back")
    assert 1 in inserted(running)


def test_a_killed_service_is_started_again(running):
    killed = pid(running, "stand-in")
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: is_back(running, "stand-in", killed), 20, "the service is back")


def test_after_the_supervisor_was_killed_the_next_start_recovers_everything_on_the_same_ports(running):
    before = values(running)
    produce(running, b"acknowledged before the supervisor was killed")
    insert(running, 2)
    old = {name: pid(running, name) for name in ("postgres", "broker", "stand-in")}
    supervisor = embedded.status(running)["supervisor_pid"]
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    again = up(running)
    assert not any(psutil.pid_exists(number) for number in old.values())
    assert again == running
    assert values(again) == [*before, b"acknowledged before the supervisor was killed"]
    assert 2 in inserted(again)


def test_after_everything_was_killed_at_once_nothing_is_lost(running):
    before = values(running)
    produce(running, b"acknowledged before everything was killed")
    insert(running, 3)
    supervisor = embedded.status(running)["supervisor_pid"]
    assert supervisor is not None
    for number in (supervisor, pid(running, "broker"), pid(running, "postgres"), pid(running, "stand-in")):
        os.kill(number, signal.SIGKILL)
    again = up(running)
    assert values(again) == [*before, b"acknowledged before everything was killed"]
    assert 3 in inserted(again)


def test_a_stopped_stack_leaves_nothing_running_and_starts_warm_in_time(running):
    numbers = [each["pid"] for each in embedded.status(running)["parts"]]
    assert embedded.down(running)
    found = embedded.status(running)
    assert not found["running"]
    assert {each["state"] for each in found["parts"]} == {"stopped"}
    assert not any(psutil.pid_exists(number) for number in numbers if number)
    assert not embedded.down(running)
    began = time.monotonic()
    assert up(running) == running
    # On a machine with more work than cores, everything takes as much longer.
    crowded = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert time.monotonic() - began < WARM_START_SECONDS_MAX * crowded


def test_a_remembered_port_that_somebody_took_gives_way_to_another(running):
    produce(running, b"written before the move")
    embedded.down(running)
    with socket.create_server(("127.0.0.1", running.kafka_port)), socket.create_server(("127.0.0.1", running.api_port)):
        moved = up(running)
    assert moved.kafka_port != running.kafka_port
    assert moved.api_port != running.api_port
    assert moved.postgres_port == running.postgres_port
    assert Settings.load({"CONTINUITY_HOME": str(running.data_dir)}).kafka_bootstrap == moved.kafka_bootstrap
    assert values(moved), "what was in it is in it"


def test_another_partition_count_is_refused_with_the_fix(running):
    embedded.down(running)
    env = {"CONTINUITY_HOME": str(running.data_dir), "CONTINUITY_PARTITIONS": "4"}
    with pytest.raises(ConfigError, match="CONTINUITY_PARTITIONS=2"):
        up(Settings.load(env))
    assert not embedded.status(running)["running"]
    assert Settings.load({**env, "CONTINUITY_PARTITIONS": ""}).partitions == 2, "what failed is not remembered"


def test_who_has_not_the_password_does_not_get_into_the_database(running):
    passfile = running.data_dir / "postgres.pass"
    assert passfile.stat().st_mode & 0o077 == 0
    for password in (None, "guessed"):
        with pytest.raises(psycopg.OperationalError, match=r"password"):
            psycopg.connect(running.postgres_dsn, passfile="/nowhere", password=password)


def test_a_start_that_cannot_work_says_why_and_leaves_nothing_behind(running):
    embedded.down(running)
    dies = embedded.Service("unlucky", ("{python}", "-c", "raise SystemExit('the stars are wrong')"), "projector_port")
    with pytest.raises(ConfigError, match="the stars are wrong") as failed:
        embedded.up(running, services=(dies,), owner_pid=os.getpid())
    assert "unlucky.log" in failed.value.fix
    assert not embedded.status(running)["running"]
    assert not any(each["pid"] for each in embedded.status(running)["parts"])


def test_a_start_that_is_interrupted_leaves_nothing_behind(running):
    embedded.down(running)
    program = (
        "import signal; from pathlib import Path\n"
        "from continuity import embedded; from continuity.config import Settings\n"
        # Ignored signals are inherited: a test run in the background of a shell would have this one ignored, too.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"settings = Settings(data_dir=Path({str(running.data_dir)!r}))\n"
        "embedded.up(settings, lambda step: print(step.part, step.message, flush=True), services=())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as starting:
        assert starting.stdout is not None
        assert any(line.startswith("broker starting") for line in starting.stdout)
        starting.send_signal(signal.SIGINT)
        _, errors = starting.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    found = embedded.status(running)
    assert not found["running"]
    assert not any(each["pid"] for each in found["parts"])


def test_a_configured_port_that_is_taken_is_refused_with_the_variable(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        env = {"CONTINUITY_HOME": str(tmp_path / "home"), "CONTINUITY_API_PORT": str(port)}
        with pytest.raises(ConfigError, match="CONTINUITY_API_PORT"):
            embedded.up(Settings.load(env), services=())


def test_a_broker_of_the_users_own_is_not_silently_replaced(tmp_path):
    env = {"CONTINUITY_HOME": str(tmp_path / "home"), "CONTINUITY_KAFKA_BOOTSTRAP": "kafka.example:9092"}
    with pytest.raises(ConfigError, match="Unset CONTINUITY_KAFKA_BOOTSTRAP"):
        embedded.up(Settings.load(env))


def test_a_full_disk_is_refused_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "FREE_BYTES_MIN", 1 << 60)
    with pytest.raises(ConfigError, match="MiB are free"):
        launch.supervise(launch.Request(Settings(data_dir=tmp_path / "home"), ()), embedded.silent)
    assert not embedded.status(Settings(data_dir=tmp_path / "home"))["running"]


def test_a_part_that_died_of_a_full_disk_is_reported_so_though_nothing_could_be_written_down(tmp_path, monkeypatch):
    settings = Settings(data_dir=tmp_path)
    register.write(tmp_path, [register.PartState("broker", "ready", time.time(), 1, "log", os.getpid(), "another:1")])
    monkeypatch.setattr(report, "FULL_BYTES", 1 << 60)
    with holding.held(settings):
        (found,) = embedded.status(settings)["parts"]
    assert found["state"] == "died"
    assert "no space left on device" in (found["reason"] or "")
    assert str(tmp_path) in (found["reason"] or "")


def test_a_process_that_got_a_number_of_the_last_start_is_not_touched(tmp_path):
    # The number is that of this very test run, and the beginning is not.
    recycled = register.PartState("broker", "ready", time.time(), 1, "log", os.getpid(), "another boot:1")
    register.write(tmp_path, [recycled])
    assert not embedded.down(Settings(data_dir=tmp_path))
    assert register.read(tmp_path)[0].state == "stopped"
    assert embedded.status(Settings(data_dir=tmp_path))["parts"][0]["pid"] is None


def test_a_request_survives_its_way_to_the_supervisor():
    settings = Settings(partitions=3, explicit=frozenset({"partitions"}))
    sent = launch.Request(settings, SERVICES, Identity(7, "this boot:1"), (embedded.Door("SIDE", 9_094, 9_194),))
    received = launch.Request.from_json(sent.to_json())
    assert received == sent
    assert received.settings.explicit == settings.explicit


def test_status_of_an_empty_folder_is_an_answer(tmp_path):
    assert embedded.status(Settings(data_dir=tmp_path / "none"))["parts"] == []
    assert not embedded.down(Settings(data_dir=tmp_path / "none"))
    assert not (tmp_path / "none").exists()
