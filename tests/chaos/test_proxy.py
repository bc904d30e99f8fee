"""The proxy of the fault campaign: what gets through in each of its modes, between a real client and a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from chaos.proxy import HOST, Proxy

SHORT_SECONDS = 0.2
LONG_SECONDS = 10.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that gives back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.got = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1_000):
                self.got += data
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def between() -> AsyncIterator[tuple[Proxy, Echo]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, HOST, 0)
    proxy = Proxy("ada~broker", server.sockets[0].getsockname()[1])
    await proxy.start()
    try:
        yield proxy, echo
    finally:
        await proxy.close()
        server.close()
        await server.wait_closed()


async def asked(streams: Streams, data: bytes) -> bytes:
    reader, writer = streams
    writer.write(data)
    return await asyncio.wait_for(reader.read(1_000), LONG_SECONDS)


async def is_silent(streams: Streams) -> bool:
    try:
        await asyncio.wait_for(streams[0].read(1), SHORT_SECONDS)
    except TimeoutError:
        return True
    return False


def run(story: Callable[[Proxy, Echo, Streams], Awaitable[None]]) -> None:
    async def told() -> None:
        async with between() as (proxy, echo):
            streams = await asyncio.open_connection(HOST, proxy.port)
            try:
                assert await asked(streams, b"before") == b"before"
                await story(proxy, echo, streams)
            finally:
                streams[1].close()

    asyncio.run(told())


def test_what_was_cut_is_reset_and_stays_so_until_it_is_healed() -> None:
    async def story(proxy: Proxy, _: Echo, streams: Streams) -> None:
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(streams[0].read(1), LONG_SECONDS)
        again = await asyncio.open_connection(HOST, proxy.port)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(again[0].read(1), LONG_SECONDS)
        assert proxy.seen == {"cut": 1, "refused": 1}
        proxy.heal()
        third = await asyncio.open_connection(HOST, proxy.port)
        assert await asked(third, b"after") == b"after"
        third[1].close()

    run(story)


def test_what_is_silent_arrives_when_it_is_healed() -> None:
    async def story(proxy: Proxy, echo: Echo, streams: Streams) -> None:
        proxy.silence()
        streams[1].write(b"late")
        assert await is_silent(streams)
        assert (echo.got, proxy.seen["held"]) == (b"before", 1)
        proxy.heal()
        assert await asyncio.wait_for(streams[0].read(4), LONG_SECONDS) == b"late"

    run(story)


def test_a_mute_line_asks_and_loses_the_answer() -> None:
    async def story(proxy: Proxy, echo: Echo, streams: Streams) -> None:
        proxy.mute()
        streams[1].write(b"heard")
        assert await is_silent(streams)
        assert (echo.got, proxy.seen["held"]) == (b"beforeheard", 1)
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(streams[0].read(5), LONG_SECONDS)

    run(story)


def test_a_slow_line_takes_its_time() -> None:
    async def story(proxy: Proxy, _: Echo, streams: Streams) -> None:
        loop = asyncio.get_running_loop()
        proxy.slow(SHORT_SECONDS)
        began = loop.time()
        assert await asked(streams, b"slowly") == b"slowly"
        assert loop.time() - began >= 2 * SHORT_SECONDS
        assert proxy.seen["slowed"] == 2

    run(story)
