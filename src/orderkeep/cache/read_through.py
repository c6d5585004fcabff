"""Reading an order: from memory, else from Redis or the database, in few batches however many ask at once."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from orderkeep.cache.cache import BoundedCache, SharedCache
from orderkeep.cache.entry import Via, render
from orderkeep.errors import OrderErased, Overloaded
from orderkeep.order import is_uid
from orderkeep.storage.store import OrderReader

WAITING_READS = 512
"""Different uids that may be asked of the database at a time; beyond it the answer is `Overloaded`."""
WAITING_ASKERS = 768
"""Requests that may wait for the database at a time, for whatever uids: fewer than the API lets in."""
UIDS_A_QUERY = 64


class Found(NamedTuple):
    entry: bytes
    via: Via


class ReadThrough:
    """Orders by uid. There is no memory of what is missing: it may be stored the next moment."""

    def __init__(
        self, reader: OrderReader, cache: BoundedCache, shared: SharedCache | None = None, queries: int = 2
    ) -> None:
        """What `cache` lacks is asked of `shared`, where there is one, and then of `reader`.

        `queries` are sent at a time, each over a connection: what is asked meanwhile goes with the next one.
        """
        self._reader = reader
        self._cache = cache
        self._shared = shared
        self._queries = queries
        self._asked: dict[str, asyncio.Future[Found | None]] = {}
        self._waiting: list[str] = []  # asked for, and in no query yet
        self._sent: set[str] = set()  # asked for, and in a query
        self._querying: set[asyncio.Task[None]] = set()
        self._askers = 0
        self.reads: Counter[Via] = Counter()
        """What `get` was asked for, by where it was found; what was found nowhere is a miss, too."""

    async def get(self, uid: str, spend: Callable[[], None] = lambda: None) -> Found | None:
        """None when it is neither in a cache nor in the database.

        `spend` is called before what is not in memory is asked for, and may raise instead. Raises
        `OrderErased`, `Transient` when the database does not answer, `Overloaded` when too much is asked.
        """
        entry = await self._cache.get(uid)
        if entry is not None:
            self.reads["hit"] += 1
            return Found(entry, "hit")
        if not is_uid(uid):
            return None
        spend()
        found: Found | None = None
        # What was sent before may have seen the database before it was stored: who finds nothing, asks anew.
        was_sent = uid in self._sent
        try:
            if self._cache.is_erased(uid):
                raise OrderErased(uid)
            # Shielded: one asker who hangs up must not take the answer from the others.
            found = await asyncio.shield(self.ask(uid))
            if found is None and was_sent:
                found = await asyncio.shield(self.ask(uid))
        finally:
            self.reads[found.via if found else "miss"] += 1
        return found

    def ask(self, uid: str) -> "asyncio.Future[Found | None]":
        """What is found past the memory, whatever that has; shared with all who ask, so never cancel it.

        Raises `Overloaded`.
        """
        answer = self._asked.get(uid)
        if self._askers >= WAITING_ASKERS:
            raise Overloaded("too many requests wait for the database; try again in a second")
        if answer is None:
            if len(self._asked) >= WAITING_READS:
                raise Overloaded("too many orders are being read from the database; try again in a second")
            answer = self._asked[uid] = asyncio.get_running_loop().create_future()
            self._waiting.append(uid)
            if len(self._querying) < self._queries:
                query = asyncio.create_task(self._query())
                self._querying.add(query)
                query.add_done_callback(self._querying.discard)
        self._askers += 1
        answer.add_done_callback(self._answered)
        return answer

    def _answered(self, _answer: "asyncio.Future[Found | None]") -> None:
        self._askers -= 1

    async def _query(self) -> None:
        """Read what is waited for, until nothing is: what the shared cache has is answered first."""
        while self._waiting:
            uids, self._waiting = self._waiting[:UIDS_A_QUERY], self._waiting[UIDS_A_QUERY:]
            self._sent.update(uids)
            shared = await self._shared.get_many(uids) if self._shared is not None else {}
            for uid, entry in shared.items():
                await self._cache.put_read(uid, entry)
                self._answer(uid, Found(entry, "redis"))
            if missing := [uid for uid in uids if uid not in shared]:
                await self._ask_database(missing)

    async def _ask_database(self, uids: Sequence[str]) -> None:
        try:
            found = await self._reader.look_up(uids)
            entries = {order.order_uid: render(order) for order in found.orders}
            await self._keep(entries)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for those who asked
            for uid in uids:
                self._fail(uid, error)
        else:
            for uid in uids:
                entry = entries.get(uid)
                if uid in found.erased:
                    self._fail(uid, OrderErased(uid))
                else:
                    self._answer(uid, Found(entry, "miss") if entry is not None else None)

    def _answer(self, uid: str, found: Found | None) -> None:
        """What was found may have been read before it was erased, or where that is not known yet."""
        if found is not None and self._cache.is_erased(uid):
            self._fail(uid, OrderErased(uid))
        else:
            self._asking(uid).set_result(found)

    def _fail(self, uid: str, error: Exception) -> None:
        answer = self._asking(uid)
        answer.set_exception(error)
        answer.exception()  # looked at, also when every asker has gone

    def _asking(self, uid: str) -> "asyncio.Future[Found | None]":
        """Who asks for it, from now on no more."""
        self._sent.discard(uid)
        return self._asked.pop(uid)

    async def _keep(self, entries: Mapping[str, bytes]) -> None:
        for uid, entry in entries.items():
            await self._cache.put_read(uid, entry)
            if self._shared is not None:
                await self._shared.put_read(uid, entry)
