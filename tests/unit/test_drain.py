"""A server that is asked to stop loses no request that is on its way."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from orderkeep.api import protocol
from tests.orders import order
from tests.unit.test_fast_lane import GET_ONE, filled, served

CLIENTS = 8
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def ask(connection: Connection) -> tuple[bytes, bytes]:
    """Head and body of the answer to a request for an order."""
    reader, writer = connection
    writer.write(GET_ONE)
    head = await reader.readuntil(b"\r\n\r\n")
    return head, await reader.readexactly(len(order("one")))


async def until_it_stops(port: int) -> None:
    """The server closes its socket first, and tells its connections in the same step."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            return
        writer.close()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("fast", [True, False])
async def test_last_request(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    """What a client asks on an idle connection after the stop is answered, as the last; then it is closed."""
    monkeypatch.setattr(protocol, "LAST_WORDS_SECONDS", 60.0)
    stop = asyncio.Event()
    store, cache = await filled()
    async with served(cache, store, fast=fast, stop=stop) as (port, lane), AsyncExitStack() as cleanup:
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CLIENTS)]
        for connection in connections:
            cleanup.callback(connection[1].close)
            for _ in range(3):  # the third by the lane
                head, _ = await ask(connection)
                assert b"connection: close" not in head
        assert bool(lane.hits) == fast
        stop.set()
        await until_it_stops(port)
        for connection in connections:
            head, body = await ask(connection)
            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"\r\nconnection: close\r\n" in head
            assert body == order("one")
            assert await connection[0].read() == b""


async def test_idle_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection on which nothing is asked any more is closed a little later, and holds nobody up."""
    monkeypatch.setattr(protocol, "LAST_WORDS_SECONDS", 0.01)
    stop = asyncio.Event()
    store, cache = await filled()
    async with served(cache, store, fast=True, stop=stop) as (port, _):
        silent = await asyncio.open_connection("127.0.0.1", port)
        used = await asyncio.open_connection("127.0.0.1", port)
        await ask(used)
        stop.set()
        assert await silent[0].read() == b""
        assert await used[0].read() == b""
        for _, writer in (silent, used):
            writer.close()
