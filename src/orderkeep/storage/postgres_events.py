"""Reading events from PostgreSQL: always from the primary, since a standby may not have yet what was told."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from orderkeep.storage.events import (
    MOST_COUNTED,
    OVERLAP,
    Event,
    EventKind,
    EventPlace,
    Missed,
    RejectedEvent,
    StoredEvent,
    newest,
)
from orderkeep.storage.postgres_connection import ReadPool
from orderkeep.storage.queries import QUERIES

if TYPE_CHECKING:
    from datetime import datetime

    from asyncpg.pool import PoolConnectionProxy

STATEMENT_SECONDS = 5.0
LONGEST_PAYLOAD = 65_536
"""Bytes of an order that is looked into for its amount: hundreds may be read four times a second."""

_BEHIND_ALL: Final = chr(127)  # uids are of characters below
_LARGEST_ID: Final = 2**63 - 1
_NEAR: Final = 20  # for each reject that is wanted so many are looked at: ids are only nearly sorted by time


class PostgresEvents:
    """An `EventReader` over `size` connections to the primary, made when they are needed."""

    def __init__(self, url: str, size: int = 2) -> None:
        self._pool = ReadPool(url, "events", role="primary", size=size, seconds=STATEMENT_SECONDS)

    async def clock(self) -> "datetime":
        async with self._pool.borrow() as connection:
            time: datetime = await connection.fetchval(QUERIES["clock"])
            return time

    async def stored(self, uids: Sequence[str]) -> list[StoredEvent]:
        async with self._pool.borrow() as connection:
            rows = await connection.fetch(QUERIES["events_of_orders"], uids, LONGEST_PAYLOAD)
            return [_stored(*row) for row in rows]

    async def rejected(self, ids: Sequence[int]) -> list[RejectedEvent]:
        async with self._pool.borrow() as connection:
            rows = await connection.fetch(QUERIES["events_of_rejects"], ids)
            return [RejectedEvent(*row) for row in rows]

    async def missed(self, place: EventPlace, kinds: Collection[EventKind], limit: int) -> Missed:
        async with (
            self._pool.borrow() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute(QUERIES["plan_for_values"])
            found = await _events_since(connection, place.received_at - OVERLAP, kinds, limit + 1)
            count = await _count(connection, place, kinds) if len(found) > limit else 0
        return newest(found, place, limit, count)

    async def close(self) -> None:
        await self._pool.close()


async def _events_since(
    connection: "PoolConnectionProxy[Any]", since: "datetime", kinds: Collection[EventKind], limit: int
) -> list[Event]:
    """The newest of each kind, so many."""
    found: list[Event] = []
    if "stored" in kinds:
        rows = await connection.fetch(QUERIES["orders_since"], since, limit, LONGEST_PAYLOAD)
        found += [_stored(*row) for row in rows]
    if "rejected" in kinds:
        rows = await connection.fetch(QUERIES["rejects_since"], since, limit, _NEAR * limit)
        found += [RejectedEvent(*row) for row in rows]
    return found


async def _count(
    connection: "PoolConnectionProxy[Any]", place: EventPlace, kinds: Collection[EventKind]
) -> int:
    """How many are behind the place, at most `MOST_COUNTED`."""
    count = 0
    if "stored" in kinds:
        uid = place.key if place.kind == "stored" else _BEHIND_ALL
        count += await connection.fetchval(
            QUERIES["count_orders_since"], place.received_at, uid, MOST_COUNTED
        )
    if "rejected" in kinds:
        last = int(place.key) if place.kind == "rejected" else 0 if place.kind else _LARGEST_ID
        count += await connection.fetchval(
            QUERIES["count_rejects_since"], place.received_at, last, MOST_COUNTED
        )
    return min(count, MOST_COUNTED)


class _Payment(Struct):
    amount: int | None = None
    currency: str | None = None


class _Sum(Struct):
    """What an event tells of an order's payload; the rest is not decoded."""

    payment: _Payment
    items: list[msgspec.Raw]


_decoder = msgspec.json.Decoder(_Sum)


def _stored(*row: Any) -> StoredEvent:
    *fields, source, partition, position, payload = row
    return StoredEvent(*(*fields, *_sum(payload), source, partition, position))


def _sum(payload: bytes | None) -> tuple[int | None, str | None, int | None]:
    """Amount, currency and number of items; unknown of an order that is too long, or is none of ours."""
    try:
        found = _decoder.decode(payload or b"")
    except msgspec.DecodeError:
        return None, None, None
    return found.payment.amount, found.payment.currency, len(found.items)
