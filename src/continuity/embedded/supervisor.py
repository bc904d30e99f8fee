"""Keeps the parts of the stack running: starts them in order, starts again what dies, stops all in the reverse order.

One thread, one loop, one look at each part per turn. What a part does is its own affair; here it is a process with a
state: waiting → starting → ready, or backing off after it died, and at the end stopping → stopped. Every change is
written down, so that whoever comes after a crash knows what may be left.
"""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from continuity.embedded import logs, process, register
from continuity.embedded.part import Part
from continuity.embedded.process import Identity
from continuity.embedded.progress import Progress, Step
from continuity.errors import ConfigError, ContinuityError

TURN_SECONDS = 0.1
IDLE_TURN_SECONDS = 0.5
LOOK_AT_LOGS_SECONDS = 30.0
BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
QUIET_SECONDS = 60.0
"""A part that ran this long before it died starts again at once: its earlier deaths are forgotten."""
FIRST_DEATHS_MAX = 4
"""A part that died this often before the stack was first ready will not come up: the start is given up."""


@dataclass
class Member:
    """A part and its process at this moment."""

    part: Part
    state: str = "waiting"
    since: float = field(default_factory=time.time)
    process: subprocess.Popen[bytes] | None = None
    identity: Identity | None = None
    started_at: float = 0.0
    start_not_before: float = 0.0
    log_offset: int = 0
    restarts: int = 0
    deaths_in_a_row: int = 0
    reason: str | None = None

    def turn_to(self, new_state: str) -> None:
        """Change the state, and remember when."""
        self.state, self.since = new_state, time.time()

    def as_state(self) -> register.PartState:
        """What is written down of it."""
        pid, began = self.identity or (None, None)
        return register.PartState(
            self.part.name,
            self.state,
            self.since,
            self.part.port,
            str(self.part.log),
            pid,
            began,
            int(self.part.stop_signal),
            self.restarts,
            self.reason,
        )


class Supervisor:
    """Runs the parts until it is told to stop, by SIGTERM, by SIGINT, or by the end of the process `owner`."""

    def __init__(self, parts: Sequence[Part], data_dir: Path, report: Progress, owner: Identity | None = None) -> None:
        self._members = [Member(part) for part in parts]
        self._data_dir = data_dir
        self._report = report
        self._owner = owner
        self._stopping = False
        self._looked_at_logs = time.monotonic()

    def run(self, when_ready: Callable[[], None]) -> None:
        """Start everything, call `when_ready` once when all is, keep it running, and return when all is stopped.

        Raises ConfigError when a part does not come up at first; then everything is stopped again.
        """
        told_ready = False
        with _signals(self._stop) as wait:
            try:
                while not self._stopping and (self._owner is None or process.is_alive(self._owner)):
                    for member in self._members:
                        self._tend(member, first=not told_ready)
                    if not told_ready and all(member.state == "ready" for member in self._members):
                        told_ready = True
                        when_ready()
                    self._look_at_logs()
                    wait(IDLE_TURN_SECONDS if self._is_calm() else TURN_SECONDS)
            finally:
                self._stop_all()

    def _stop(self) -> None:
        self._stopping = True

    def _is_calm(self) -> bool:
        return all(member.state == "ready" for member in self._members)

    def _tend(self, member: Member, *, first: bool) -> None:
        """Look at one part. What it cannot do, be it for lack of room on the disk, is a reason like its death."""
        try:
            self._look(member, first=first)
        except (ContinuityError, OSError) as error:
            if first:
                raise error if isinstance(error, ContinuityError) else _cannot(member.part, error) from error
            self._end(member)
            self._died(member, str(error), patience=None)

    def _look(self, member: Member, *, first: bool) -> None:
        """Bring one part one step further."""
        now = time.monotonic()
        if member.process is not None and member.process.poll() is not None:
            self._died(member, _ending(member.process.returncode), patience=FIRST_DEATHS_MAX if first else None)
        elif member.process is None:
            if now >= member.start_not_before and self._has_what_it_needs(member):
                self._start(member)
        elif member.state == "starting":
            if member.part.ready() and _is_the_one(member):
                member.turn_to("ready")
                self._note(Step(member.part.name, f"ready after {now - member.started_at:.1f} s"))
            elif now - member.started_at > member.part.ready_seconds:
                self._end(member)
                # It had its time: a second try would take as long again.
                self._died(
                    member, f"was not ready after {member.part.ready_seconds:.0f} s", patience=1 if first else None
                )

    def _has_what_it_needs(self, member: Member) -> bool:
        ready = {each.part.name for each in self._members if each.state == "ready"}
        return ready.issuperset(member.part.needs)

    def _start(self, member: Member) -> None:
        part = member.part
        logs.prepare(part.log)
        member.turn_to("starting")
        part.prepare()
        member.log_offset = part.log.stat().st_size
        member.started_at = time.monotonic()
        member.process = process.spawn(
            part.command,
            log=part.log,
            environment=part.environment,
            folder=part.folder,
            account=part.account,
            death_signal=part.stop_signal,
        )
        member.identity = process.identify(member.process.pid)
        self._note(Step(part.name, f"starting on port {part.port}" if part.port else "starting"))

    def _died(self, member: Member, ending: str, *, patience: int | None) -> None:
        """Plan the next start. Raises ConfigError when it died `patience` times in a row (None: never)."""
        why = logs.reason(member.part.log, member.log_offset)
        member.reason = f"{ending}: {why}" if why else ending
        lasted = time.monotonic() - member.started_at
        member.deaths_in_a_row = 1 if lasted > QUIET_SECONDS else member.deaths_in_a_row + 1
        member.process = member.identity = None
        if patience is not None and member.deaths_in_a_row >= patience:
            member.turn_to("failed")
            self._note(Step(member.part.name, member.reason))
            raise ConfigError(f"The {member.part.name} {member.reason}", fix=f"See {member.part.log}.")
        pause = BACKOFF_SECONDS[min(member.deaths_in_a_row, len(BACKOFF_SECONDS)) - 1]
        member.restarts += 1
        member.start_not_before = time.monotonic() + pause
        member.turn_to("backing off")
        self._note(Step(member.part.name, f"{member.reason}; starting it again in {pause} s"))

    def _look_at_logs(self) -> None:
        if time.monotonic() - self._looked_at_logs > LOOK_AT_LOGS_SECONDS:
            self._looked_at_logs = time.monotonic()
            for member in self._members:
                logs.bound(member.part.log)

    def _stop_all(self) -> None:
        # Whoever needs others was listed after them.
        for member in reversed(self._members):
            if member.process is not None:
                self._end(member)
            if member.state != "failed":
                member.turn_to("stopped")
            self._note(Step(member.part.name, member.state))

    def _end(self, member: Member) -> None:
        if member.process is None:
            return
        member.turn_to("stopping")
        self._note(Step(member.part.name, "stopping"))
        with contextlib.suppress(ProcessLookupError):
            member.process.send_signal(member.part.stop_signal)
        try:
            member.process.wait(member.part.stop_seconds)
        except subprocess.TimeoutExpired:
            member.reason = f"did not stop within {member.part.stop_seconds:.0f} s and was killed"
            self._note(Step(member.part.name, member.reason))
            member.process.kill()
            member.process.wait()
        member.process = member.identity = None

    def _note(self, step: Step) -> None:
        """Write the new state down and tell whoever listens. A full disk keeps nobody from running or stopping."""
        with contextlib.suppress(OSError):
            register.write(self._data_dir, [member.as_state() for member in self._members])
        with contextlib.suppress(OSError):
            self._report(step)


def _is_the_one(member: Member) -> bool:
    """Whether it was the part that said so. Two stacks that start together may choose the same free port."""
    assert member.process is not None
    return member.part.port == 0 or process.listens(member.process.pid, member.part.port)


def _cannot(part: Part, error: OSError) -> ConfigError:
    return ConfigError(f"The {part.name} cannot be started: {error}.", fix=f"Is the disk full? See {part.log}.")


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[Callable[[float], None]]:
    """Within: SIGTERM, SIGINT and SIGHUP call `stop`, and the yielded function waits, but not past a signal."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            stop()

    def wait(seconds: float) -> None:
        if select.select([reader], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(reader, 1024)

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
    earlier = [signal.signal(number, on_signal) for number in numbers]
    earlier_writer = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield wait
    finally:
        signal.set_wakeup_fd(earlier_writer)
        for number, handler in zip(numbers, earlier, strict=True):
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
