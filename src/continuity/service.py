"""What every service process has: readable logs on stderr, a clean stop on SIGTERM, health and metrics on a port.

A flat adapter over `logging`, `signal` and `prometheus-client`; used by the entry points only.
"""

import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import NoReturn

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

HOST = "127.0.0.1"


class Health:
    """What a service says of itself: `ready` and why not. Safe to set from any thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready = False
        self.detail = "starting"

    def set(self, *, ready: bool, detail: str) -> None:
        """Say how it is; a change is logged."""
        if (ready, detail) != (self.ready, self.detail):
            logging.getLogger(self.name).info("health: %s: %s", "ready" if ready else "not ready", detail)
        self.ready, self.detail = ready, detail


class _Formatter(logging.Formatter):
    """One line a record: instant, level, who, what."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime


def log_to_stderr(level: str) -> None:
    """Set the root logger up, once, at the start of a process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def stop_on_signal() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def end_on(*signals: signal.Signals) -> None:
    """Let these end a program as an exception does, so that everything it has begun is put away."""
    for number in signals:
        signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(f"ended by {signal.Signals(number).name}; nothing is left running")


def serve_health(port: int, health: Health) -> Callable[[], None]:
    """Answer /healthz, /readyz and /metrics on loopback in a thread; port 0 serves nothing. Returns what closes it."""
    if port == 0:
        return lambda: None

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._send(200, CONTENT_TYPE_LATEST, generate_latest())
            elif self.path in ("/healthz", "/readyz"):
                good = health.ready or self.path == "/healthz"
                body = {"service": health.name, "ready": health.ready, "detail": health.detail}
                self._send(200 if good else 503, "application/json", json.dumps(body).encode())
            else:
                self._send(404, "text/plain", b"/healthz /readyz /metrics\n")

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Requests are not logged."""

    server = ThreadingHTTPServer((HOST, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()

    def close() -> None:
        server.shutdown()
        server.server_close()

    return close
