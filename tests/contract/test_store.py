"""What every store promises of writing: each message one outcome, whatever comes twice and in which order."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from orderkeep.order import MAX_BYTES, MAX_DEPTH
from orderkeep.storage.store import Gap, Message, OrderReader, OrderWriter, Outcome, Position
from tests.contract.conftest import meet_a_duplicate
from tests.contract.stores import Stores
from tests.orders import MODEL, SOURCE, batch, message, order, orders_batch, with_unknown

Counts = Mapping[Outcome, int]


def nonzero(counts: Counts) -> dict[str, int]:
    return {outcome: count for outcome, count in counts.items() if count}


def other(uid: str) -> bytes:
    """Another order under the same uid."""
    return order(uid, locale="other")


async def test_four_outcomes(any_writer: OrderWriter, reader: OrderReader, stores: Stores) -> None:
    """A batch with an order, its repetition, another one of its uid and garbage has one of each outcome."""
    counts = await any_writer.write(orders_batch([order("a"), order("a"), other("a"), b"garbage", None]))
    assert nonzero(counts) == {"stored": 1, "duplicate": 1, "conflict": 1, "rejected": 2}
    found = await reader.order("a")
    assert found is not None
    assert (found.order_uid, found.payload) == ("a", order("a"))
    kept = [(reject.position, reject.kind, reject.payload, reject.order_uid) for reject in stores.rejects()]
    assert kept == [
        (2, "conflict", other("a"), "a"),
        (3, "not_json", b"garbage", None),
        (4, "tombstone", None, None),
    ]
    assert all(reject.reason for reject in stores.rejects())


async def test_empty_batch(any_writer: OrderWriter) -> None:
    """A batch of nothing has no outcomes."""
    assert nonzero(await any_writer.write(orders_batch([]))) == {}


async def test_the_first_wins(any_writer: OrderWriter, reader: OrderReader) -> None:
    """Of several orders of a uid in a batch the first delivered is stored, however they sort."""
    for uid, payloads in {
        "short": [order("short", locale="z"), order("short", locale="a")],
        "long": [order("long", locale="a" * 50), order("long", locale="z"), order("long", locale="a" * 50)],
    }.items():
        counts = await any_writer.write(orders_batch(payloads, first=len(uid) * 10))
        found = await reader.order(uid)
        assert found is not None
        assert found.payload == payloads[0]
        assert counts["stored"] == 1


async def test_many_of_one_uid(any_writer: OrderWriter) -> None:
    """However often a uid comes in a batch, one is stored, and every other is judged against that one."""
    counts = await any_writer.write(orders_batch([order("a"), other("a")] * 20))
    assert nonzero(counts) == {"stored": 1, "duplicate": 19, "conflict": 20}


async def test_conflict_among_duplicates(any_writer: OrderWriter, reader: OrderReader) -> None:
    """A conflict with a stored order is found in the middle of duplicates and new orders."""
    old = [order(f"old-{number}") for number in range(10)]
    assert nonzero(await any_writer.write(orders_batch(old))) == {"stored": 10}
    mixed = [*old[:5], other("old-7"), order("new-1"), *old[5:], order("new-0"), other("new-1")]
    counts = await any_writer.write(orders_batch(mixed, first=10))
    assert nonzero(counts) == {"stored": 2, "duplicate": 10, "conflict": 2}
    found = {row.order_uid: row.payload for row in await reader.orders(["old-7", "new-1", "missing"])}
    assert found == {"old-7": order("old-7"), "new-1": order("new-1")}


async def test_redelivery(any_writer: OrderWriter, stores: Stores) -> None:
    """A batch that is written again adds nothing: what has its outcome is only redelivered."""
    again = orders_batch([order("a"), other("a"), b"garbage", None, order("b")])
    assert nonzero(await any_writer.write(again)) == {"stored": 2, "conflict": 1, "rejected": 2}
    before = stores.rejects()
    for _ in range(2):
        assert nonzero(await any_writer.write(again)) == {"redelivered": 5}
    assert stores.rejects() == before


async def test_redelivery_with_more(any_writer: OrderWriter) -> None:
    """A redelivery cut otherwise, with new messages behind it, stores what is new and nothing twice."""
    payloads = [order("a"), b"garbage", order("b"), other("a"), order("c"), b"rubbish"]
    await any_writer.write(orders_batch(payloads[:4]))
    counts = await any_writer.write(orders_batch(payloads[2:], first=2))
    assert nonzero(counts) == {"redelivered": 2, "stored": 1, "rejected": 1}


async def test_redelivered_duplicate(any_writer: OrderWriter, stores: Stores) -> None:
    """A duplicate that is redelivered adds nothing either."""
    again = orders_batch([order("a"), order("a")])
    await any_writer.write(again)
    counts = await any_writer.write(again)
    assert counts["redelivered"] + counts["duplicate"] == 2
    assert not counts["stored"]
    assert stores.rejects() == []


async def test_other_bytes_at_the_same_position(any_writer: OrderWriter, stores: Stores) -> None:
    """A position that comes again with other bytes is another message: nothing is thrown away."""
    await any_writer.write(orders_batch([b"garbage"]))
    assert nonzero(await any_writer.write(orders_batch([b"rubbish"]))) == {"rejected": 1}
    assert sorted(reject.payload or b"" for reject in stores.rejects()) == [b"garbage", b"rubbish"]


@pytest.mark.parametrize("after_duplicates", [False, True], ids=["clean", "after duplicates"])
async def test_two_writers(stores: Stores, reader: OrderReader, *, after_duplicates: bool) -> None:
    """Two writers with the same uids in opposite orders block nobody, and each uid is stored once."""
    writers = [stores.writer(0), stores.writer(1)]
    if after_duplicates:
        for slot, one in enumerate(writers):
            await meet_a_duplicate(one, partition=90 + slot)
    for number in range(5):
        uids = [f"{number}-{place}" for place in range(300)]
        mine = orders_batch([order(uid) for uid in uids], first=number * 300, partition=0)
        theirs = [order(uid) if place % 3 else other(uid) for place, uid in enumerate(uids)]
        yours = orders_batch(theirs[::-1], first=number * 300, partition=1)
        async with asyncio.timeout(60):
            outcomes = await asyncio.gather(writers[0].write(mine), writers[1].write(yours))
        total = Counter(outcomes[0]) + Counter(outcomes[1])
        assert nonzero(total) == {"stored": 300, "duplicate": 200, "conflict": 100}
        found = {row.order_uid: row.payload for row in await reader.orders(uids)}
        assert found.keys() == set(uids)
        assert all(payload in (order(uid), other(uid)) for uid, payload in found.items())
    assert len(stores.rejects()) == 500
    for one in writers:
        await one.close()


EXACT = {
    "model": MODEL,
    "blanks": b" \t\r\n" + MODEL.replace(b": ", b" :\t") + b"\n\n",
    "letters": order("a", locale="Ж 漢 🙂 \u2028"),
    "escapes": MODEL.replace(b'"en"', rb'"\u0416 \ud83d\ude42 \/ \b \\u0000 \u007f"'),
    "names twice": MODEL.replace(b'"locale"', b'"locale": "x", "locale"'),
    "numbers": with_unknown(b"[1e999999, -0.0, 1E-7, 123456789012345678901234567890, 1.10]"),
    "deep": with_unknown(b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)),
    "large": order("a", locale="x" * (MAX_BYTES - 2_000)),
}


@pytest.mark.parametrize("payload", EXACT.values(), ids=EXACT)
async def test_bytes(any_writer: OrderWriter, reader: OrderReader, payload: bytes) -> None:
    """What is read is what was sent, byte for byte, by every way to read it."""
    made = orders_batch([payload])
    assert nonzero(await any_writer.write(made)) == {"stored": 1}
    uid = made.accepted[0].order_uid
    single = await reader.order(uid)
    assert single is not None
    assert single.payload == payload
    assert [row.payload for row in await reader.orders([uid])] == [payload]
    newest = [row async for chunk in reader.newest() for row in chunk]
    assert [row.payload for row in newest if row.order_uid == uid] == [payload]
    assert nonzero(await any_writer.write(orders_batch([payload], first=1))) == {"duplicate": 1}


async def test_rejects_are_kept_whole(any_writer: OrderWriter, stores: Stores) -> None:
    """A reject keeps its bytes, its key and its headers, whatever they are."""
    garbage = bytes(range(256)) * 3
    made = Message(3, 7, garbage, b"\xff\0key", ((b"h", b"\0\xff"), (b"h", None), (b"", b"")), 1)
    await any_writer.write(batch([made]))
    (kept,) = stores.rejects()
    assert (kept.partition, kept.position, kept.payload) == (3, 7, garbage)
    assert (kept.key, kept.headers) == (made.key, made.headers)


async def test_progress(any_writer: OrderWriter) -> None:
    """The progress of a group is what was written with its batches, and never goes back."""
    assert await any_writer.progress(SOURCE, "group") == ({90: 2} if await _met(any_writer) else {})
    steps = [({0: 10, 1: 5}, {0: 10, 1: 5}), ({0: 7}, {0: 10, 1: 5}), ({0: 12, 2: 0}, {0: 12, 1: 5, 2: 0})]
    for said, known in steps:
        progress = {partition: Position(position, 100) for partition, position in said.items()}
        await any_writer.write(batch([], progress=progress))
        found = await any_writer.progress(SOURCE, "group")
        assert {partition: place for partition, place in found.items() if partition != 90} == known


async def _met(writer: OrderWriter) -> bool:
    return 90 in await writer.progress(SOURCE, "group")


async def test_progress_of_others(writer: OrderWriter) -> None:
    """Every group, and every incarnation of a topic, has progress of its own."""
    again = SOURCE._replace(incarnation="second")
    await writer.write(batch([message(order("a"), 4)]))
    await writer.write(batch([message(order("b"), 1)], source=again))
    await writer.write(batch([message(order("a"), 4)], group="other"))
    assert await writer.progress(SOURCE, "group") == {0: 5}
    assert await writer.progress(again, "group") == {0: 2}
    assert await writer.progress(SOURCE, "other") == {0: 5}
    assert await writer.progress(again, "other") == {}


async def test_progress_of_several_writers(stores: Stores) -> None:
    """Of several writers the furthest says where the group is."""
    writers = [stores.writer(slot) for slot in range(3)]
    for one, position in zip(writers, (5, 9, 7), strict=True):
        await one.write(batch([], progress={0: Position(position, None)}))
    assert [await one.progress(SOURCE, "group") for one in writers] == [{0: 9}] * 3
    for one in writers:
        await one.close()


async def test_same_position_of_another_source(any_writer: OrderWriter, stores: Stores) -> None:
    """The positions of a topic that was made again are others: nothing of it counts as redelivered."""
    again = SOURCE._replace(incarnation="second")
    await any_writer.write(orders_batch([order("a"), b"garbage"]))
    counts = await any_writer.write(batch([message(order("a"), 0), message(b"garbage", 1)], source=again))
    assert nonzero(counts) == {"duplicate": 1, "rejected": 1}
    assert len(stores.rejects()) == 2


async def test_shared_positions(stores: Stores, any_writer: OrderWriter) -> None:
    """What processes that share a partition record one by one counts as far as it is without a gap."""
    other_process = stores.writer()

    async def share(writer: OrderWriter, claimed: int, *positions: int) -> None:
        messages = [message(order(f"shared-{position}"), position) for position in positions]
        given = batch(messages, progress={0: Position(claimed, None)})
        await writer.write(replace(given, shared=True))

    await share(any_writer, 3, 5, 6, 9)
    assert (await any_writer.progress(SOURCE, "group"))[0] == 3
    await share(other_process, 3, 4, 8)
    assert (await any_writer.progress(SOURCE, "group"))[0] == 3
    await share(other_process, 3, 3)
    assert (await any_writer.progress(SOURCE, "group"))[0] == 7
    await share(any_writer, 7)
    await share(any_writer, 7, 7)
    assert (await other_process.progress(SOURCE, "group"))[0] == 10
    await share(other_process, 10)
    assert (await other_process.progress(SOURCE, "group"))[0] == 10
    await any_writer.record_gap(SOURCE, "group", Gap(0, 10, 12, 1))
    assert (await other_process.progress(SOURCE, "group"))[0] == 1
    await other_process.close()
