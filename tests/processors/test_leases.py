"""Leases over the real broker: renewals that nobody writes, tokens that only grow, results that come too late."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from continuity import codec, kafka
from continuity.config import Settings
from continuity.core.canonical import loads_canonical
from continuity.core.ids import micros_of, workflow_id
from continuity.producers import CommandClient, Outcome
from tests.eventually import eventually
from tests.processors.asking import TENANT, project_at_home, request, task_in
from tests.processors.running import Sequencing, sequencer_process

pytestmark = pytest.mark.stack

TAKEOVER_SECONDS = 60
SECOND = 1_000_000
DIGEST = "ab" * 32


def acquire(client: CommandClient, project: str, owner: str, ttl_seconds: int) -> Outcome:
    return client.send(request("acquire_lease", project, {"owner_id": owner, "ttl_seconds": ttl_seconds}))


def renew(client: CommandClient, project: str, token: int, **fields: Any) -> Outcome:
    return client.send(request("renew_lease", project, {}, fencing_token=token), **fields)


def token_of(outcome: Outcome) -> int:
    assert outcome["status"] in ("accepted", "duplicate"), outcome  # a client that waits long asks again
    assert outcome["result"] is not None
    assert outcome["fencing_token"] == outcome["result"]["token"]
    return int(outcome["result"]["token"])


def expiry_of(renewed: Outcome) -> int:
    assert renewed["status"] == "answered", renewed
    assert renewed["result"] is not None
    return micros_of(renewed["result"]["expires_at"])


def records(settings: Settings, topic: str) -> list[bytes]:
    with _reader(settings) as consumer:
        ends = [kafka.watermarks(consumer, topic, number)[1] for number in range(settings.partitions)]
    return [
        message.value() or b""
        for number, end in enumerate(ends)
        for message in kafka.read_range(settings, topic, number, 0, end)
    ]


@contextmanager
def _reader(settings: Settings) -> Iterator[Any]:
    consumer = kafka.reader(settings, "test")
    try:
        yield consumer
    finally:
        consumer.close()


def test_a_renewal_is_answered_and_is_no_event(settings: Settings, client: CommandClient) -> None:
    task_in(client, "p")
    token = token_of(acquire(client, "p", "worker", 30))
    before = [each for each in records(settings, settings.events_topic) if is_event(each)]
    renewed = [renew(client, "p", token) for _ in range(20)]
    assert {each["status"] for each in renewed} == {"answered"}
    assert {each["event_seq"] for each in renewed} == {None}
    expiries = [expiry_of(each) for each in renewed]
    assert expiries == sorted(expiries)
    assert [each for each in records(settings, settings.events_topic) if is_event(each)] == before
    assert renew(client, "p", token + 1)["code"] == "fenced"


def is_event(value: bytes) -> bool:
    return not codec.decode_event(value)["event_type"].startswith("sequencer_")


def test_tokens_only_grow_across_release_and_restart(settings: Settings, projector: None, tmp_path: Path) -> None:
    del projector
    seen = []
    for turn in range(2):
        with sequencer_process(settings, tmp_path / f"{turn}.log") as running, CommandClient(settings) as client:
            if turn == 0:
                task_in(client, "p")
            for _ in range(2):
                token = token_of(acquire(client, "p", "worker", 30))
                seen.append(token)
                released = client.send(request("release_lease", "p", {}, fencing_token=token))
                assert released["event_type"] == "lease_released"
            running.terminate()
    assert seen == [1, 2, 3, 4]


def test_a_view_for_outsiders_shows_the_last_known_expiry(settings: Settings, client: CommandClient) -> None:
    task_in(client, "p")
    token = token_of(acquire(client, "p", "worker", 1))

    def shown() -> bool:
        newest = expiry_of(renew(client, "p", token))
        leases = [codec.decode_lease(each) for each in records(settings, settings.leases_topic)]
        assert all(each["workflow_id"] == workflow_id(TENANT, "p") for each in leases)
        expiries = [each["lease_expires_at"] for each in leases if each["fencing_token"] == token]
        return len(set(expiries)) > 1 and newest - max(expiries) < SECOND

    eventually(shown, TAKEOVER_SECONDS, "a renewal is shown")


def test_a_holder_that_renewed_keeps_its_lease_through_a_failover(
    settings: Settings, projector: None, tmp_path: Path
) -> None:
    """The new owner knows no renewals: it gives every grant one more ttl, and only then lets another in."""
    del projector
    ttl_seconds = 15
    with CommandClient(settings) as client:
        with sequencer_process(settings, tmp_path / "first.log") as first:
            task_in(client, "p")
            token = token_of(acquire(client, "p", "worker", ttl_seconds))
            granted = expiry_of(renew(client, "p", token))

            def has_run_out() -> bool:
                """The expiry that the log knows is over, by the broker's clock. Every look renews."""
                return expiry_of(renew(client, "p", token)) - granted > (ttl_seconds + 1) * SECOND

            eventually(has_run_out, TAKEOVER_SECONDS, "the lease would have run out by now")
            first.kill()
        with sequencer_process(settings, tmp_path / "second.log"):
            taken = acquire(client, "p", "thief", ttl_seconds)
            assert taken["code"] == "lease_held", taken
            assert "worker" in (taken["detail"] or "")
            assert renew(client, "p", token)["status"] == "answered"


def test_one_that_lost_its_partition_acknowledges_no_renewal(
    settings: Settings, projector: None, tmp_path: Path
) -> None:
    """Paused until another has taken over: what it decides when it wakes is answered by nobody but the new owner."""
    del projector
    project = project_at_home(0, settings.partitions)
    with CommandClient(settings) as client, sequencer_process(settings, tmp_path / "first.log") as first:
        task_in(client, project)
        token = token_of(acquire(client, project, "worker", 600))
        with sequencer_process(settings, tmp_path / "second.log") as second:
            first.pause()
            eventually(lambda: second.partitions() == {0, 1}, TAKEOVER_SECONDS, "the other has taken over")
            client.send(request("release_lease", project, {"force": True}))
            first.resume()
            for _ in range(10):
                assert renew(client, project, token, deadline_seconds=TAKEOVER_SECONDS)["code"] == "fenced"
            eventually(lambda: first.says("gave up partitions"), TAKEOVER_SECONDS, "it has noticed")


def test_a_completion_that_comes_too_late_is_refused_and_kept(
    settings: Settings, client: CommandClient, sequencer: Sequencing
) -> None:
    task = task_in(client, "p")
    token = token_of(client.send(request("claim_task", "p", {"owner_id": "a", "ttl_seconds": 600, "task_id": task})))
    step = {"step_id": "pay", "step_type": "non_idempotent", "external_key": "order-7"}
    begun = client.send(request("begin_step", "p", step, fencing_token=token))
    assert (begun["result"] or {})["attempt_id"] == 1
    client.send(request("release_lease", "p", {"task_id": task, "force": True}))
    done = {"step_id": "pay", "attempt_id": 1, "result_ref": "blob:1", "result_checksum": DIGEST}
    late = client.send(request("complete_step", "p", done, fencing_token=token))
    assert late["code"] == "fenced"
    assert "blob:1" in (late["detail"] or "")
    # It did not stop what follows, and the step can be begun again.
    again = token_of(client.send(request("claim_task", "p", {"owner_id": "b", "ttl_seconds": 600, "task_id": task})))
    second = client.send(request("begin_step", "p", step, fencing_token=again))
    assert second["result"] is not None
    assert (second["result"]["attempt_id"], second["result"]["ambiguous"]) == (2, True)
    kept = [
        each
        for value in records(settings, settings.events_topic)
        if not is_event(value)
        for each in loads_canonical(codec.decode_event(value)["payload"]).get("late_results", ())
    ]
    assert [(each["result_ref"], each["attempt_id"], each["task_id"]) for each in kept] == [("blob:1", 1, task)]
    assert sequencer.counts["reopened"] == 0


def test_a_completed_step_is_answered_from_what_is_stored(client: CommandClient, sequencer: Sequencing) -> None:
    task_in(client, "p")
    token = token_of(acquire(client, "p", "a", 600))
    step = {"step_id": "fetch", "step_type": "pure"}
    client.send(request("begin_step", "p", step, fencing_token=token))
    done = {"step_id": "fetch", "attempt_id": 1, "result_ref": "blob:2", "result_checksum": DIGEST}
    assert client.send(request("complete_step", "p", done, fencing_token=token))["event_type"] == "step_completed"
    before = sequencer.counts["answered_from_before"]
    repeat = client.send(request("begin_step", "p", step, fencing_token=token))
    assert repeat["status"] == "answered"
    assert (repeat["result"] or {})["result_ref"] == "blob:2"
    assert sequencer.counts["answered_from_before"] == before + 1


def test_what_could_not_be_acquired_is_counted(client: CommandClient, sequencer: Sequencing) -> None:
    task_in(client, "p")
    acquire(client, "p", "a", 600)
    before = sequencer.counts["not_acquired"]
    assert acquire(client, "p", "b", 600)["code"] == "lease_held"
    assert sequencer.counts["not_acquired"] == before + 1
