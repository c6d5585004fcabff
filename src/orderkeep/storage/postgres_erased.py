"""Keeping erased orders out: what a transaction has stored is compared with what was erased before it.

It is asked behind the storing. Whoever stores holds a lock on the table until the commit, and whoever erases
keeps writers out of it meanwhile: so either this sees the erasure, or the erasure sees what was stored.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from orderkeep.storage.queries import QUERIES

if TYPE_CHECKING:
    from asyncpg import Connection


class ErasedAmong(Exception):
    """The transaction has something of orders that were erased: it has to be rolled back, and go without."""

    def __init__(self, uids: frozenset[str]) -> None:
        super().__init__(f"{len(uids)} orders were erased")
        self.uids = uids


async def refuse_erased(connection: "Connection[Any]", uids: Iterable[str | None]) -> None:
    """Raises `ErasedAmong`, and what asyncpg raises."""
    rows = await connection.fetch(QUERIES["erased_among"], [uid for uid in uids if uid is not None])
    if rows:
        raise ErasedAmong(frozenset(row["order_uid"] for row in rows))
