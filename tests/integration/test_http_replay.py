"""Replays over HTTP: what they answer, and whom they are refused."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from orderkeep.embedded import PostgresServer
from orderkeep.storage.postgres_writer import PostgresWriter
from orderkeep.storage.store import Batch, Message, Refused
from tests.conftest import Database, drop_database, make_database
from tests.orders import SOURCE, order
from tests.service import Service, wait_until

from .api_scene import api_only, store

KEPT = {
    "stored": order("late"),
    "rejected": b"garbage",
    "conflict": order("a", locale="other"),
    "duplicate": order("b"),
}


@pytest.fixture(scope="module")
def database(migrated: PostgresServer) -> Iterator[Database]:
    """Two orders, and rejects as if the database had refused what it takes now."""
    made = make_database(migrated)
    asyncio.run(store(made, [order("a"), order("b")]))
    asyncio.run(keep_aside(made))
    yield made
    drop_database(made)


async def keep_aside(database: Database) -> None:
    writer = PostgresWriter(database.ingest_url)
    refused = [
        Refused(Message(0, 100 + number, payload), "database", "because", uid_of(payload))
        for number, payload in enumerate(KEPT.values())
    ]
    await writer.write(Batch(SOURCE, "", [], refused, {}))
    await writer.close()


def uid_of(payload: bytes) -> str | None:
    return None if payload == b"garbage" else httpx.Response(200, content=payload).json()["order_uid"]


@pytest.fixture(scope="module")
def service(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = api_only(tmp_path_factory.mktemp("replay"), database)
    service.start_api()
    yield service
    service.stop()
    assert not service.api.events("request_failed")


@pytest.fixture(scope="module")
def ids(service: Service) -> dict[str, int]:
    """The number of each reject, by what becomes of it."""
    listed = httpx.get(f"{service.url}/rejects").json()["rejects"]
    return {name: each["id"] for name, each in zip(KEPT, reversed(listed), strict=True)}


def replay(service: Service, number: object, **given: Any) -> httpx.Response:
    return httpx.post(f"{service.url}/rejects/{number}/replay", timeout=60, **given)


def check_problem(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["detail"]


REFUSED: dict[str, tuple[dict[str, str], bytes, int]] = {
    "cross-site": ({"sec-fetch-site": "cross-site"}, b"", 403),
    "same-site": ({"sec-fetch-site": "same-site"}, b"", 403),
    "another origin": ({"origin": "http://evil.example"}, b"", 403),
    "another port": ({"origin": "http://127.0.0.1:1"}, b"", 403),
    "no origin": ({"origin": "null"}, b"", 403),
    "a form": ({"content-type": "application/x-www-form-urlencoded"}, b"a=b", 415),
    "text": ({"content-type": "text/plain"}, b"{}", 415),
    "no type": ({}, b"{}", 415),
    "almost JSON": ({"content-type": "application/jsonp"}, b"{}", 415),
    "too much": ({"content-type": "application/json"}, b" " * 2_000_000, 413),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(service: Service, ids: dict[str, int], database: Database, name: str) -> None:
    """What a page of another site can have a browser send is refused, and so is a body that is no JSON."""
    headers, body, status = REFUSED[name]
    check_problem(replay(service, ids["stored"], headers=headers, content=body), status)
    assert database.value("select count(*) from replays") == 0


def test_cross_site_reading_is_no_danger(service: Service) -> None:
    """A link from another site may lead here: only what changes something is refused."""
    assert httpx.get(f"{service.url}/rejects", headers={"sec-fetch-site": "cross-site"}).status_code == 200


@pytest.mark.parametrize(("number", "status"), [(999_999, 404), (0, 400), ("x", 404), (2**63, 400)])
def test_no_such_reject(service: Service, number: object, status: int) -> None:
    """What is not there cannot be replayed."""
    check_problem(replay(service, number), status)


def test_other_methods(service: Service) -> None:
    """A replay is asked for with POST alone."""
    for method in ("GET", "PUT", "DELETE"):
        answer = httpx.request(method, f"{service.url}/rejects/1/replay")
        check_problem(answer, 405)
        assert "POST" in answer.headers["allow"]


def test_conflict_side_by_side(service: Service, ids: dict[str, int]) -> None:
    """A conflict has both versions, and the fields in which they differ."""
    found = httpx.get(f"{service.url}/rejects/{ids['conflict']}").json()
    assert found["text"].encode() == KEPT["conflict"]
    assert found["stored_text"].encode() == order("a")
    assert found["differences"] == [{"path": "$.locale", "stored": '"en"', "rejected": '"other"'}]


def test_reader_may_not(database: Database, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where the user of the database may only read, the answer says so, and reading goes on."""
    service = api_only(tmp_path_factory.mktemp("reader"), database)
    service.env["ORDERKEEP_DATABASE_URL"] = database.reader_url
    reader = api_only(tmp_path_factory.mktemp("reader"), database, env=service.env)
    reader.start_api()
    try:
        listed = httpx.get(f"{reader.url}/rejects").json()["rejects"]
        for each in listed:
            answer = replay(reader, each["id"])
            check_problem(answer, 403)
            assert "orderkeep_ingest" in answer.json()["detail"]
        assert httpx.get(f"{reader.url}/orders/a").content == order("a")
    finally:
        reader.stop()
    assert not reader.api.events("request_failed")


@pytest.mark.usefixtures("service")
def test_connected_when_asked(database: Database) -> None:
    """Nothing is connected that could write, before somebody asks for a replay."""
    users = database.fetch(
        "select distinct application_name as name from pg_stat_activity where datname = $1", database.name
    )
    assert not {each["name"] for each in users} & {"orderkeep ingest 0", "orderkeep replay"}


def test_replayed(service: Service, ids: dict[str, int], database: Database) -> None:
    """The answer says what became of it, as the command does; to ask again stores nothing twice."""
    for _ in range(2):
        for name, number in ids.items():
            same_site = {"origin": service.url, "sec-fetch-site": "same-origin"}
            ways: list[dict[str, Any]] = [{}, {"json": {}}, {"headers": same_site}]
            for given in ways:
                answer = replay(service, number, **given)
                assert answer.status_code == 200, answer.text
                assert answer.headers["cache-control"] == "no-store"
                outcome = {"stored": ("stored", "redelivered")}.get(name, (name,))
                found = answer.json()
                assert found.keys() == {"reject_id", "outcome", "detail"}
                assert (found["reject_id"], found["outcome"] in outcome) == (number, True), found
    by_command = service.command("rejects", "replay", str(ids["conflict"]), "--json")
    assert httpx.Response(200, text=by_command.stdout).json()["rejects"] == [
        replay(service, ids["conflict"]).json()
    ]
    assert database.value("select count(*) from orders") == 3
    assert database.value("select count(*) from rejected_messages") == len(KEPT)
    found = httpx.get(f"{service.url}/orders/late")
    assert found.content == KEPT["stored"]


def test_while_the_database_is_away(service: Service, ids: dict[str, int], database: Database) -> None:
    """Without its database a replay is 503, and works again when the database does."""
    database.server.execute(f"alter database {database.name} allow_connections false")
    database.server.execute(
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database.name}'"
    )
    answer = replay(service, ids["duplicate"])
    check_problem(answer, 503)
    assert answer.headers["retry-after"] == "1"
    database.server.execute(f"alter database {database.name} allow_connections true")
    wait_until(lambda: replay(service, ids["duplicate"]).status_code == 200, "it is replayed again")
