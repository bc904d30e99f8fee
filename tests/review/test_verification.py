"""An incident file proves itself: whole ones pass, and what was done to a file is named by line, event and field."""

import io
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import zstandard

from continuity.core import canonical
from continuity.core.state import State
from continuity.errors import ConfigError
from continuity.review import incident, verify_file
from tests.core.test_restore import EVENTS, STORY
from tests.review.incidents import closed, lines_of, packed, rehashed, with_events
from tests.spec import PROJECT, TENANT, WORKFLOW

LINES = lines_of(EVENTS)
LAST = len(LINES)


def verdict(path: Path, raw: bytes) -> Any:
    path.write_bytes(raw)
    return verify_file(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "incident.jsonl.zst"


def problems(path: Path, lines: list[bytes]) -> list[tuple[int, int | None, str]]:
    found = verdict(path, packed(lines))
    assert found.ok == (not found.problems)
    return [(each.line, each.event_seq, each.field) for each in found.problems]


def test_a_whole_file_passes_and_says_whose_it_is(path: Path) -> None:
    found = verdict(path, packed(LINES))
    head = EVENTS[-1]
    assert found == (True, TENANT, PROJECT, WORKFLOW, len(EVENTS), len(EVENTS), head["event_hash"], [])


def test_an_empty_history_is_one_too(path: Path) -> None:
    assert problems(path, lines_of([])) == []


def test_its_lines_are_canonical_json_and_events_are_whole_records(path: Path) -> None:
    path.write_bytes(packed(LINES))
    lines = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read().split(b"\n")
    assert [canonical.dumps(json.loads(line)) for line in lines[:-1]] == lines[:-1]
    assert [json.loads(line) for line in lines[1:-2]] == EVENTS


def test_a_bit_flipped_anywhere_in_the_lines_is_named(path: Path) -> None:
    random = Random(7)
    for _ in range(150):
        at = random.randrange(LAST)
        raw = bytearray(LINES[at])
        raw[random.randrange(len(raw) - 1)] ^= 1 << random.randrange(8)
        found = problems(path, [*LINES[:at], bytes(raw), *LINES[at + 1 :]])
        lines = {line for line, _, _ in found}
        # A line feed in the middle makes two lines of one; what counts is that nothing passes, named where it begins.
        assert found
        assert at + 1 in lines or LAST in lines, (at, found)


def test_missing_doubled_and_swapped_lines_are_named(path: Path) -> None:
    for at in range(1, LAST - 2):
        dropped = problems(path, LINES[:at] + LINES[at + 1 :])
        doubled = problems(path, LINES[: at + 1] + LINES[at:])
        swapped = problems(path, [*LINES[:at], LINES[at + 1], LINES[at], *LINES[at + 2 :]])
        assert dropped[0] == (at + 1, at + 1, "event_seq")
        assert doubled[0] == (at + 2, at, "event_seq")
        assert swapped[0] == (at + 1, at + 1, "event_seq")
        assert (LAST - 1, None, "digest") in dropped
        assert (LAST + 1, None, "digest") in doubled
        assert (LAST, None, "digest") in swapped


def test_a_file_that_ends_too_early_is_named(path: Path) -> None:
    assert (LAST, None, "line") in problems(path, LINES[:-1])
    assert problems(path, [*LINES[:-1], LINES[-1][:-1]])[-1] == (LAST, None, "line")
    assert problems(path, LINES[:-2] + closed([LINES[0], *LINES[1:-2], b""])[-1:])[0] == (1, None, "count")
    raw = packed(LINES)
    for end in (0, 1, len(raw) // 2, len(raw) - 1):
        assert verdict(path, raw[:end]).problems[-1].field == "compression"


def test_what_stands_behind_the_end_is_named(path: Path) -> None:
    assert problems(path, [*LINES, b"{}\n"]) == [(LAST + 1, None, "line")]
    raw = packed(LINES)
    for more in (b"x", raw, zstandard.compress(b""), b"\x50\x2a\x4d\x18\x01\x00\x00\x00x"):
        assert [each.field for each in verdict(path, raw + more).problems] == ["compression"]


def test_an_edit_by_somebody_who_makes_the_trailer_right_is_named(path: Path) -> None:
    for at, event in enumerate(EVENTS):
        edited = canonical.dumps({**event, "operator_id": "mallory"}) + b"\n"
        found = problems(path, closed([*LINES[: at + 1], edited, *LINES[at + 2 :]]))
        assert found == [(at + 2, at + 1, "event_hash")]


def test_an_edit_by_somebody_who_makes_every_hash_right_breaks_a_rule(path: Path) -> None:
    """Not who acted: that the sequencer alone knew, and a file with another head is another file."""
    at = next(index for index, event in enumerate(EVENTS) if event["event_type"] == "step_completed")
    events = rehashed(EVENTS, at, fencing_token=7)  # type: ignore[arg-type]
    assert problems(path, with_events(LINES, events)) == [(at + 2, at + 1, "fencing_token")]
    other = rehashed(EVENTS, at, operator_id="bob")  # type: ignore[arg-type]
    assert problems(path, with_events(LINES, other)) == []
    assert (1, None, "head_seq") in problems(path, closed([LINES[0], *with_events(LINES, other)[1:]]))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"format": "other"}, "format"), ({"version": 2}, "format"), ({"version": "1"}, "version"),
        ({"workflow_id": "x"}, "workflow_id"), ({"tenant": None}, "tenant"), ({"base": []}, "base"),
        ({"base": {"state_checksum": "0" * 64, "work": State(WORKFLOW).work}}, "base"), ({"more": 1}, "more"),
    ],
)  # fmt: skip
def test_a_header_that_is_none_is_named(path: Path, change: dict[str, Any], field: str) -> None:
    first = canonical.dumps(json.loads(LINES[0]) | change) + b"\n"
    found = problems(path, closed([first, *LINES[1:]]))
    assert found == [(1, None, field)]


@pytest.mark.parametrize("name", ["tenant", "project", "workflow_id"])
def test_events_of_another_project_are_named(path: Path, name: str) -> None:
    other = {"tenant": "other", "project": "other", "workflow_id": "0ee1cdea-e3d9-5d5d-baea-cf7d657cdefb"}[name]
    first = canonical.dumps(json.loads(LINES[0]) | {name: other}) + b"\n"
    assert problems(path, closed([first, *LINES[1:]])) == [(2, 1, name)]


@pytest.mark.parametrize(
    ("name", "value"), [("event_seq", "1"), ("event_seq", True), ("fencing_token", "x"), ("epoch", None), ("delta", 7)]
)
def test_fields_have_their_types(path: Path, name: str, value: Any) -> None:
    line = canonical.dumps({**EVENTS[0], name: value}) + b"\n"
    found = problems(path, closed([LINES[0], line, *LINES[2:]]))
    assert [(line, field) for line, _, field in found] == [(2, name)]


def test_a_history_that_begins_with_a_state_begins_with_a_fork(path: Path) -> None:
    found = problems(path, lines_of(EVENTS, STORY.state))
    assert found[0][0] == 2


def test_lines_are_bounded() -> None:
    bomb = b"x" * (incident.HEADER_BYTES_MAX + 1)
    with pytest.raises(incident.Broken) as broken:
        list(incident.read_lines(io.BytesIO(zstandard.compress(bomb))))
    assert broken.value.field == "line"
    long = LINES[0] + b"y" * (incident.LINE_BYTES_MAX + 1)
    with pytest.raises(incident.Broken):
        list(incident.read_lines(io.BytesIO(zstandard.compress(long))))


def test_no_file_is_an_error_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        verify_file(tmp_path / "nothing")
