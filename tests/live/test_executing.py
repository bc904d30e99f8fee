"""Leases, claims and steps on the whole stack: many workers, lost answers, lost leases, results that come too late."""

import asyncio
import http.client
import json
import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest

from continuity import AsyncContinuity, Continuity, LeaseHeld, LeaseLost, NothingToClaim, TokenNeeded, keys
from continuity.client.errors import Fenced, NotFound, Refused, UnknownCommand

pytestmark = pytest.mark.stack

WORKERS = 200


def staffed(work, tasks):
    """A project with so many ready tasks."""
    goal = work.create_goal("Ship", 1)["goal_id"]
    return [work.add_task(goal, f"task {number}")["task_id"] for number in range(tasks)]


def test_two_hundred_workers_claim_at_once_and_each_task_has_one_holder(live, project):
    with live.work(project) as work:
        tasks = staffed(work, 120)

    async def run():
        async with AsyncContinuity(project, url=live.settings.api_url, key=live.key) as work:

            async def one(number):
                try:
                    answer = await work.claim_task(f"worker-{number}", 300)
                except Refused as refused:
                    return refused.code, None, None
                lease = answer["lease"]
                assert lease is not None
                return "claimed", lease["task_id"], lease["token"]

            return await asyncio.gather(*(one(number) for number in range(WORKERS)))

    outcomes = asyncio.run(run())
    assert Counter(code for code, _, _ in outcomes) == {"claimed": len(tasks), "nothing_to_claim": WORKERS - len(tasks)}
    claimed = [task for code, task, _ in outcomes if code == "claimed"]
    assert sorted(claimed) == sorted(tasks)
    tokens = [token for code, _, token in outcomes if code == "claimed"]
    assert sorted(tokens) == list(range(1, len(tasks) + 1))


def test_a_fleet_claims_across_projects_and_a_repeat_is_given_the_same(live):
    # A tenant of its own: other tests' projects are candidates, too.
    tenant = f"t-{uuid.uuid4().hex[:8]}"
    key = keys.issue_key(live.settings.data_dir, tenant=tenant, operator_id="fleet", operator_kind="agent")
    wanted = set()
    for number in range(3):
        with Continuity(f"p{number}", url=live.settings.api_url, key=key) as work:
            goal = work.create_goal("Ship", number)["goal_id"]
            for each in range(2):
                wanted.add(work.add_task(goal, f"task {each}", wait="materialized")["task_id"])
    with Continuity("-", url=live.settings.api_url, key=key) as fleet:
        ids = [str(uuid.uuid4()) for _ in range(6)]

        def claim(command_id):
            return fleet.claim_task_anywhere("worker", 300, command_id=command_id)

        with ThreadPoolExecutor(6) as pool:
            first = list(pool.map(claim, ids))
            again = list(pool.map(claim, ids))
        assert {answer["lease"]["task_id"] for answer in first} == wanted
        assert {answer["project"] for answer in first} == {"p0", "p1", "p2"}
        for one, other in zip(first, again, strict=True):
            assert (other["status"], other["project"]) == ("duplicate", one["project"])
            assert other["lease"]["token"] == one["lease"]["token"]
            assert other["lease"]["task_id"] == one["lease"]["task_id"]
        with pytest.raises(NothingToClaim):
            claim(str(uuid.uuid4()))
        assert fleet.command_outcome(ids[0])["event_type"] == "task_claimed"


def test_a_claim_whose_answer_was_lost_is_given_again(live, project, eventually):
    with live.work(project) as work:
        staffed(work, 2)
        key = str(uuid.uuid4())
        _ask_and_hang_up(live, f"/v1/projects/{project}/claims", key, {"owner_id": "ann", "ttl_seconds": 300})

        def decided():
            try:
                return work.command_outcome(key)
            except UnknownCommand:
                return None

        decision = eventually(decided, 20, "the claim was decided")
        first, again = (work.claim_task("ann", 300, command_id=key) for _ in range(2))
        assert first["status"] == again["status"] == "duplicate"
        assert first["lease"]["token"] == again["lease"]["token"] == decision["lease"]["token"] == 1
        assert first["lease"]["task_id"] == decision["lease"]["task_id"]
        assert work.claim_task("ann", 300)["lease"]["task_id"] != first["lease"]["task_id"]


def test_held_by_another_and_token_needed_name_the_holder(live, project):
    with live.work(project) as work:
        (task,) = staffed(work, 1)
        with work.lease("ann", 300) as lease:
            with pytest.raises(LeaseHeld, match="ann") as held:
                work.acquire_lease("bob", 300)
            assert (held.value.status, held.value.code) == (423, "lease_held")
            with pytest.raises(TokenNeeded, match="ann") as needed:
                work.start_task(task)
            assert needed.value.status == 428
            lease.start_task(task)
        assert work.acquire_lease("bob", 300)["lease"]["token"] == 2


def test_a_forced_release_takes_the_lease_away_and_the_holder_is_told(live, project):
    with live.work(project) as work:
        staffed(work, 1)
        with pytest.raises(LeaseLost, match="lost"), work.claim("ann", 1) as claim:  # noqa: PT012 - the block's end raises
            work.release_lease(claim.task_id, force=True)
            _wait_until_lost(claim)
            with pytest.raises(LeaseLost):
                claim.start_task(claim.task_id)


def test_a_renewed_claim_outlives_its_ttl(live, project, eventually):
    with live.work(project) as work, live.work(project + "-clock") as clock:
        staffed(work, 1)
        with work.claim("ann", 1) as claim:
            beyond = datetime.fromisoformat(claim.lease["expires_at"]) + timedelta(seconds=2)

            def now():
                """By the broker's clock, the only one that counts."""
                lease = clock.acquire_lease("me", 1)["lease"]
                return datetime.fromisoformat(lease["expires_at"]) - timedelta(seconds=1)

            eventually(lambda: now() > beyond, 20, "three times its ttl is over")
            with pytest.raises(LeaseHeld, match="ann"):
                work.claim_task("bob", 1, claim.task_id)
            assert not claim.lost


def test_what_comes_too_late_is_refused_kept_and_handed_over(live, project, eventually):
    with live.work(project) as work:
        (task,) = staffed(work, 1)
        old = work.claim_task("ann", 1, task)["lease"]["token"]
        begun = work.begin_step("fetch", "idempotent", fencing_token=old)["step"]
        stored = work.store_result(b"[1]")

        def taken_over():
            try:
                return work.claim_task("bob", 300, task)["lease"]
            except LeaseHeld:
                return None

        lease = eventually(taken_over, 20, "ann's claim has run out")
        assert lease["handover"]["predecessor"]["owner_id"] == "ann"
        assert [each["step_id"] for each in lease["handover"]["open_attempts"]] == ["fetch"]
        with pytest.raises(Fenced, match="kept"):
            work.complete_step(
                "fetch",
                begun["attempt_id"],
                stored["result_ref"],
                stored["result_checksum"],
                fencing_token=old,
            )
        (late,) = eventually(lambda: work.late_results(task), 20, "the late result is shown")
        assert (late["result_ref"], late["fencing_token"]) == (stored["result_ref"], old)
        assert work.result(late["result_ref"], late["result_checksum"]) == b"[1]"
        assert work.state()["tasks"][0]["status"] == "doing"
        again = work.claim_task("bob", 300, task)["lease"]
        assert [each["step_id"] for each in again["handover"]["late_results"]] == ["fetch"]


def test_a_step_is_done_once_whoever_repeats_it(live, project):
    prices = iter([{"prices": [1]}])  # the second call would find nothing
    with live.work(project) as work:
        staffed(work, 1)
        for owner in ("ann", "bob"):
            with work.lease(owner, 300) as lease:
                assert lease.step("fetch", type="pure").run(lambda: next(prices)) == {"prices": [1]}


def test_the_next_step_of_an_owner_leaves_out_what_others_hold(live, project):
    with live.work(project) as work:
        first, second = staffed(work, 2)
        work.claim_task("ann", 300, first)
        assert work.get_next_step(for_owner="ann")["task_id"] == first
        assert work.get_next_step(for_owner="bob")["task_id"] == second
        assert work.get_next_step()["task_id"] == first


def test_a_result_of_one_project_is_none_of_another(live, project):
    with live.work(project) as work, live.work(project + "-2") as other:
        staffed(work, 1)
        staffed(other, 1)
        work.get_next_step()
        other.get_next_step()
        ref = work.store_result(b"secret")["result_ref"]
        assert work.result(ref) == b"secret"
        with pytest.raises(NotFound):
            other.result(ref)


def _wait_until_lost(grant):
    lost = threading.Event()
    for _ in range(200):
        if grant.lost:
            return
        lost.wait(0.05)
    raise AssertionError("it was not lost")


def _ask_and_hang_up(live, path, key, body):
    """Send a whole request, and be gone before its answer."""
    url = urlsplit(live.settings.api_url)
    connection = http.client.HTTPConnection(url.hostname, url.port)
    headers = {"Authorization": f"Bearer {live.key}", "Idempotency-Key": key}
    connection.request("POST", path, json.dumps(body), headers)
    connection.close()
