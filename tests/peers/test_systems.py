"""Systems that cannot be had are left out with a word, and so are programs that do not do what they have to."""

import re
import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.peers import comparing, databases, dbos, eventsourcing, floor, langgraph, programs, restate, temporal
from benchmarks.peers.drivers.loop import Measurement
from benchmarks.peers.peer import REQUIREMENTS, Driver
from benchmarks.peers.programs import Failed
from continuity.config import Settings


@pytest.fixture
def console():
    return Console(quiet=True)


@pytest.mark.parametrize(("system", "word"), [(temporal, "Go"), (restate, "npm"), (floor, "pgbench")])
def test_without_its_runtime_a_system_is_left_out_with_a_word(system, word, tmp_path, monkeypatch, console):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(floor, "find_spec", lambda _: None)
    had, left_out = comparing.available([system], Settings(cache_dir=tmp_path), console)
    assert had == []
    assert word in left_out[system.NAME]


@pytest.mark.parametrize("system", [dbos, eventsourcing, langgraph])
def test_a_library_that_cannot_be_downloaded_is_left_out_with_a_word(system, tmp_path, monkeypatch, console):
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    had, left_out = comparing.available([system], Settings(cache_dir=tmp_path), console)
    assert had == []
    assert "ended with" in left_out[system.NAME]


def test_what_is_installed_is_pinned_by_hash_and_names_no_host():
    for system in (dbos, eventsourcing, langgraph, restate, temporal):
        text = (REQUIREMENTS / f"{system.NAME}.lock").read_text(encoding="utf-8")
        pins = re.findall(r"^[a-z0-9._-]+==[^\n]+\\\n +--hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
        assert len(pins) == len(re.findall(r"^[a-z]", text, re.MULTILINE)) > 0
    assert not [file for file in REQUIREMENTS.rglob("*") if file.is_file() and "resolved" in file.read_text()]
    assert not [file for file in REQUIREMENTS.rglob("*.lock") if "://" in file.read_text()]


def test_a_driver_that_fails_says_why(tmp_path):
    asked = [Measurement("insert", 1, 0, 1)]
    driver = Driver("benchmarks.peers.drivers.drive_pgbench", Path(sys.executable), {"pgbench": "/nowhere/pgbench"})
    with pytest.raises(Failed, match="/nowhere/pgbench"):
        programs.drive(driver, asked, tmp_path)


def test_a_server_that_ends_before_it_is_ready_says_why(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('the port is taken')"]
    with (
        pytest.raises(Failed, match="the port is taken"),
        programs.started(command, log=tmp_path / "log", environment={}, ready=lambda: False),
    ):
        pass


def test_it_is_no_comparison_unless_our_topics_are_flushed():
    with pytest.raises(RuntimeError, match="flushed"):
        databases.check_durable(Settings(flush_every_message=False))
