"""Reading an order: from the cache, or from the database with one query however many ask at once."""

import asyncio
from typing import NamedTuple

from orderkeep.cache.cache import Cache
from orderkeep.cache.entry import render
from orderkeep.errors import Overloaded
from orderkeep.order import is_uid
from orderkeep.storage.store import OrderReader

WAITING_READS = 512
"""Different uids that may be asked of the database at a time; beyond it the answer is `Overloaded`."""
WAITING_ASKERS = 768
"""Requests that may wait for the database at a time, for whatever uids: fewer than the API lets in."""


class Found(NamedTuple):
    entry: bytes
    hit: bool


class ReadThrough:
    """Orders by uid. There is no memory of what is missing: it may be stored the next moment."""

    def __init__(self, reader: OrderReader, cache: Cache) -> None:
        self._reader = reader
        self._cache = cache
        self._asked: dict[str, asyncio.Task[bytes | None]] = {}
        self._askers = 0
        self.hits = 0
        self.misses = 0

    async def get(self, uid: str) -> Found | None:
        """None when it is neither in the cache nor in the database.

        Raises `Transient` when the database does not answer, `Overloaded` when too much is asked of it.
        """
        entry = await self._cache.get(uid)
        if entry is not None:
            self.hits += 1
            return Found(entry, hit=True)
        if not is_uid(uid):
            return None
        self.misses += 1
        entry = await self._ask(uid)
        return Found(entry, hit=False) if entry is not None else None

    async def _ask(self, uid: str) -> bytes | None:
        task = self._asked.get(uid)
        if self._askers >= WAITING_ASKERS:
            raise Overloaded("too many requests wait for the database; try again in a second")
        if task is None:
            if len(self._asked) >= WAITING_READS:
                raise Overloaded("too many orders are being read from the database; try again in a second")
            task = asyncio.create_task(self._read(uid))
            self._asked[uid] = task
            task.add_done_callback(lambda done: self._forget(uid, done))
        self._askers += 1
        try:
            # Shielded: one asker who hangs up must not take the answer from the others.
            return await asyncio.shield(task)
        finally:
            self._askers -= 1

    async def _read(self, uid: str) -> bytes | None:
        order = await self._reader.order(uid)
        if order is None:
            return None
        entry = render(order)
        await self._cache.put_read(uid, entry)
        return entry

    def _forget(self, uid: str, done: "asyncio.Task[bytes | None]") -> None:
        del self._asked[uid]
        if not done.cancelled():
            done.exception()  # looked at, also when every asker has gone
