"""More than the API can do is refused at once; what it can do goes on: hits, lists, rejects and health."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from functools import partial

import asyncpg
import httpx
import pytest

from orderkeep.embedded import PostgresServer
from tests.conftest import Database, drop_database, make_database
from tests.service import PATIENCE, Service, wait_until

from .api_scene import (
    GET,
    ORDERS,
    Flood,
    api_only,
    many_files,
    others,
    status,
    store,
    wait_until_cached,
)

FLOOD = 2_000
SLOW = [f"slow-{number}" for number in range(FLOOD)]


@pytest.fixture(scope="module")
def database(migrated: PostgresServer) -> Iterator[Database]:
    made = make_database(migrated)
    yield made
    drop_database(made)


@pytest.fixture(scope="module")
def service(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The API alone, with orders in memory and a reject."""
    asyncio.run(store(database, [*ORDERS.values(), b"garbage"]))
    service = api_only(tmp_path_factory.mktemp("overload"), database)
    service.start_api()
    wait_until_cached(service, len(ORDERS))
    yield service
    assert service.api.stop() == 0
    assert not service.api.events("request_failed")


async def flood(service: Service, uids: list[str]) -> Counter[int]:
    """Ask for all of them at once: how often there was which status."""
    return await asyncio.to_thread(_flood, service, uids)


def _flood(service: Service, uids: list[str]) -> Counter[int]:
    with Flood(service) as flood:
        connections = flood.open(many_files(len(uids)))
        for connection, uid in zip(connections, uids, strict=False):
            connection.sendall(GET.replace(b"/a ", b"/%b " % uid.encode()))
        answers = Flood.answers(connections)
    refused = [answer for answer in answers if status(answer) == 503]
    assert all(b"\r\nretry-after: 1\r\n" in answer for answer in refused)
    assert all(b"application/problem+json" in answer for answer in answers)
    return Counter(map(status, answers))


async def test_flood_of_unknown(service: Service) -> None:
    """Thousands of unknown uids at once are each answered: not found, or too many at once."""
    with others(service):
        statuses = await flood(service, [f"unknown-{number}" for number in range(FLOOD)])
    assert statuses.keys() <= {404, 503}
    assert statuses[404]


async def test_flood_while_the_database_stands_still(service: Service, database: Database) -> None:
    """While the tables are locked all that needs them ends with 503; hits go on, and all is well after it."""
    locking = await asyncpg.connect(database.owner_url)
    await locking.execute("begin; lock table orders, rejected_messages in access exclusive mode")
    with others(service):
        async with httpx.AsyncClient(base_url=service.url, timeout=PATIENCE) as client:
            asked = [
                *(client.get(path) for path in ["/orders?limit=3", "/rejects/1"] * 30),
                *(client.post("/rejects/1/replay") for _ in range(30)),
            ]
            flooding = flood(service, [f"unknown-{number}" for number in range(FLOOD)])
            statuses, answers = await asyncio.gather(flooding, asyncio.gather(*asked))
            assert statuses.keys() == {503}
            assert {answer.status_code for answer in answers} == {503}
            assert {answer.headers["retry-after"] for answer in answers} == {"1"}
            assert (await client.get("/health/live")).status_code == 200
            await locking.close()
            for path, expected in (("/orders?limit=3", 200), ("/orders/unknown", 404), ("/rejects/1", 200)):
                await asyncio.to_thread(
                    wait_until,
                    partial(is_answered, service, path, expected),
                    f"{path} is answered again",
                )


def is_answered(service: Service, path: str, expected: int) -> bool:
    return httpx.get(f"{service.url}{path}", timeout=PATIENCE).status_code == expected


async def test_flood_of_slow_reads(service: Service, database: Database) -> None:
    """Reads that the database does not finish are ended with 503, and starve nothing else."""
    make_slow(database)
    with others(service):
        flooding = asyncio.create_task(flood(service, SLOW))
        async with httpx.AsyncClient(base_url=service.url, timeout=PATIENCE) as client:
            seen = 0
            while not flooding.done():
                for path in (
                    "/orders?limit=3",
                    "/rejects",
                    "/rejects/1",
                    "/health/ready",
                    "/health/live",
                    "/metrics",
                ):
                    answer = await client.get(path)
                    assert answer.status_code == 200, (path, answer.text)
                assert (await client.get("/health/ready")).json()["database"]["status"] == "ok"
                seen += 1
        assert seen > 1
        statuses = await flooding
        assert statuses.keys() == {503}


def make_slow(database: Database) -> None:
    """Add orders that are not in memory, and that take a minute to read."""
    database.execute(
        "insert into orders select 'slow-' || n, 'x', 'x', now(), '{}', '1900-01-01', 1, 0, 1000 + n"
        f" from generate_series(0, {FLOOD - 1}) as n;"
        # Lists are read by the index, the newest first, and a few more than they show.
        "insert into orders select 'fast-' || n, 'x', 'x', now(), '{}', now() - n * interval '1h', 1, 0, n"
        " from generate_series(5000, 5200) as n;"
        "analyze orders;"
        "alter table orders enable row level security;"
        "create policy fast on orders to orderkeep_reader, orderkeep_ingest"
        " using (order_uid not like 'slow-%' or pg_sleep(60) is null)"
    )
