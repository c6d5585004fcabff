"""What every store promises of searching: all orders that agree, once each, in the order promised."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orderkeep.storage.search import OrderFilter, OrderSummary
from orderkeep.storage.store import OrderReader, OrderWriter
from tests.orders import order, orders_batch

FIRST = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
UIDS = ["a", "a.b", "a~", "a~~", "aa", "b-1", "b-10", "b-2", "B-1", "0", "~", "b:1", "b_1", *"cdefghij"]
BATCHES = 3
LIMITS = [1, 3, 500]


def created(number: int) -> datetime:
    """The date of an order; some have the same, and one is from before 1970."""
    return datetime(1955, 1, 1, tzinfo=UTC) if number == 0 else FIRST + number // 4 * HOUR


@pytest.fixture
async def lines(writer: OrderWriter, reader: OrderReader) -> list[OrderSummary]:
    """Orders in three batches, so with three times of receiving: all of them, as the plain list has them."""
    for batch in range(BATCHES):
        payloads = [
            order(
                uid,
                track_number=f"track-{number % 2}",
                customer_id=["", "Ж", "ж"][number % 3],
                date_created=created(number).isoformat(),
            )
            for number, uid in enumerate(UIDS)
            if number % BATCHES == batch
        ]
        await writer.write(orders_batch(payloads, first=batch * 100))
    return await reader.page(500)


async def pages(reader: OrderReader, wanted: OrderFilter, limit: int) -> list[OrderSummary]:
    """All that agree, page by page."""
    walked: list[OrderSummary] = []
    after = None
    while page := await reader.page(limit, after, wanted):
        assert len(page) <= limit
        walked += page
        after = wanted.place(page[-1])
    return walked


FILTERS: dict[str, tuple[dict[str, Any], Callable[[OrderSummary], bool]]] = {
    "track number": ({"track_number": "track-1"}, lambda line: line.track_number == "track-1"),
    "customer": ({"customer_id": "Ж"}, lambda line: line.customer_id == "Ж"),
    "empty customer": ({"customer_id": ""}, lambda line: not line.customer_id),
    "created since": (
        {"by": "date_created", "since": FIRST + HOUR},
        lambda line: line.date_created >= FIRST + HOUR,
    ),
    "created between": (
        {"by": "date_created", "since": FIRST + HOUR, "until": FIRST + 3 * HOUR},
        lambda line: FIRST + HOUR <= line.date_created < FIRST + 3 * HOUR,
    ),
    "created, all": ({"by": "date_created"}, lambda _: True),
    "nobody's": ({"customer_id": "nobody"}, lambda _: False),
    "the future": ({"since": datetime(9999, 1, 1, tzinfo=UTC)}, lambda _: False),
    "the past": ({"until": datetime(1, 1, 1, tzinfo=UTC)}, lambda _: False),
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_filters(reader: OrderReader, lines: Sequence[OrderSummary], limit: int) -> None:
    """Pages of a filter have all orders that agree, once each, newest first by the time that is asked for."""
    for name, (given, agrees) in FILTERS.items():
        wanted = OrderFilter(**given)
        expected = sorted(filter(agrees, lines), key=wanted.place, reverse=True)
        assert await pages(reader, wanted, limit) == expected, name


@pytest.mark.parametrize("limit", LIMITS)
async def test_uid_prefix(reader: OrderReader, lines: Sequence[OrderSummary], limit: int) -> None:
    """Uids that begin so come by uid, byte by byte, large letters and small ones apart."""
    for prefix in ("a", "a~", "b-1", "b", "~", "B", "0", "zz", "a.b", "a.b.c"):
        found = await pages(reader, OrderFilter(uid_prefix=prefix), limit)
        assert [line.order_uid for line in found] == sorted(uid for uid in UIDS if uid.startswith(prefix))
        assert all(line in lines for line in found)


async def test_received(reader: OrderReader, lines: Sequence[OrderSummary]) -> None:
    """A range of the time of receiving includes its beginning and not its end, also of one customer."""
    first, second, third = sorted({line.received_at for line in lines})
    ranges = ((second, third), (second, None), (None, second), (first, third), (third, first))
    filters: list[dict[str, Any]] = [{}, {"track_number": "track-0"}, {"customer_id": "ж"}]
    for of in filters:
        alike = [line for line in lines if all(getattr(line, name) == value for name, value in of.items())]
        for since, until in ranges:
            wanted = OrderFilter(**of, since=since, until=until)
            expected = [
                line
                for line in alike
                if (not since or line.received_at >= since) and (not until or line.received_at < until)
            ]
            assert await pages(reader, wanted, 2) == expected


async def test_pages_while_more_comes(
    writer: OrderWriter, reader: OrderReader, lines: Sequence[OrderSummary]
) -> None:
    """Orders that are stored while somebody turns pages of a filter move none of the others."""
    for wanted, later in (
        (OrderFilter(customer_id="Ж"), "later"),
        (OrderFilter(uid_prefix="b"), "a-later"),
        (OrderFilter(by="date_created"), "later-too"),
    ):
        expected = await reader.page(500, None, wanted)
        first = await reader.page(2, None, wanted)
        newest = order(later, customer_id="Ж", date_created="2199-01-01T00:00:00Z")
        await writer.write(orders_batch([newest], first=hash(later) % 10_000 + 1_000))
        rest = await reader.page(500, wanted.place(first[-1]), wanted)
        assert [*first, *rest] == expected
    assert len(lines) == len(UIDS)


NOT_TOGETHER: dict[str, dict[str, Any]] = {
    "track_number: cannot be combined with uid_prefix": {"uid_prefix": "a", "track_number": "b"},
    "customer_id: cannot be combined with track_number": {"track_number": "b", "customer_id": "c"},
    "since: cannot be combined with uid_prefix": {"uid_prefix": "a", "since": FIRST},
    "until: cannot be combined with uid_prefix": {"uid_prefix": "a", "until": FIRST},
    "by: cannot be combined with customer_id": {"customer_id": "", "by": "date_created"},
}


@pytest.mark.parametrize("message", NOT_TOGETHER)
def test_not_together(message: str) -> None:
    """Filters that no index answers together are refused by name."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        OrderFilter(**NOT_TOGETHER[message])
