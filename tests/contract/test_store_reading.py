"""What every store promises of reading: all of it, newest first, by page, and as it is stored."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from orderkeep.ingest.prepare import accept
from orderkeep.storage.events import EventKind, Notice
from orderkeep.storage.rejects import RejectFilter
from orderkeep.storage.store import OrderReader, OrderWriter, Position, SourceIdentity
from tests.contract.stores import Stores
from tests.orders import batch, message, order, orders_batch


def uids_of(batch_number: int, count: int) -> list[str]:
    return [f"{batch_number}-{place:04}" for place in range(count)]


async def fill(writer: OrderWriter, *counts: int) -> list[str]:
    """So many orders in a batch each; all uids, in the order of writing."""
    written: list[str] = []
    for number, count in enumerate(counts):
        uids = uids_of(number, count)
        await writer.write(orders_batch([order(uid) for uid in uids], first=len(written)))
        written += uids
    return written


async def test_nothing_there(reader: OrderReader) -> None:
    """An empty store answers every question."""
    assert await reader.order("a") is None
    assert await reader.orders([]) == []
    assert await reader.orders(["a", "a"]) == []
    assert await reader.page(10) == []
    assert [chunk async for chunk in reader.newest()] == []
    assert await reader.ingest_progress() == []
    assert await reader.estimate() == 0
    await reader.ping()


async def test_orders(writer: OrderWriter, reader: OrderReader) -> None:
    """Several orders at once are found without those that are not there, each once."""
    await fill(writer, 5)
    found = await reader.orders(["0-0003", "missing", "0-0001", "0-0003"])
    assert sorted(row.order_uid for row in found) == ["0-0001", "0-0003"]
    assert {row.order_uid: row.payload for row in found} == {uid: order(uid) for uid in ("0-0001", "0-0003")}


async def test_received_at(writer: OrderWriter, reader: OrderReader) -> None:
    """The moment of receiving has a zone, and is the same by every way to read it."""
    started = datetime.now(UTC)
    await fill(writer, 1)
    (row,) = await reader.orders(["0-0000"])
    assert started - timedelta(minutes=5) < row.received_at < datetime.now(UTC) + timedelta(minutes=5)
    (summary,) = await reader.page(1)
    assert summary.received_at == row.received_at
    assert [chunk[0] async for chunk in reader.newest()] == [row]


async def test_newest(writer: OrderWriter, reader: OrderReader) -> None:
    """Newest first comes everything, once each, in several chunks, and never goes back to newer ones."""
    written = await fill(writer, 2_000, 1, 2_000, 500)
    chunks = [chunk async for chunk in reader.newest()]
    rows = [row for chunk in chunks for row in chunk]
    assert len(chunks) > 1
    assert sorted(row.order_uid for row in rows) == sorted(written)
    assert all(newer.received_at >= older.received_at for newer, older in pairwise(rows))
    assert [row.order_uid[0] for row in rows] == ["3"] * 500 + ["2"] * 2_000 + ["1"] + ["0"] * 2_000


async def test_newest_left_early(writer: OrderWriter, reader: OrderReader) -> None:
    """Who has read enough may stop, and read again."""
    await fill(writer, 10)
    for _ in range(2):
        async with aclosing(reader.newest()) as chunks:
            assert len(await anext(chunks)) == 10


@pytest.mark.parametrize("limit", [1, 7, 40])
async def test_pages(writer: OrderWriter, reader: OrderReader, limit: int) -> None:
    """Pages walk through everything exactly once, newest first, also among orders of one moment."""
    written = await fill(writer, 15, 1, 24)
    walked = []
    after = None
    while page := await reader.page(limit, after):
        assert len(page) <= limit
        walked += page
        after = (page[-1].received_at, page[-1].order_uid)
    keys = [(row.received_at, row.order_uid) for row in walked]
    assert keys == sorted(keys, reverse=True)
    assert sorted(row.order_uid for row in walked) == sorted(written)


async def test_pages_while_more_comes(writer: OrderWriter, reader: OrderReader) -> None:
    """An order that is stored while somebody turns pages moves none of the others."""
    await fill(writer, 6)
    first = await reader.page(3)
    await writer.write(orders_batch([order("later")], first=100))
    second = await reader.page(3, (first[-1].received_at, first[-1].order_uid))
    assert [row.order_uid for row in first + second] == uids_of(0, 6)[::-1]


async def test_summary(writer: OrderWriter, reader: OrderReader) -> None:
    """A line of the list has the fields of its order, the date as a moment."""
    payload = order("a", track_number="Ж", customer_id="c", date_created="2021-11-26T06:22:19.123456+03:00")
    await writer.write(orders_batch([payload]))
    (line,) = await reader.page(1)
    assert (line.order_uid, line.track_number, line.customer_id) == ("a", "Ж", "c")
    assert line.date_created == datetime(2021, 11, 26, 3, 22, 19, 123456, tzinfo=UTC)


async def test_order_origin(writer: OrderWriter, reader: OrderReader) -> None:
    """An order has the place of the message that it came in; one that came in none has no place."""
    await writer.write(batch([message(order("a"), 7, partition=3)]))
    await writer.add(SourceIdentity("http", "orders", ""), [accept(message(order("posted"), 0))])
    found, posted = await reader.order_origin("a"), await reader.order_origin("posted")
    assert found is not None
    assert (found.source, found.topic, found.partition, found.position) == ("test", "orders", 3, 7)
    (row,) = await reader.orders(["a"])
    assert found.received_at == row.received_at
    assert posted is not None
    assert (posted.source, posted.partition, posted.position) == ("http", None, None)
    assert await reader.order_origin("missing") is None


async def test_ingest_progress(writer: OrderWriter, reader: OrderReader) -> None:
    """Readers see how far each group is, and how many messages are left as far as that is known."""
    await writer.write(batch([], progress={0: Position(10, 15), 1: Position(3, None), 2: Position(7, 7)}))
    found = await reader.ingest_progress()
    assert [(one.partition, one.next_position, one.lag) for one in found] == [
        (0, 10, 5),
        (1, 3, None),
        (2, 7, 0),
    ]
    assert {(one.consumer_group, one.kind, one.topic) for one in found} == {("group", "test", "orders")}
    assert all(one.updated_at.tzinfo for one in found)


async def test_estimate(writer: OrderWriter, reader: OrderReader) -> None:
    """The number of orders is only about right, yet never negative."""
    await fill(writer, 20)
    assert await reader.estimate() >= 0


async def take(follower: AsyncIterator[list[Notice]], count: int, wanted: EventKind = "stored") -> list[str]:
    """The next keys of that kind, at least so many."""
    taken: list[str] = []
    async with asyncio.timeout(60):
        while len(taken) < count:
            taken += [key for kind, keys in await anext(follower) if kind == wanted for key in keys]
    return taken


async def test_follow(writer: OrderWriter, reader: OrderReader) -> None:
    """Following begins with an empty list, then tells what is stored from then on, commit by commit."""
    await fill(writer, 3)
    async with aclosing(reader.follow()) as follower:
        assert await anext(follower) == []
        for number in range(1, 6):
            uids = uids_of(number, 4)
            # Repeated, garbage and in conflict: of these none is stored.
            payloads = [*map(order, uids), order("0-0000"), b"garbage", order("0-0001", locale="other")]
            await writer.write(orders_batch(payloads, first=number * 100))
        taken = await take(follower, 20)
    for number in range(1, 6):
        assert sorted(taken[:4]) == uids_of(number, 4)
        taken = taken[4:]
    assert taken == []


async def test_follow_a_large_batch(writer: OrderWriter, reader: OrderReader) -> None:
    """A batch whose uids fill many notifications is told in full."""
    uids = [f"{number:0128}" for number in range(1_000)]
    async with aclosing(reader.follow()) as follower:
        assert await anext(follower) == []
        await writer.write(orders_batch([order(uid) for uid in uids]))
        assert sorted(await take(follower, 1_000)) == uids


async def test_follow_rejects(writer: OrderWriter, reader: OrderReader, stores: Stores) -> None:
    """Following tells what is kept aside as well: each once, behind the orders of the same commit."""
    async with aclosing(reader.follow()) as follower:
        assert await anext(follower) == []
        payloads = [order("a"), b"garbage", order("a", locale="other"), order("a"), order("b")]
        for _ in range(2):
            await writer.write(orders_batch(payloads))
        await writer.write(orders_batch([None], first=100))
        told: list[Notice] = []
        async with asyncio.timeout(60):
            while sum(len(notice.keys) for notice in told) < 5:
                told += await anext(follower)
    ids = [str(reject.id) for reject in await stores.reject_store().page(RejectFilter(), 10)][::-1]
    assert told == [Notice("stored", ["a", "b"]), Notice("rejected", ids[:2]), Notice("rejected", ids[2:])]


async def test_several_followers(writer: OrderWriter, reader: OrderReader) -> None:
    """Every follower hears of everything."""
    async with (
        aclosing(reader.follow()) as one,
        aclosing(reader.follow()) as two,
    ):
        assert [await anext(one), await anext(two)] == [[], []]
        await writer.write(batch([message(order("a"), 0)]))
        assert await take(one, 1) == await take(two, 1) == ["a"]


async def test_nothing_is_missed_between(writer: OrderWriter, reader: OrderReader) -> None:
    """What is stored while following begins is told, or is there to be read: never neither."""
    stop = asyncio.Event()
    written: list[str] = []
    more: asyncio.Queue[str] = asyncio.Queue()

    async def write() -> None:
        while not stop.is_set():
            uid = f"uid-{len(written)}"
            await writer.write(orders_batch([order(uid)], first=len(written)))
            written.append(uid)
            more.put_nowait(uid)
            await asyncio.sleep(0)

    writing = asyncio.create_task(write())
    for _ in range(5):
        await more.get()
    async with aclosing(reader.follow()) as follower:
        assert await anext(follower) == []
        there = {row.order_uid async for chunk in reader.newest() for row in chunk}
        while len(written) < len(there) + 5:
            await more.get()
        stop.set()
        await writing
        told: list[str] = []
        while written[-1] not in told:
            told += await take(follower, 1)
    assert there | set(told) == set(written)
    assert told == written[-len(told) :]


async def test_identity(stores: Stores, reader: OrderReader) -> None:
    """Every reader of a store says the same of which it is."""
    other = stores.reader()
    try:
        assert await reader.identity() == await other.identity() != ""
    finally:
        await other.close()
