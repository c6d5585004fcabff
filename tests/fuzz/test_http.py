"""HTTP of any shape, cut anywhere: the same answers with and without the fast lane, and however it is cut."""

import asyncio
from itertools import pairwise

import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from orderkeep.api.app import create_app
from orderkeep.api.connections import Connections
from orderkeep.api.fast_lane import FastLane, FastLaneProtocol
from orderkeep.api.guard import AllowedHosts
from orderkeep.api.orders import order_routes
from orderkeep.api.posting import posting_route
from orderkeep.api.protocol import BoundedProtocol
from orderkeep.cache.read_through import ReadThrough
from orderkeep.ingest.intake import Intake
from orderkeep.observe.metrics import Metrics
from tests.fuzz.corpus import corpus
from tests.fuzz.examples import examples
from tests.orders import order
from tests.unit.test_fast_lane import FRAGMENTS, GET_ONE, LAST, UIDS, filled, say_by_wire

CORPUS = corpus("http")
METHODS = [b"GET", b"GET", b"GET", b"HEAD", b"POST", b"OPTIONS", b"BREW", b"get"]
TARGETS = [b"/orders/" + uid.encode() for uid in UIDS]
TARGETS += [b"/orders/none", b"/orders/on%65", b"/orders/one?x=1", b"/orders/", b"/order/one", b"/orders"]
TARGETS += [
    b"/order/order?order_uid=two",
    b"http://localhost/orders/one",
    b"//x/orders/one",
    b"*",
    b"/orders/\xff",
]
VERSIONS = [b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1"]
HEADERS = [
    b"Host: localhost",
    b"Host: elsewhere.example",
    b"Accept: */*",
    b"If-None-Match: *",
    b"Range: bytes=0-1",
    b"Authorization: Bearer x",
    b"Connection: close",
    b"Connection: keep-alive",
    b"X-Long: " + b"y" * 3_000,
    b"X-Empty:",
    b"X-Folded: a\r\n b",
    b"Expect: 100-continue",
    b"Content-Type: application/json",
]
WRONG_HEADERS = [
    b"nonsense",
    b"Bad Name: x",
    b"X: \0",
    b"Content-Length: 3",
    b"Content-Length: x",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip",
    b"Connection: upgrade\r\nUpgrade: h2c",
]
BODIES = [
    b"",
    b"x",
    b'{"order_uid": 1}',
    order("one"),
    order("one", locale="other"),
    b"GET /orders/one HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"y" * 5_000,
]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request as the grammar has it (RFC 9112): its body is as long as its head says."""
    method, target, version = (draw(st.sampled_from(each)) for each in (METHODS, TARGETS, VERSIONS[:7]))
    headers = [b"Host: localhost", *draw(st.lists(st.sampled_from(HEADERS[2:]), max_size=3))]
    body = draw(st.sampled_from(BODIES))
    if body and draw(st.booleans()):
        headers.append(b"Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    elif body or draw(st.booleans()):
        headers.append(b"Content-Length: %d" % len(body))
    return b" ".join([method, target, version]) + b"\r\n" + b"\r\n".join(headers) + b"\r\n\r\n" + body


@st.composite
def nearly_requests(draw: st.DrawFn) -> bytes:
    """A request whose parts may each be wrong, or left out."""
    line = b" ".join(draw(st.sampled_from(each)) for each in (METHODS, TARGETS, VERSIONS))
    headers = draw(st.lists(st.sampled_from([*HEADERS, *WRONG_HEADERS]), max_size=4))
    end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b""]))
    return end.join([line, *headers, b"", draw(st.sampled_from(BODIES))])


known = st.sampled_from([GET_ONE, *FRAGMENTS.values()])
streams = st.lists(known | requests() | nearly_requests() | st.binary(max_size=30), max_size=6).map(b"".join)
well_formed = st.lists(st.just(GET_ONE) | requests(), max_size=6).map(b"".join)
cuts = st.lists(st.integers(0, 2_000), max_size=12)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """The stream in pieces."""
    ends = sorted({place % (len(stream) + 1) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(ends)]


class Servers:
    """Makes connections to one application, with and without the lane, without a network in between."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._store, self._cache = self._runner.run(filled())
        hosts = AllowedHosts([])
        self._orders = ReadThrough(self._store, self._cache)
        posting = posting_route(Intake(self._store, patience=0.0), self._cache)
        routes = [*order_routes(self._orders, self._store), posting]
        app = create_app(routes, hosts, Metrics("api"))
        self._config = uvicorn.Config(app, log_config=None, ws="none", access_log=False)
        self._config.load()
        self._allow = hosts.allow

    def fast(self, script: list[bytes]) -> bytes:
        return self._runner.run(self._say_fast(script))

    def plain(self, script: list[bytes]) -> bytes:
        return self._runner.run(self._say_plain(script))

    async def _say_fast(self, script: list[bytes]) -> bytes:
        lane = FastLane(self._cache, self._orders.ask, self._allow)
        protocol = FastLaneProtocol(lane, Connections(), self._config, ServerState(), {})
        answer = await say_by_wire(protocol, [GET_ONE, GET_ONE, GET_ONE, *script])
        assert lane.hits
        return answer

    async def _say_plain(self, script: list[bytes]) -> bytes:
        protocol = BoundedProtocol(Connections(), self._config, ServerState(), {})
        return await say_by_wire(protocol, [GET_ONE, GET_ONE, GET_ONE, *script])


SERVERS = Servers()


@pytest.mark.parametrize("name", CORPUS)
def test_corpus(name: str) -> None:
    """What once went wrong does not again, whole, byte by byte, and cut at every place."""
    stream = CORPUS[name] + LAST
    for script in ([stream], [stream[at : at + 1] for at in range(len(stream))], *cut_everywhere(stream)):
        assert SERVERS.fast(script) == SERVERS.plain(script), script


def cut_everywhere(stream: bytes) -> list[list[bytes]]:
    step = max(1, len(stream) // 20)
    return [[stream[:at], stream[at:]] for at in range(1, len(stream), step)]


@settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))
@given(streams, cuts)
def test_same_answers_with_and_without_the_lane(stream: bytes, places: list[int]) -> None:
    """Any bytes, cut anywhere, are answered as they are without the lane."""
    script = cut(stream + LAST, places)
    assert SERVERS.fast(script) == SERVERS.plain(script)


@settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))
@given(well_formed, cuts)
def test_same_answers_however_it_is_cut(stream: bytes, places: list[int]) -> None:
    """Requests are answered the same in one packet and in many."""
    whole = SERVERS.plain([stream + LAST])
    script = cut(stream + LAST, places)
    assert SERVERS.plain(script) == whole
    assert SERVERS.fast(script) == whole
