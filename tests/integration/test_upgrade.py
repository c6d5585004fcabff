"""Upgrades of a running service: migrations are applied while orders are written and read without a pause."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

import asyncpg
import pytest

from orderkeep.errors import Transient
from orderkeep.storage.migrate import Migration, migrate, migrations
from orderkeep.storage.postgres_reader import PostgresReader
from orderkeep.storage.postgres_writer import PostgresWriter
from tests.conftest import Database
from tests.orders import order, orders_batch

BATCH = 10
INSERT = """
insert into orders (order_uid, track_number, customer_id, date_created, payload, source)
values ($1, 'x', 'x', now(), $2, 1)
"""
USUAL = Migration(
    migrations()[-1].version + 1,
    "9999_usual.sql",
    """
    alter table orders add column note text;
    create table notes (order_uid text collate "C" primary key references orders, note text not null);
    create index orders_position on orders (position);
    create index notes_note on notes (note);
    create or replace view deliveries as
    select order_uid,
           payload -> 'delivery' ->> 'name'    as name,
           payload -> 'delivery' ->> 'phone'   as phone,
           payload -> 'delivery' ->> 'zip'     as zip,
           payload -> 'delivery' ->> 'city'    as city,
           payload -> 'delivery' ->> 'address' as address,
           payload -> 'delivery' ->> 'region'  as region,
           payload -> 'delivery' ->> 'email'   as email,
           note
    from orders;
    grant select on notes to orderkeep_reader, orderkeep_ingest;
    """,
)
"""What migrations usually do, none of which a program of the version before asks about."""


@asynccontextmanager
async def load(work: Callable[[int], Awaitable[None]], writers: int = 2) -> AsyncIterator[list[int]]:
    """Work side by side, before, during and after the block; gives the numbers of what is done."""
    numbers: Iterator[int] = iter(range(1_000_000))
    done: list[int] = []
    stop = asyncio.Event()

    async def keep_working() -> None:
        while not stop.is_set():
            number = next(numbers)
            await work(number)
            done.append(number)

    async def more() -> None:
        enough = len(done) + 10
        while len(done) < enough:
            await asyncio.sleep(0.01)
            for task in working:
                if task.done():
                    task.result()

    working = [asyncio.create_task(keep_working()) for _ in range(writers)]
    try:
        await more()
        yield done
        await more()
    finally:
        stop.set()
        await asyncio.gather(*working)


async def test_next_migration_under_load(database: Database) -> None:
    """This program goes on while the next version's migration is applied, and works on what that leaves."""
    url = database.ingest_url
    slots: asyncio.Queue[tuple[PostgresWriter, PostgresReader]] = asyncio.Queue()
    for slot in range(2):
        slots.put_nowait((PostgresWriter(url, slot), PostgresReader(database.reader_url, size=1)))

    async def write_and_read(number: int) -> None:
        writer, reader = await slots.get()
        payloads = [order(f"order-{number}-{each}") for each in range(BATCH)]
        try:
            await until_done(lambda: writer.write(orders_batch(payloads, number * BATCH)))
            found = await until_done(lambda: reader.order(f"order-{number}-0"))
            assert found is not None
            assert found.payload == payloads[0]
        finally:
            slots.put_nowait((writer, reader))

    async with load(write_and_read) as done:
        assert await migrate(database.owner_url, known=[*migrations(), USUAL]) == 1
    while not slots.empty():
        for each in slots.get_nowait():
            await each.close()
    assert database.value("select count(*) from orders") == len(done) * BATCH
    assert database.value("select count(note) from deliveries") == 0


async def test_newest_migration_under_load(empty_database: Database) -> None:
    """The newest migration is applied while others insert orders, and read them."""
    url = empty_database.owner_url
    await migrate(url, known=migrations()[:-1])
    connections = await asyncpg.create_pool(empty_database.ingest_url, min_size=2, max_size=2)

    async def insert_and_select(number: int) -> None:
        payload = order(str(number)).decode()
        await connections.execute(INSERT, str(number), payload)
        found = await connections.fetchval("select payload from orders where order_uid = $1", str(number))
        assert found == payload

    async with load(insert_and_select) as done:
        assert await migrate(url) == 1
    await connections.close()
    assert empty_database.value("select count(*) from orders") == len(done)


async def test_table_that_is_held(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration gives way to who holds a table, is tried again, and is applied once that has ended."""
    monkeypatch.setattr("orderkeep.storage.migrate.LOCK_SECONDS", 1)
    monkeypatch.setattr("orderkeep.storage.migrate.PAUSE_SECONDS", 0.1)
    gave_way = asyncio.Event()

    def hear(line: str) -> None:
        if "trying again" in line:
            gave_way.set()

    async def end_the_dump() -> None:
        await gave_way.wait()
        await dump.execute("rollback")

    dump = await asyncpg.connect(database.owner_url)
    await dump.execute("begin; lock table orders in access share mode")
    known = [*migrations(), USUAL]
    _, applied = await asyncio.gather(
        end_the_dump(), migrate(database.owner_url, hear, known=known, tries=1_000)
    )
    await dump.close()
    assert applied == 1


Found = TypeVar("Found")


async def until_done(call: Callable[[], Awaitable[Found]]) -> Found:
    """What it gives; what is Transient is tried again, as the pipeline and the API's clients do."""
    while True:
        try:
            return await call()
        except Transient:
            await asyncio.sleep(0.1)
