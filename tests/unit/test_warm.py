"""Keeping caches warm: what was erased goes, whether it was heard of or missed."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from orderkeep.cache.entry import render_payload
from orderkeep.cache.memory import MemoryCache
from orderkeep.cache.warm import Warmer
from orderkeep.errors import DatabaseUnavailable
from orderkeep.storage.erasure import ErasureRequest
from orderkeep.storage.events import Notice
from orderkeep.storage.memory import MemoryStore
from orderkeep.storage.memory_erasure import MemoryEraser
from tests.orders import order, orders_batch


class Interrupted(MemoryStore):
    """A store whose followers can be cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.cut, self.back = asyncio.Event(), asyncio.Event()

    async def follow(self) -> AsyncGenerator[list[Notice], None]:
        yield []
        await self.cut.wait()
        self.cut.clear()
        await self.back.wait()
        raise DatabaseUnavailable("cut off")


async def until_gone(cache: MemoryCache, uid: str) -> None:
    async with asyncio.timeout(60):
        while cache.peek(uid) is not None:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


@pytest.fixture
def cache() -> MemoryCache:
    return MemoryCache(1_000_000)


async def test_erased_while_nobody_listened(cache: MemoryCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was erased while the connection was lost is forgotten as soon as there is another one."""
    monkeypatch.setattr("orderkeep.cache.warm.RECONNECT_SECONDS", 0.01)
    store = Interrupted()
    await store.write(orders_batch([order("a"), order("b")]))
    warmer = Warmer(store, [cache])
    warming = asyncio.create_task(warmer.run())
    async with asyncio.timeout(60):
        while cache.statistics().entries < 2:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
    store.cut.set()
    await MemoryEraser(store).erase(ErasureRequest(["a"]), "")
    assert cache.peek("a") is not None
    store.back.set()
    await until_gone(cache, "a")
    assert cache.peek("b") is not None
    await cache.put_read("a", render_payload(order("a")))
    assert cache.peek("a") is None
    assert warmer.erased == 1
    warming.cancel()


async def test_erased_before_it_began(cache: MemoryCache) -> None:
    """A process that starts knows what was erased lately, so that a cache it shares brings nothing back."""
    store = MemoryStore()
    await MemoryEraser(store).erase(ErasureRequest(["a"], ahead=True), "")
    warming = asyncio.create_task(Warmer(store, [cache]).run())
    async with asyncio.timeout(60):
        while not cache.is_erased("a"):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
    warming.cancel()
