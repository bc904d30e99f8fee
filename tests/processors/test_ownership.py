"""Sequencers as processes: they share the partitions, take over from one that was killed, and leave without a gap."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from continuity.config import Settings
from continuity.producers import CommandClient
from continuity.producers.request import Outcome
from tests.eventually import eventually
from tests.processors.asking import checkpoint, project_at_home, task_in
from tests.processors.readback import Log
from tests.processors.running import SequencerProcess, sequencer_process

pytestmark = pytest.mark.stack

TAKEOVER_SECONDS = 60


class Traffic:
    """A project at home in each partition, and a client that goes on with one command after the other in each."""

    def __init__(self, settings: Settings, client: CommandClient) -> None:
        self.client = client
        self.projects = [project_at_home(number, settings.partitions) for number in range(settings.partitions)]
        self.tasks = [task_in(client, each) for each in self.projects]
        self.outcomes: list[list[Outcome]] = [[] for _ in self.projects]
        self.errors: list[BaseException] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._go_on, args=(number,)) for number in range(len(self.projects))]
        for thread in self._threads:
            thread.start()

    def _go_on(self, number: int) -> None:
        try:
            while not self._stop.is_set():
                batch: list[Future[Outcome]] = [
                    self.client.submit(
                        checkpoint(self.projects[number], self.tasks[number]), deadline_seconds=TAKEOVER_SECONDS
                    )
                    for _ in range(5)
                ]
                self.outcomes[number] += [future.result() for future in batch]
        except BaseException as error:  # noqa: BLE001 - it is raised again by `end`
            self.errors.append(error)

    def moves_on(self) -> None:
        """Wait until each partition answers commands that were sent from now on."""
        counts = [len(each) for each in self.outcomes]
        eventually(
            lambda: (
                all(len(each) > count + 5 for each, count in zip(self.outcomes, counts, strict=True)) or self.errors
            ),
            TAKEOVER_SECONDS,
            "all partitions answer",
        )
        assert not self.errors

    def end(self) -> list[Outcome]:
        self._stop.set()
        for thread in self._threads:
            thread.join(TAKEOVER_SECONDS)
        assert not self.errors, self.errors
        return [outcome for each in self.outcomes for outcome in each]


@pytest.fixture
def first(settings: Settings, projector: None, tmp_path: Path) -> Iterator[SequencerProcess]:
    del projector
    with sequencer_process(settings, tmp_path / "first.log") as running:
        eventually(lambda: running.partitions() == {0, 1}, TAKEOVER_SECONDS, "the first one owns everything")
        yield running


@pytest.fixture
def second(settings: Settings, first: SequencerProcess, tmp_path: Path) -> Iterator[SequencerProcess]:
    with sequencer_process(settings, tmp_path / "second.log") as running:
        eventually(
            lambda: len(running.partitions()) == len(first.partitions()) == 1,
            TAKEOVER_SECONDS,
            "they share the partitions",
        )
        yield running


def finished(settings: Settings, traffic: Traffic) -> None:
    outcomes = traffic.end()
    assert {each["status"] for each in outcomes} <= {"accepted", "duplicate"}
    for each in traffic.outcomes:
        seqs = [outcome["event_seq"] for outcome in each]
        assert seqs == list(range(3, 3 + len(seqs))), "lost, doubled or reordered"
    log = Log(settings)
    log.holds(outcomes)
    assert not log.stopped


def test_a_second_process_takes_half_of_the_work_without_a_gap(
    settings: Settings, first: SequencerProcess, tmp_path: Path
) -> None:
    with CommandClient(settings) as client:
        traffic = Traffic(settings, client)
        traffic.moves_on()
        with sequencer_process(settings, tmp_path / "second.log") as second:
            eventually(lambda: len(second.partitions()) == 1, TAKEOVER_SECONDS, "the second one owns one")
            traffic.moves_on()
            assert first.partitions() | second.partitions() == {0, 1}
            assert second.terminate() == 0
            traffic.moves_on()
        finished(settings, traffic)


def test_a_killed_one_is_replaced_and_nothing_acknowledged_is_lost_or_doubled(
    settings: Settings, first: SequencerProcess, second: SequencerProcess
) -> None:
    with CommandClient(settings) as client:
        traffic = Traffic(settings, client)
        traffic.moves_on()
        first.kill()
        eventually(lambda: second.partitions() == {0, 1}, TAKEOVER_SECONDS, "the other has taken over")
        traffic.moves_on()
        finished(settings, traffic)


def test_an_orderly_leave_is_quick(settings: Settings, first: SequencerProcess, second: SequencerProcess) -> None:
    """Not after the time-out of a session: the group is told."""
    with CommandClient(settings) as client:
        traffic = Traffic(settings, client)
        traffic.moves_on()
        start = time.monotonic()
        assert first.terminate() == 0
        eventually(lambda: second.partitions() == {0, 1}, TAKEOVER_SECONDS, "the other has taken over")
        seconds = time.monotonic() - start
        traffic.moves_on()
        finished(settings, traffic)
    assert seconds < 6, "it took as long as if it had been killed"


def test_one_that_stood_still_and_wakes_up_writes_nothing_that_counts(
    settings: Settings, first: SequencerProcess, second: SequencerProcess
) -> None:
    """A paused process is the forgotten owner: its group has moved on, and it does not know."""
    with CommandClient(settings) as client:
        traffic = Traffic(settings, client)
        traffic.moves_on()
        first.pause()
        eventually(lambda: second.partitions() == {0, 1}, TAKEOVER_SECONDS, "the other has taken over")
        traffic.moves_on()
        first.resume()
        eventually(lambda: first.says("gave up partitions"), TAKEOVER_SECONDS, "it has noticed")
        traffic.moves_on()
        finished(settings, traffic)
