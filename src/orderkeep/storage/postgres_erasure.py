"""Erasing orders in PostgreSQL: in one transaction, by the owner of the tables."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from orderkeep.errors import NotAllowed
from orderkeep.storage.erasure import ErasedOrder, Erasure, ErasureRequest
from orderkeep.storage.notifications import ERASED_CHANNEL, joined
from orderkeep.storage.postgres_connection import close, connect
from orderkeep.storage.postgres_errors import translated
from orderkeep.storage.queries import QUERIES

if TYPE_CHECKING:
    from asyncpg import Connection


class PostgresEraser:
    """An `Eraser` over a connection for each call, as the owner of the tables: no role may delete orders."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def preview(self, wanted: ErasureRequest) -> Erasure:
        async with self._transaction() as connection:
            named = await _rejects_that_name(connection, wanted)
            return await _find(connection, wanted, named)

    async def erase(self, wanted: ErasureRequest, reason: str) -> Erasure:
        async with self._transaction() as connection:
            # First, because it takes long, and holds up nobody.
            named = await _rejects_that_name(connection, wanted)
            await connection.execute(QUERIES["keep_writers_out"])
            found = await _find(connection, wanted, named)
            await connection.execute(QUERIES["bury_orders"], [*found.orders, *found.ahead], reason)
            await connection.execute(QUERIES["delete_orders"], [*found.orders, *found.again])
            await connection.execute(QUERIES["empty_rejects"], found.rejects)
            await connection.execute(QUERIES["empty_replays"], found.rejects)
            await _notify(connection, [*found.orders, *found.ahead, *found.again])
            return found

    async def erased(self) -> list[ErasedOrder]:
        async with self._transaction() as connection:
            return [ErasedOrder(*row) for row in await connection.fetch(QUERIES["erased_orders"])]

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator["Connection[Any]"]:
        try:
            with translated():
                connection = await connect(self._url, "erase", role="primary")
                try:
                    # Each statement has to see what was committed while the one before it waited.
                    async with connection.transaction(isolation="read_committed"):
                        yield connection
                finally:
                    await close(connection)
        except NotAllowed as error:
            raise NotAllowed(
                f"{error}; only the owner of the tables erases orders: set ORDERKEEP_DATABASE_MIGRATE_URL"
            ) from error


async def _find(
    connection: "Connection[Any]", wanted: ErasureRequest, named_by_rejects: Iterable[int]
) -> Erasure:
    customers = await connection.fetch(QUERIES["orders_of_customers"], wanted.customer_ids)
    uids = list(dict.fromkeys([*wanted.uids, *(row[0] for row in customers)]))
    stored = {row[0] for row in await connection.fetch(QUERIES["stored_among"], uids)}
    erased = {row[0] for row in await connection.fetch(QUERIES["erased_among"], uids)}
    rejects = await connection.fetch(QUERIES["rejects_of_orders"], uids)
    known = stored | erased | {row["order_uid"] for row in rejects}
    return Erasure(
        orders=[uid for uid in uids if uid in stored - erased],
        rejects=sorted({*named_by_rejects, *(row["id"] for row in rejects)}),
        ahead=[uid for uid in uids if uid not in stored | erased and (wanted.ahead or uid in known)],
        again=[uid for uid in uids if uid in erased],
        unknown=[] if wanted.ahead else [uid for uid in uids if uid not in known],
    )


async def _rejects_that_name(connection: "Connection[Any]", wanted: ErasureRequest) -> list[int]:
    """The ids of those whose text or key names one of the orders or customers."""
    customers = await connection.fetch(QUERIES["orders_of_customers"], wanted.customer_ids)
    uids = [*wanted.uids, *(row[0] for row in customers)]
    rows = await connection.fetch(QUERIES["rejects_that_name"], uids, wanted.customer_ids)
    return [row["id"] for row in rows]


async def _notify(connection: "Connection[Any]", uids: Sequence[str]) -> None:
    texts = joined(sorted(uids))
    await connection.execute(QUERIES["notify"], [ERASED_CHANNEL] * len(texts), texts)
