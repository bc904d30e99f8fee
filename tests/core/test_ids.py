"""Identifiers: derived, never drawn, and the same in every language."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuity.core import ids

MICROS_MAX = 2**48 * 1000 - 1
micros = st.integers(0, MICROS_MAX)
uuids = st.uuids().map(str)


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        # Kafka's own: org.apache.kafka.common.utils.UtilsTest.testMurmur2
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(key: str, hashed: int) -> None:
    assert ids._murmur2(key.encode()) == hashed % 2**32


@pytest.mark.parametrize("partitions", [1, 2, 3, 12, 1000])
def test_a_partition_is_the_positive_murmur2_modulo_their_number(partitions: int) -> None:
    for name in ("foobar", "21", "a-little-bit-long-string"):
        assert ids.partition_of(name, partitions) == (ids._murmur2(name.encode()) & 0x7FFFFFFF) % partitions
    # -790332482, made positive as Kafka does it: not by negation, but by clearing the sign
    assert ids.partition_of("foobar", 1000) == 166


@given(st.from_regex(ids.NAME, fullmatch=True), st.from_regex(ids.NAME, fullmatch=True))
def test_a_workflow_id_is_the_version_5_uuid_of_tenant_and_project(tenant: str, project: str) -> None:
    assert ids.workflow_id(tenant, project) == str(uuid.uuid5(ids.NAMESPACE, f"{tenant}/{project}"))


@given(uuids, uuids)
def test_an_entity_id_is_the_version_5_uuid_of_its_command_within_the_workflow(workflow: str, command: str) -> None:
    assert ids.entity_id(workflow, command) == str(uuid.uuid5(uuid.UUID(workflow), command))


@given(micros, uuids, st.integers(1, 2**53), uuids)
def test_an_event_id_has_the_shape_of_a_version_7_uuid_and_holds_its_millisecond(
    at: int, workflow: str, seq: int, command: str
) -> None:
    made = uuid.UUID(ids.event_id(at, workflow, seq, command))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == at // 1000


@given(micros, micros, uuids, uuids)
def test_event_ids_are_ordered_by_their_millisecond(one: int, other: int, workflow: str, command: str) -> None:
    first, second = (ids.event_id(at, workflow, 1, command) for at in sorted((one, other)))
    assert first < second or one // 1000 == other // 1000


def test_events_of_one_instant_have_ids_of_their_own() -> None:
    command, other = str(uuid.uuid4()), str(uuid.uuid4())
    workflows = [ids.workflow_id("acme", name) for name in ("a", "b")]
    made = {
        ids.event_id(7, workflow, seq, each) for workflow in workflows for seq in (1, 2) for each in (command, other)
    }
    assert len(made) == 8


@given(st.integers(0, 253_402_300_799_999_999))
def test_an_instant_has_six_digits_and_comes_back(at: int) -> None:
    text = ids.instant(at)
    assert len(text) == 27
    assert ids.micros_of(text) == at


def test_instants_sort_as_text() -> None:
    moments = [0, 1, 999_999, 1_000_000, 1_800_000_000_000_000]
    assert sorted(map(ids.instant, moments)) == [ids.instant(each) for each in moments]
    assert ids.instant(1_795_258_545_123_456) == "2026-11-21T10:55:45.123456Z"


@pytest.mark.parametrize("name", ["a", "0", "a" * 63, "a.b_c-d", "9-"])
def test_names(name: str) -> None:
    assert ids.NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "a" * 64, "A", "-a", ".a", "_a", "a b", "a/b", "é", "a\n"])
def test_what_is_no_name(name: str) -> None:
    assert not ids.NAME.fullmatch(name)
