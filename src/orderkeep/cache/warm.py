"""Keeping caches warm: restored from the database at the start, then following what ingest stores.

The following begins first, so that nothing is stored between the two unseen. Whenever the connection
that follows is lost, what was stored meanwhile is unknown, and the newest are restored again.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from msgspec import Struct

from orderkeep.cache.cache import Cache
from orderkeep.cache.entry import render
from orderkeep.cache.erased import LATELY
from orderkeep.errors import Transient
from orderkeep.storage.events import Notice
from orderkeep.storage.store import OrderReader

FETCH_ORDERS = 1_000
RECONNECT_SECONDS = 1.0

log = structlog.get_logger()


class WarmStatus(Struct):
    """How warm the cache is. `seconds` is how long the last restore took, or has taken."""

    following: bool = False
    restored: int = 0
    restoring: bool = True
    seconds: float = 0.0


class Listener(Protocol):
    """Who else hears what is followed here: a process listens once. No call may block."""

    def begin(self) -> None:
        """From now on all is heard; what came before may have been missed."""

    def hear(self, notices: Sequence[Notice]) -> None: ...

    def end(self) -> None:
        """Nothing is heard until it begins again."""


class Warmer:
    """Fills caches from a reader, for as long as it runs. They are restored until none has room."""

    def __init__(
        self,
        reader: OrderReader,
        caches: Sequence[Cache],
        listeners: Sequence[Listener] = (),
        arrived: Callable[[datetime], None] | None = None,
    ) -> None:
        """`arrived` hears when one of the orders was received that have just reached the caches."""
        self._reader = reader
        self._caches = caches
        self._listeners = listeners
        self._arrived = arrived
        self._heard_at: float | None = None
        self.status = WarmStatus()
        self.erased = 0
        """Orders whose erasure this process was told of, or found when it began to listen."""

    async def run(self) -> None:
        """Restore and follow, for ever; outages of the database are waited out. Raises `Fatal`."""
        while True:
            try:
                await self._follow()
            except Transient as error:
                log.warning("following_interrupted", error=str(error))
            self.status.following = False
            for listener in self._listeners:
                listener.end()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _follow(self) -> None:
        restoring: asyncio.Task[None] | None = None
        try:
            async with aclosing(self._reader.follow()) as told:
                async for notices in told:
                    await self._erase(_keys(notices, "erased") if notices else await self._missed_erasures())
                    self._heard_at = time.monotonic()
                    self.status.following = True
                    self._pass_on(notices)
                    if notices:
                        await self._fetch(_keys(notices, "stored"))
                    elif restoring is None or restoring.done():
                        restoring = asyncio.create_task(self._restore())
        finally:
            if restoring is not None:
                restoring.cancel()

    def _pass_on(self, notices: Sequence[Notice]) -> None:
        for listener in self._listeners:
            if notices:
                listener.hear(notices)
            else:
                listener.begin()

    async def _missed_erasures(self) -> list[str]:
        """What was erased while nobody listened; and lately, because a shared cache may have it still."""
        unheard = time.monotonic() - self._heard_at if self._heard_at is not None else 0.0
        return await self._reader.erased_since(LATELY + timedelta(seconds=unheard))

    async def _erase(self, uids: Sequence[str]) -> None:
        if uids:
            for cache in self._caches:
                await cache.erase(uids)
            self.erased += len(uids)
            log.info("orders_erased", count=len(uids))

    async def _fetch(self, uids: Sequence[str]) -> None:
        for start in range(0, len(uids), FETCH_ORDERS):
            orders = await self._reader.orders(uids[start : start + FETCH_ORDERS])
            for order in orders:
                entry = render(order)
                for cache in self._caches:
                    await cache.put_new(order.order_uid, entry)
            if orders and self._arrived is not None:
                self._arrived(orders[0].received_at)

    async def _restore(self) -> None:
        """Restore, again from the start when the database goes away; reads are answered from it meanwhile."""
        self.status.restoring = True
        while self.status.restoring:
            try:
                await self._restore_newest()
                self.status.restoring = False
            except Transient as error:
                log.warning("restore_interrupted", error=str(error), orders=self.status.restored)
                await asyncio.sleep(RECONNECT_SECONDS)
        log.info("cache_restored", orders=self.status.restored, seconds=round(self.status.seconds, 3))

    async def _restore_newest(self) -> None:
        started = time.monotonic()
        self.status.restored = 0
        for cache in self._caches:
            cache.begin_restore()
        async with aclosing(self._reader.newest()) as chunks:
            async for orders in chunks:
                for order in orders:
                    entry, taken = render(order), False
                    for cache in self._caches:
                        taken |= await cache.put_older(order.order_uid, entry)
                    if not taken:
                        return
                    self.status.restored += 1
                self.status.seconds = time.monotonic() - started
                await asyncio.sleep(0)  # requests that arrived meanwhile come first


def _keys(notices: Sequence[Notice], wanted: str) -> list[str]:
    return [key for kind, keys in notices if kind == wanted for key in keys]
