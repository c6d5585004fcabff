"""What every store promises of orders that came from no broker: each told its outcome, nothing else kept."""

import asyncio
from collections import Counter
from contextlib import aclosing

from orderkeep.ingest.prepare import accept
from orderkeep.storage.events import Notice
from orderkeep.storage.store import Accepted, Message, OrderReader, OrderWriter, SourceIdentity
from tests.contract.stores import Stores
from tests.orders import order, orders_batch

HTTP = SourceIdentity("http", "orders", "")


def other(uid: str) -> bytes:
    return order(uid, locale="other")


def posted(*payloads: bytes) -> list[Accepted]:
    return [accept(Message(0, 0, payload)) for payload in payloads]


async def test_outcomes(writer: OrderWriter, reader: OrderReader, stores: Stores) -> None:
    """Of each order it is said what became of it, in the order given; the first of a uid is stored."""
    given = posted(order("b"), order("a"), other("b"), order("b"), order("a"))
    expected = ["stored", "stored", "conflict", "duplicate", "duplicate"]
    assert await writer.add(HTTP, given) == expected
    assert await writer.add(HTTP, given) == ["duplicate", "duplicate", "conflict", "duplicate", "duplicate"]
    assert await writer.add(HTTP, posted(other("a"), order("c"))) == ["conflict", "stored"]
    found = {row.order_uid: row.payload for row in await reader.orders(["a", "b", "c"])}
    assert found == {uid: order(uid) for uid in "abc"}
    assert await writer.add(HTTP, []) == []
    assert stores.rejects() == []
    assert await reader.ingest_progress() == []


async def test_beside_a_broker(any_writer: OrderWriter, reader: OrderReader, stores: Stores) -> None:
    """An order counts as one, whichever way it came first: messages keep their own outcomes."""
    await any_writer.write(orders_batch([order("broker")]))
    assert await any_writer.add(HTTP, posted(order("http"), order("broker"), other("broker"))) == [
        *("stored", "duplicate", "conflict")
    ]
    again = orders_batch([order("http"), other("http"), order("new"), order("broker")], first=1)
    counts = await any_writer.write(again)
    assert {name: count for name, count in counts.items() if count} == {
        "stored": 1,
        "duplicate": 2,
        "conflict": 1,
    }
    assert [reject.payload for reject in stores.rejects()] == [other("http")]
    counts = await any_writer.write(again)
    assert counts["stored"] == 0
    assert counts["conflict"] == 0
    found = await reader.order("http")
    assert found is not None
    assert found.payload == order("http")


async def test_followed(writer: OrderWriter, reader: OrderReader) -> None:
    """Whoever follows hears of what is stored, and of nothing else."""
    async with aclosing(reader.follow()) as follower:
        assert await anext(follower) == []
        await writer.add(HTTP, posted(order("a")))
        await writer.add(HTTP, posted(order("a"), other("a")))
        await writer.add(HTTP, posted(order("b")))
        told = await anext(follower)
        while len(told) < 2:
            told += await anext(follower)
        assert told == [Notice("stored", ["a"]), Notice("stored", ["b"])]


async def test_two_at_a_time(stores: Stores, reader: OrderReader) -> None:
    """Of the same orders added by two at a time each is stored by one of them, whatever their order."""
    writers = [stores.writer(0), stores.writer(1)]
    uids = [f"uid-{number:03}" for number in range(100)]
    lists = [posted(*map(order, uids)), posted(*map(order, reversed(uids)))]
    told = await asyncio.gather(*(one.add(HTTP, part) for one, part in zip(writers, lists, strict=True)))
    counts = Counter(outcome for part in told for outcome in part)
    assert counts == {"stored": len(uids), "duplicate": len(uids)}
    assert len(await reader.orders(uids)) == len(uids)
    for one in writers:
        await one.close()
