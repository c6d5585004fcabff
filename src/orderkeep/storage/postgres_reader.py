"""Reading orders from PostgreSQL: by id, by page, all of them newest first, and as they are stored."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orderkeep.errors import DatabaseUnavailable
from orderkeep.storage.postgres_connection import close, connect, make_pool
from orderkeep.storage.postgres_errors import translated
from orderkeep.storage.postgres_writer import ORDERS_CHANNEL
from orderkeep.storage.queries import QUERIES
from orderkeep.storage.store import OrderSummary, PartitionProgress, StoredOrder

if TYPE_CHECKING:
    from asyncpg import Connection, Pool

STATEMENT_SECONDS = 5.0
RESTORE_CHUNK = 2_000
FOLLOW_CHECK_SECONDS = 10.0
FOLLOW_BACKLOG = 256
"""Notifications kept for a follower that is behind, of up to 7,900 bytes; the oldest are let go."""


class PostgresReader:
    """An `OrderReader` over a pool of `size` connections, made when they are needed."""

    def __init__(self, url: str, size: int = 8) -> None:
        self._url = url
        self._size = size
        self._made: Pool[Any] | None = None
        self._making = asyncio.Lock()

    async def order(self, uid: str) -> StoredOrder | None:
        with translated():
            pool = await self._pool()
            row = await pool.fetchrow(QUERIES["order_by_uid"], uid)
            return StoredOrder(*row) if row else None

    async def orders(self, uids: Sequence[str]) -> list[StoredOrder]:
        with translated():
            pool = await self._pool()
            return [StoredOrder(*row) for row in await pool.fetch(QUERIES["orders_by_uids"], uids)]

    async def page(self, limit: int, after: tuple[datetime, str] | None = None) -> list[OrderSummary]:
        with translated():
            pool = await self._pool()
            rows = await pool.fetch(QUERIES["order_page"], *(after or (None, None)), limit)
            return [OrderSummary(*row) for row in rows]

    async def newest(self) -> AsyncGenerator[list[StoredOrder], None]:
        # Of its own: a restore takes seconds, and must not keep readers from a connection.
        connection = await connect(self._url, "restore")
        try:
            with translated():
                async with connection.transaction(readonly=True):
                    cursor = await connection.cursor(QUERIES["newest_orders"])
                    while rows := await cursor.fetch(RESTORE_CHUNK):
                        yield [StoredOrder(*row) for row in rows]
        finally:
            await close(connection)

    async def follow(self) -> AsyncGenerator[list[str], None]:
        connection = await connect(self._url, "follow", writable=True)
        backlog = _Backlog()
        try:
            connection.add_termination_listener(lambda _connection: backlog.woken.set())
            with translated():
                await connection.add_listener(ORDERS_CHANNEL, backlog.note)
            yield []
            while True:
                await _wait_or_check(connection, backlog.woken)
                uids, lost = backlog.take()
                if uids:
                    yield uids
                if lost:
                    yield []
        finally:
            await close(connection)

    async def ingest_progress(self) -> list[PartitionProgress]:
        with translated():
            pool = await self._pool()
            rows = await pool.fetch(QUERIES["ingest_progress"])
            return [_progress(*row) for row in rows]

    async def estimate(self) -> int:
        with translated():
            pool = await self._pool()
            return int(await pool.fetchval(QUERIES["estimate_orders"]))

    async def ping(self) -> None:
        with translated():
            pool = await self._pool()
            await pool.execute(QUERIES["ping"])

    async def close(self) -> None:
        if self._made is not None:
            self._made.terminate()

    async def _pool(self) -> "Pool[Any]":
        async with self._making:
            if self._made is None:
                self._made = await make_pool(self._url, "api", self._size, STATEMENT_SECONDS)
        return self._made


class _Backlog:
    """Notifications that the follower has not looked at yet. Bounded: the oldest are let go, and it tells."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self._texts: deque[str] = deque(maxlen=FOLLOW_BACKLOG)
        self._lost = False

    def note(self, _connection: object, _pid: int, _channel: str, text: object) -> None:
        self._lost = self._lost or len(self._texts) == FOLLOW_BACKLOG
        self._texts.append(str(text))
        self.woken.set()

    def take(self) -> tuple[list[str], bool]:
        """The uids, in the order of their commits, and whether any were let go."""
        uids = [uid for text in self._texts for uid in text.split()]
        lost, self._lost = self._lost, False
        self._texts.clear()
        self.woken.clear()
        return uids, lost


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


def _progress(
    group: str, kind: str, topic: str, partition: int, position: int, end: int | None, updated_at: datetime
) -> PartitionProgress:
    lag = None if end is None else max(0, end - position)
    return PartitionProgress(group, kind, topic, partition, position, lag, updated_at)
