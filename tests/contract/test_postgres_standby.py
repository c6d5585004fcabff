"""PostgreSQL with a standby: what is read and written where, and what no server has to itself."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from orderkeep.cache.entry import body
from orderkeep.cache.memory import MemoryCache
from orderkeep.cache.warm import Warmer
from orderkeep.errors import DatabaseUnavailable, DatabaseWentBack, Fatal, Transient
from orderkeep.ingest.intake import HTTP
from orderkeep.ingest.prepare import accept
from orderkeep.storage import postgres_lookout
from orderkeep.storage.copy import ORDER_COLUMNS, order_rows
from orderkeep.storage.events import Notice
from orderkeep.storage.postgres_confirmed import Confirmed
from orderkeep.storage.postgres_connection import connect, connect_and_tell, is_standby
from orderkeep.storage.postgres_reader import PostgresReader
from orderkeep.storage.postgres_rejects import PostgresRejects
from orderkeep.storage.postgres_writer import PostgresWriter
from orderkeep.storage.store import Batch, Message, Refused
from tests.conftest import INGEST, PASSWORD, READER, Database, drop_database, make_database
from tests.orders import SOURCE, batch, message, order, orders_batch
from tests.pair import Pair
from tests.service import wait_until


@pytest.fixture(scope="module")
def pair(servers_folder: Path) -> Iterator[Pair]:
    pair = Pair(servers_folder, "contract")
    yield pair
    pair.stop()


@pytest.fixture
def database(pair: Pair) -> Iterator[Database]:
    made = make_database(pair.primary)
    pair.wait_until_caught_up()
    yield made
    pair.make_whole()
    drop_database(Database(pair.primary, made.name))


@pytest.fixture
async def writer(pair: Pair, database: Database) -> AsyncIterator[PostgresWriter]:
    writer = PostgresWriter(pair.url(INGEST, database.name))
    yield writer
    await writer.close()


@pytest.fixture
async def behind(pair: Pair, database: Database, writer: PostgresWriter) -> AsyncIterator[PostgresReader]:
    """A reader of a standby that has the order `old`, and replays nothing after it."""
    await writer.write(orders_batch([order("old")]))
    pair.wait_until_caught_up()
    pair.standby.execute("select pg_wal_replay_pause()")
    standby_url = pair.standby.url(READER, database=database.name)
    reader = PostgresReader(standby_url, primary_url=pair.url(READER, database.name))
    yield reader
    await reader.close()


async def test_what_a_standby_lacks(behind: PostgresReader, writer: PostgresWriter) -> None:
    """What the standby does not have is asked of the primary, before it is said not to be there."""
    await writer.write(orders_batch([order("new")], first=1))
    found = await behind.order("new")
    assert found is not None
    assert found.payload == order("new")
    assert await behind.order("none") is None
    assert {row.order_uid for row in await behind.orders(["old", "new", "none"])} == {"old", "new"}
    assert [line.order_uid for line in await behind.page(10)] == ["old"]
    assert [row.order_uid async for chunk in behind.newest() for row in chunk] == ["old"]


@pytest.mark.usefixtures("behind")
async def test_a_reject_that_a_standby_lacks(writer: PostgresWriter, pair: Pair, database: Database) -> None:
    """A reject that the standby does not have is asked of the primary as well."""
    refused = Refused(message(b"garbage", 1), "not_json", "because")
    await writer.write(Batch(SOURCE, "group", (), [refused], {}))
    (number,) = database.fetch("select id from rejected_messages")[0]
    standby_url = pair.standby.url(READER, database=database.name)
    rejects = PostgresRejects(standby_url, primary_url=pair.url(READER, database.name))
    found = await rejects.get(number)
    assert found is not None
    assert found.payload == b"garbage"
    assert await rejects.get(number + 1) is None
    await rejects.close()


async def test_without_a_primary(behind: PostgresReader, pair: Pair) -> None:
    """Without a primary, a standby still serves what it has; of the rest it is not known."""
    pair.primary.stop("immediate")
    assert await behind.order("old") is not None
    for _ in range(2):
        with pytest.raises(Transient):
            await behind.order("none")
        with pytest.raises(Transient):
            await behind.orders(["old", "none"])
    with pytest.raises(Transient):
        await behind.identity()
    with pytest.raises(Transient):
        await anext(behind.follow())


async def test_without_the_standby(behind: PostgresReader, pair: Pair) -> None:
    """Without the standby, everything is asked of the primary."""
    pair.standby.kill()
    assert await behind.order("old") is not None
    assert await behind.order("none") is None
    assert [row.order_uid async for chunk in behind.newest() for row in chunk] == ["old"]
    await behind.ping()


async def test_new_orders_reach_the_cache(behind: PostgresReader, writer: PostgresWriter) -> None:
    """What the primary tells is fetched from it when the standby does not have it yet."""
    cache = MemoryCache(1_000_000)
    warmer = Warmer(behind, [cache])
    warming = asyncio.create_task(warmer.run())
    await until(lambda: warmer.status.following)
    await writer.write(orders_batch([order("new")], first=1))
    await until(lambda: cache.peek("new"))
    warming.cancel()
    entry = await cache.get("new")
    assert entry is not None
    assert body(entry) == order("new")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_follow_on_the_primary(behind: PostgresReader, writer: PostgresWriter) -> None:
    """Following begins although the server that is read takes no LISTEN."""
    async with aclosing(behind.follow()) as follower:
        assert await anext(follower) == []
        await writer.write(orders_batch([order("new")], first=1))
        async with asyncio.timeout(60):
            assert await anext(follower) == [Notice("stored", ["new"])]


async def test_a_host_that_answers_nothing(pair: Pair, database: Database) -> None:
    """Neither a host that takes connections and says nothing, nor one that is not there, keeps the others."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        login, _, rest = pair.primary.url(INGEST, database=database.name).rpartition("@")
        url = f"{login}@127.0.0.1:{silent.getsockname()[1]},127.0.0.1:1,{rest}"
        for role in ("primary", "any"):
            connection = await connect(url, "test", role=role)
            assert not is_standby(connection)
            connection.terminate()


async def test_no_primary(pair: Pair, database: Database) -> None:
    """While only a standby answers, there is no primary yet: that passes, and says so in a line."""
    pair.primary.stop("immediate")
    with pytest.raises(DatabaseUnavailable, match="no primary") as caught:
        await connect(pair.url(INGEST, database.name), "test", role="primary")
    assert "\n" not in str(caught.value)
    connection = await connect(pair.url(INGEST, database.name), "test", role="primary first")
    assert is_standby(connection)
    connection.terminate()


async def test_refused_by_all(pair: Pair, database: Database) -> None:
    """A wrong password is fatal when every host says so; while one is away, it may know better."""
    right = pair.url(INGEST, database.name)
    wrong = right.replace(pair.primary.url(INGEST).split("@")[0].split(":")[-1], "wrong")
    assert wrong != right
    with pytest.raises(Fatal):
        await connect(wrong, "test", role="primary")
    pair.standby.kill()
    with pytest.raises(DatabaseUnavailable) as caught:
        await connect(wrong, "test", role="primary")
    assert "wrong" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


async def test_two_primaries(pair: Pair, database: Database) -> None:
    """Of an old primary that still takes writes and the promoted one, the promoted one is found."""
    pair.promote()
    for swapped in (False, True):
        url = pair.url(INGEST, database.name)
        if swapped:
            login, _, rest = url.rpartition("@")
            first, second = rest.split("/")[0].split(",")
            url = f"{login}@{second},{first}/{rest.split('/', 1)[1]}"
        reached = await connect_and_tell(url, "test", role="primary")
        assert await reached.connection.fetchval("select inet_server_port()") == pair.primary.port
        reached.connection.terminate()


async def test_identity_after_a_promotion(pair: Pair, database: Database) -> None:
    """A promoted standby is another database, since it may lack what the old primary had."""

    async def identity() -> str:
        reader = PostgresReader(pair.url(READER, database.name))
        try:
            return await reader.identity()
        finally:
            await reader.close()

    before = await identity()
    assert await identity() == before
    pair.promote()
    assert await identity() != before


async def test_a_write_leaves_for_the_new_primary(
    writer: PostgresWriter, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that a frozen primary does not answer ends when another server has been promoted."""
    monkeypatch.setattr(postgres_lookout, "LOOK_SECONDS", 0.2)
    await writer.write(orders_batch([order("a")]))
    pair.wait_until_caught_up()
    pair.primary.pause()
    writing = asyncio.create_task(writer.write(orders_batch([order("b")], first=1)))
    await asyncio.to_thread(pair.promote)
    with pytest.raises(Transient):
        await asyncio.wait_for(writing, 60)
    assert (await writer.write(orders_batch([order("b")], first=1)))["stored"] == 1


INSERT_A = (
    "insert into orders (order_uid, track_number, customer_id, date_created, payload, source)"
    " values ('a', '', '', now(), '{}', 0)"
)


@asynccontextmanager
async def session(url: str, name: str) -> AsyncIterator[asyncpg.Connection]:
    """A session in a transaction, under the name of a program."""
    connection = await asyncpg.connect(url, server_settings={"application_name": name})
    await connection.execute("begin")
    yield connection
    connection.terminate()


async def first_rows_only(sent: asyncio.Event) -> AsyncIterator[bytes]:
    """The beginning of a COPY, more than the server collects before it inserts."""
    rows = [order("a"), *(order(f"b{number}", filling="x" * 5_000) for number in range(200))]
    async for chunk in order_rows(orders_batch(rows).accepted, 0):
        yield chunk
        if len(chunk) > 1_000_000:
            sent.set()
            await asyncio.sleep(3_600)


@pytest.mark.parametrize("in_copy", [False, True], ids=["between statements", "in COPY"])
async def test_a_silent_writer(
    writer: PostgresWriter, pair: Pair, database: Database, monkeypatch: pytest.MonkeyPatch, *, in_copy: bool
) -> None:
    """A writer that holds a uid and says nothing any more is ended by the one that waits for it."""
    monkeypatch.setattr(postgres_lookout, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(postgres_lookout, "SILENT_SECONDS", 0.5)
    async with session(pair.primary.url(INGEST, database=database.name), "orderkeep ingest 0") as silent:
        sent = asyncio.Event()
        if in_copy:
            source = first_rows_only(sent)
            copying = silent.copy_to_table("orders", source=source, columns=ORDER_COLUMNS, format="binary")
            task = asyncio.create_task(copying)
            await sent.wait()
        else:
            await silent.execute(INSERT_A)
        async with asyncio.timeout(60):
            assert (await writer.write(orders_batch([order("a")])))["stored"] == 1
        if in_copy:
            task.cancel()


async def test_somebody_else_is_waited_for(
    writer: PostgresWriter, pair: Pair, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not a writer of ours is not ended, however long it holds what a write needs."""
    monkeypatch.setattr(postgres_lookout, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(postgres_lookout, "SILENT_SECONDS", 0.1)
    async with session(pair.primary.url(INGEST, database=database.name), "psql") as person:
        await person.execute(INSERT_A)
        writing = asyncio.create_task(writer.write(orders_batch([order("a")])))
        assert not (await asyncio.wait([writing], timeout=2))[0]
        await person.execute("rollback")
        assert (await writing)["stored"] == 1


async def test_confirmed_and_gone(pair: Pair, database: Database) -> None:
    """A writer that connects to a database without what another of the process has committed says so."""
    confirmed = Confirmed()
    writers = [PostgresWriter(pair.url(INGEST, database.name), slot, confirmed) for slot in range(2)]
    await writers[0].write(orders_batch([order("a")]))
    await writers[1].write(orders_batch([order("b")], first=1))  # what is there is no reason to complain
    Database(pair.primary, database.name).execute(
        "update progress set updated_at = updated_at - interval '1 s' where writer = 0"
    )
    await writers[1].write(orders_batch([order("c")], first=2))  # connected before
    await writers[1].close()
    with pytest.raises(DatabaseWentBack):
        await writers[1].write(orders_batch([order("d")], first=3))
    for writer in writers:
        await writer.close()


async def test_without_proof(pair: Pair, database: Database) -> None:
    """After a commit that left no progress, a new connection cannot know what was kept."""
    writer = PostgresWriter(pair.url(INGEST, database.name), 0, Confirmed())
    half = batch([message(order("a"), 0)], progress={})
    await writer.write(half)
    await writer.close()
    with pytest.raises(DatabaseWentBack):
        await writer.write(half)
    await writer.close()


async def test_told_and_gone(pair: Pair, database: Database) -> None:
    """A database that knows less than it told when ingest began is noticed before anything is claimed."""
    url = pair.url(INGEST, database.name)
    earlier, writer = PostgresWriter(url), PostgresWriter(url, 1, Confirmed())
    await earlier.write(orders_batch([order("a"), order("b")]))
    await earlier.close()
    assert await writer.progress(SOURCE, "group") == {0: 2}
    Database(pair.primary, database.name).execute("update progress set next_position = 1")
    await writer.close()
    with pytest.raises(DatabaseWentBack, match="up to 2, and now up to 1"):
        await writer.write(orders_batch([order("c")], first=2))
    await writer.close()


async def test_writers_stay_together(pair: Pair, database: Database) -> None:
    """When one writer of a process has found another primary, the others leave the old one."""
    confirmed = Confirmed()
    url = pair.url(INGEST, database.name)
    writers = [PostgresWriter(url, slot, confirmed) for slot in range(2)]
    for slot, writer in enumerate(writers):
        await writer.write(orders_batch([order(f"uid-{slot}")], first=slot))
    pair.wait_until_caught_up()
    pair.promote()  # the old primary goes on
    await writers[0].close()
    assert (await writers[0].write(orders_batch([order("uid-2")], first=2)))["stored"] == 1
    with pytest.raises(DatabaseUnavailable, match="another server"):
        await writers[1].write(orders_batch([order("uid-3")], first=3))
    assert (await writers[1].write(orders_batch([order("uid-3")], first=3)))["stored"] == 1
    assert pair.primary.value("select count(*) from orders", database.name) == 4
    assert await writers[1].progress(SOURCE, "group") == {0: 4}
    for writer in writers:
        await writer.close()


async def test_added_again_waits_for_the_standby(pair: Pair, writer: PostgresWriter) -> None:
    """An order that is there already is not confirmed to who sends it again before the standby has it."""
    added = [accept(Message(0, 0, order("a")))]
    for expected in ("stored", "duplicate", "duplicate"):  # to read a row for the first time writes as well
        assert await writer.add(HTTP, added) == [expected]
    pair.synchronous(on=True)
    pair.standby.pause()
    again = asyncio.create_task(writer.add(HTTP, added))
    sessions = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
    async with asyncio.timeout(60):
        await asyncio.to_thread(wait_until, lambda: pair.primary.value(sessions), "it waits for the standby")
    assert not again.done()
    pair.standby.resume()
    assert await again == ["duplicate"]
