"""What every store promises of rejects whose content is discarded: the message is known as before."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from orderkeep.errors import Fatal
from orderkeep.ingest.replay import replay
from orderkeep.storage import postgres_rejects
from orderkeep.storage.postgres_rejects import PostgresRejects
from orderkeep.storage.queries import QUERIES
from orderkeep.storage.rejects import RejectFilter, RejectStore
from orderkeep.storage.store import Message, OrderReader, OrderWriter
from tests.conftest import Database
from tests.contract.stores import Stores
from tests.orders import SOURCE, batch, order, orders_batch

ALL = RejectFilter()
MONTH = timedelta(days=30)
GARBAGE = Message(0, 0, b"garbage", b"key", ((b"name", b"value"),))
TOMBSTONE = Message(0, 1, None, b"key")


@pytest.fixture
async def rejects(stores: Stores) -> AsyncIterator[RejectStore]:
    rejects = stores.reject_store()
    yield rejects
    await rejects.close()


async def test_old_content_is_discarded(writer: OrderWriter, rejects: RejectStore, stores: Stores) -> None:
    """Of old rejects payload, key and headers go and all else stays; of younger ones nothing goes."""
    await writer.write(batch([GARBAGE, TOMBSTONE]))
    stores.age(31)
    await writer.write(batch([Message(0, 2, b"younger", b"key")]))
    stores.age(29)
    before = [one async for one in rejects.iterate(ALL)]
    begun = datetime.now(UTC)
    assert await rejects.discard(MONTH) == 2
    after = [one async for one in rejects.iterate(ALL)]
    assert after[2] == before[2]
    for old, new in zip(before[:2], after[:2], strict=True):
        assert (new.payload, new.key, new.headers, new.size) == (None, None, (), None)
        assert new.discarded_at is not None
        assert abs(new.discarded_at - begun) < timedelta(minutes=1)
        for name in ("id", "kind", "reason", "partition", "position", "sha256", "received_at", "replayed"):
            assert getattr(new, name) == getattr(old, name)
    listed = await rejects.page(ALL, 10)
    assert [one.discarded_at for one in listed[::-1]] == [one.discarded_at for one in after]
    assert await rejects.discard(MONTH) == 0
    assert [one async for one in rejects.iterate(ALL)] == after


async def test_redelivery(writer: OrderWriter, rejects: RejectStore, stores: Stores) -> None:
    """A message that comes again is known by its hash, and its dead letter has the content that came."""
    conflict = Message(0, 3, order("a", locale="other"), b"key")
    messages = [GARBAGE, TOMBSTONE, Message(0, 2, order("a")), conflict]
    await writer.write(batch(messages))
    stores.age(31)
    assert await rejects.discard(MONTH) == 3
    counts = await writer.write(batch(messages))
    assert {outcome: count for outcome, count in counts.items() if count} == {"redelivered": 4}
    assert await rejects.count(ALL) == 3
    kept = await writer.kept_aside(SOURCE, messages)
    assert [refused.message for refused in kept] == [GARBAGE, TOMBSTONE, conflict]
    assert await rejects.discard(MONTH) == 0


async def test_replay(writer: OrderWriter, reader: OrderReader, rejects: RejectStore, stores: Stores) -> None:
    """What is discarded is not replayed: it says since when, nothing is stored, and nothing is noted."""
    await writer.write(orders_batch([order("a"), order("a", locale="other")]))
    (line,) = await rejects.page(ALL, 1)
    await rejects.record_replay(line.id, "conflict", "")
    stores.age(31)
    await rejects.discard(MONTH)
    (one,) = [one async for one in rejects.iterate(ALL)]
    assert one.stored == order("a")
    told = await replay(one, writer, reader, rejects)
    assert (told.reject_id, told.outcome) == (one.id, "discarded")
    assert one.discarded_at is not None
    assert f"{one.discarded_at.astimezone(UTC):%Y-%m-%d}" in told.detail
    assert "ORDERKEEP_REJECTS_RETENTION_DAYS" in told.detail
    assert (await rejects.page(ALL, 1))[0].replayed == "conflict"


async def test_side_by_side(writer: OrderWriter, stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several at a time, in however many steps, discard each once and do not wait for each other."""
    monkeypatch.setattr(postgres_rejects, "DISCARD_LOOK", 50)
    monkeypatch.setattr(postgres_rejects, "DISCARD_CHUNK", 7)
    monkeypatch.setattr(postgres_rejects, "DISCARD_PAUSE", 0)
    await writer.write(orders_batch([b"x%d" % number for number in range(150)]))
    stores.age(31)
    several = [stores.reject_store() for _ in range(3)]
    counts = await asyncio.gather(*(each.discard(MONTH) for each in several))
    assert sum(counts) == 150
    for each in several:
        await each.close()
    assert {one.payload for one in stores.rejects()} == {None}


async def test_locked_rows_wait_for_nobody(database: Database) -> None:
    """A reject that is locked is passed over, and one of which a replay is being noted is not."""
    database.execute(
        "insert into sources (kind, topic, incarnation) values ('test', 'orders', 'first');"
        "insert into rejected_messages (source, partition, position, sha256, kind, reason, received_at)"
        " select 1, 0, i, '', 'invalid', '', '2026-01-01' from generate_series(1, 3) as i"
    )
    other = await asyncpg.connect(database.owner_url)
    rejects = PostgresRejects(database.ingest_url)
    async with other.transaction():
        await other.execute("select from rejected_messages where position = 2 for update")
        await other.execute(
            "insert into replays (reject_id, outcome, detail)"
            " select id, 'rejected', '' from rejected_messages where position = 3"
        )
        assert await rejects.discard(timedelta(0)) == 2
    assert await rejects.discard(timedelta(0)) == 1
    await rejects.close()
    await other.close()


async def test_a_reader_discards_nothing(database: Database) -> None:
    """To discard as a user who may only read says which role to grant."""
    database.execute(
        "insert into sources (kind, topic, incarnation) values ('test', 'orders', 'first');"
        "insert into rejected_messages (source, partition, position, sha256, kind, reason, received_at)"
        " values (1, 0, 0, '', 'invalid', '', '2026-01-01')"
    )
    rejects = PostgresRejects(database.reader_url)
    with pytest.raises(Fatal, match="orderkeep_ingest"):
        await rejects.discard(MONTH)
    await rejects.close()


def test_old_ones_are_found_by_index(database: Database) -> None:
    """To look for what is old does not read what is young, nor does a step read the whole table."""
    database.execute(
        "insert into sources (kind, topic, incarnation) values ('test', 'orders', 'first');"
        "insert into rejected_messages (source, partition, position, sha256, kind, reason, received_at)"
        " select 1, 0, i, '', 'invalid', '', now() - interval '40 days' + i * interval '1 minute'"
        " from generate_series(1, 50000) as i;"
        "analyze rejected_messages"
    )
    for statement, parameter, index in [
        (QUERIES["expired_rejects"].replace("$2", "50000"), "'39 days'", "rejected_messages_received_at"),
        (QUERIES["discard_rejects"], "array(select generate_series(1, 1000))", "rejected_messages_pkey"),
    ]:
        plan = [row[0] for row in database.fetch("explain " + statement.replace("$1", parameter))]
        assert any(index in line for line in plan), plan
        assert not any("Seq Scan" in line for line in plan), plan
