"""The programs of a comparison: servers that are stopped with their context, and drivers that print what they saw.

Everything that is started here gets SIGTERM when this process dies, however it dies.
"""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen, TimeoutExpired

from benchmarks.peers.drivers.loop import Measurement
from benchmarks.peers.peer import PAYLOAD_BYTES, Driver
from benchmarks.peers.seen import Seen
from continuity.embedded import ports, process

ROOT = Path(__file__).parents[2]
READY_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 20.0
SPARE_SECONDS = 90
"""What a driver may take beside measuring: to connect, to make its objects, to let the last calls end."""
POLL_SECONDS = 0.05
WORDS = 2_000


class Failed(Exception):
    """A program did not do what it had to; its last words are in the message."""


def free_ports(count: int) -> list[int]:
    """So many ports on 127.0.0.1 where nobody listens."""
    taken: set[int] = set()
    return [
        ports.choose("peers", "127.0.0.1", configured=None, remembered=None, usual=0, taken=taken) for _ in range(count)
    ]


def listens(port: int) -> bool:
    """Whether somebody serves that port on 127.0.0.1."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def started(
    command: Sequence[str | Path], *, log: Path, environment: Mapping[str, str], ready: Callable[[], bool]
) -> Iterator[Popen[bytes]]:
    """A server, ready; stopped at the end. Raises Failed when it does not become ready."""
    child = _spawn(command, log, environment)
    try:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not ready():
            if child.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{Path(command[0]).name} did not become ready: {_words(log)}")
            time.sleep(POLL_SECONDS)
        yield child
    finally:
        _stop(child)


def drive(driver: Driver, measurements: Iterable[Measurement], scratch: Path) -> list[Seen]:
    """Run a driver, bounded in time; what it saw. Raises Failed when it ends badly, or not at all."""
    asked = list(measurements)
    seconds = sum(each.warm_up_seconds + each.seconds for each in asked)
    plan = {
        "measurements": asked,
        "address": driver.address,
        "payload_bytes": PAYLOAD_BYTES,
        "seconds_max": int(seconds) + SPARE_SECONDS,
    }
    printed = scratch / f"driver-{time.monotonic_ns()}.log"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    child = _spawn(
        [driver.python, "-m", driver.module, json.dumps(plan)], printed, {**environment, **driver.environment}
    )
    try:
        status = child.wait(seconds + SPARE_SECONDS + STOP_SECONDS_MAX)
    except TimeoutExpired:
        raise Failed(f"{driver.module} did not end: {_words(printed)}") from None
    finally:
        _stop(child)
    if status:
        raise Failed(f"{driver.module} ended with {status}: {_words(printed)}")
    lines = printed.read_text(encoding="utf-8", errors="replace").splitlines()
    return [Seen(**json.loads(line)) for line in lines if line.startswith('{"operation"')]


def _spawn(command: Sequence[str | Path], log: Path, environment: Mapping[str, str]) -> Popen[bytes]:
    return process.spawn(
        [str(word) for word in command],
        log=log,
        environment=environment,
        folder=log.parent,
        account=None,
        death_signal=signal.SIGTERM,
    )


def _stop(child: Popen[bytes]) -> None:
    # Each has a session of its own, so that what it started itself ends with it.
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(TimeoutExpired):
            child.wait(STOP_SECONDS_MAX)


def _words(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-WORDS:].strip() or "(without a word)"
