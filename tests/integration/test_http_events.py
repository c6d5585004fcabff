"""Events over HTTP: all that is stored and rejected is told or counted, however often a stream ends."""

import asyncio
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from orderkeep.api.event_feed import INTERRUPTED, STOPS, STREAMS
from orderkeep.api.event_stream import REPLAYED
from orderkeep.embedded import PostgresServer
from orderkeep.publish.generate import OrderGenerator
from tests.conftest import Database, drop_database, make_database
from tests.orders import document, order
from tests.service import PATIENCE, Service, wait_until

from .api_scene import ORDERS, api_only, cached, connect, is_ended, others, store, wait_until_cached
from .event_scene import EventClient

MOST = 1_000
_positions = count(0, 100_000)


@pytest.fixture(scope="module")
def database(migrated: PostgresServer) -> Iterator[Database]:
    made = make_database(migrated)
    yield made
    drop_database(made)


@pytest.fixture(scope="module")
def service(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The API alone; a test may end it, and has to start it again."""
    asyncio.run(store(database, list(ORDERS.values()), first=next(_positions)))
    service = api_only(tmp_path_factory.mktemp("events"), database)
    start(service)
    wait_until_cached(service, len(ORDERS))
    yield service
    assert service.api.stop() == 0
    assert not service.api.events("request_failed")
    assert "Traceback" not in service.api.output()


def start(service: Service) -> None:
    service.start_api()
    wait_until(lambda: ready(service)["restore"]["following"], "the API follows")


def ready(service: Service) -> Any:
    return httpx.get(f"{service.url}/health/ready", timeout=PATIENCE).json()


def add(database: Database, payloads: Sequence[bytes | None]) -> None:
    """Store them as ingest does, in one transaction."""
    asyncio.run(store(database, payloads, first=next(_positions)))


def uids(name: str, number: int) -> list[str]:
    return [f"{name}-{place:05}" for place in range(number)]


def rejects(database: Database) -> int:
    return int(database.value("select count(*) from rejected_messages"))


def test_what_is_told(service: Service, database: Database) -> None:
    """An event has what a list shows of an order or a reject, and nothing of a person."""
    with EventClient(service) as client:
        add(database, [order("told"), b"garbage"])
        httpx.post(f"{service.url}/orders", json=document(order_uid="posted")).raise_for_status()
        client.wait_for(3)
    stored, rejected, posted = client.told
    assert [stored.name, rejected.name, posted.name] == ["stored", "rejected", "stored"]
    (line,) = httpx.get(f"{service.url}/orders", params={"uid_prefix": "told"}).json()["orders"]
    payment = document()["payment"]
    place = database.fetch("select partition, position from orders where order_uid = 'told'")[0]
    assert stored.data == {
        **line,
        "amount": payment["amount"],
        "currency": payment["currency"],
        "items": 1,
        "source": "test",
        **place,
    }
    (listed,) = httpx.get(f"{service.url}/rejects", params={"limit": 1}).json()["rejects"]
    assert rejected.data == {name: listed[name] for name in rejected.data}
    assert rejected.data["kind"] == "not_json"
    assert (posted.data["source"], posted.data["partition"], posted.data["position"]) == ("http", None, None)
    assert not set(map(str, document()["delivery"].values())) & set(map(str, stored.data.values()))


def test_kinds(service: Service, database: Database) -> None:
    """Who asks for one kind is told of that one, and counts no other."""
    with EventClient(service, kinds="stored") as one, EventClient(service, kinds="rejected") as other:
        for number in range(5):
            add(database, [order(f"kinds-{number}"), b"garbage", None])
        one.wait_for(5)
        other.wait_for(10)
    assert (len(one.heard("stored")), len(one.heard("rejected")), one.skipped) == (5, 0, 0)
    assert (len(other.heard("stored")), len(other.heard("rejected")), other.skipped) == (0, 10, 0)


def test_large_and_odd(service: Service, database: Database) -> None:
    """What is too long to look into is told without its sum; any text arrives as it is."""
    odd = 'Ж"\\\n\r\u2028\u0085🎉'
    with EventClient(service) as client:
        add(database, [order("long", entry="x" * 100_000), order("odd", customer_id=odd, track_number=odd)])
        client.wait_for(2)
    long, other = client.told
    assert [long.data[name] for name in ("amount", "currency", "items")] == [None] * 3
    assert (other.data["customer_id"], other.data["track_number"]) == (odd, odd)


def test_thinned(service: Service, database: Database) -> None:
    """Of more than the limit the newest are told, and every other one is counted."""
    total = 0
    with EventClient(service, limit=1) as client, EventClient(service, limit=MOST) as generous:
        for number in range(20):
            add(database, [*map(order, uids(f"thin-{number:02}", 45)), *[b"garbage"] * 5])
            total += 50
        client.wait_for(total)
        generous.wait_for(total)
        newest = rejects(database)
    assert client.count == generous.count == total
    assert 0 < len(client.told) < total / 2
    assert database.value("select max(id) from rejected_messages") in client.heard("rejected")
    assert newest >= len(generous.heard("rejected")) > 0
    assert (len(set(generous.heard())), generous.skipped) == (20 * 45, 0)


def test_cut_off_again_and_again(service: Service, database: Database) -> None:
    """Over a connection that is cut again and again, everything is told exactly once."""
    wanted: list[str] = []
    with EventClient(service, limit=MOST) as client:
        for number in range(30):
            names = uids(f"cut-{number:02}", 20)
            add(database, list(map(order, names)))
            wanted += names
            if number % 3 == 1:
                client.cut()
        client.wait_for(len(wanted))
    assert client.heard() == wanted
    assert client.skipped == 0
    assert client.streams > 3


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_restarted(service: Service, database: Database, end: str) -> None:
    """What happens while the API is away is told when it is back; what is told again has the same id."""
    wanted: list[str] = []

    def add_some() -> None:
        names = uids(f"{end}-{len(wanted)}", 15)
        add(database, [*map(order, names), b"garbage"])
        wanted.extend(names)

    before = rejects(database)
    with EventClient(service, limit=MOST) as client:
        for _ in range(2):
            add_some()
            client.wait_until(lambda: wanted[-1] in client.heard(), "it is told")
            service.api.stop() if end == "stopped" else service.api.kill()
            add_some()
            start(service)
            add_some()
        client.wait_until(lambda: set(wanted) <= set(client.heard()), "all is told")
        client.wait_until(lambda: len(set(client.heard("rejected"))) >= rejects(database) - before, "all is")
    assert client.skipped == 0
    assert client.reasons == ([STOPS] * 2 if end == "stopped" else [])
    again = [told for told in client.told if told.name in ("stored", "rejected")]
    assert len({told.id for told in again}) == len({(told.name, *told.data.items()) for told in again})


def test_another_process(service: Service, database: Database, tmp_path: Path) -> None:
    """Another process goes on where the first one ended, and tells nothing twice."""
    other = api_only(tmp_path, database)
    start(other)
    try:
        first, second = uids("process", 40), uids("process-other", 40)
        with EventClient(service, limit=MOST) as one:
            for names in (first, second):
                add(database, [*map(order, names), b"garbage"])
            one.wait_for(82)
        wait_until_cached(other, database.value("select count(*) from orders"))  # so it has heard of all
        middle = next(told.id for told in one.told if told.data.get("order_uid") == second[9])
        with EventClient(other, limit=MOST, last_id=middle) as two:
            two.wait_for(31)
        assert [told.id for told in two.told] == [told.id for told in one.told][-31:]
        assert two.heard() == second[10:]
    finally:
        other.stop()


@pytest.mark.parametrize("journal", ["kept", "lost"])
def test_more_missed_than_is_replayed(service: Service, database: Database, journal: str) -> None:
    """Of more than is replayed the newest come first, and the count of the others is exact."""
    with EventClient(service, limit=MOST) as client:
        add(database, [order(f"before-{journal}")])
        client.wait_for(1)
    before = cached(service)
    if journal == "lost":
        service.api.kill()
    for number in range(3):
        add(database, list(map(order, uids(f"missed-{journal}-{number}", 500))))
    if journal == "lost":
        start(service)
    else:
        wait_until_cached(service, before + 1_500)
    with EventClient(service, limit=MOST, last_id=client.last_id) as back:
        back.wait_for(1_500)
        add(database, [order(f"after-{journal}")])
        back.wait_for(1_501)
    newest = [name for number in range(3) for name in uids(f"missed-{journal}-{number}", 500)][-REPLAYED:]
    assert back.heard() == [*newest, f"after-{journal}"]
    assert back.skipped == 500


def test_begins_where_it_was_opened(service: Service, database: Database) -> None:
    """A stream that was cut before its first event misses nothing either."""
    with EventClient(service) as client:
        pass
    assert not client.told
    add(database, [order("between")])
    with EventClient(service, last_id=client.last_id) as back:
        back.wait_until(lambda: "between" in back.heard(), "it is told")


def test_connection_to_the_database_lost(service: Service, database: Database) -> None:
    """When the process may have missed something it says so, and who comes back misses nothing."""
    wanted: list[str] = []
    with EventClient(service, limit=MOST) as client:
        for number in range(3):
            add(database, [order(f"lost-{number}-before")])
            database.server.execute(
                "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()",
                database.name,
            )
            add(database, [order(f"lost-{number}-after")])
            wanted += [f"lost-{number}-before", f"lost-{number}-after"]
            client.wait_until(lambda: set(wanted) <= set(client.heard()), "all is told")  # noqa: B023 - called within the turn
    assert client.reasons
    assert set(client.reasons) <= {INTERRUPTED, "the database does not answer"}


def test_slow_client(service: Service, database: Database) -> None:
    """A client that takes nothing is dropped; meanwhile others are told all, and orders are read."""
    long = "🎉" * 250
    with others(service), EventClient(service, limit=MOST) as client:
        lazy = connect(service, receive_buffer=4_096)
        lazy.sendall(b"GET /events?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wanted = 0
        while not is_ended(lazy):
            payloads = [
                order(uid, customer_id=long, track_number=long) for uid in uids(f"slow-{wanted}", MOST)
            ]
            add(database, payloads)
            wanted += MOST
            client.wait_for(wanted)
        lazy.close()
    assert client.count == wanted


def test_ten_thousand_at_once(own_service: Service) -> None:
    """Of 10,000 orders within seconds each client is told as many as it wants, and how many more."""
    own_service.start()
    wait_until(lambda: ready(own_service)["restore"]["following"], "the API follows")
    made = OrderGenerator(1)
    payloads = [made.order().payload for _ in range(10_000)]
    with ExitStack() as entered:
        clients = [entered.enter_context(EventClient(own_service, limit=limit)) for limit in (1, 50, MOST)]
        own_service.send(payloads)
        own_service.wait_until_acknowledged()
        for client in clients:
            client.wait_for(10_000)
    for client in clients:
        assert (client.count, len(set(client.heard())), client.reasons) == (
            10_000,
            len(client.heard()),
            [],
        )
    assert clients[0].skipped > clients[1].skipped > clients[2].skipped


def test_stopped_with_streams(service: Service) -> None:
    """Asked to stop, the API tells every stream so, and ends as if there was none."""
    with ExitStack() as clients:
        connections = [open_stream(service, clients) for _ in range(20)]
        service.api.send_signal(signal.SIGTERM)
        for connection in connections:
            rest = b"".join(iter(lambda: connection.recv(65_536), b""))  # noqa: B023 - read within the turn
            assert b'event: bye\ndata: {"reason":"the service stops"}\n\n' in rest
            assert rest.endswith(b"\r\n0\r\n\r\n")
        assert service.api.wait() == 0
        assert service.api.events("stopped")[0]["finished"] is True
    start(service)


def test_too_many_streams(service: Service) -> None:
    """Beyond the limit the answer is 503 with the time to come back; there is room when one has gone."""
    with ExitStack() as clients:
        first, *_ = [open_stream(service, clients) for _ in range(STREAMS)]
        assert f"orderkeep_event_streams {STREAMS}.0" in httpx.get(f"{service.url}/metrics").text
        refused = httpx.get(f"{service.url}/events")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["content-type"] == "application/problem+json"
        with others(service) as counts:
            wait_until(lambda: min(counts) > 20, "orders are read meanwhile")
        first.close()
        with EventClient(service) as client:
            assert client.streams == 1


@pytest.mark.parametrize(
    ("parameters", "headers"),
    [
        ({"limit": "0"}, {}),
        ({"limit": "1001"}, {}),
        ({"limit": "x"}, {}),
        ({"kinds": ""}, {}),
        ({"kinds": "stored\n"}, {}),
        ({"kinds": "stored,"}, {}),
        ({}, {"last-event-id": "x"}),
        ({}, {"last-event-id": "1.stored."}),
        ({}, {"last-event-id": "1.stored.a b"}),
        ({}, {"last-event-id": "1.rejected.x"}),
        ({}, {"last-event-id": "1" * 18 + ".now"}),
    ],
)
def test_wrong_parameters(service: Service, parameters: dict[str, str], headers: dict[str, str]) -> None:
    """What cannot be asked is answered with 400, before a stream begins."""
    answer = httpx.get(f"{service.url}/events", params=parameters, headers=headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_any_id_is_taken(service: Service, database: Database) -> None:
    """An id of long ago, of a time to come, or of what is not there, is a place like any other."""
    add(database, [order("placed")])
    for last_id in ("0.now", "99999999999999999.now", "1.stored.not-there", "1.rejected.999999999999999999"):
        with EventClient(service, last_id=last_id) as client:
            client.wait_until(lambda: client.streams, "it is let in")


def open_stream(service: Service, clients: ExitStack) -> socket.socket:
    """A connection with an open stream, whose first words were read."""
    connection = clients.enter_context(connect(service))
    connection.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = b""
    while b"retry: " not in head:
        head += connection.recv(65_536)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    return connection
