"""Rejects in PostgreSQL: by page, by id, in a stream, what replays made of them, and discarding them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from orderkeep.storage.postgres_connection import ReadPool, close, connect, is_standby
from orderkeep.storage.postgres_errors import translated
from orderkeep.storage.queries import QUERIES
from orderkeep.storage.rejects import Reject, RejectFilter, RejectSummary, ReplayOutcome
from orderkeep.storage.store import PoolUse

if TYPE_CHECKING:
    from asyncpg import Connection

STATEMENT_SECONDS = 30.0
"""A list that is filtered by topic may read the whole table: about a second for a million rejects."""
CHUNK = 16
"""Rejects that a stream holds at a time, each of up to what the broker takes."""
DETAIL_CHARACTERS = 1_000
DISCARD_LOOK, DISCARD_CHUNK = 50_000, 1_000
"""Rejects that are looked for at a time, and that are discarded in one transaction."""
DISCARD_PAUSE = 0.1
"""Seconds between two transactions, which leave the disk to ingest."""
DISCARD_SECONDS = 600.0
"""Looking for them may read the whole table, and nobody waits for it."""


class PostgresRejects:
    """A `RejectStore` over `size` connections for reading, and one of its own for noting replays.

    All are made when they are needed. Replays are noted at the host of `url` that can write. A reject that a
    standby does not have is asked of the primary, at `primary_url` when it is given.
    """

    def __init__(self, url: str, size: int = 2, *, primary_url: str | None = None) -> None:
        self._url = url
        self._pool = ReadPool(url, "rejects", role="primary first", size=size, seconds=STATEMENT_SECONDS)
        self._primary = ReadPool(
            primary_url or url, "rejects", role="primary", size=1, seconds=STATEMENT_SECONDS
        )
        self._noting: Connection[Any] | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def use(self) -> PoolUse:
        """Of the connections for reading."""
        return self._pool.use

    async def page(
        self, wanted: RejectFilter, limit: int, before_id: int | None = None
    ) -> list[RejectSummary]:
        async with self._reading() as connection:
            rows = await connection.fetch(QUERIES["reject_page"], *_columns(wanted), before_id, limit)
            return [RejectSummary(*row) for row in rows]

    async def get(self, reject_id: int) -> Reject | None:
        async with self._reading() as connection:
            row = await connection.fetchrow(QUERIES["reject_by_id"], reject_id)
            final = row is not None or not is_standby(connection)
        if not final:
            async with self._primary.borrow() as connection:
                row = await connection.fetchrow(QUERIES["reject_by_id"], reject_id)
        return _reject(row) if row else None

    async def count(self, wanted: RejectFilter) -> int:
        async with self._reading() as connection:
            return int(await connection.fetchval(QUERIES["count_rejects"], *_columns(wanted)))

    async def iterate(self, wanted: RejectFilter) -> AsyncIterator[Reject]:
        async with self._reading() as connection:
            last = int(await connection.fetchval(QUERIES["last_reject"]))
        done = 0
        while chunk := await self._chunk(wanted, done, last):
            for reject in chunk:
                yield reject
            done = chunk[-1].id

    async def record_replay(self, reject_id: int, outcome: ReplayOutcome, detail: str) -> None:
        async with self._one_at_a_time:
            try:
                with translated():
                    if self._noting is None:
                        self._noting = await connect(
                            self._url, "replay", role="primary", seconds=STATEMENT_SECONDS
                        )
                    await self._noting.execute(QUERIES["record_replay"], reject_id, outcome, _clean(detail))
            except BaseException:
                # Cancelled or failed in the middle: what the connection is doing is not known any more.
                self._drop()
                raise

    async def discard(self, older_than: timedelta) -> int:
        count = 0
        with translated():
            connection = await connect(self._url, "retention", role="primary", seconds=DISCARD_SECONDS)
            try:
                more = True
                while more:
                    rows = await connection.fetch(QUERIES["expired_rejects"], older_than, DISCARD_LOOK)
                    more = len(rows) == DISCARD_LOOK
                    for start in range(0, len(rows), DISCARD_CHUNK):
                        ids = [row["id"] for row in rows[start : start + DISCARD_CHUNK]]
                        count += len(await connection.fetch(QUERIES["discard_rejects"], ids))
                        await asyncio.sleep(DISCARD_PAUSE)
            finally:
                await close(connection)
        return count

    async def close(self) -> None:
        await self._pool.close()
        await self._primary.close()
        self._drop()

    def _drop(self) -> None:
        if self._noting is not None:
            self._noting.terminate()
            self._noting = None

    async def _chunk(self, wanted: RejectFilter, after: int, last: int) -> list[Reject]:
        async with self._reading() as connection:
            rows = await connection.fetch(QUERIES["rejects_between"], *_columns(wanted), after, last, CHUNK)
            return [_reject(row) for row in rows]

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Any]:
        async with self._pool.borrow() as connection, connection.transaction(readonly=True):
            await connection.execute(QUERIES["plan_for_values"])
            yield connection


def _columns(wanted: RejectFilter) -> tuple[object, ...]:
    return wanted.kind, wanted.topic, wanted.since, wanted.until


def _reject(row: Sequence[Any]) -> Reject:
    *summary, incarnation, key, headers, payload, sha256, stored = row
    pairs = tuple(zip(headers[::2], headers[1::2], strict=True))
    return Reject(*(*summary, incarnation, key, pairs, payload, sha256.hex(), stored))


def _clean(detail: str) -> str:
    """Text that PostgreSQL takes, whatever garbage it quotes."""
    return detail[:DETAIL_CHARACTERS].encode(errors="backslashreplace").decode().replace("\0", "\\0")
