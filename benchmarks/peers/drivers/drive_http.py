"""Any system over HTTP/1.1: one keep-alive socket a caller and no library, which would cost what the server costs.

Address: `urls` (callers take them in turn), `method`, `paths` (a file: for each object the paths that its calls take in
turn), `body` (a JSON value, in which the text PAYLOAD stands for the payload), `key_file` where a bearer token is
needed.
"""

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from benchmarks.peers.drivers.loop import OBJECTS, Plan, run

MULTIPLE = 300


class Socket:
    """One connection; one request at a time."""

    def __init__(self, url: str, head: str) -> None:
        self._address, self._head = urlsplit(url), head

    async def open(self) -> "Socket":
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        return self

    async def call(self, request_line: str, body: bytes) -> None:
        """Send a request that has to succeed, and take all of its answer."""
        head = f"{request_line} HTTP/1.1\r\nHost: {self._address.netloc}\r\n{self._head}Content-Length: {len(body)}"
        self._writer.write(head.encode() + b"\r\n\r\n" + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = answer.partition(b"content-length:")[2].partition(b"\r\n")[0]
        found = await (self._reader.readexactly(int(length)) if length else self._chunks(answer))
        if int(answer[9:12]) >= MULTIPLE:
            raise RuntimeError(f"{request_line} was answered {answer[:300]!r} {found[:300]!r}")

    async def _chunks(self, answer: bytes) -> bytes:
        if b"transfer-encoding: chunked" not in answer:
            return b""
        found = []
        while size := int((await self._reader.readline()).partition(b";")[0], 16):
            found.append(await self._reader.readexactly(size))
            await self._reader.readline()
        await self._reader.readline()
        return b"".join(found)


async def main(plan: Plan, paths: list[list[str]], head: str) -> None:
    """Each call is one request."""
    where = plan.address
    body = json.dumps(where["body"]).replace("PAYLOAD", plan.payload).encode()
    urls = where["urls"]
    callers = max(each.concurrency for each in plan.measurements)
    sockets = [await Socket(urls[caller % len(urls)], head).open() for caller in range(callers)]
    turns = [0] * OBJECTS

    async def call(caller: int, item: int) -> None:
        turns[item] += 1
        await sockets[caller].call(f"{where['method']} {paths[item][turns[item] % len(paths[item])]}", body)

    await run(plan, {each.operation: call for each in plan.measurements})


if __name__ == "__main__":
    given = Plan.given()
    lines = "Content-Type: application/json\r\n"
    if given.address.get("key_file"):
        lines += f"Authorization: Bearer {Path(given.address['key_file']).read_text(encoding='ascii').strip()}\r\n"
    uvloop.run(main(given, json.loads(Path(given.address["paths"]).read_text(encoding="utf-8")), lines))
