"""The supervisor as a process of its own: a request on standard input, reports as JSON lines on standard output.

It leaves its caller's session, so that neither a closed terminal nor the caller's end touches it; once the stack is
ready, or cannot be, it lets go of the pipe. Everything it reports is also a line of `logs/supervisor.log`. Started by
`stack.up` only.
"""

import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from continuity.embedded import logs
from continuity.embedded.launch import READY, Request, supervise
from continuity.embedded.progress import Step
from continuity.errors import ContinuityError


class Reporter:
    """Tells the caller, as long as there is one, and the log."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._has_log = False

    def report(self, step: Step) -> None:
        """One step, to both."""
        self._write(f"{step.part}: {step.message}" + (f" {step.done}/{step.total}" if step.total else ""))
        self.tell({"step": step._asdict()})
        if step == READY:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)

    def tell(self, message: dict[str, object]) -> None:
        """One message to the caller. One who is gone before the stack is ready has given up, and so do we."""
        try:
            os.write(sys.stdout.fileno(), (json.dumps(message) + "\n").encode("ascii"))
        except BrokenPipeError:
            os.kill(os.getpid(), signal.SIGTERM)

    def _write(self, text: str) -> None:
        if not self._has_log:
            # Only now: the first report comes from whoever holds the data folder, so no second start writes here.
            logs.prepare(self._log)
            descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND)
            os.dup2(descriptor, sys.stderr.fileno())
            os.close(descriptor)
            self._has_log = True
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        sys.stderr.write(f"{now} {text}\n")
        sys.stderr.flush()


def main() -> int:
    """Leave the caller, run the stack, and return the exit code: 0 stopped as asked, 1 could not start."""
    request = Request.from_json(sys.stdin.read())
    if os.fork() != 0:
        # The caller waits for this one, and the supervisor becomes nobody's child: no zombie stays behind.
        os._exit(0)
    os.setsid()
    os.chdir("/")
    reporter = Reporter(request.settings.data_dir / "logs" / "supervisor.log")
    try:
        supervise(request, reporter.report)
    except ContinuityError as error:
        reporter.tell({"failed": {"detail": error.detail, "fix": error.fix, "code": error.code}})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
