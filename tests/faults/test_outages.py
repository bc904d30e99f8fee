"""Parts that are away: a clear answer meanwhile, nothing acknowledged is lost, and all of it heals by itself."""

import uuid
from collections.abc import Callable

import httpx

from tests.faults.whole import Whole

HEAL_SECONDS = 60.0

Eventually = Callable[..., object]


def answered(call: Callable[[], httpx.Response], status: int) -> Callable[[], httpx.Response | None]:
    """A condition: the call is answered with this status."""

    def condition() -> httpx.Response | None:
        response = call()
        return response if response.status_code == status else None

    return condition


def name(of: str) -> str:
    return f"{of}-{uuid.uuid4().hex[:8]}"


def test_database_away_warm_work_goes_on_and_reads_say_so(whole: Whole, eventually: Eventually) -> None:
    project, cold = name("warm"), name("cold")
    assert whole.goal(project).status_code == 201
    assert whole.goal(cold).status_code == 201
    eventually(answered(lambda: whole.read(f"{project}/next-step?min_seq=1"), 200), HEAL_SECONDS)
    with whole.stopped("postgres"):
        written = whole.goal(project, "while the database is away")
        assert written.status_code == 201, written.text
        assert written.json()["event_seq"] == 2
        read = whole.read(f"{project}/next-step")
        assert read.status_code == 503
        assert read.headers["retry-after"]
        assert read.json()["code"] == "unavailable"
        new = whole.goal(name("new"))
        assert new.status_code == 503, "a cold workflow cannot be restored now"
        assert new.json()["fix"]
    healed = eventually(answered(lambda: whole.read(f"{project}/next-step?min_seq=2"), 200), HEAL_SECONDS)
    assert isinstance(healed, httpx.Response)
    assert healed.json()["as_of_seq"] == 2


def test_database_killed_and_restarted(whole: Whole, eventually: Eventually) -> None:
    project = name("killed-database")
    assert whole.goal(project).status_code == 201
    whole.kill("postgres")
    eventually(answered(lambda: whole.goal(project), 201), HEAL_SECONDS)
    eventually(answered(lambda: whole.read(f"{project}/next-step?min_seq=2"), 200), HEAL_SECONDS)


def test_broker_away_is_503_with_retry_after_and_the_same_id_heals_it(whole: Whole, eventually: Eventually) -> None:
    project, key = name("broker"), str(uuid.uuid4())
    assert whole.goal(project).status_code == 201
    with whole.stopped("broker"):
        refused = whole.goal(project, "asked while the broker was away", key)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert refused.json()["command_id"] == key
    eventually(lambda: whole.goal(project, "asked while the broker was away", key).is_success, HEAL_SECONDS)
    events = whole.read(f"{project}/events?min_seq=2").json()["events"]
    assert [event["command_id"] for event in events].count(key) == 1


def test_nothing_acknowledged_is_lost_when_parts_are_killed(whole: Whole, eventually: Eventually) -> None:
    project = name("killed")
    acknowledged: list[str] = []
    for part in ("broker", "sequencer", "projector", "api"):
        for _ in range(20):
            key = str(uuid.uuid4())
            if len(acknowledged) % 20 == 10:
                whole.kill(part)
            eventually(lambda key=key: _written(whole, project, key), HEAL_SECONDS, f"{part} is back")
            acknowledged.append(key)
    last = len(acknowledged)
    page = eventually(
        answered(lambda: whole.read(f"{project}/events?limit=1000&min_seq={last}"), 200), HEAL_SECONDS, "all projected"
    )
    assert isinstance(page, httpx.Response)
    events = page.json()["events"]
    assert [event["event_seq"] for event in events] == list(range(1, last + 1))
    assert [event["command_id"] for event in events] == acknowledged, "each once, in the order of acknowledgement"


def _written(whole: Whole, project: str, key: str) -> bool:
    try:
        return whole.goal(project, "count me once", key).is_success
    except httpx.TransportError:
        return False  # the API itself is away
