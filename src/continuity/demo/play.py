"""Plays the demonstration with real processes on a running stack, and compares what they were answered, as bytes.

The first agent is killed between two checkpoints. What is next was asked before, by a process of its own, and is asked
again afterwards, by another one and by the second agent. Then the stack is stopped and started, between two more.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from signal import SIGKILL
from typing import Any, NamedTuple, TypedDict

from continuity import keys
from continuity.config import Settings
from continuity.core import canonical
from continuity.core.next_step import NextStep
from continuity.demo import executor
from continuity.errors import ContinuityError

FIRST, SECOND = "ada", "ben"
PATIENCE_SECONDS = 60.0
"""An agent or a question that takes longer than this is ended, and the demonstration has failed."""


class Beat(NamedTuple):
    """Something that happened: `who` is an agent's name, or the stage's; `told` depends on `what`."""

    who: str
    what: str
    told: Mapping[str, Any]


Tell = Callable[[Beat], None]
Restart = Callable[[], Settings]
"""Stops everything and starts it again; the settings of the new start."""


class Ending(TypedDict):
    """What the demonstration found. `next_step` is the answer that stands at the end, `answer_bytes` its length.

    `resumed_same_step`: the second agent was told, byte for byte, what was answered before the first was killed, and
    the first thing that it did is the step in which the other one was killed.
    `next_step_match` and `state_checksum_match`: the same over the kill and over the restart of everything.
    """

    ok: bool
    project: str
    events: int
    resumed_same_step: bool
    next_step_match: bool
    state_checksum_match: bool
    next_step: NextStep
    answer_bytes: int
    seconds: float


def play(settings: Settings, project: str, *, restart: Restart, tell: Tell) -> Ending:
    """Play all of it in a new project. Raises ContinuityError when a process does not do its part."""
    started = time.monotonic()
    with _keys_for(settings, FIRST, SECOND) as keys_of:
        stage = _Stage(settings, project, tell)
        working = stage.first_agent(keys_of[FIRST])
        orphaned = stage.ask()
        resumed, first_step = stage.second_agent(keys_of[SECOND], told_before=working)
    left = stage.ask()
    stage.tell("stopping")
    settings = restart()
    again = _Stage(settings, project, tell).ask()
    kill, stop = {working, orphaned, resumed}, {left, again}
    checksums = [{_parsed(answer)["state_checksum"] for answer in group} for group in (kill, stop)]
    ending = Ending(
        ok=False,
        project=project,
        events=_parsed(again)["as_of_seq"],
        resumed_same_step=len(kill) == 1 and first_step == executor.HANGS_IN,
        next_step_match=len(kill) == len(stop) == 1,
        state_checksum_match=all(len(group) == 1 for group in checksums),
        next_step=_parsed(again),
        answer_bytes=len(again),
        seconds=round(time.monotonic() - started, 2),
    )
    ending["ok"] = all(ending[name] for name in ("resumed_same_step", "next_step_match", "state_checksum_match"))
    stage.tell("started again", same=left == again, step_now=_parsed(again), length=len(again))
    return ending


class _Stage:
    """One project on one stack, and the processes that work and ask there."""

    def __init__(self, settings: Settings, project: str, tell: Tell) -> None:
        self._settings = settings
        self._project = project
        self._tell = tell

    def tell(self, what: str, **told: Any) -> None:
        """Something that no agent did."""
        self._tell(Beat("stage", what, told))

    def first_agent(self, key: str) -> bytes:
        """Begin the project, stop in the middle of a step, be killed. What was next, asked while it still worked."""
        with self._agent(FIRST, key, "--plan", "--hang-in", executor.HANGS_IN) as (process, lines):
            for what in lines:
                if what["what"] == "doing" and what["step"] == executor.HANGS_IN:
                    answer = self.ask()
                    process.send_signal(SIGKILL)
                    process.wait()
                    self._tell(Beat(FIRST, "killed", {"during": executor.HANGS_IN}))
                    return answer
        raise ContinuityError(
            f"The agent {FIRST} ended before it came to its third step.", fix="See what it said above."
        )

    def second_agent(self, key: str, *, told_before: bytes) -> tuple[bytes, str]:
        """Go on in a new process, and leave in the middle of the next task. What it was answered and did first."""
        answer, did = b"", ""
        with self._agent(SECOND, key, "--leave-before", executor.LEAVES_BEFORE) as (_, lines):
            for what in lines:
                if what["what"] == "asked" and not answer:
                    answer = what["answer"].encode()
                    told = {"step_now": _parsed(answer), "same": answer == told_before, "length": len(answer)}
                    self._tell(Beat(SECOND, "answered", told))
                elif what["what"] == "doing" and not did:
                    did = what["step"]
        return answer, did

    def ask(self) -> bytes:
        """What is next, as the bytes that a process of its own was answered."""
        try:
            return subprocess.run(
                [sys.executable, "-m", "continuity.demo.witness", self._project],
                env=self._environment(),
                capture_output=True,
                timeout=PATIENCE_SECONDS,
                check=True,
            ).stdout
        except subprocess.SubprocessError as error:
            said = getattr(error, "stderr", None) or str(error).encode()
            raise ContinuityError("Nobody answers what is next.", fix=_last_line(said.decode())) from None

    @contextmanager
    def _agent(
        self, name: str, key: str, *options: str
    ) -> Iterator[tuple["subprocess.Popen[str]", Iterator[dict[str, Any]]]]:
        """An agent's process, and what it tells, which is told on."""
        command = [sys.executable, "-m", "continuity.demo.agent", self._project, name, *options]
        with subprocess.Popen(
            command,
            env={**self._environment(), "CONTINUITY_KEY": key},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            overdue = threading.Timer(PATIENCE_SECONDS, process.kill)
            overdue.start()
            self._tell(Beat(name, "begins" if name == FIRST else "takes over", {"pid": process.pid}))
            try:
                yield process, self._told_by(name, process)
            finally:
                overdue.cancel()
                process.kill()

    def _told_by(self, name: str, process: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            what = json.loads(line)
            self._tell(Beat(name, what["what"], what))
            yield what
        if process.wait():
            raise ContinuityError(
                f"The agent {name} ended with code {process.returncode}.", fix=_last_line(process.stderr.read())
            )

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self._settings.environment()}


@contextmanager
def _keys_for(settings: Settings, *names: str) -> Iterator[dict[str, str]]:
    """A key for each agent, taken back at the end: the events then say who did what."""
    made = {
        name: keys.issue_key(settings.data_dir, tenant=keys.LOCAL_TENANT, operator_id=name, operator_kind="agent")
        for name in names
    }
    try:
        yield made
    finally:
        wanted = {keys.digest(key) for key in made.values()}
        for caller in keys.list_keys(settings.data_dir):
            if any(digest.startswith(caller.key_id) for digest in wanted):
                keys.revoke_key(settings.data_dir, caller.key_id)


def _parsed(answer: bytes) -> NextStep:
    step: NextStep = canonical.loads(answer)
    return step


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["It said nothing."])[-1]
