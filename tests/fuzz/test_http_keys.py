"""Keys that come and go between any two pieces: the same answers with the fast lane as without it."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from orderkeep.api.access import Access
from orderkeep.api.app import create_app
from orderkeep.api.connections import Connections
from orderkeep.api.fast_lane import FastLane, FastLaneProtocol
from orderkeep.api.guard import AllowedHosts
from orderkeep.api.keyring import Keyring
from orderkeep.api.orders import order_routes
from orderkeep.api.protocol import BoundedProtocol
from orderkeep.cache.read_through import ReadThrough
from orderkeep.keys import Key, Scope, changing, make_key
from orderkeep.observe.metrics import Metrics
from tests.fuzz.examples import examples
from tests.unit.test_fast_lane import filled, say_by_wire

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
TARGETS = ["one", "two", "cold", "none", "on%65", "one/origin", ""]


class KeyedServer:
    """Connections to one application that asks for keys, with and without the lane."""

    def __init__(self, folder: Path) -> None:
        file = folder / "keys.json"
        with changing(file) as kept:
            self.lasting = add(kept, "read")
            self.expiring = add(kept, "read", expires=LATER)
            self.coming_back = add(kept, "write", "read", expires=LATER)
            self.writing = add(kept, "write", "admin")
        self._keyring = Keyring(file)
        self._runner = asyncio.Runner()
        store, self._cache = self._runner.run(filled())
        hosts, access = AllowedHosts([]), Access(self._keyring)
        self._allow, self._may_read = hosts.allow, access.may_read
        self._orders = ReadThrough(store, self._cache)
        app = create_app(order_routes(self._orders, store, access), hosts, Metrics("api"), access)
        self._config = uvicorn.Config(app, log_config=None, ws="none", access_log=False)
        self._config.load()

    def close(self) -> None:
        self._runner.close()

    def say(self, script: list[bytes | datetime], *, fast: bool) -> bytes:
        """What is answered; where the script has a time, the keys in force are those of that time."""
        lane = FastLane(self._cache, self._orders.ask, self._allow, self._may_read)
        one = get("one", self.lasting)
        return self._runner.run(self._say([one, one, one, *script], lane if fast else None))

    async def _say(self, script: list[bytes | datetime], lane: FastLane | None) -> bytes:
        parts = Connections(), self._config, ServerState(), dict[str, object]()
        protocol = FastLaneProtocol(lane, *parts) if lane else BoundedProtocol(*parts)

        def turn(to: datetime) -> Callable[[], None]:
            def look() -> None:
                if self._keyring.look(to) and lane:
                    lane.take_back()

            return look

        turn(NOW)()
        chunks = [part if isinstance(part, bytes) else turn(part) for part in script]
        said = await say_by_wire(protocol, chunks, patient=True)
        assert lane is None or lane.hits
        return said


def add(kept: list[Key], *scopes: Scope, expires: datetime | None = None) -> str:
    text, key = make_key("somebody", scopes, expires, NOW)
    kept.append(key)
    return text


def get(target: str, *keys: str) -> bytes:
    sent = "".join(f"Authorization: Bearer {key}\r\n" for key in keys)
    return f"GET /orders/{target} HTTP/1.1\r\nHost: localhost\r\n{sent}\r\n".encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyedServer]:
    made = KeyedServer(tmp_path_factory.mktemp("keys"))
    yield made
    made.close()


def status_lines(said: bytes) -> list[bytes]:
    return [part[:3] for part in said.split(b"HTTP/1.1 ")[1:]]


def test_an_end_between_two_requests(server: KeyedServer) -> None:
    """A key that the lane has answered for is refused from its end on, and taken again when it is back."""
    one = get("one", server.expiring)
    script: list[bytes | datetime] = [
        one,
        one,
        one,
        LATER,
        one,
        get("one", server.lasting),
        NOW,
        one,
        one,
        one,
    ]
    said = server.say(script, fast=True)
    assert status_lines(said) == [b"200"] * 6 + [b"401"] + [b"200"] * 4
    assert b'www-authenticate: Bearer realm="orderkeep", error="invalid_token"' in said
    assert said == server.say(script, fast=False)


def test_in_two_pieces(server: KeyedServer) -> None:
    """A request that has begun before the end of its key, and is whole after it, is refused."""
    one = get("one", server.expiring)
    for at in (5, 30, len(one) - 1):
        script: list[bytes | datetime] = [
            one,
            one,
            one,
            one[:at],
            LATER,
            one[at:],
            get("two", server.lasting),
        ]
        said = server.say(script, fast=True)
        assert status_lines(said)[-2:] == [b"401", b"200"]
        assert said == server.say(script, fast=False)


@settings(max_examples=examples(80), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_same_answers(server: KeyedServer, data: st.DataObject) -> None:
    """Any requests with any keys, cut anywhere, while keys end and come back."""
    keys = [
        server.lasting,
        server.expiring,
        server.coming_back,
        server.writing,
        "wrong",
        f"{server.lasting}x",
    ]
    some_keys = st.lists(st.sampled_from(keys), max_size=2) | st.sampled_from([[key] for key in keys[:3]])
    asked = st.builds(lambda target, sent: get(target, *sent), st.sampled_from(TARGETS), some_keys)
    pieces = st.builds(lambda whole, at: [whole[:at], whole[at:]], asked, st.integers(1, 60))
    repeated = st.builds(lambda whole, times: [whole] * times, asked, st.integers(1, 4))
    turned = st.sampled_from([[NOW], [LATER]])
    parts = data.draw(st.lists(pieces | repeated | turned, max_size=10))
    script = [piece for part in parts for piece in part]
    assert server.say(script, fast=True) == server.say(script, fast=False)
