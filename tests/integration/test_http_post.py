"""Orders posted over HTTP: stored as they were sent, served at once, and everything refused is told why."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from orderkeep.embedded import PostgresServer
from orderkeep.order import MAX_BYTES
from tests.conftest import Database, drop_database, make_database
from tests.fuzz.corpus import corpus
from tests.orders import MODEL_POST, document, order
from tests.service import Service, wait_until

from .api_scene import api_only, connect

PROCESSED = {"message": "Order processed and saved successfully"}
JSON = {"content-type": "application/json"}
CLIENT = httpx.Client(timeout=60)  # of all threads: to make one takes longer than to ask
BOTH_URLS = ("ORDERKEEP_DATABASE_URL", "ORDERKEEP_DATABASE_READ_URL")


@pytest.fixture(scope="module")
def database(migrated: PostgresServer) -> Iterator[Database]:
    made = make_database(migrated)
    yield made
    drop_database(made)


@pytest.fixture(scope="module")
def api(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An API without ingest and without a broker."""
    service = api_only(tmp_path_factory.mktemp("post"), database)
    service.start_api()
    yield service
    service.stop()
    assert not service.api.events("request_failed")


def post(service: Service, payload: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return CLIENT.post(f"{service.url}/orders", content=payload, headers={**JSON, **named})


def check_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    told: dict[str, Any] = answer.json()
    assert told["status"] == status
    assert told["detail"]
    return told


def kept(database: Database) -> tuple[int, int]:
    counts = database.fetch(
        "select (select count(*) from orders) as orders, (select count(*) from rejected_messages) as rejects"
    )
    return tuple(counts[0])


def test_stored_and_served(api: Service, database: Database) -> None:
    """A posted order is answered with 201 and where it is, kept byte for byte, and served from memory."""
    uid = json.loads(MODEL_POST)["order_uid"]
    answer = post(api, MODEL_POST, content_type="application/json; charset=utf-8", origin=api.url)
    assert (answer.status_code, answer.json()) == (201, PROCESSED)
    assert answer.headers["location"] == f"/orders/{uid}"
    assert answer.headers["cache-control"] == "no-store"
    found = CLIENT.get(f"{api.url}{answer.headers['location']}")
    assert (found.content, found.headers["x-orderkeep-cache"]) == (MODEL_POST, "hit")
    (row,) = database.fetch(
        "select payload::text, kind, topic, partition, position"
        " from orders join sources on sources.id = source where order_uid = $1",
        uid,
    )
    assert tuple(row) == (MODEL_POST.decode(), "http", "orders", None, None)


def test_posted_again(api: Service, database: Database) -> None:
    """The same bytes again are answered alike with 200, others under the uid with 409; neither is kept."""
    assert post(api, order("again")).status_code == 201
    before = kept(database)
    for _ in range(2):
        answer = post(api, order("again"))
        assert (answer.status_code, answer.json()) == (200, PROCESSED)
        assert answer.headers["location"] == "/orders/again"
        assert "again" in check_problem(post(api, order("again", locale="other")), 409)["detail"]
    assert kept(database) == before
    assert CLIENT.get(f"{api.url}/orders/again").content == order("again")


@pytest.mark.parametrize("name", corpus("decode"))
def test_same_as_from_the_broker(api: Service, database: Database, name: str) -> None:
    """What decoding accepts from the broker is stored, and what it refuses is refused for the same reason."""
    payload = corpus("decode")[name]
    before = kept(database)
    expected = name.split(".", maxsplit=1)[0]
    answer = post(api, payload)
    if expected == "order":
        assert answer.status_code in (200, 201, 409), answer.text  # several have the same uid
        return
    told = check_problem(answer, 422)
    assert told["kind"] == expected
    assert bool(told["errors"]) is (expected == "invalid")
    assert kept(database) == before


def test_every_wrong_field(api: Service) -> None:
    """All that is wrong about an order is told at once, each field by its path."""
    wrong = document(order_uid="a b", sm_id="99", date_created="2021-11-26", extra=None)
    del wrong["locale"], wrong["payment"]["amount"]
    wrong["items"].append({**wrong["items"][0], "price": 1.5})
    told = check_problem(post(api, json.dumps(wrong).encode()), 422)
    assert {error["path"] for error in told["errors"]} == {
        *("$.order_uid", "$.sm_id", "$.date_created", "$.locale", "$.payment.amount", "$.items[1].price")
    }
    assert all(error["reason"] for error in told["errors"])


OF_ANOTHER_TYPE = [
    {"content_type": "text/plain"},
    {"content_type": "application/x-www-form-urlencoded"},
    {"content_type": "application/jsonp"},
    {"content_type": ""},
    {"content_encoding": "gzip"},
]
OF_ANOTHER_SITE = [
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
    {"origin": "http://evil.example"},
    {"origin": "null"},
]


def test_refused(api: Service, database: Database) -> None:
    """What is no JSON, too large, or sent by a page of another site is refused, and nothing is kept."""
    before = kept(database)
    for headers in OF_ANOTHER_TYPE:
        check_problem(post(api, order("refused"), **headers), 415)
    for headers in OF_ANOTHER_SITE:
        check_problem(post(api, order("refused"), **headers), 403)
    for size in (MAX_BYTES + 1, 2_000_000):
        check_problem(post(api, order("refused") + b" " * (size - len(order("refused")))), 413)
    assert kept(database) == before
    assert CLIENT.get(f"{api.url}/orders/refused").status_code == 404


def test_half_a_body(api: Service, database: Database) -> None:
    """Who hangs up within the body has made a mistake, and not the service; nothing is kept of it."""
    before = kept(database)
    whole = order("half")
    with connect(api) as connection:
        connection.sendall(
            b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(whole), whole[:-1])
        )
    wait_until(
        lambda: 'route="/orders",status="400"' in CLIENT.get(f"{api.url}/metrics").text, "it is counted"
    )
    assert 'status="500"' not in CLIENT.get(f"{api.url}/metrics").text
    assert kept(database) == before


def test_many_at_once(api: Service, database: Database) -> None:
    """Orders posted at the same time are each stored once, and served at once."""
    uids = [f"many-{number:03}" for number in range(60)]
    before = kept(database)[0]

    def send(uid: str) -> tuple[int, bytes]:
        status = post(api, order(uid)).status_code
        return status, CLIENT.get(f"{api.url}/orders/{uid}").content

    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(send, [*uids, *uids]))
    assert Counter(status for status, _ in answers) == {201: len(uids), 200: len(uids)}
    assert [body for _, body in answers] == [order(uid) for uid in [*uids, *uids]]
    assert kept(database)[0] == before + len(uids)


def test_another_process_has_it(
    api: Service, database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Who asks another process of the API, right after the answer, finds the order there."""
    beside = api_only(tmp_path_factory.mktemp("beside"), database, {"ORDERKEEP_CACHE_MAX_BYTES": "0"})
    beside.start_api()
    try:
        with httpx.Client(base_url=api.url, headers=JSON) as one, httpx.Client(base_url=beside.url) as two:
            for number in range(10):
                path = f"/orders/beside-{number}"
                assert two.get(path).status_code == 404
                assert one.post("/orders", content=order(f"beside-{number}")).status_code == 201
                assert two.get(path).content == order(f"beside-{number}")
    finally:
        beside.stop()


def test_reader_may_not(database: Database, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where the user of the database may only read, the answer says so."""
    reader = api_only(
        tmp_path_factory.mktemp("reader"), database, env=dict.fromkeys(BOTH_URLS, database.reader_url)
    )
    reader.start_api()
    try:
        assert "orderkeep_ingest" in check_problem(post(reader, order("reader")), 403)["detail"]
        assert CLIENT.get(f"{reader.url}/orders/reader").status_code == 404
    finally:
        reader.stop()
    assert not reader.api.events("request_failed")


def test_while_the_database_is_away(api: Service, database: Database) -> None:
    """Without its database a post is 503 and may be sent again: once it is back, the order is stored once."""
    database.server.execute(f"alter database {database.name} allow_connections false")
    database.server.execute(
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database.name}'"
    )
    with ThreadPoolExecutor(4) as clients:
        for answer in clients.map(lambda _: post(api, order("away")), range(4)):
            check_problem(answer, 503)
            assert answer.headers["retry-after"] == "1"
    check_problem(post(api, b"garbage"), 422)
    database.server.execute(f"alter database {database.name} allow_connections true")
    codes: list[int] = []

    def sent() -> bool:
        codes.append(post(api, order("away")).status_code)
        return codes[-1] != 503

    wait_until(sent, "it is stored")
    assert codes[-1] == 201
    assert post(api, order("away")).status_code == 200


def test_beside_a_broker(service: Service) -> None:
    """Orders from the broker and from HTTP are the same orders, and the audit of the topic stays clean."""
    assert post(service, order("http-first")).status_code == 201
    service.publish([order("broker-first")])
    assert post(service, order("broker-first")).status_code == 200
    check_problem(post(service, order("broker-first", locale="other")), 409)
    service.send([order("http-first"), order("http-first", locale="other"), b"garbage"])
    service.wait_until_acknowledged()
    assert post(service, order("http-first")).status_code == 200
    report = service.audit()
    assert report["exit_code"] == 0
    names = ("messages", "stored", "duplicate", "conflict", "rejected", "missing", "extra")
    assert [report[name] for name in names] == [4, 1, 1, 1, 1, 0, 0]
    assert CLIENT.get(f"{service.url}/orders/http-first").content == order("http-first")
    listed = CLIENT.get(f"{service.url}/orders").json()["orders"]
    assert sorted(line["order_uid"] for line in listed) == ["broker-first", "http-first"]


async def test_killed_and_sent_again(database: Database, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Posts whose answers are lost with a killed process are sent again, and each order is stored once."""
    service = api_only(tmp_path_factory.mktemp("killed"), database)
    await asyncio.to_thread(service.start_api)
    uids = [f"killed-{number}" for number in range(200)]
    answered: dict[str, int] = {}
    some = asyncio.Event()

    async def send(uid: str, client: httpx.AsyncClient) -> None:
        while answered.get(uid) not in (200, 201):
            try:
                answer = await client.post(f"{service.url}/orders", content=order(uid), headers=JSON)
                answered[uid] = answer.status_code
                if len(answered) == len(uids) // 4:
                    some.set()
            except httpx.TransportError:
                await asyncio.sleep(0.05)

    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=20)) as client:
        sending = [asyncio.create_task(send(uid, client)) for uid in uids]
        await some.wait()
        service.api.kill()
        service.start_api()
        await asyncio.gather(*sending)
    assert database.value("select count(*) from orders where order_uid like 'killed-%'") == len(uids)
    service.stop()
