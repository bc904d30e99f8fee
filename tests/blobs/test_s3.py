"""Blobs in S3: against a server of the protocol, and against one that fails in every way that a network has."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from continuity import blobs
from continuity.blobs import ref_of
from continuity.config import Settings
from continuity.errors import ConfigError, IntegrityError, Retryable
from continuity.s3 import S3

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
BUCKET = "continuity-test"
CONTENT = b"a state" * 1_000


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def raw(endpoint: str, credentials: None) -> Any:
    del credentials
    client = boto3.session.Session().client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def store(endpoint: str, raw: Any) -> S3:
    del raw
    made = blobs.opened(Settings(s3_bucket=BUCKET, s3_prefix="a/b", s3_endpoint=endpoint))
    assert isinstance(made, S3)
    return made


def test_what_is_put_is_got_under_its_digest_and_the_prefix(store: S3, raw: Any) -> None:
    ref = store.put(CONTENT)
    assert ref == ref_of(CONTENT)
    assert store.get(ref) == CONTENT
    assert raw.get_object(Bucket=BUCKET, Key=f"a/b/{ref}")["Body"].read() == CONTENT


def test_it_is_made_only_where_there_is_none(store: S3, raw: Any) -> None:
    """The server itself refuses the second: two writers at once cannot both have made it."""
    ref = store.put(CONTENT)
    before = raw.head_object(Bucket=BUCKET, Key=store.key_of(ref))["LastModified"]
    sent: list[Any] = []
    store._client.meta.events.register("before-send.s3.PutObject", lambda request, **_: sent.append(request.headers))
    assert not store._create(ref, CONTENT)
    assert store.put(CONTENT) == ref
    assert [headers["If-None-Match"] for headers in sent] == [b"*", b"*"]
    assert raw.head_object(Bucket=BUCKET, Key=store.key_of(ref))["LastModified"] == before


@pytest.mark.parametrize("content", [b"", CONTENT[:4_000], CONTENT[:-1] + b"x"])
def test_a_half_written_or_damaged_object_is_named_and_healed(store: S3, raw: Any, content: bytes) -> None:
    ref = store.put(CONTENT)
    raw.put_object(Bucket=BUCKET, Key=store.key_of(ref), Body=content)
    with pytest.raises(IntegrityError, match=ref):
        store.get(ref)
    store.put(CONTENT)
    assert store.get(ref) == CONTENT


def test_a_missing_object_is_an_integrity_error_and_a_missing_bucket_a_setting(store: S3, endpoint: str) -> None:
    with pytest.raises(IntegrityError, match="is missing"):
        store.get("0" * 64)
    with pytest.raises(ConfigError, match="nowhere"):
        S3(Settings(s3_bucket="nowhere", s3_endpoint=endpoint)).put(CONTENT)


def test_no_credentials_are_a_setting(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(ConfigError, match="credentials"):
        S3(Settings(s3_bucket=BUCKET, s3_endpoint=endpoint)).put(CONTENT)


# A server that fails


Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def faulty() -> Iterator[Callable[[Answer], S3]]:
    """A store over a server that answers each request as it is told."""
    servers: list[ThreadingHTTPServer] = []

    def make(answer: Answer) -> S3:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                answer(self)

            def do_PUT(self) -> None:
                answer(self)

            def log_message(self, *_: object) -> None:
                """Silent."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        settings = Settings(s3_bucket=BUCKET, s3_endpoint=f"http://127.0.0.1:{server.server_port}")
        return S3(settings, read_seconds_max=0.2)

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def status(code: int, name: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        body = b"" if code < 300 else f"<Error><Code>{name}</Code><Message>no</Message></Error>".encode()
        request.send_response(code)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(body)

    return answer


def silence(request: BaseHTTPRequestHandler) -> None:
    """Until the client has had enough."""
    with suppress(OSError):
        while request.rfile.read(1):
            pass


def hang_up(request: BaseHTTPRequestHandler) -> None:
    request.connection.shutdown(socket.SHUT_RDWR)


def half(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(CONTENT)))
    request.end_headers()
    request.wfile.write(CONTENT[: len(CONTENT) // 2])
    request.wfile.flush()
    request.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(503, "SlowDown"), Retryable), (status(500, "InternalError"), Retryable),
        (status(429, "TooManyRequests"), Retryable), (status(409, "ConditionalRequestConflict"), Retryable),
        (silence, Retryable), (hang_up, Retryable), (status(403, "AccessDenied"), ConfigError),
        (status(404, "NoSuchBucket"), ConfigError),
    ],
)  # fmt: skip
def test_a_failure_says_what_to_do_and_is_bounded_in_time(
    faulty: Callable[[Answer], S3], answer: Answer, expected: type[Exception]
) -> None:
    store = faulty(answer)
    for call in (lambda: store.put(CONTENT), lambda: store.get(ref_of(CONTENT))):
        with pytest.raises(expected):
            call()


def test_a_body_that_breaks_off_is_never_returned(faulty: Callable[[Answer], S3]) -> None:
    with pytest.raises((Retryable, IntegrityError)):
        faulty(half).get(ref_of(CONTENT))


def test_one_503_is_survived(faulty: Callable[[Answer], S3]) -> None:
    answers = iter([status(503, "SlowDown"), status(200, "OK")])

    def one_after_the_other(request: BaseHTTPRequestHandler) -> None:
        next(answers)(request)

    assert faulty(one_after_the_other).put(CONTENT) == ref_of(CONTENT)


def test_nobody_listens() -> None:
    store = S3(Settings(s3_bucket=BUCKET, s3_endpoint="http://127.0.0.1:1"))
    with pytest.raises(Retryable):
        store.get(ref_of(CONTENT))
