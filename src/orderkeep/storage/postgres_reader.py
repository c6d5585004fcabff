"""Reading orders from PostgreSQL: by id, by page, all of them newest first, and as they are stored.

Reads may go to a standby. It is behind, so it can say that an order is there, and never that one is not:
that is for the primary to say. New orders are told by the primary alone; a standby takes no LISTEN.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from orderkeep.errors import DatabaseUnavailable
from orderkeep.storage.events import Notice
from orderkeep.storage.notifications import ERASED_CHANNEL, ORDERS_CHANNEL, REJECTS_CHANNEL
from orderkeep.storage.postgres_connection import ReadPool, close, connect, is_standby
from orderkeep.storage.postgres_errors import translated
from orderkeep.storage.postgres_hosts import Role
from orderkeep.storage.queries import QUERIES
from orderkeep.storage.search import ALL_ORDERS, OrderFilter, OrderSummary, Place
from orderkeep.storage.store import LookUp, OrderOrigin, PartitionProgress, PoolUse, StoredOrder

if TYPE_CHECKING:
    from asyncpg import Connection, Record

STATEMENT_SECONDS = 5.0
"""For an answer, the wait for a connection included."""
STANDBY_SECONDS = 1.0
"""The same where the primary can be asked instead."""
RESTORE_CHUNK = 2_000
CHUNK_SECONDS = 30.0
FOLLOW_CHECK_SECONDS = 10.0
FOLLOW_BACKLOG = 256
"""Notifications kept for a follower that is behind, of up to 7,900 bytes; the oldest are let go."""
_CHANNELS: Final[dict[str, Literal["stored", "rejected", "erased"]]] = {
    ORDERS_CHANNEL: "stored",
    REJECTS_CHANNEL: "rejected",
    ERASED_CHANNEL: "erased",
}


class PostgresReader:
    """An `OrderReader` over a pool of `size` connections, made when they are needed.

    With a `primary_url` of its own, `url` is read as its hosts come, whatever they are; the primary, over a
    second pool, is asked for what they lack, and for everything while none of them answers. Without, `url`
    is both: its primary is read, and a standby only while there is no primary.
    """

    def __init__(self, url: str, size: int = 8, *, primary_url: str | None = None) -> None:
        self._apart = primary_url not in (None, url)
        self._role: Role = "any" if self._apart else "primary first"
        self._url, self._primary_url = url, primary_url or url
        seconds = STANDBY_SECONDS if self._apart else STATEMENT_SECONDS
        self._near = ReadPool(url, "api", role=self._role, size=size, seconds=seconds)
        self._primary = ReadPool(
            self._primary_url, "api", role="primary", size=size, seconds=STATEMENT_SECONDS
        )

    async def order(self, uid: str) -> StoredOrder | None:
        row = await self._one(QUERIES["order_by_uid"], uid)
        return StoredOrder(*row) if row else None

    async def orders(self, uids: Sequence[str]) -> list[StoredOrder]:
        return (await self.look_up(uids)).orders

    async def look_up(self, uids: Sequence[str]) -> LookUp:
        rows, final = await self._fetch(QUERIES["orders_by_uids"], uids)
        missing = set(uids) - {row["order_uid"] for row in rows}
        if missing and not final:
            rows += await self._fetch_from(self._primary, QUERIES["orders_by_uids"], list(missing))
        erased = [row["order_uid"] for row in rows if row["payload"] is None]
        return LookUp([StoredOrder(*row) for row in rows if row["order_uid"] not in erased], erased)

    async def erased_since(self, age: timedelta) -> list[str]:
        rows = await self._fetch_from(self._primary, QUERIES["erased_since"], age)
        return [row["order_uid"] for row in rows]

    async def order_origin(self, uid: str) -> OrderOrigin | None:
        row = await self._one(QUERIES["order_origin"], uid)
        return OrderOrigin(*row) if row else None

    async def page(
        self, limit: int, after: Place | None = None, wanted: OrderFilter = ALL_ORDERS
    ) -> list[OrderSummary]:
        rows, _ = await self._fetch(*_page_query(limit, after, wanted))
        return [OrderSummary(*row) for row in rows]

    async def newest(self) -> AsyncGenerator[list[StoredOrder], None]:
        # Of its own: a restore takes seconds, and must not keep readers from a connection.
        connection = await self._connect_to_restore()
        try:
            with translated():
                async with connection.transaction(readonly=True):
                    cursor = await connection.cursor(QUERIES["newest_orders"])
                    while rows := await cursor.fetch(RESTORE_CHUNK, timeout=CHUNK_SECONDS):
                        yield [StoredOrder(*row) for row in rows]
        finally:
            await close(connection)

    async def follow(self) -> AsyncGenerator[list[Notice], None]:
        connection = await connect(self._primary_url, "follow", role="primary")
        backlog = _Backlog()
        try:
            connection.add_termination_listener(lambda _connection: backlog.woken.set())
            with translated():
                # In a transaction: of a commit, either all notifications are heard or none.
                async with asyncio.timeout(STATEMENT_SECONDS), connection.transaction():
                    for channel in _CHANNELS:
                        await connection.add_listener(channel, backlog.note)
            yield []
            while True:
                await _wait_or_check(connection, backlog.woken)
                notices, lost = backlog.take()
                if lost:
                    yield []
                if notices:
                    yield notices
        finally:
            await close(connection)

    async def ingest_progress(self) -> list[PartitionProgress]:
        rows, _ = await self._fetch(QUERIES["ingest_progress"])
        return [_progress(*row) for row in rows]

    async def estimate(self) -> int:
        rows, _ = await self._fetch(QUERIES["estimate_orders"])
        return int(rows[0][0])

    async def identity(self) -> str:
        rows = await self._fetch_from(self._primary, QUERIES["database_identity"])
        return str(rows[0][0])

    async def ping(self) -> None:
        await self._fetch(QUERIES["ping"])

    async def notification_queue(self) -> float:
        rows = await self._fetch_from(self._primary, QUERIES["notification_queue"])
        return float(rows[0][0])

    @property
    def use(self) -> PoolUse:
        """Of both pools together; the second is needed where reads go elsewhere than to the primary."""
        near, primary = self._near.use, self._primary.use
        most = near.most + (primary.most if self._apart else 0)
        return PoolUse(near.busy + primary.busy, near.idle + primary.idle, most)

    async def close(self) -> None:
        await self._near.close()
        await self._primary.close()

    async def _one(self, query: str, uid: str) -> "Record | None":
        """The row of an order, which only the primary can say is not there."""
        rows, final = await self._fetch(query, uid)
        if not rows and not final:
            rows = await self._fetch_from(self._primary, query, uid)
        return rows[0] if rows else None

    async def _fetch(self, query: str, *arguments: object) -> "tuple[list[Record], bool]":
        """The rows, and whether they are all that the primary has."""
        try:
            async with self._near.borrow() as connection:
                return await connection.fetch(query, *arguments), not is_standby(connection)
        except DatabaseUnavailable:
            if not self._apart:
                raise
        return await self._fetch_from(self._primary, query, *arguments), True

    async def _fetch_from(self, pool: ReadPool, query: str, *arguments: object) -> "list[Record]":
        async with pool.borrow() as connection:
            return await connection.fetch(query, *arguments)

    async def _connect_to_restore(self) -> "Connection[Any]":
        try:
            return await connect(self._url, "restore", role=self._role)
        except DatabaseUnavailable:
            if not self._apart:
                raise
        return await connect(self._primary_url, "restore", role="primary")


class _Backlog:
    """Notifications that the follower has not looked at yet. Bounded: the oldest are let go, and it tells."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self._notices: deque[tuple[str, str]] = deque(maxlen=FOLLOW_BACKLOG)
        self._lost = False

    def note(self, _connection: object, _pid: int, channel: str, text: object) -> None:
        self._lost = self._lost or len(self._notices) == FOLLOW_BACKLOG
        self._notices.append((channel, str(text)))
        self.woken.set()

    def take(self) -> tuple[list[Notice], bool]:
        """The notices, in the order of their commits, and whether any before them were let go."""
        notices = [Notice(_CHANNELS[channel], text.split()) for channel, text in self._notices]
        lost, self._lost = self._lost, False
        self._notices.clear()
        self.woken.clear()
        return notices, lost


async def _wait_or_check(connection: "Connection[Any]", woken: asyncio.Event) -> None:
    """Wait for a notification, asking now and then whether the server is still there."""
    while not woken.is_set():
        try:
            await asyncio.wait_for(woken.wait(), FOLLOW_CHECK_SECONDS)
        except TimeoutError:
            with translated():
                await connection.execute(QUERIES["ping"], timeout=STATEMENT_SECONDS)
    if connection.is_closed():
        raise DatabaseUnavailable("PostgreSQL closed the connection that follows new orders")


def _page_query(limit: int, after: Place | None, wanted: OrderFilter) -> tuple[str, *tuple[object, ...]]:
    """The statement whose index answers the filter, and its arguments."""
    place = after or (None,) * len(wanted.sorted_by)
    if wanted.uid_prefix is not None:
        return QUERIES["order_page_by_uid"], wanted.uid_prefix, *place, limit
    common = wanted.since, wanted.until, *place, limit
    if wanted.track_number is not None:
        return QUERIES["order_page_of_track_number"], *common, wanted.track_number
    if wanted.customer_id is not None:
        return QUERIES["order_page_of_customer"], *common, wanted.customer_id
    if wanted.by == "date_created":
        return QUERIES["order_page_by_date_created"], *common
    return QUERIES["order_page"], *common


def _progress(
    group: str, kind: str, topic: str, partition: int, position: int, end: int | None, updated_at: datetime
) -> PartitionProgress:
    lag = None if end is None else max(0, end - position)
    return PartitionProgress(group, kind, topic, partition, position, lag, updated_at)
