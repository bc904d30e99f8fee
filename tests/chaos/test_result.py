"""What a run comes to, and what it takes to be good; the lines from which recoveries are read; the drawing."""

import asyncio
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from chaos import plot, report
from chaos.campaign import FAULTS_MIN, MINUTES, Fault, faults_min, kinds_of, minimum_of
from chaos.probes import Line
from chaos.report import Result

KINDS = kinds_of(with_disks=True)


def good(minutes: float = MINUTES) -> Result:
    faults = [
        Fault(kind.name, "sequencer-0", 1.0, "gone", kind.alone, float(number % 9))
        for kind in KINDS
        for number in range(max(kind.wanted, kind.minimum) + 1)
    ]
    return Result(1, minutes, seconds=60 * minutes, kinds=KINDS, faults=faults, acknowledged=1)


def test_a_full_deck_is_enough():
    result = good()
    assert result.seen >= FAULTS_MIN
    assert result.is_good, result.too_few
    assert {"faults", "acknowledged", "lost", "doubled", "violations"} <= result.to_json().keys()


@pytest.mark.parametrize("wrong", ["lost", "doubled", "violations"])
def test_one_sentence_is_enough_to_fail(wrong):
    result = good()
    setattr(result, wrong, ["an event"])
    assert not result.is_good
    assert result.to_json()[wrong] == 1


def test_nothing_acknowledged_proves_nothing():
    assert not replace(good(), acknowledged=0).is_good


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_that_was_not_seen_often_enough_fails_the_run(kind):
    assert minimum_of(kind, MINUTES) > 0
    result = good()
    for fault in result.faults:
        if fault.kind == kind.name:
            fault.evidence = None  # struck, and without effect
    assert not result.is_good
    assert any(each.startswith(kind.name) for each in result.too_few)


def test_too_few_of_all_kinds_fail_a_long_run():
    result = good()
    result.faults = result.faults[: FAULTS_MIN - 1]
    assert f"all kinds: {FAULTS_MIN - 1} of {FAULTS_MIN}" in result.too_few
    assert faults_min(MINUTES / 2) == 0


def test_the_page_and_its_drawing_show_every_kind(tmp_path):
    page = tmp_path / "chaos.md"
    report.write(good(), page)
    text, picture = page.read_text(), (tmp_path / "chaos-recovery.svg").read_text()
    assert all(kind.name in text and kind.name in picture for kind in KINDS)
    assert ET.fromstring(picture).tag.endswith("svg")
    assert "prefers-color-scheme:dark" in picture


def test_a_kind_without_a_recovery_has_no_row():
    assert "broker" not in plot.drawn("Recovery", {"broker killed": [], "API killed": [0.5]})


def test_a_recovery_is_the_first_answer_to_what_was_asked_after_it():
    async def story() -> None:
        is_away = True
        asked: list[int] = []

        async def ask(number: int) -> bool:
            asked.append(number)
            return not is_away

        line = Line("partition-0", ask, period_seconds=0.001)
        ended = asyncio.Event()
        running = asyncio.create_task(line.run(ended.is_set))
        loop = asyncio.get_running_loop()
        since = loop.time()
        recovery = line.recovery(since)
        while len(asked) < 5:  # noqa: ASYNC110 - it is the line itself that is waited for
            await asyncio.sleep(0)
        assert not recovery.done()
        is_away = False
        moment = await asyncio.wait_for(recovery, 10)
        assert moment > since
        assert await line.recovery(since) == moment, "also when it is asked for afterwards"
        ended.set()
        await running

    asyncio.run(story())
