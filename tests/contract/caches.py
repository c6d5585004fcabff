"""The caches that keep the contract: to add one, write a `Caches` for it and name it at the end."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Protocol

import pytest

from orderkeep.cache.cache import BoundedCache, Cache, SharedCache
from orderkeep.cache.memory import MemoryCache
from orderkeep.cache.redis import RedisCache
from orderkeep.cache.redis_connection import RedisConnection
from orderkeep.embedded import RedisServer
from tests.contract.implementations import implementations

PATIENT = 30.0
"""A deadline that is never near, for tests in which Redis has to answer."""

_numbers = itertools.count(1)


class Caches(Protocol):
    """A kind of cache, empty at first, with room for some megabytes."""

    def opened(self) -> AbstractAsyncContextManager[Cache]:
        """A cache, at work for as long as the block runs."""

    async def settle(self, cache: Any) -> None:
        """Returns when what was put into this cache can be got, and what was erased is gone."""


class SharedCaches(Caches, Protocol):
    """All that it opens are of one cache outside of the process."""

    def opened(self) -> AbstractAsyncContextManager[SharedCache]: ...


class MemoryCaches:
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[MemoryCache]:
        yield MemoryCache(10_000_000)

    async def settle(self, cache: Any) -> None:
        pass


class RedisCaches:
    """On one server, under a prefix that nobody else uses."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.prefix = f"test-{next(_numbers)}"
        self.database = "1.1.1"
        """Which database the orders are of, as far as it can be told."""

    @asynccontextmanager
    async def opened(
        self, *, deadline: float = PATIENT, ttl: int = 600, max_bytes: int = 10_000_000
    ) -> AsyncIterator[RedisCache]:
        connection = RedisConnection(self.url, deadline, self.prefix)
        cache = RedisCache(connection, self._identify, prefix=self.prefix, ttl=ttl, max_bytes=max_bytes)
        await cache.open()
        working = asyncio.create_task(cache.run())
        try:
            yield cache
            assert not working.done(), working.exception()
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
            await cache.close()

    async def settle(self, cache: Any) -> None:
        await cache._to_write.join()
        await wait_until_nothing_is(cache._to_erase)

    async def _identify(self) -> str:
        return self.database


async def wait_until_nothing_is(waiting: set[str]) -> None:
    async with asyncio.timeout(PATIENT):
        while waiting:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


def _redis(request: pytest.FixtureRequest) -> RedisCaches:
    server: RedisServer = request.getfixturevalue("redis")
    return RedisCaches(server.url)


_OURS: dict[str, Callable[[pytest.FixtureRequest], Caches]] = {
    "memory": lambda _request: MemoryCaches(),
    "redis": _redis,
}
_OUR_SHARED: dict[str, Callable[[pytest.FixtureRequest], SharedCaches]] = {"redis": _redis}
_OUR_BOUNDED: dict[str, Callable[[int, int | None], BoundedCache]] = {"memory": MemoryCache}
"""How each is made from its bounds: bytes, and a number of orders or None."""

CACHES = implementations("CACHE", _OURS)
SHARED_CACHES = implementations("SHARED_CACHE", _OUR_SHARED)
BOUNDED_CACHES = implementations("BOUNDED_CACHE", _OUR_BOUNDED)
