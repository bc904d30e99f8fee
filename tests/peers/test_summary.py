"""What the turns of a comparison come to: medians, ratios, and targets that a loss misses as plainly as a win meets."""

import pytest

from benchmarks.peers import comparing, report, summary
from benchmarks.peers.comparing import QUICK, SYSTEMS
from benchmarks.peers.drivers.loop import OBJECTS, own
from benchmarks.peers.ours import HTTP, NATIVE
from benchmarks.peers.peer import CONCURRENCIES
from benchmarks.peers.summary import DBOS, EVENTSOURCING, RESTATE, TEMPORAL
from benchmarks.rows import Latencies


def flat(per_second, p50_ms=1.0):
    return [Latencies(per_second, p50_ms, p50_ms * 3)]


def rows_of(found):
    return {row.name: row for row in summary.rows(found)}


def test_a_figure_is_the_median_of_its_turns_whatever_their_order():
    turns = {(NATIVE, 1): [Latencies(90, 5.0, 9.0), Latencies(10, 1.0, 2.0), Latencies(50, 3.0, 30.0)]}
    assert summary.medians(turns) == {(NATIVE, 1): Latencies(50, 3.0, 9.0)}


def test_wins_and_losses_are_rows_of_the_same_kind():
    found = summary.medians(
        {
            (NATIVE, 1): flat(300, p50_ms=4.0),
            (HTTP, 1): flat(99, p50_ms=12.0),
            (DBOS, 1): flat(100, p50_ms=10.0),
        }
    )
    seen = {name: (row.value, row.met) for name, row in rows_of(found).items() if "ratio" in row.unit}
    assert seen == {
        "continuity, native to DBOS workflow, throughput, c=1": (3.0, True),
        "continuity, native to DBOS workflow, p50, c=1": (0.4, True),
        "continuity, HTTP to DBOS workflow, throughput, c=1": (0.99, False),
        "continuity, HTTP to DBOS workflow, p50, c=1": (1.2, False),
    }


def test_every_rival_has_a_target_at_every_concurrency_both_ways():
    found = summary.medians(
        {(each, callers): flat(1) for each in (NATIVE, HTTP, *summary.RIVALS) for callers in CONCURRENCIES}
    )
    wanted = [row for row in summary.rows(found) if row.target == summary.AHEAD]
    assert len(wanted) == len(summary.RIVALS) * 2 * (len(CONCURRENCIES) + 1)


def test_multiples_are_taken_of_a_rivals_best_at_any_concurrency():
    theirs = {(RESTATE, 1): flat(10), (RESTATE, 8): flat(1_000), (RESTATE, 64): flat(400)}
    found = summary.medians({**theirs, (TEMPORAL, 8): flat(200), (NATIVE, 64): flat(2_500), (NATIVE, 256): flat(3_999)})
    seen = rows_of(found)
    at_64, at_256 = (seen[f"continuity, native, c={callers}, to Restate's best"] for callers in (64, 256))
    assert (at_64.value, at_64.met) == (2.5, True)
    assert at_256.met is False
    assert seen["continuity, native, c=64, to Temporal's best"].met is False


def test_eventsourcing_is_a_target_from_eight_callers_on():
    found = summary.medians({(each, callers): flat(5) for each in (NATIVE, EVENTSOURCING) for callers in (1, 8, 64)})
    targets = {name: row.target for name, row in rows_of(found).items() if "throughput" in name}
    assert list(targets.values()) == [None, 1.0, 1.0]


def test_what_was_not_measured_has_no_row_and_no_target():
    found = summary.medians({(NATIVE, 1): flat(5), (RESTATE, 8): flat(5), (TEMPORAL, 1): []})
    assert not [row for row in summary.rows(found) if row.unit == "ratio"]


def test_the_page_has_ratios_before_figures_and_says_what_was_left_out():
    found = summary.medians({(NATIVE, 8): flat(1_234), (RESTATE, 8): flat(2_468)})
    page = report.page(found, {"temporal": "its server is built with Go"}, QUICK, "a machine")
    ratios, figures, left_out = (page.index(each) for each in ("| 0.50 |", "| 1,234;", "- temporal: its server"))
    assert ratios < figures < left_out
    assert "| missed |" in page


def test_the_page_names_the_last_of_a_programs_words_and_what_was_installed():
    page = report.page({}, {"dbos": "failed in turn 1: a driver ended with 1:\n at line 7\nno connection"}, QUICK, "")
    assert "- dbos: no connection\n" in page
    assert "go.temporal.io/server v1.31.2, @restatedev/restate-server 1.7.12, dbos 3.4.0" in page


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_each_turn_has_every_system_and_begins_with_another_one(turns):
    orders = [comparing.rotated(SYSTEMS, turn, turns) for turn in range(turns)]
    assert all(len(order) == len({each.NAME for each in order}) == len(SYSTEMS) for order in orders)
    assert len({order[0].NAME for order in orders}) == turns


@pytest.mark.parametrize("callers", CONCURRENCIES)
def test_no_two_callers_ever_share_an_object(callers):
    shares = [{own(caller, callers, number) for number in range(2 * OBJECTS)} for caller in range(callers)]
    assert sum(map(len, shares)) == len(set().union(*shares)) == OBJECTS
