"""The production sequencer in a simulated world of faults: whatever happens, what was told stays true.

`./dev simulate` runs other seeds, makes one that breaks short, and plants bugs. Same seed, same bytes.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from continuity.processors import Sequencer
from tests.simulation import planting, progress, shrink
from tests.simulation.__main__ import main
from tests.simulation.campaign import Outcome, run, run_in_parallel
from tests.simulation.checkers import AT_THE_END
from tests.simulation.faults import FAULTS
from tests.simulation.world import World

SEEDS = range(1_000)

FAULTS_AND_STATES = (
    *(f"fault: {fault.__name__}" for fault in FAULTS),
    # What strangers and clients do
    "stranger: garbage", "stranger: echo", "stranger: malformed epoch", "stranger: old epoch", "stranger: far epoch",
    "stranger: outdated epoch", "stranger: unknown owner", "stray: suffix lost", "stray: middle lost",
    "stray: missing record arrives after all", "command: garbage", "command: nothing", "command: other partition",
    "command: other workflow", "command: bad form", "command: unknown command", "clock: back", "reply: lost",
    # What readers of the log met
    "record: epoch", "record: event", "record: mark", "record: stale", "record: repeat", "record: gap",
    "record: backwards", "record: undecodable", "workflows stopped", "window rolled over",
    # What owners met
    "opening: database away", "opening: outdated, left", "opening: another commands topic", "opening: adopted",
    "opening: commands lost", "opening: with a tail", "opening: tail overflows", "opening: warm cache kept",
    "opening: cache older than the tail", "reopened: dislodged",
    "reopened: a record failed", "reopened: connection lost", "reopened: offset out of range",
    "reopened: the commands topic is another one", "reopened: the projection is ahead", "restored",
    "restored with a tail", "restored while the tail is too short for others", "restored again",
    "database: asked while away", "database: rebuilt",
    "database: rotten journal read", "database: asked for what is not projected", "clock: jumps", "clock: at an expiry",
    # What clients were told
    "told: accepted", "told: duplicate", "told: unavailable unavailable", "told: refused workflow_stopped",
    "told: refused poison", "told: refused wrong_partition", "told: refused idempotency_key_reused",
    "told: refused predecessor_missing", "told: refused expected_seq_mismatch", "told: refused illegal_transition",
    "told: refused unmet_dependencies", "told: refused goal_paused", "told: refused no_such_seq",
    # What executors met
    "lease_acquired: expired predecessor", "lease_acquired: replaced predecessor", "task_claimed: expired predecessor",
    "task_claimed: replaced predecessor", "run out, and ended by work", "run out, and ended by a rollback",
    "released", "released by force", "executor vanished", "blocked by silent deaths", "handed over: predecessor",
    "handed over: checkpoint", "handed over: open_attempts", "grant told again", "grant told again beyond the window",
    "renewal: answered", "held by a renewal", "held by a renewal across a failover", "held by a failover",
    "step_completed", "step_failed", "begun again: pure", "begun again: idempotent", "begun again: non_idempotent",
    "ambiguous attempt told", "completed step: answered", "completed step: duplicate", "late result kept",
    "rolled_back", "ended after its task was undone", "told: refused fenced", "told: refused token_needed",
    "told: refused lease_held", "told: refused lease_expired", "told: refused not_held",
    "told: refused nothing_to_claim", "told: refused step_in_progress", "told: refused step_completed",
    "told: refused step_conflict", "told: refused attempt_closed", "told: refused unknown_attempt",
    # Forks, snapshots, blobs
    "forked", "forked again", "told: refused project_exists", "database: base read from the origin",
    "database: snapshot taken", "database: snapshot read", "database: snapshot passed over",
    "database: projector crashed in a batch", "database: projector waited for blobs", "blob torn",
    "effect repeated under its key",
)  # fmt: skip


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """What all seeds came to."""
    return run_in_parallel(SEEDS)


def test_nothing_that_was_told_ever_turns_out_wrong(outcome: Outcome) -> None:
    assert outcome.violations == []
    assert outcome.runs == len(SEEDS)
    assert outcome.counts["told: accepted"] > 50 * len(SEEDS), "a run in which little happens proves little"
    assert len(AT_THE_END) == len(set(AT_THE_END))


def test_every_fault_and_every_state_it_leads_to_was_there(outcome: Outcome) -> None:
    assert not [name for name in FAULTS_AND_STATES if not outcome.counts[name]]


def test_the_same_seed_gives_the_same_bytes_in_any_process() -> None:
    """So that a seed that breaks somewhere breaks everywhere: no set's order, no clock and no drawn id may show."""
    script = "from tests.simulation.world import World; print(*(World(seed).run().digest() for seed in range(3)))"
    here = " ".join(World(seed).run().digest() for seed in range(3)) + "\n"
    for hash_seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": hash_seed}
        there = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=True, text=True)
        assert there.stdout == here


def test_a_campaign_that_is_ended_early_says_what_came_of_the_first_seeds() -> None:
    ended = run_in_parallel(range(1_000), 1, lambda _: True)
    assert ended == run(range(ended.runs))
    assert 0 < ended.runs < 50


def test_a_campaign_that_was_interrupted_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def campaign(*arguments: str) -> dict[str, Any]:
        assert main([*arguments, "--processes", "1", "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return {name: found[name] for name in ("runs", "faults", "states")}

    kept = ("--progress", str(tmp_path / "kept.json"))
    assert campaign("--seeds", "3..4", *kept)["runs"] == 2
    whole = campaign("--seeds", "3..6")
    assert campaign("--seeds", "3..6", *kept) == whole
    assert campaign("--seeds", "3..6", *kept) == whole, "nothing is left to do"
    assert main(["--seeds", "3..5", *kept]) == 2, "of more seeds than it is asked for"
    assert main(["--seeds", "4..9", *kept]) == 2, "of others"
    monkeypatch.setattr(progress, "code", lambda: "another")
    assert main(["--seeds", "3..6", *kept]) == 2, "of worlds as other code made them"


def test_a_world_is_of_some_size() -> None:
    world = World(7).run()
    assert len(world.clients.wanted) >= 200
    assert len({fact.event["workflow_id"] for fact in world.truth.facts.values()}) >= 3
    assert len({fact.event["tenant"] for fact in world.truth.facts.values()}) == 2


@pytest.mark.parametrize("planted", planting.all_planted(), ids=lambda each: each.name)
def test_a_planted_bug_still_fits_the_product(planted: planting.Planted, copy: Path) -> None:
    """That each is caught, and by what, is `./dev simulate --planted`, which takes minutes."""
    planting.apply(planted, copy)
    planting.apply(planted, copy, reverse=True)


@pytest.fixture(scope="module")
def copy() -> Iterator[Path]:
    with planting.copied() as folder:
        yield folder


def test_a_bug_is_caught_named_and_made_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here results that come too late are lost."""
    monkeypatch.setattr(Sequencer, "_late_result", lambda *_: None)
    found = run(range(26, 27))
    assert [broken.checker for broken in found.violations] == ["late_results_are_kept"]
    shrunk = shrink.shrink(26)
    assert shrunk is not None
    assert shrunk.checker == "late_results_are_kept"
    assert shrunk.steps < 300
    assert shrunk.trace
