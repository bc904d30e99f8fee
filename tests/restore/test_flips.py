"""Damage of what is stored, wherever it is, is never an answer; and nothing that is whole is taken for damaged."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from continuity import flips
from continuity.api import assembly
from continuity.config import Settings
from continuity.contract import LateResultRow
from continuity.flips import BAD, BLOBS, RESULTS, TABLES, Campaign, Damage, Impossible, Scratch
from continuity.flips.__main__ import main
from continuity.rows import Head, checked

COUNT = 1_000
EVENTS = 120
SEED = 4
projects_of = assembly.projects_of


@pytest.fixture(scope="module")
def scratch(stack: Settings) -> Iterator[Scratch]:
    with Scratch.made(stack, events=EVENTS, seed=SEED) as made:
        yield made


def campaign(scratch: Scratch, seed: int = SEED) -> Campaign:
    return Campaign(scratch.connection, scratch.settings, scratch.blobs, scratch.subject, seed)


def everything(scratch: Scratch) -> list[object]:
    tables = ", ".join(f"(SELECT sum(hashtextextended({name}::text, 0)) FROM {name})" for name in TABLES)
    files = sorted((path.name, path.read_bytes()) for path in Path(scratch.settings.blobs).rglob("*") if path.is_file())
    return [scratch.connection.execute(f"SELECT {tables}".encode()).fetchall(), files]


@pytest.mark.stack
def test_of_a_thousand_damages_all_are_noticed_and_none_is_served(scratch: Scratch) -> None:
    before = everything(scratch)
    outcomes = [outcome for outcome in campaign(scratch).run(COUNT) if outcome.verdict != "refused"]
    assert [outcome for outcome in outcomes if outcome.verdict in BAD] == []
    assert len(outcomes) == COUNT
    tally = flips.tally(outcomes)
    assert {table for table, _ in tally} == {*TABLES, BLOBS, RESULTS}
    assert {outcome.damage.kind for outcome in outcomes} == {"flip", "delete", "double", "swap"}
    columns = {(outcome.damage.place.table, outcome.damage.column) for outcome in outcomes}
    assert len(columns) > 100, "hardly a column was hit"
    assert everything(scratch) == before, "damage was left behind"


BLIND = {
    "rows of snapshots are believed": ("continuity.restoring.SnapshotRow.digest", "snapshots"),
    "rows of tasks are believed": ("continuity.rows.TaskRow.digest", "tasks"),
    "rows of entities are believed": ("continuity.rows.EntityRow.digest", "entities"),
    "rows of late results are believed": ("continuity.contract.LateResultRow.digest", "late_results"),
    "heads are believed": ("continuity.rows.Head.digest", "workflows"),
}


@pytest.mark.stack
@pytest.mark.parametrize("defect", BLIND)
def test_a_campaign_finds_a_reader_that_is_blind(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch, defect: str
) -> None:
    """The planted defects: one that found nothing wrong with them would prove nothing."""
    name, table = BLIND[defect]
    monkeypatch.setattr(name, lambda _: Always())
    only = campaign(scratch).only(table)
    assert any(outcome.verdict in BAD for outcome in only.run(60))


INCOMPLETE = {
    "late results are not counted": ("continuity.late_results.whole", "late_results"),
    "heads are not held against first events": ("continuity.api.assembly.projects_of", "workflows"),
}


@pytest.mark.stack
@pytest.mark.parametrize("defect", INCOMPLETE)
def test_a_campaign_finds_a_list_that_lacks_an_entry(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch, defect: str
) -> None:
    name, table = INCOMPLETE[defect]
    monkeypatch.setattr(name, whatever_is_stored if table == "late_results" else whatever_has_a_head)
    only = campaign(scratch).only(table)
    assert any(outcome.verdict == "omitted" for outcome in only.run(60))
    assert "omitted" in BAD


def whatever_is_stored(_: Head, rows: Sequence[Sequence[Any]]) -> list[LateResultRow]:
    return [checked(LateResultRow(*columns[:-1]), columns[-1]) for columns in rows]


def whatever_has_a_head(rows: Sequence[Sequence[Any]], _: object, limit: int) -> list[Any]:
    return projects_of(rows, [(Head(*row[:-1]).workflow_id, Head(*row[:-1]).project) for row in rows], limit)


@pytest.mark.stack
def test_events_are_not_believed_either(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("continuity.core.seal.verify", lambda _: None)
    assert any(outcome.verdict in BAD for outcome in campaign(scratch).only("events").run(60))


@pytest.mark.stack
def test_a_campaign_can_be_repeated(scratch: Scratch) -> None:
    one, same, other = ([outcome.damage for outcome in campaign(scratch, seed).run(15)] for seed in (7, 7, 8))
    assert one == same != other
    assert all(isinstance(damage, Damage) for damage in one)


@pytest.mark.stack
def test_the_command_works_in_a_database_that_is_gone_afterwards(
    stack: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        before = connection.execute("SELECT datname FROM pg_database ORDER BY 1").fetchall()
        assert main(["--count", "20", "--seed", "3", "--json"]) == 0
        assert connection.execute("SELECT datname FROM pg_database ORDER BY 1").fetchall() == before
    told = capsys.readouterr()
    assert '"ok": true, "damages": 20' in told.out
    assert "20 damages in" in told.err


class Always(bytes):
    """Equal to everything."""

    def __ne__(self, other: object) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = bytes.__hash__


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("uuid", "6b1f0a52-9c5e-5d4b-8a77-2f3f2a6f6c11"), ("bigint", "0"), ("integer", "-77"), ("smallint", "3"),
        ("text", "ünï"), ("timestamptz", "2027-01-15 08:00:00.5+00"), ("bytea", "\\x00ff"), ("boolean", "true"),
        ("jsonb", '{"a": [1, "b"]}'), ("bigint[]", "{3,-1}"), ("text", None), ("uuid", None), ("bigint", None),
        ("timestamptz", None),
    ],
)  # fmt: skip
def test_a_flipped_value_is_another_one(kind: str, text: str | None) -> None:
    found = set()
    for bit in range(300):
        try:
            found.add(flips.flipped(kind, text, bit))
        except Impossible:
            continue
    assert found
    assert text not in found


def test_flipped_twice_a_value_is_what_it_was() -> None:
    for bit in range(200):
        assert flips.flipped("bigint", flips.flipped("bigint", "-5", bit), bit) == "-5"
        assert flips.flipped("smallint", flips.flipped("smallint", "77", bit), bit) == "77"
        assert flips.flipped("bigint[]", flips.flipped("bigint[]", "{1,-2}", bit), bit) == "{1,-2}"
    noon = "2027-01-15T12:00:00+00:00"
    again = flips.flipped("timestamptz", flips.flipped("timestamptz", noon, 40), 40)
    assert datetime.fromisoformat(again) == datetime.fromisoformat(noon)
