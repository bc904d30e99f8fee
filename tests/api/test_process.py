"""The application as a process, and its bounds: overload, an absent broker, a taken port, a drained end."""

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from continuity import keys
from continuity.api import Neighbours, create_app
from continuity.api.intake import Intake
from continuity.config import Settings
from continuity.errors import Retryable
from continuity.keys import Keyring
from tests.api.double import KeptAssignments, KeptBlobs, KeptPast, RecordingCommands, StoredReads
from tests.api.serving import serving


class HeldCommands(RecordingCommands):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = 0

    async def start(self) -> None:
        self.loop, self.held = asyncio.get_running_loop(), asyncio.Event()

    def go_on(self) -> None:
        self.loop.call_soon_threadsafe(self.held.set)

    async def send(self, request, **how):
        self.inside += 1
        await self.held.wait()
        return await super().send(request, **how)


def neighbours(commands):
    return Neighbours(commands, StoredReads("local"), KeptAssignments(), KeptBlobs(), KeptPast("local"))


@pytest.fixture
def held(tmp_path):
    commands = HeldCommands()
    app = create_app(neighbours(commands), Keyring(tmp_path), in_flight_max=4)
    headers = {"Authorization": f"Bearer {keys.ensure_local_key(tmp_path)}"}
    with serving(app) as url:
        yield url, headers, commands


def test_more_requests_than_there_is_room_for_are_turned_away_and_the_others_answered(held, eventually):
    url, headers, commands = held
    answers = []

    def post():
        answers.append(httpx.post(f"{url}/v1/projects/p/goals", json={"text": "x"}, headers=headers, trust_env=False))

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: commands.inside == 4, what="four requests are inside")
    refused = httpx.post(f"{url}/v1/projects/p/goals", json={"text": "x"}, headers=headers, trust_env=False)
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert refused.headers["Retry-After"] == "1"
    assert "continuity_http_in_flight 4.0" in httpx.get(f"{url}/metrics", trust_env=False).text
    assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    commands.go_on()
    for thread in threads:
        thread.join(10)
    assert [answer.status_code for answer in answers] == [201] * 4
    assert httpx.get(f"{url}/v1/projects", headers=headers, trust_env=False).status_code == 200


def test_a_body_that_never_comes_is_given_up(held, monkeypatch):
    url, headers, commands = held
    monkeypatch.setattr("continuity.api.incoming.BODY_SECONDS_MAX", 0.2)
    address = httpx.URL(url)
    with contextlib.closing(http.client.HTTPConnection(address.host, address.port, timeout=10)) as connection:
        connection.putrequest("POST", "/v1/projects/p/goals")
        connection.putheader("Authorization", headers["Authorization"])
        connection.putheader("Content-Length", "100")
        connection.endheaders(b'{"text":')
        response = connection.getresponse()
        assert response.status == 422
        assert b"did not arrive" in response.read()
    assert commands.inside == 0


class LateCommands(RecordingCommands):
    """Its broker is away at first."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def start(self) -> None:
        if self.failures:
            self.failures -= 1
            raise Retryable("The broker is away.")


def test_an_absent_broker_does_not_keep_the_api_from_starting(tmp_path, monkeypatch, eventually):
    monkeypatch.setattr("continuity.api.intake.RETRY_SECONDS", 0.05)
    commands = LateCommands(failures=10)
    intake = Intake(commands)
    app = create_app(neighbours(intake), Keyring(tmp_path), probes={"log": intake.ready})
    headers = {"Authorization": f"Bearer {keys.ensure_local_key(tmp_path)}"}
    with serving(app) as url, httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
        assert client.get("/v1/projects/known/next-step").status_code == 200
        early = client.post("/v1/projects/known/goals", json={"text": "x"})
        ready = client.get("/readyz")
        if commands.failures:
            assert (early.status_code, early.json()["code"]) == (503, "unavailable")
            assert ready.status_code == 503
            assert "log" in ready.json()["parts"]
        eventually(lambda: client.get("/readyz").status_code == 200, what="the log is reached")
        assert client.post("/v1/projects/known/goals", json={"text": "x"}).status_code == 201


def start(settings: Settings) -> "subprocess.Popen[str]":
    environment = {**os.environ, **settings.environment()}
    return subprocess.Popen(
        [sys.executable, "-m", "continuity.api"], env=environment, stderr=subprocess.PIPE, text=True
    )


def test_a_taken_port_ends_the_process_with_the_fix(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(data_dir=tmp_path, api_port=taken.getsockname()[1])
        process = start(settings)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 78
    assert "CONTINUITY_API_PORT" in told
    assert "Traceback" not in told


@pytest.mark.stack
def test_a_process_answers_and_ends_cleanly_when_told_to(settings, eventually):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = start(settings.with_values(api_port=port, api_url=f"http://127.0.0.1:{port}"))
    try:

        def answers():
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200

        eventually(answers, 60, "the process answers")
        key = keys.local_key(settings.data_dir)
        assert key is not None
        found = []

        def ask():
            # Nobody decides this command: the request is inside when the process is told to end.
            found.append(
                httpx.post(
                    f"http://127.0.0.1:{port}/v1/projects/p/goals",
                    json={"text": "x"}, headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False,
                )
            )  # fmt: skip

        asking = threading.Thread(target=ask)
        asking.start()

        def inside():
            text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
            return "continuity_http_in_flight 1.0" in text

        eventually(inside, 30, "the request is inside")
    finally:
        process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    asking.join(10)
    assert process.returncode == 0, told
    assert found[0].status_code == 503
    assert found[0].json()["command_id"]
