"""The cache in the memory of the process."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from orderkeep.cache.cache import CacheStatistics
from orderkeep.cache.erased import Erased

OVERHEAD = 350
"""Bytes that an entry costs beside its own (objects' heads, dict, allocator), by `orderkeep bench memory`."""


class MemoryCache:
    """A `Cache` over one ordered dict, coldest first.

    Bounded by bytes it evicts what was not asked for the longest. With `max_orders` it holds the newest so
    many that were received instead, and what is read changes nothing.
    """

    def __init__(self, max_bytes: int, max_orders: int | None = None) -> None:
        self._max_bytes = max_bytes
        self._max_orders = max_orders
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self.peek: Callable[[str], bytes | None] = self._entries.get
        """`get` without the event loop, and for `note_asked` to hear of."""
        self._bytes = 0
        self._evictions = 0
        self._erased = Erased()

    async def get(self, uid: str) -> bytes | None:
        self.note_asked((uid,))
        return self._entries.get(uid)

    def note_asked(self, uids: Iterable[str]) -> None:
        """These were asked for, in this order. Until the cache is half full, nobody is about to leave."""
        if self._max_orders is None and self._bytes > self._max_bytes // 2:
            for uid in uids:
                if uid in self._entries:
                    self._entries.move_to_end(uid)

    async def put_new(self, uid: str, entry: bytes) -> None:
        if uid in self._entries:
            # A restore may have brought it just before it was announced, at the cold end.
            self._entries.move_to_end(uid)
        self._put(uid, entry)

    async def put_read(self, uid: str, entry: bytes) -> None:
        if self._max_orders is None:
            self._put(uid, entry)

    def begin_restore(self) -> None:
        if self._max_orders is not None:
            # What is here is no more the newest without a gap, so it is read anew.
            self._entries.clear()
            self._bytes = 0

    async def put_older(self, uid: str, entry: bytes) -> bool:
        if uid in self._entries or uid in self._erased:
            return True
        full = self._max_orders is not None and len(self._entries) >= self._max_orders
        if full or self._bytes + _cost(uid, entry) > self._max_bytes:
            return False
        self._entries[uid] = entry
        self._entries.move_to_end(uid, last=False)
        self._bytes += _cost(uid, entry)
        return True

    async def erase(self, uids: Sequence[str]) -> None:
        self._erased.add(uids)
        for uid in uids:
            entry = self._entries.pop(uid, None)
            if entry is not None:
                self._bytes -= _cost(uid, entry)

    def is_erased(self, uid: str) -> bool:
        return uid in self._erased

    def statistics(self) -> CacheStatistics:
        return CacheStatistics(
            len(self._entries), self._bytes, self._max_bytes, self._max_orders, self._evictions
        )

    def _put(self, uid: str, entry: bytes) -> None:
        if uid in self._entries or uid in self._erased or _cost(uid, entry) > self._max_bytes:
            return
        self._entries[uid] = entry
        self._bytes += _cost(uid, entry)
        while self._is_over():
            coldest, dropped = self._entries.popitem(last=False)
            self._bytes -= _cost(coldest, dropped)
            self._evictions += 1

    def _is_over(self) -> bool:
        if self._bytes > self._max_bytes:
            return bool(self._entries)
        return self._max_orders is not None and len(self._entries) > self._max_orders


def _cost(uid: str, entry: bytes) -> int:
    return len(uid) + len(entry) + OVERHEAD
