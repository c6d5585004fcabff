"""What a cache of orders promises: the protocol that every implementation keeps."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class CacheStatistics(Struct, frozen=True):
    """`bytes` includes the overhead of an entry; `evictions` counts since the start."""

    entries: int
    bytes: int
    max_bytes: int
    max_orders: int | None
    evictions: int


class Cache(Protocol):
    """uid → entry, the bytes of a whole response (see `orderkeep.cache.entry`).

    The data never changes, so an entry is never wrong: it is there or it is not, and nothing invalidates it
    but its erasure. What was put may be there a moment later, or not at all. No call raises because of the
    cache.
    """

    async def get(self, uid: str) -> bytes | None: ...

    async def put_new(self, uid: str, entry: bytes) -> None:
        """An order that was stored this moment: the newest there is."""

    async def put_read(self, uid: str, entry: bytes) -> None:
        """An order that somebody asked for and that was not here."""

    def begin_restore(self) -> None:
        """A restore begins, newest first: orders may have been stored that `put_new` was not told of."""

    async def put_older(self, uid: str, entry: bytes) -> bool:
        """An order of a restore, older than all that are here; False when there is no room for older ones."""

    async def erase(self, uids: Sequence[str]) -> None:
        """These were erased: what is here of them goes, and what is put of them from now on is not taken."""


class BoundedCache(Cache, Protocol):
    """One in the memory of the process: what was put is there at once, and there is a bound."""

    def is_erased(self, uid: str) -> bool:
        """Whether `erase` was told of it lately: what another place still has of it is not to be served."""

    def statistics(self) -> CacheStatistics: ...


class SharedCache(Cache, Protocol):
    """One outside of the process, which several processes share. It may be away, and it is asked for many."""

    async def get_many(self, uids: Sequence[str]) -> dict[str, bytes]:
        """Those of `uids` that it has, and can say in time."""
