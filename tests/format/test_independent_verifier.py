"""The verifier that was written from FORMAT.md alone reaches the verdict of `continuity verify FILE`."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from continuity.core.state import State
from continuity.review import verify_file
from tests.core import test_audit as forgeries
from tests.core.test_restore import EVENTS
from tests.format import independent_verifier
from tests.review.incidents import MUTATIONS, lines_of, packed
from tests.spec import WORKFLOW, Story, add_task, create_goal, given

SOURCE = Path(independent_verifier.__file__)
LINES = lines_of(EVENTS)
ROUNDS = 12


def ours(path: Path, raw: bytes) -> tuple[bool, int]:
    path.write_bytes(raw)
    found = verify_file(path)
    return found.ok, found.problems[0].line if found.problems else 0


def test_it_is_one_short_file_that_imports_nothing_of_ours() -> None:
    text = SOURCE.read_text()
    assert len(text.splitlines()) <= 200
    imported = set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE))
    assert imported - sys.stdlib_module_names == {"zstandard"}


def test_it_runs_alone(tmp_path: Path) -> None:
    for raw, code in ((packed(LINES), 0), (packed(LINES[:-2] + LINES[-1:]), 1)):
        done = subprocess.run([sys.executable, "-I", SOURCE], input=raw, cwd=tmp_path, check=False)
        assert done.returncode == code


@pytest.mark.parametrize("count", [0, 1, len(EVENTS) // 2, len(EVENTS)])
def test_both_pass_a_whole_file(tmp_path: Path, count: int) -> None:
    raw = packed(lines_of(EVENTS[:count]))
    assert ours(tmp_path / "f", raw) == independent_verifier.verify(raw) == (True, 0)


@pytest.mark.parametrize(("name", "mutation"), MUTATIONS, ids=[name for name, _ in MUTATIONS])
def test_both_reach_one_verdict_on_mutated_files(tmp_path: Path, name: str, mutation: Any) -> None:
    counts: Counter[bool] = Counter()
    for seed in range(ROUNDS):
        lines, raw = mutation(Random(f"{name} {seed}"), LINES)
        whole = packed(lines) if raw is None else raw
        mine, theirs = ours(tmp_path / "f", whole), independent_verifier.verify(whole)
        assert mine[0] == theirs[0], (seed, mine, theirs)
        if raw is None and 1 < mine[1] < len(lines) - 1:  # an event's line: of the file's ends either may be named
            assert mine == theirs, (seed, mine, theirs)
        counts[mine[0]] += 1
    # A skilful edit may be one that only the sequencer could tell: of who acted, and when within a millisecond.
    assert counts[False] >= ROUNDS - (4 if "skilful" in name else 1)


def test_there_were_a_hundred_of_them() -> None:
    assert len(MUTATIONS) * ROUNDS >= 100


FORGED = next(mark for mark in forgeries.test_a_forged_event_with_right_hashes_is_named.pytestmark).args[1]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("story", "forge", "field"), FORGED)
def test_both_name_what_no_decider_would_decide(tmp_path: Path, story: Story, forge: Any, field: str) -> None:
    del field
    events = [*story.events, forge(story)]
    raw = packed(lines_of(events))
    assert ours(tmp_path / "f", raw) == independent_verifier.verify(raw) == (False, len(events) + 1)


def test_both_pass_whatever_is_decided(tmp_path: Path) -> None:
    for seed in range(8):
        random = Random(seed)
        story = given(create_goal("goal"), add_task("t0"), add_task("t1"))
        for _ in range(60):
            token = max(story.state.token_counter - random.randrange(3), 0)
            asked = forgeries.asked(random.randrange(17), random.randrange(4), token)
            story = story.later(random.randrange(120)).when(asked)
        raw = packed(lines_of(story.events))
        assert ours(tmp_path / "f", raw) == independent_verifier.verify(raw) == (True, 0)


def test_both_pass_a_claim_that_its_holder_has_anew_where_five_had_vanished(tmp_path: Path) -> None:
    raw = packed(lines_of(forgeries.claimed_anew().events))
    assert ours(tmp_path / "f", raw) == independent_verifier.verify(raw) == (True, 0)


@pytest.mark.parametrize("seq", [1, 4, 8])
def test_both_pass_a_fork_on_its_base_and_on_no_other(tmp_path: Path, seq: int) -> None:
    fork, base = forgeries.forked_project(seq)
    _, other = forgeries.forked_project(seq + 1)
    for state, verdict in ((base, (True, 0)), (other, (False, 2)), (None, (False, 2))):
        raw = packed(lines_of(fork.events, state))
        assert ours(tmp_path / "f", raw) == independent_verifier.verify(raw) == verdict


def test_the_empty_state_is_the_one_of_the_page() -> None:
    assert State(WORKFLOW).checksum == independent_verifier.NOTHING
