"""What every store promises of erasure: an order that was erased is gone, and does not come back."""

import asyncio
from contextlib import aclosing
from datetime import timedelta

import asyncpg
import pytest

from orderkeep.errors import NotAllowed
from orderkeep.ingest.prepare import accept
from orderkeep.ingest.replay import replay
from orderkeep.storage.erasure import Eraser, Erasure, ErasureRequest
from orderkeep.storage.events import EventPlace, Notice
from orderkeep.storage.postgres_erasure import PostgresEraser
from orderkeep.storage.postgres_writer import PostgresWriter
from orderkeep.storage.rejects import ERASED, RejectFilter
from orderkeep.storage.search import OrderFilter
from orderkeep.storage.store import Batch, Message, OrderReader, OrderWriter, Refused, SourceIdentity
from tests.conftest import Database
from tests.contract.stores import Stores
from tests.orders import SOURCE, batch, message, order, orders_batch

HTTP = SourceIdentity("http", "orders", "")
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = '{}'"
NOTHING = Erasure([], [], [], [], [])


@pytest.fixture
def eraser(stores: Stores) -> Eraser:
    return stores.eraser()


def of(*uids: str, ahead: bool = False) -> ErasureRequest:
    return ErasureRequest(uids, ahead=ahead)


async def test_gone(writer: OrderWriter, reader: OrderReader, stores: Stores, eraser: Eraser) -> None:
    """An order that was erased is in no answer of the store any more, and the others are."""
    await writer.write(orders_batch([order("a"), order("b")]))
    assert await eraser.erase(of("a"), "a ticket") == Erasure(["a"], [], [], [], [])
    assert await reader.order("a") is None
    assert await reader.order_origin("a") is None
    found = await reader.look_up(["a", "b", "c"])
    assert ([one.order_uid for one in found.orders], found.erased) == (["b"], ["a"])
    for wanted in (OrderFilter(), OrderFilter(uid_prefix="a"), OrderFilter(customer_id="test")):
        assert "a" not in [line.order_uid for line in await reader.page(10, wanted=wanted)]
    async with aclosing(reader.newest()) as chunks:
        assert [one.order_uid async for chunk in chunks for one in chunk] == ["b"]
    events = stores.events()
    assert await events.stored(["a"]) == []
    start = EventPlace(await events.clock() - timedelta(hours=1))
    assert [one.place.key for one in (await events.missed(start, ["stored"], 10)).events] == ["b"]
    await events.close()
    assert await reader.erased_since(timedelta(hours=1)) == ["a"]
    assert [(one.order_uid, one.reason) for one in await eraser.erased()] == [("a", "a ticket")]


async def test_does_not_come_back(any_writer: OrderWriter, reader: OrderReader, eraser: Eraser) -> None:
    """Whatever is delivered of it again, or posted, is not stored; what comes with it is."""
    delivered = orders_batch([order("a"), order("b")], first=10)
    await any_writer.write(delivered)
    await eraser.erase(of("a"), "")
    assert (await any_writer.write(delivered))["erased"] == 1
    again = orders_batch([order("a"), order("c"), order("a", locale="other"), b"garbage"], first=20)
    counts = await any_writer.write(again)
    expected = {"stored": 1, "rejected": 1, "erased": 2}
    assert {name: count for name, count in counts.items() if count} == expected
    assert (await any_writer.progress(SOURCE, "group"))[0] == 24
    posted = [accept(Message(0, 0, order(uid))) for uid in ("a", "d", "a", "b")]
    assert await any_writer.add(HTTP, posted) == ["erased", "stored", "erased", "duplicate"]
    assert {one.order_uid for one in await reader.orders(["a", "b", "c", "d"])} == {"b", "c", "d"}


async def test_shared_positions(writer: OrderWriter, eraser: Eraser) -> None:
    """Where processes share a partition, a message of an erased order counts as one that is done with."""
    await eraser.erase(of("b", ahead=True), "")
    await writer.write(orders_batch([order("a")]))
    later = orders_batch([order("b"), order("c")], first=1)
    await writer.write(Batch(later.source, "group", later.accepted, later.refused, {}, shared=True))
    assert await writer.progress(SOURCE, "group") == {0: 3}


async def test_rejects(writer: OrderWriter, stores: Stores, eraser: Eraser) -> None:
    """Of what was kept aside of it nothing is left but where it was: conflicts, and what names it."""
    spoilt = order("a").replace(b'"track_number"', b'"track"')
    cut = order("other")[:40]
    messages = [order("a"), order("a", locale="other"), spoilt, spoilt.replace(b'"a"', b'"b"'), cut]
    given = [Message(0, n, payload, b"a" if payload is cut else b"key") for n, payload in enumerate(messages)]
    await writer.write(batch(given))
    found = await eraser.erase(of("a"), "")
    assert len(found.rejects) == 3
    left = {one.position: (one.payload, one.key, one.headers, one.reason) for one in stores.rejects()}
    assert [left[position] for position in (1, 2, 4)] == [(None, None, (), ERASED)] * 3
    assert left[3][:2] == (messages[3], b"key")
    assert await eraser.preview(of("a")) == Erasure([], [], [], ["a"], [])
    # Delivered again, they are known by their hashes, and no dead letter is made of them.
    counts = await writer.write(batch(given))
    assert (counts["erased"], counts["redelivered"]) == (2, 3)
    assert [one.message.position for one in await writer.kept_aside(SOURCE, given[:2])] == []
    rejects = stores.reject_store()
    shown = [one for one in await rejects.page(RejectFilter(), 10) if one.reason == ERASED]
    assert all(one.discarded_at is not None for one in shown)
    await rejects.close()


async def test_replay(writer: OrderWriter, reader: OrderReader, stores: Stores, eraser: Eraser) -> None:
    """A reject that turns out to be an erased order is not stored by a replay."""
    await eraser.erase(of("a", ahead=True), "")
    refused = Refused(message(order("a"), 0), "database", "because")
    await writer.write(Batch(SOURCE, "group", [], [refused], {}))
    rejects = stores.reject_store()
    (reject,) = [one async for one in rejects.iterate(RejectFilter())]
    assert (await replay(reject, writer, reader, rejects)).outcome == "erased"
    assert await reader.order("a") is None
    await rejects.close()


async def test_customer(writer: OrderWriter, reader: OrderReader, eraser: Eraser) -> None:
    """All orders of a customer go, and what was kept aside of theirs, under whatever uid."""
    ours, theirs = order("a", customer_id="Жö"), order("b", customer_id="other")
    conflict = order("b", customer_id="Жö")
    await writer.write(orders_batch([ours, theirs, conflict, order("c", customer_id="Жö")]))
    wanted = ErasureRequest(customer_ids=["Жö"])
    expected = await eraser.preview(wanted)
    assert (sorted(expected.orders), len(expected.rejects)) == (["a", "c"], 1)
    assert await eraser.erase(wanted, "") == expected
    assert [one.order_uid for one in await reader.orders(["a", "b", "c"])] == ["b"]
    assert await eraser.preview(wanted) == NOTHING


async def test_preview(writer: OrderWriter, reader: OrderReader, eraser: Eraser) -> None:
    """A preview says what would go, and changes nothing."""
    await writer.write(orders_batch([order("a"), order("a", locale="other")]))
    before = await reader.order("a")
    assert (await eraser.preview(of("a", "b"))).unknown == ["b"]
    found = await eraser.preview(of("a", "b", ahead=True))
    assert (found.orders, len(found.rejects), found.ahead, found.unknown) == (["a"], 1, ["b"], [])
    assert await reader.order("a") == before
    assert await eraser.erased() == []


async def test_unknown(writer: OrderWriter, eraser: Eraser) -> None:
    """A uid of which nothing is known is only kept away when that is asked for: it may be a slip."""
    assert await eraser.erase(of("a"), "") == Erasure([], [], [], [], ["a"])
    assert (await writer.write(orders_batch([order("a")])))["stored"] == 1
    assert await eraser.erase(of("b", ahead=True), "") == Erasure([], [], ["b"], [], [])
    assert (await writer.write(orders_batch([order("b")], first=1)))["erased"] == 1


async def test_told(reader: OrderReader, writer: OrderWriter, eraser: Eraser) -> None:
    """Whoever follows is told of an erasure, also of one that is repeated."""
    await writer.write(orders_batch([order("a")]))
    async with aclosing(reader.follow()) as told:
        assert await anext(told) == []
        for _ in range(2):
            await eraser.erase(of("a", "b", ahead=True), "")
            async with asyncio.timeout(60):
                assert await anext(told) == [Notice("erased", ["a", "b"])]


async def test_beside_writers(stores: Stores, reader: OrderReader, eraser: Eraser) -> None:
    """Erased while writers store it, it is gone, however the two come together."""
    writers = [stores.writer(slot) for slot in range(2)]
    for turn in range(10):
        uid, others = f"erased-{turn}", [order(f"{turn}-{number}") for number in range(50)]
        given = orders_batch([*others, order(uid)], first=turn * 100)
        await asyncio.gather(
            *(writer.write(given) for writer in writers), eraser.erase(of(uid, ahead=True), "")
        )
        assert await reader.order(uid) is None
        assert len(await reader.orders([f"{turn}-{number}" for number in range(50)])) == 50
    for writer in writers:
        await writer.close()


async def test_waits_for_who_stores(database: Database) -> None:
    """An erasure waits for a transaction that is storing the order, and removes what it has stored."""
    storing = await asyncpg.connect(database.owner_url)
    transaction = storing.transaction()
    await transaction.start()
    await storing.execute(
        "insert into orders (order_uid, track_number, customer_id, date_created, payload, source)"
        " values ('a', '', '', now(), '{}', 1)"
    )
    erasing = asyncio.create_task(PostgresEraser(database.owner_url).erase(of("a", ahead=True), ""))
    await _until_a_lock_is_waited_for(database)
    await transaction.commit()
    assert (await erasing).orders == ["a"]
    assert database.value("select count(*) from orders") == 0
    await storing.close()


async def test_is_waited_for(database: Database) -> None:
    """Whoever stores the order while it is being erased waits, and goes on without it."""
    erasing = await asyncpg.connect(database.owner_url)
    transaction = erasing.transaction()
    await transaction.start()
    await erasing.execute("lock table orders, rejected_messages in share row exclusive mode")
    await erasing.execute("insert into erased_orders (order_uid, reason) values ('a', '')")
    writer = PostgresWriter(database.ingest_url)
    writing = asyncio.create_task(writer.write(orders_batch([order("a"), order("b")])))
    await _until_a_lock_is_waited_for(database)
    await transaction.commit()
    counts = await writing
    assert (counts["stored"], counts["erased"]) == (1, 1)
    await writer.close()
    await erasing.close()


async def _until_a_lock_is_waited_for(database: Database) -> None:
    async with asyncio.timeout(60):
        while not database.server.value(WAITING.format(database.name)):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)


async def test_only_the_owner(database: Database) -> None:
    """Neither ingest nor a reader may erase, and is told which setting to give."""
    for url in (database.ingest_url, database.reader_url):
        with pytest.raises(NotAllowed, match="ORDERKEEP_DATABASE_MIGRATE_URL") as caught:
            await PostgresEraser(url).erase(of("a", ahead=True), "")
        assert "\n" not in str(caught.value)
