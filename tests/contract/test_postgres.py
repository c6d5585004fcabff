"""What PostgreSQL adds to the contract of a store: refused values, lost connections, and what it is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import asyncpg
import msgspec
import pytest

from orderkeep.errors import DatabaseUnavailable, DataRefused, Fatal, OutcomeUnknown, Transient
from orderkeep.ingest.prepare import accept
from orderkeep.storage.events import Notice
from orderkeep.storage.notifications import NOTIFICATION_BYTES
from orderkeep.storage.postgres_reader import PostgresReader
from orderkeep.storage.postgres_writer import PostgresWriter
from orderkeep.storage.store import Batch, Position, Refused
from tests.conftest import Database
from tests.contract.conftest import meet_a_duplicate
from tests.orders import SOURCE, batch, message, order, orders_batch

TOO_FAR = 2**63  # a position that no bigint holds


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[PostgresWriter]:
    writer = PostgresWriter(database.ingest_url)
    yield writer
    await writer.close()


@pytest.fixture
async def reader(database: Database) -> AsyncIterator[PostgresReader]:
    reader = PostgresReader(database.reader_url)
    yield reader
    await reader.close()


def with_refused_value(*, reject: bool) -> Batch:
    """A good order, and a message whose position PostgreSQL cannot hold."""
    good = message(order("a"), 0)
    bad = message(b"garbage" if reject else order("b"), TOO_FAR)
    return batch([good, bad], progress={0: Position(1, None)})


@pytest.mark.parametrize("reject", [False, True], ids=["in an order", "in a reject"])
@pytest.mark.parametrize("after_duplicates", [False, True], ids=["clean", "after duplicates"])
async def test_refused_value(
    writer: PostgresWriter, database: Database, *, reject: bool, after_duplicates: bool
) -> None:
    """A value that PostgreSQL refuses is `DataRefused`: nothing is stored, and the connection goes on."""
    if after_duplicates:
        await meet_a_duplicate(writer)
    else:
        await writer.write(orders_batch([]))
    connection = writer._connection
    for _ in range(3):
        with pytest.raises(DataRefused):
            await writer.write(with_refused_value(reject=reject))
        assert writer._connection is connection
    assert database.fetch("select from orders where order_uid in ('a', 'b')") == []
    assert 0 not in await writer.progress(SOURCE, "group")
    counts = await writer.write(orders_batch([order("a"), b"garbage"]))
    assert (counts["stored"], counts["rejected"]) == (1, 1)
    assert writer._connection is connection


@pytest.mark.parametrize("field", ["track_number", "customer_id"])
async def test_refused_by_the_server(writer: PostgresWriter, field: str) -> None:
    """A value that only the server refuses is `DataRefused` too, with the server's reason."""
    payload = order("a")
    nul = msgspec.structs.replace(accept(message(payload, 0)), **{field: "a\0b"})
    with pytest.raises(DataRefused, match="SQLSTATE 22"):
        await writer.write(Batch(SOURCE, "group", [nul], [], {}))
    assert (await writer.write(orders_batch([payload])))["stored"] == 1


async def test_reason_of_garbage(writer: PostgresWriter, database: Database) -> None:
    """The reason of a reject is kept whatever it quotes: NUL and surrogates written out, and it is cut."""
    reason = "a\0b\ud800" + "x" * 5_000
    await writer.write(Batch(SOURCE, "group", [], [Refused(message(b"x", 0), "invalid", reason)], {}))
    kept = database.value("select reason from rejected_messages")
    assert kept.startswith("a\\0b\\ud800xxx")
    assert len(kept) < 1_100


async def test_terminated_connection(
    writer: PostgresWriter, reader: PostgresReader, database: Database
) -> None:
    """A connection that the server ends is `Transient`, once; then everything works as before."""
    await writer.write(orders_batch([order("a")]))
    assert await reader.order("a")
    terminate(database)
    with pytest.raises(Transient):
        await writer.write(orders_batch([order("b")], first=1))
    assert (await writer.write(orders_batch([order("b")], first=1)))["stored"] == 1
    for _ in range(2):  # the pool may have noticed by itself
        try:
            assert await reader.order("b")
        except Transient:
            continue
    assert await reader.order("b")


async def test_terminated_follower(
    writer: PostgresWriter, reader: PostgresReader, database: Database
) -> None:
    """Who follows hears of a connection that is lost, and can follow again."""
    async with aclosing(reader.follow()) as follower:
        assert await anext(follower) == []
        terminate(database)
        with pytest.raises(Transient):
            await asyncio.wait_for(anext(follower), 60)
    async with aclosing(reader.follow()) as follower:
        assert await anext(follower) == []
        await writer.write(orders_batch([order("a")]))
        assert await asyncio.wait_for(anext(follower), 60) == [Notice("stored", ["a"])]


def terminate(database: Database) -> None:
    """End every other session of the database, and wait until they are gone."""
    database.server.execute(
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()",
        database.name,
    )


async def test_cancelled_in_the_middle(writer: PostgresWriter, database: Database) -> None:
    """A write that is cancelled leaves nothing half done, and the writer goes on with a new connection."""
    await writer.write(orders_batch([order("before")]))
    blocker = await asyncpg.connect(database.owner_url)
    async with blocker.transaction():
        await blocker.execute("lock table orders in exclusive mode")
        writing = asyncio.create_task(writer.write(orders_batch([order("a")], first=1)))
        await until_waiting(blocker)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    await blocker.close()
    assert (await writer.write(orders_batch([order("a")], first=1)))["stored"] == 1
    assert database.value("select count(*) from orders") == 2


async def until_waiting(connection: asyncpg.Connection) -> None:
    """Wait until another session waits for a lock."""
    async with asyncio.timeout(60):
        while not await connection.fetchval(
            "select pg_sleep(0.01)::text || exists (select from pg_locks where not granted) = 'true'"
        ):
            continue


async def test_lost_at_commit(writer: PostgresWriter, database: Database) -> None:
    """A COMMIT that fails has an unknown outcome: the batch is written again and finds what there is."""
    database.execute(
        "create function fail() returns trigger language plpgsql as"
        " $$ begin raise exception 'no' using errcode = '40001'; end $$;"
        "create constraint trigger fail after insert on orders deferrable initially deferred"
        " for each row execute function fail()"
    )
    with pytest.raises(OutcomeUnknown):
        await writer.write(orders_batch([order("a")]))
    database.execute("drop trigger fail on orders")
    assert (await writer.write(orders_batch([order("a")])))["stored"] == 1


async def test_warned_at_commit(writer: PostgresWriter, database: Database) -> None:
    """A COMMIT that warns, as when a standby was not waited for, is not taken for a success."""
    database.execute(
        "create function warn() returns trigger language plpgsql as"
        " $$ begin raise warning 'standby' using errcode = '01000'; return null; end $$;"
        "create constraint trigger warn after insert on orders deferrable initially deferred"
        " for each row execute function warn()"
    )
    with pytest.raises(OutcomeUnknown, match="standby"):
        await writer.write(orders_batch([order("a")]))
    database.execute("drop trigger warn on orders")
    # It was committed after all: written again, it is there already.
    assert (await writer.write(orders_batch([order("a")])))["redelivered"] == 1


async def test_notifications(writer: PostgresWriter, database: Database) -> None:
    """One transaction tells every new uid and every new reject, in notifications that PostgreSQL takes."""
    heard: list[tuple[str, str]] = []
    done = asyncio.Event()
    listener = await asyncpg.connect(database.reader_url)

    def hear(_connection: object, _pid: int, channel: str, text: object) -> None:
        heard.append((channel, str(text)))
        if channel == "orderkeep_rejects":
            done.set()

    for channel in ("orderkeep_orders", "orderkeep_rejects"):
        await listener.add_listener(channel, hear)
    uids = [f"{number:0100}" for number in range(500)]
    await writer.write(orders_batch([*map(order, uids), b"garbage"]))
    await asyncio.wait_for(done.wait(), 60)
    await listener.close()
    told = [text for channel, text in heard if channel == "orderkeep_orders"]
    assert sorted(uid for text in told for uid in text.split()) == uids
    assert all(len(text) <= NOTIFICATION_BYTES for text in told)
    rejects = database.fetch("select id from rejected_messages")
    assert heard[-1] == ("orderkeep_rejects", str(rejects[0]["id"]))


async def test_durable_commits(writer: PostgresWriter, database: Database) -> None:
    """The commit of a batch waits for the disk, and for a standby, whatever the database's default is."""
    database.execute(
        f"alter database {database.name} set synchronous_commit = off;"
        "create table seen (setting text);"
        "grant select, insert on seen to public;"
        "create function note() returns trigger language plpgsql as"
        " $$ begin insert into seen values (current_setting('synchronous_commit')); return null; end $$;"
        "create constraint trigger note after insert on orders deferrable initially deferred"
        " for each row execute function note()"
    )
    await writer.write(orders_batch([order("a")]))
    await writer.write(orders_batch([order("a"), order("b")], first=1))
    assert [row["setting"] for row in database.fetch("select setting from seen")] == ["on", "on"]


@pytest.mark.parametrize("table", ["orders", "rejected_messages"])
async def test_terminated_while_it_takes_nothing(
    writer: PostgresWriter, database: Database, table: str
) -> None:
    """A connection that is lost while PostgreSQL takes nothing of a large batch ends the write."""
    await writer.write(orders_batch([order("before")]))
    large = orders_batch(
        [order(f"uid-{n}", filling="x" * 200_000) for n in range(40)]
        if table == "orders"
        else [b"x" * 200_000] * 40,
        first=1,
    )
    blocker = await asyncpg.connect(database.owner_url)
    async with blocker.transaction():
        await blocker.execute(f"lock table {table} in exclusive mode")
        writing = asyncio.create_task(writer.write(large))
        await until_waiting(blocker)
        database.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            f" where application_name = 'orderkeep ingest 0' and datname = '{database.name}'"
        )
        with pytest.raises(Transient):
            await asyncio.wait_for(writing, 60)
    await blocker.close()
    counts = await writer.write(large)
    assert counts["stored"] + counts["rejected"] == 40


NOT_THERE = {
    "wrong password": lambda database: database.server.url("test_ingest", "wrong", database.name),
    "unknown user": lambda database: database.server.url("nobody_at_all", "x", database.name),
    "unknown database": lambda database: database.server.url("test_ingest", database="no_such"),
}


@pytest.mark.parametrize("url", NOT_THERE.values(), ids=NOT_THERE)
async def test_wrong_url(url: object, database: Database) -> None:
    """A wrong password, user or database is fatal: one line that says what to do, without the password."""
    assert callable(url)
    writer, reader = PostgresWriter(url(database)), PostgresReader(url(database))
    for call in (writer.progress(SOURCE, "group"), reader.order("a"), reader.ping(), anext(reader.follow())):
        with pytest.raises(Fatal) as caught:
            await call
        said = str(caught.value)
        assert "\n" not in said
        assert "database" in said
        assert "secret" not in said


async def test_nobody_listens() -> None:
    """A server that is not there is about the world."""
    url = "postgresql://user:secret@127.0.0.1:1/database"
    with pytest.raises(DatabaseUnavailable) as caught:
        await PostgresWriter(url).progress(SOURCE, "group")
    with pytest.raises(DatabaseUnavailable):
        await PostgresReader(url).ping()
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_identity(reader: PostgresReader, empty_database: Database) -> None:
    """Another database of the same server is another one."""
    other = PostgresReader(empty_database.owner_url)
    try:
        assert await reader.identity() != await other.identity()
    finally:
        await other.close()
