"""The supervisor on small stand-in processes: order, restarts, reasons, and the end."""

import os
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from continuity.embedded import process, register
from continuity.embedded.part import Part
from continuity.embedded.progress import Step
from continuity.embedded.supervisor import FIRST_DEATHS_MAX, Supervisor
from continuity.errors import ConfigError, Retryable
from tests.eventually import eventually

# Runs until SIGTERM, then says so and ends.
PATIENT = """
import signal, sys, pathlib
def stop(*_):
    print("asked to stop", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, stop)
pathlib.Path("{name}.runs").touch()
signal.pause()
"""
STUBBORN = PATIENT.replace("sys.exit()", "pass").replace("signal.pause()", "while True: signal.pause()")


@pytest.fixture
def steps():
    return []


def part(folder: Path, name: str, code: str = PATIENT, **changes: Any) -> Part:
    usual = Part(
        name=name,
        command=(sys.executable, "-c", code.replace("{name}", name)),
        environment=dict(os.environ),
        folder=folder,
        log=folder / f"{name}.log",
        port=0,
        ready=(folder / f"{name}.runs").exists,
    )
    return replace(usual, **changes)


def run(folder: Path, steps: list[Step], *parts: Part, when_ready=None) -> None:
    """Run until everything is ready, do `when_ready`, and stop."""

    def ready() -> None:
        if when_ready is not None:
            when_ready()
        os.kill(os.getpid(), signal.SIGTERM)

    Supervisor(parts, folder, steps.append).run(ready)


def log(part: Part) -> str:
    return part.log.read_text(encoding="utf-8")


def told(steps: list[Step], message: str) -> list[str]:
    return [step.part for step in steps if step.message.startswith(message)]


def test_parts_start_after_what_they_need_and_stop_before_it(tmp_path, steps):
    first = part(tmp_path, "first")
    second = part(tmp_path, "second", needs=("first",))
    run(tmp_path, steps, first, second)
    assert told(steps, "ready") == ["first", "second"]
    assert told(steps, "starting") == ["first", "second"]
    assert told(steps, "stopping") == ["second", "first"]
    assert "asked to stop" in log(first)
    assert [each.state for each in register.read(tmp_path)] == ["stopped", "stopped"]


def test_parts_that_need_nothing_start_together(tmp_path, steps):
    run(tmp_path, steps, part(tmp_path, "left"), part(tmp_path, "right"))
    assert [step.message for step in steps][:2] == ["starting", "starting"]


def test_a_part_that_keeps_dying_fails_the_start_with_its_own_words(tmp_path, steps):
    good = part(tmp_path, "good")
    bad = part(tmp_path, "bad", "import sys; print('FATAL: no room', file=sys.stderr); print('bye'); sys.exit(3)")
    with pytest.raises(ConfigError, match="FATAL: no room") as failed:
        run(tmp_path, steps, good, bad)
    assert "ended with code 3" in failed.value.detail
    assert str(bad.log) in failed.value.fix
    assert told(steps, "starting").count("bad") >= FIRST_DEATHS_MAX
    assert [(each.state, each.pid) for each in register.read(tmp_path)] == [("stopped", None), ("failed", None)]


def test_a_part_that_is_not_ready_in_time_is_stopped_and_fails_the_start(tmp_path, steps):
    slow = part(tmp_path, "slow", ready=lambda: False, ready_seconds=0.3)
    with pytest.raises(ConfigError, match="was not ready after 0 s"):
        run(tmp_path, steps, slow)


def test_a_part_is_not_ready_because_somebody_else_answers_at_its_port(tmp_path, steps):
    with socket.create_server(("127.0.0.1", 0)) as somebody_else:
        port = somebody_else.getsockname()[1]
        deaf = part(tmp_path, "deaf", port=port, ready=lambda: True, ready_seconds=0.5)
        with pytest.raises(ConfigError, match="was not ready"):
            run(tmp_path, steps, deaf)


def test_a_part_that_serves_its_port_is_ready(tmp_path, steps):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serving = PATIENT.replace(
        "signal.pause()", f"import socket; s = socket.create_server(('127.0.0.1', {port})); signal.pause()"
    )
    run(tmp_path, steps, part(tmp_path, "serving", serving, port=port))
    assert told(steps, "ready") == ["serving"]


def test_a_part_that_dies_later_is_started_again_and_the_reason_is_kept(tmp_path, steps):
    runs: Path = tmp_path / "mortal.runs"
    ended: list[process.Identity] = []

    def ready() -> bool:
        """Ready at once; when ready for the second time, everything ends."""
        if ended and runs.exists():
            os.kill(os.getpid(), signal.SIGTERM)
        return runs.exists()

    def kill() -> None:
        identity = register.read(tmp_path)[0].identity
        assert identity is not None
        ended.append(identity)
        os.kill(identity.pid, signal.SIGKILL)

    mortal = part(tmp_path, "mortal", ready=ready)
    Supervisor([mortal], tmp_path, steps.append).run(kill)
    assert told(steps, "ready") == ["mortal", "mortal"]
    state = register.read(tmp_path)[0]
    assert state.restarts == 1
    assert "was ended by SIGKILL" in (state.reason or "")
    assert not process.is_alive(ended[0])


def test_a_part_that_does_not_stop_is_killed_after_its_time(tmp_path, steps):
    stubborn = part(tmp_path, "stubborn", STUBBORN, stop_seconds=0.3)
    run(tmp_path, steps, stubborn)
    assert "asked to stop" in log(stubborn)
    assert told(steps, "did not stop within") == ["stubborn"]
    assert "killed" in (register.read(tmp_path)[0].reason or "")


def test_a_preparation_that_cannot_work_fails_the_start_with_its_fix(tmp_path, steps):
    def prepare() -> None:
        raise ConfigError("The folder is locked.", fix="Unlock it.")

    with pytest.raises(ConfigError, match=r"The folder is locked. Unlock it."):
        run(tmp_path, steps, part(tmp_path, "first"), part(tmp_path, "second", prepare=prepare))
    assert [each.state for each in register.read(tmp_path)] == ["stopped", "stopped"]


def test_a_full_disk_in_a_preparation_is_told_as_such(tmp_path, steps):
    def prepare() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ConfigError, match="No space left on device"):
        run(tmp_path, steps, part(tmp_path, "first", prepare=prepare))


def test_a_restart_that_cannot_work_is_tried_again_and_the_others_run_on(tmp_path, steps):
    other = part(tmp_path, "other")
    runs: Path = tmp_path / "unlucky.runs"
    starts: list[float] = []
    failing: list[Exception] = [Retryable("The room is taken.", fix=""), OSError(28, "No space left on device")]

    def prepare() -> None:
        starts.append(time.monotonic())
        if len(starts) > 1 and failing:
            raise failing.pop()

    def ready() -> bool:
        if len(starts) > 3 and runs.exists():
            os.kill(os.getpid(), signal.SIGTERM)
        return runs.exists()

    def kill() -> None:
        identity = register.read(tmp_path)[1].identity
        assert identity is not None
        os.kill(identity.pid, signal.SIGKILL)

    unlucky = part(tmp_path, "unlucky", prepare=prepare, ready=ready)
    Supervisor([other, unlucky], tmp_path, steps.append).run(kill)
    assert told(steps, "stopping").count("other") == 1, "it was stopped once, at the end"
    assert any("No space left on device" in step.message for step in steps)
    assert any("The room is taken" in step.message for step in steps)


def test_it_stops_when_its_owner_is_gone(tmp_path, steps):
    gone = process.Identity(os.getpid(), "another boot:1")
    Supervisor([part(tmp_path, "orphan")], tmp_path, steps.append, gone).run(lambda: None)
    assert told(steps, "starting") == []


def test_the_handlers_of_signals_are_given_back(tmp_path, steps):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)]
    run(tmp_path, steps, part(tmp_path, "first"))
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)] == before


@pytest.mark.skipif(not process.LINUX, reason="only Linux tells a child that its parent died")
def test_a_child_ends_when_the_one_who_started_it_is_killed(tmp_path):
    program = f"""
import os, pathlib, signal, sys
from continuity.embedded import process
child = process.spawn([sys.executable, "-c", {PATIENT.replace("{name}", "child")!r}], log=pathlib.Path("child.log"),
    environment=dict(os.environ), folder=pathlib.Path("."), account=None, death_signal=signal.SIGTERM)
pathlib.Path("child.pid").write_text(str(child.pid))
signal.pause()
"""
    parent = process.spawn(
        [sys.executable, "-c", program],
        log=tmp_path / "parent.log",
        environment=dict(os.environ),
        folder=tmp_path,
        account=None,
        death_signal=signal.SIGKILL,
    )
    eventually((tmp_path / "child.runs").exists, 20, "the child runs")
    child = process.identify(int((tmp_path / "child.pid").read_text(encoding="ascii")))
    assert child is not None
    parent.kill()
    parent.wait()
    eventually(lambda: not process.is_alive(child), 10, "the child is gone")
    assert "asked to stop" in (tmp_path / "child.log").read_text(encoding="utf-8")
