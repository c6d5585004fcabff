"""The fast lane answers exactly as the server behind it would."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from orderkeep.api import protocol
from orderkeep.api.app import create_app
from orderkeep.api.connections import Connections
from orderkeep.api.fast_lane import MOST_CANDIDATES, MOST_TAILS, PATIENCE_SECONDS, FastLane, FastLaneProtocol
from orderkeep.api.guard import AllowedHosts
from orderkeep.api.orders import order_routes
from orderkeep.api.protocol import BoundedProtocol
from orderkeep.api.server import listen, serve
from orderkeep.cache.entry import render
from orderkeep.cache.memory import OVERHEAD, MemoryCache
from orderkeep.cache.read_through import Found, ReadThrough
from orderkeep.errors import DatabaseUnavailable
from orderkeep.observe.metrics import Metrics
from orderkeep.storage.memory import MemoryStore
from orderkeep.storage.store import StoredOrder
from tests.orders import order, orders_batch

TAIL = b" HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
LAST = b"GET /orders/last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
PATIENCE = 2.0  # for what ends without the server closing; everything else is read to its end
UIDS = ("one", "two", "a.b~c:d-e_f")

GET_ONE = b"GET /orders/one" + TAIL
FRAGMENTS = {
    "get": GET_ONE,
    "get another": b"GET /orders/two" + TAIL,
    "get special": b"GET /orders/a.b~c:d-e_f" + TAIL,
    "get cold": b"GET /orders/cold" + TAIL,
    "get missing": b"GET /orders/none" + TAIL,
    "get escaped": b"GET /orders/on%65" + TAIL,
    "get with query": b"GET /orders/one?x=1" + TAIL,
    "get with fragment": b"GET /orders/one#x" + TAIL,
    "get list": b"GET /orders/" + TAIL,
    "head": b"HEAD /orders/one" + TAIL,
    "conditional": b"GET /orders/one HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: *\r\n\r\n",
    "range": b"GET /orders/one HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-1\r\n\r\n",
    "foreign host": b"GET /orders/one HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n",
    "two hosts": b"GET /orders/one HTTP/1.1\r\nHost: localhost\r\nHost: elsewhere.example\r\n\r\n",
    "no host": b"GET /orders/one HTTP/1.1\r\n\r\n",
    "old": b"GET /orders/one HTTP/1.0\r\nHost: localhost\r\n\r\n",
    "body": b"GET /orders/one HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody",
    "chunked": b"GET /orders/one HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "post": b"POST /orders/one HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi",
    "post of a get": b"POST /orders/one HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
    % (len(GET_ONE), GET_ONE),
    "expect": b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    "blank line": b"\r\n",
}


class Slow(MemoryStore):
    """A store that answers when it is let, and fails while it is away."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.away = asyncio.Event(), False

    async def orders(self, uids: Sequence[str]) -> list[StoredOrder]:
        await self.open.wait()
        if self.away:
            raise DatabaseUnavailable("away")
        return await super().orders(uids)


@asynccontextmanager
async def served(
    cache: MemoryCache, store: MemoryStore, *, fast: bool, stop: asyncio.Event | None = None
) -> AsyncIterator[tuple[int, FastLane]]:
    """The port of a server of orders, and the lane, which it has if it is `fast`."""
    orders, hosts = ReadThrough(store, cache), AllowedHosts([])
    lane = FastLane(cache, orders.ask, hosts.allow)
    app = create_app(order_routes(orders, store), hosts, Metrics("api"))
    listener = listen("127.0.0.1", 0, setting="")
    port = listener.getsockname()[1]
    stop = stop or asyncio.Event()
    serving = asyncio.create_task(serve(app, listener, stop, lane if fast else None))
    yield port, lane
    stop.set()
    await serving


async def filled() -> tuple[MemoryStore, MemoryCache]:
    """Some orders, and a cache of all but the last, into which no reading brings it."""
    store, cache = MemoryStore(), MemoryCache(1_000_000, max_orders=len(UIDS))
    await fill(store, cache)
    return store, cache


async def fill(store: MemoryStore, cache: MemoryCache) -> None:
    await store.write(orders_batch([order(uid) for uid in (*UIDS, "cold")]))
    for stored in await MemoryStore.orders(store, UIDS):
        await cache.put_new(stored.order_uid, render(stored))


async def say(port: int, chunks: Sequence[bytes]) -> bytes:
    """What the server answers to these chunks, each a packet of its own, until it closes or falls silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = bytearray()
    try:
        for chunk in chunks:
            writer.write(chunk)
            await asyncio.sleep(0.003)
        async with asyncio.timeout(PATIENCE):
            while data := await reader.read(65_536):
                answer += data
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return re.sub(rb"date: [^\r]*\r\n", b"", bytes(answer))


async def compare(scripts: Sequence[Sequence[bytes]]) -> FastLane:
    """Say every script to both servers, and expect the same bytes."""
    store, cache = await filled()
    async with (
        served(cache, store, fast=True) as (fast, lane),
        served(cache, store, fast=False) as (plain, _),
    ):
        for script in scripts:
            answers = await asyncio.gather(say(fast, script), say(plain, script))
            assert answers[0] == answers[1], script
    return lane


async def test_same_answers() -> None:
    """Every kind of request, before and behind recognised ones, is answered as without the lane."""
    known = [GET_ONE] * 4
    scripts = [[*known, fragment, *known, LAST] for fragment in FRAGMENTS.values()]
    lane = await compare(scripts)
    assert lane.hits > len(scripts)


async def test_cut_anywhere() -> None:
    """A recognised request that arrives in two pieces is answered once, wherever it is cut."""
    known = [GET_ONE] * 3
    cuts = [[*known, GET_ONE[:at], GET_ONE[at:], LAST] for at in range(1, len(GET_ONE), 3)]
    await compare(cuts)


async def test_not_a_request_inside_a_body() -> None:
    """The body of a request that was answered early is not taken for a request, though it looks like one."""
    head = b"POST /orders/one HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(GET_ONE)
    await compare([[GET_ONE, GET_ONE, GET_ONE, head, GET_ONE, GET_ONE, LAST]])


async def test_answered_from_the_database() -> None:
    """An order that is not in the cache is answered in the lane all the same, once it is read."""
    lane = await compare([[GET_ONE, GET_ONE, GET_ONE, FRAGMENTS["get cold"], GET_ONE, LAST]])
    assert (lane.reads, lane.waiting) == ({"miss": 1}, {})


@pytest.mark.parametrize("event", ["more", "end", "stop", "nothing", "failure"])
async def test_before_the_database_answers(event: str) -> None:
    """Whatever comes before the answer of the database, the request is answered as without the lane."""
    assert await ask_slowly(event, fast=True) == await ask_slowly(event, fast=False)


async def ask_slowly(event: str, *, fast: bool) -> bytes:
    """All that is answered when the event comes first."""
    store, cache, stop = Slow(), MemoryCache(1_000_000, max_orders=len(UIDS)), asyncio.Event()
    await fill(store, cache)
    async with served(cache, store, fast=fast, stop=stop) as (port, lane):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(GET_ONE)
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.01)
        writer.write(FRAGMENTS["get cold"])
        await asyncio.sleep(0.05)
        assert len(lane.waiting) == fast
        if event == "more":
            writer.write(GET_ONE)
        elif event == "end":
            writer.write_eof()
        elif event == "stop":
            stop.set()
        elif event == "nothing":
            await asyncio.sleep(PATIENCE_SECONDS + 0.3)
        store.away = event == "failure"
        if event != "failure":
            await asyncio.sleep(0.2)
            assert not lane.waiting
        store.open.set()
        if event not in {"end", "stop"}:
            writer.write(LAST)
        answer = await reader.read()
        writer.close()
        assert not lane.reads
    return re.sub(rb"date: [^\r]*\r\n", b"", answer)


async def test_hung_up_before_the_database_answers() -> None:
    """Who has gone is waited for no more, and nothing is written to them."""
    store, cache = Slow(), MemoryCache(1_000_000, max_orders=len(UIDS))
    await fill(store, cache)
    async with served(cache, store, fast=True) as (port, lane):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(GET_ONE)
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.01)
        writer.write(FRAGMENTS["get cold"])
        await asyncio.sleep(0.05)
        assert lane.waiting
        writer.transport.abort()
        await asyncio.sleep(0.05)
        assert not lane.waiting
        store.open.set()
        await asyncio.sleep(0.05)
        assert not lane.reads


async def test_nothing_after_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that was refused for its slowness is not answered any more, whatever it still sends."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.03)
    wait = [b""] * 30
    await compare([[GET_ONE, GET_ONE, GET_ONE, b"\r\n", *wait, GET_ONE, LAST]])


async def test_not_a_request_inside_a_head() -> None:
    """The rest of a head is not taken for a request, though it looks like one."""
    head = b"GET /none HTTP/1.1\r\nHost: localhost\r\nX-Word: "
    await compare([[GET_ONE, GET_ONE, GET_ONE, head, GET_ONE, LAST]])


class Wire(asyncio.Transport):
    """A connection without a network in between: what is said is answered before the next piece is said."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing:
            self.written += bytes(data)

    def close(self) -> None:
        self._closing = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._closing = True  # nothing is said after it

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def say_by_wire(
    protocol: BoundedProtocol, chunks: Sequence[bytes | Callable[[], object]], *, patient: bool = False
) -> bytes:
    """What is answered to these chunks; what is no chunk is called when its turn comes.

    Who is patient says nothing while the lane waits for the database.
    """
    wire = Wire()
    protocol.connection_made(wire)
    for chunk in chunks:
        if not isinstance(chunk, bytes):
            chunk()
        elif not wire.is_closing():
            protocol.data_received(chunk)
        while patient and isinstance(protocol, FastLaneProtocol) and protocol._answer is not None:
            await asyncio.wait([protocol._answer])
        while tasks := set(protocol.tasks):
            done, _ = await asyncio.wait(tasks, timeout=PATIENCE)
            if not done:
                break  # a request whose body has not come yet
    protocol.connection_lost(None)
    return re.sub(rb"date: [^\r]*\r\n", b"", wire.written)


async def compare_by_wire(script: Sequence[bytes]) -> None:
    store, cache = await filled()
    hosts = AllowedHosts([])
    orders = ReadThrough(store, cache)
    lane = FastLane(cache, orders.ask, hosts.allow)
    app = create_app(order_routes(orders, store), hosts, Metrics("api"))
    config = uvicorn.Config(app, log_config=None, ws="none", access_log=False)
    config.load()
    fast = FastLaneProtocol(lane, Connections(), config, ServerState(), {})
    plain = BoundedProtocol(Connections(), config, ServerState(), {})
    assert await say_by_wire(fast, script) == await say_by_wire(plain, script)
    assert lane.hits


@given(
    names=st.lists(st.sampled_from(sorted(FRAGMENTS)), min_size=1, max_size=8),
    cut=st.integers(1, 40),
    merged=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_sequence(names: list[str], cut: int, merged: bool) -> None:
    """Any sequence of requests, cut or merged in any way, is answered as without the lane."""
    parts = [FRAGMENTS[name] for name in names]
    if merged:
        whole = b"".join(parts)
        parts = [whole[at : at + cut * 7] for at in range(0, len(whole), cut * 7)]
    asyncio.run(compare_by_wire([GET_ONE, GET_ONE, GET_ONE, *parts, LAST]))


def never(_uid: str) -> "asyncio.Future[Found | None]":
    raise AssertionError("nothing is to be asked")


async def test_the_cache_is_told() -> None:
    """What the lane has answered from the cache stays there for longer than what nobody asked for."""
    cache = MemoryCache(2 * (OVERHEAD + 10))
    for uid in ("a", "b"):
        await cache.put_new(uid, b"entry")
    lane = FastLane(cache, never, AllowedHosts([]).allow)
    lane.hit.append("a")
    lane.tell_cache()
    await cache.put_new("c", b"entry")
    assert (lane.hits, lane.hit) == (1, [])
    assert cache.peek("a")
    assert not cache.peek("b")


def test_sets_are_bounded() -> None:
    """Tails without end do not fill the memory, and none is recognised on its first sight."""
    lane = FastLane(MemoryCache(0), never, AllowedHosts([]).allow)
    headers = [(b"host", b"localhost")]
    for number in range(10 * MOST_CANDIDATES):
        lane.judge(b"once %d" % number, headers)
    assert not lane.judged
    for number in range(10 * MOST_TAILS):
        lane.judge(b"twice %d" % number, headers)
        lane.judge(b"twice %d" % number, headers)
        assert len(lane.judged) <= MOST_TAILS
    assert len(lane._candidates) <= MOST_CANDIDATES


def test_tails_are_taken_back() -> None:
    """When keys change, nothing is recognised any more, whoever it came from; nobody is let in for a key."""
    allowed = True
    lane = FastLane(MemoryCache(0), never, AllowedHosts([]).allow, lambda _headers: allowed)
    headers = [(b"host", b"localhost"), (b"authorization", b"Bearer x")]
    lane.judge(b"tail", headers)
    lane.judge(b"tail", headers)
    assert lane.judged == {b"tail"}
    lane.take_back()
    assert not lane.judged
    allowed = False
    for _ in range(3):
        lane.judge(b"tail", headers)
    assert not lane.judged


@pytest.mark.parametrize("name", ["if-none-match", "range", "content-length", "traceparent"])
def test_what_is_not_plain(name: str) -> None:
    """A tail with a header that changes the answer is never recognised."""
    lane = FastLane(MemoryCache(0), never, AllowedHosts([]).allow)
    for _ in range(3):
        lane.judge(b"tail", [(b"host", b"localhost"), (name.encode(), b"1")])
    assert not lane.judged
