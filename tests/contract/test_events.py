"""What every store promises of events: what was stored and kept aside, and what came behind a place."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from orderkeep.ingest.intake import HTTP
from orderkeep.ingest.prepare import accept
from orderkeep.storage.events import EventKind, EventPlace, EventReader, StoredEvent
from orderkeep.storage.rejects import RejectFilter
from orderkeep.storage.store import Message, OrderReader, OrderWriter
from tests.contract.stores import Stores
from tests.orders import SOURCE, batch, message, order, orders_batch

BOTH: tuple[EventKind, ...] = ("stored", "rejected")
BEGINNING = EventPlace(datetime(2000, 1, 1, tzinfo=UTC))


@pytest.fixture
async def events(stores: Stores) -> AsyncIterator[EventReader]:
    events = stores.events()
    yield events
    await events.close()


async def test_stored(writer: OrderWriter, events: EventReader, reader: OrderReader) -> None:
    """An order is told with the sum of its payment and where it came from, and without personal data."""
    payload = order("a", track_number="Ж", customer_id="c", date_created="2021-11-26T06:22:19+03:00")
    await writer.write(batch([message(payload, 17, partition=3)]))
    await writer.add(HTTP, [accept(Message(0, 0, order("posted")))])
    (event,) = await events.stored(["a", "missing", "a"])
    stored = await reader.order("a")
    assert stored is not None
    assert event == StoredEvent(
        "a",
        "Ж",
        "c",
        datetime(2021, 11, 26, 3, 22, 19, tzinfo=UTC),
        stored.received_at,
        1817,
        "USD",
        1,
        SOURCE.kind,
        3,
        17,
    )
    (posted,) = await events.stored(["posted"])
    assert (posted.source, posted.partition, posted.position) == ("http", None, None)
    assert await events.stored([]) == []


async def test_rejected(writer: OrderWriter, events: EventReader, stores: Stores) -> None:
    """What was kept aside is told with the reason and the place of the message, and without what it holds."""
    payloads = [order("a"), b"garbage", order("a", locale="other")]
    await writer.write(orders_batch(payloads, first=5, partition=2))
    kept = [reject.id for reject in await stores.reject_store().page(RejectFilter(), 10)]
    told = sorted(await events.rejected([*kept, 99]), key=lambda event: event.position)
    assert [(one.kind, one.partition, one.position, one.order_uid) for one in told] == [
        ("not_json", 2, 6, None),
        ("conflict", 2, 7, "a"),
    ]
    assert {(one.source, one.topic) for one in told} == {(SOURCE.kind, SOURCE.topic)}
    assert all(one.reason for one in told)


async def test_clock(writer: OrderWriter, events: EventReader) -> None:
    """What is stored later than the clock is read is behind it."""
    place = EventPlace(await events.clock())
    await writer.write(orders_batch([order("a")]))
    (event,) = (await events.missed(place, BOTH, 10)).events
    assert event.place.order > place.order


async def test_nothing_missed(events: EventReader) -> None:
    """In an empty store nothing was missed."""
    assert await events.missed(BEGINNING, BOTH, 10) == ([], 0, None)


async def test_missed(writer: OrderWriter, events: EventReader) -> None:
    """Behind any event come all that were told behind it, in the order in which they were told."""
    for number in range(3):
        uids = [f"{number}-{place}" for place in range(3)]
        await writer.write(orders_batch([*map(order, uids), b"garbage", None], first=number * 10))
    told = (await events.missed(BEGINNING, BOTH, 100)).events
    assert [event.place.kind for event in told] == (["stored"] * 3 + ["rejected"] * 2) * 3
    assert [event.place.key for event in told if event.place.kind == "stored"] == sorted(
        f"{number}-{place}" for number in range(3) for place in range(3)
    )
    for number, event in enumerate(told):
        missed = await events.missed(event.place, BOTH, 100)
        assert missed.events == told  # the overlap: all of it is younger than that
        assert missed.older == 0
        assert (await events.missed(event.place, BOTH, 1)).older == max(0, len(told) - number - 2)
    assert [one.place.kind for one in (await events.missed(BEGINNING, ["rejected"], 100)).events] == [
        "rejected"
    ] * 6


async def test_overlap(writer: OrderWriter, events: EventReader) -> None:
    """What began a little earlier may have come later, so it is told again; what is much older is not."""
    await writer.write(orders_batch([order("a"), b"garbage"]))
    (*_, last) = (await events.missed(BEGINNING, BOTH, 10)).events
    soon, late = (EventPlace(last.received_at + timedelta(seconds=seconds)) for seconds in (20, 3_600))
    assert len((await events.missed(soon, BOTH, 10)).events) == 2
    assert await events.missed(late, BOTH, 10) == ([], 0, None)


async def test_more_missed_than_is_told(writer: OrderWriter, events: EventReader) -> None:
    """The newest are told, the others are counted, and it is said up to where."""
    await writer.write(orders_batch([order(f"{number:03}") for number in range(50)]))
    await writer.write(orders_batch([b"garbage"] * 20, first=100))
    all_of_them = (await events.missed(BEGINNING, BOTH, 100)).events
    missed = await events.missed(BEGINNING, BOTH, 30)
    assert missed.events == all_of_them[-30:]
    assert missed.older == 40
    assert missed.last_older == all_of_them[-31].place
    assert (await events.missed(missed.events[0].place, BOTH, 10)).older == 19
