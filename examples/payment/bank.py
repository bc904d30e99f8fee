"""The other side: a bank that takes a charge once for each key, and counts how often it was asked.

`POST /charges {key, cents}` charges, or answers with the charge that the key has already; `GET /charges/KEY` looks.
"""

# ruff: noqa: INP001 - scripts beside one another, no package

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Bank(ThreadingHTTPServer):
    """Listens on this machine. `calls` and `charges` count by key."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Desk)
        self.calls: Counter[str] = Counter()
        self.charges: Counter[str] = Counter()
        self.receipts: dict[str, dict[str, Any]] = {}
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def charge(self, key: str, cents: int) -> dict[str, Any]:
        """Take the money, unless this key has."""
        with self.lock:
            self.calls[key] += 1
            if key not in self.receipts:
                self.charges[key] += 1
                self.receipts[key] = {"receipt": f"R-{len(self.receipts) + 1:04}", "key": key, "cents": cents}
            return self.receipts[key]


class Desk(BaseHTTPRequestHandler):
    """Where the bank is asked."""

    server: Bank

    def do_POST(self) -> None:
        """Charge."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(HTTPStatus.OK, self.server.charge(asked["key"], asked["cents"]))

    def do_GET(self) -> None:
        """Look."""
        receipt = self.server.receipts.get(self.path.removeprefix("/charges/"))
        self._answer(HTTPStatus.OK if receipt else HTTPStatus.NOT_FOUND, receipt or {})

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""

    def _answer(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def open_bank() -> Iterator[Bank]:
    """A bank, for as long as the block lasts."""
    with Bank() as bank:
        thread = threading.Thread(target=bank.serve_forever, daemon=True)
        thread.start()
        try:
            yield bank
        finally:
            bank.shutdown()
            thread.join()
