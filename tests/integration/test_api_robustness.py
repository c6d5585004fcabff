"""Clients that are slow, greedy or broken cost the API little, and the others notice nothing of them."""

import asyncio
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from orderkeep.api.connections import MAX_CONNECTIONS, RESERVED_FILES
from orderkeep.api.refusals import MAX_BODY_BYTES
from orderkeep.embedded import PostgresServer
from tests.conftest import Database, drop_database, make_database
from tests.service import Service, wait_until

from .api_scene import (
    GET,
    ORDERS,
    Flood,
    LimitedApi,
    api_only,
    connect,
    is_ended,
    many_files,
    memory,
    others,
    send_all_that_is_taken,
    status,
    store,
    wait_until_cached,
)

MEGABYTE = 1024 * 1024
POST = b"POST /rejects/1/replay HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def database(migrated: PostgresServer) -> Iterator[Database]:
    made = make_database(migrated)
    yield made
    drop_database(made)


@pytest.fixture(scope="module")
def api(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Service:
    asyncio.run(store(database, list(ORDERS.values())))
    return api_only(tmp_path_factory.mktemp("api"), database)


@pytest.fixture
def service(api: Service) -> Iterator[Service]:
    """A process of its own for each test: its memory is measured."""
    api.start_api()
    wait_until_cached(api, len(ORDERS))
    yield api
    assert api.api.stop() == 0
    assert not api.api.events("request_failed")
    assert "Traceback" not in api.api.output()


HALF = {
    "nothing": b"",
    "blank": b"\r\n",
    "half a line": b"GET /ord",
    "half a head": GET[:-2],
    "half a body": POST + b"Content-Length: 10\r\n\r\n{",
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{",
    "half a body, answered": b"POST /orders/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx",
    "half a second": GET + GET[:-1],
}
GREEDY = {
    "large": b"GET /orders/large HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500,
    "many": GET * 6_000,
}
TRICKLES = {
    "a head": (GET[:-2], b"X: y\r\n"),
    "a body": (POST + b"Content-Length: 1000000\r\n\r\n", b"{"),
    "blank lines": (b"", b"\r\n"),
    "a body, answered": (b"POST /orders/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n", b"x"),
}


def test_siege(service: Service) -> None:
    """All at once that a client can do wrong: it is ended in time and within memory, and others read on."""
    with Flood(service) as flood, others(service), connect(service) as first, connect(service) as kept:
        first.sendall(GET + GET)  # from now on the others are answered before they are parsed
        before = largest = memory(service.api)
        for request in GREEDY.values():
            for connection in flood.open(10, receive_buffer=4_096):
                send_all_that_is_taken(connection, request)
        for beginning in HALF.values():
            for connection in flood.open(20):
                connection.sendall(beginning)
        trickles = {name: flood.open(20) for name in TRICKLES}
        for name, connections in trickles.items():
            for connection in connections:
                connection.sendall(TRICKLES[name][0])

        def all_ended() -> bool:
            nonlocal largest
            largest = max(largest, memory(service.api))
            for name, connections in trickles.items():
                for connection in connections:
                    send_all_that_is_taken(connection, TRICKLES[name][1])
            kept.sendall(GET)
            assert status(Flood.answers([kept])[0]) == 200
            time.sleep(0.2)
            return all(map(is_ended, flood.connections))

        wait_until(all_ended, "all of them are ended")
        assert largest - before < 600 * MEGABYTE


def test_endless(service: Service) -> None:
    """A head, a body or chunks without end are refused in time, and what comes after is not kept."""
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    endless = {
        "headers": (b"GET /orders/a HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n" * 10_000, 431),
        "a header": (b"GET /orders/a HTTP/1.1\r\nHost: localhost\r\nX: ", b"y" * 60_000, 431),
        "a line": (b"GET /", b"x" * 60_000, 431),
        "declared": (POST + b"Content-Length: 999999999999\r\n\r\n", b"x" * 60_000, 413),
        "chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n", chunk, 413),
        "an extension": (POST + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 60_000, 413),
    }
    with Flood(service) as flood, others(service):
        before = memory(service.api)
        for name, (beginning, piece, expected) in endless.items():
            for connection in flood.open(5):
                connection.sendall(beginning)
                taken = 0
                while not is_ended(connection):
                    taken += send_all_that_is_taken(connection, piece)
                    assert taken < 100 * MEGABYTE, name
                answer = Flood.answers([connection])[0]
                # When the service closes with bytes unread, its answer may be lost on the way.
                assert status(answer) in (expected, 404, 0), name
        assert memory(service.api) - before < 100 * MEGABYTE


def test_too_large_a_body(service: Service) -> None:
    """A body beyond the limit is refused with 413, before it is sent or as soon as it is too large."""
    largest = b"x" * MAX_BODY_BYTES
    for content, expected in ((largest, 404), (largest + b"x", 413), (iter([largest, b"x"]), 413)):
        answer = httpx.post(
            f"{service.url}/rejects/1/replay",
            content=content,
            headers={"content-type": "application/json"},
            timeout=60,
        )
        assert answer.status_code in (expected, 404)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


def test_ten_thousand_idle_connections(service: Service) -> None:
    """Thousands of kept connections cost little memory, and others read on; each of them is still served."""
    count = many_files(10_000)
    with Flood(service) as flood, others(service):
        before = memory(service.api)
        idle: list[socket.socket] = []
        for _ in range(count // 500):
            made = flood.open(500)
            for connection in made:
                connection.sendall(GET)
            assert {status(answer) for answer in Flood.answers(made)} == {200}
            idle += made
        each = (memory(service.api) - before) / count
        assert each < 20_000
        alive = [connection for connection in idle if not is_ended(connection)]
        assert len(alive) > count // 2
        last = alive[-500:]
        for connection in last:
            connection.sendall(GET)
        assert {answer.endswith(ORDERS["a"]) for answer in Flood.answers(last)} == {True}


def test_more_connections_than_files(api: Service, tmp_path: Path) -> None:
    """Where the system allows fewer files, fewer connections are held; those beyond are told to return."""
    files = RESERVED_FILES + 150
    with LimitedApi(api, tmp_path, files) as limited, Flood(limited) as flood:
        assert limited.limit == 150
        kept = flood.open(140)
        for connection in kept:
            connection.sendall(GET)
        assert {status(answer) for answer in Flood.answers(kept)} == {200}
        more = flood.open(200)
        for connection in more:
            send_all_that_is_taken(connection, GET)
        answers = Flood.answers(more)
        assert sum(status(answer) == 200 for answer in answers) <= 10
        assert {status(answer) for answer in answers} <= {200, 503, 0}
        refused = next(answer for answer in answers if status(answer) == 503)
        assert b"retry-after: 1\r\n" in refused
        for connection in kept:
            connection.sendall(GET)
        assert {answer.endswith(ORDERS["a"]) for answer in Flood.answers(kept)} == {True}
        for connection in kept[:50]:
            connection.close()
        wait_until(lambda: is_served(limited.url), "whoever comes when others have gone is served")


def is_served(url: str) -> bool:
    try:
        return httpx.get(f"{url}/orders/a").status_code == 200
    except httpx.HTTPError:
        return False


def test_as_many_connections_as_it_can(service: Service) -> None:
    """The limit is in the log: what the design wants, or what the system's limit of files allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    allowed = MAX_CONNECTIONS if hard < 0 else min(MAX_CONNECTIONS, hard - RESERVED_FILES)
    assert service.api.events("started")[0]["connections"] == allowed
