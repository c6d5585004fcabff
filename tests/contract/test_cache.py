"""What every cache promises: an order is there, exactly as it was put, or it is not."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from orderkeep.cache.cache import Cache, SharedCache
from orderkeep.cache.entry import render_payload
from tests.contract.caches import CACHES, SHARED_CACHES, Caches, SharedCaches

UIDS = ["a", "A", "0", "~:.-_", "x" * 128]


@pytest.fixture(params=CACHES)
def caches(request: pytest.FixtureRequest) -> Caches:
    return CACHES[request.param](request)


@pytest.fixture
async def cache(caches: Caches) -> AsyncIterator[Cache]:
    async with caches.opened() as cache:
        yield cache


@pytest.fixture(params=SHARED_CACHES)
def shared(request: pytest.FixtureRequest) -> SharedCaches:
    return SHARED_CACHES[request.param](request)


async def test_get(caches: Caches, cache: Cache) -> None:
    """An order comes back byte for byte, however it was put; one that was not put does not come."""
    text = bytes(range(256)) * 10
    entries = [render_payload(text + b"%d" % number) for number in range(3)]
    cache.begin_restore()
    await cache.put_new("new", entries[0])
    await cache.put_read("read", entries[1])
    assert await cache.put_older("older", entries[2])
    await caches.settle(cache)
    assert [await cache.get(uid) for uid in ("new", "read", "older", "missing")] == [*entries, None]


async def test_twice(caches: Caches, cache: Cache) -> None:
    """An order that is put again, in whatever way, is there as before."""
    entry = render_payload(b"{}")
    await cache.put_new("a", entry)
    await cache.put_read("a", entry)
    assert await cache.put_older("a", entry)
    await caches.settle(cache)
    assert await cache.get("a") == entry


async def test_every_uid(caches: Caches, cache: Cache) -> None:
    """Whatever a uid may be, its order is its own."""
    for uid in UIDS:
        await cache.put_read(uid, render_payload(uid.encode()))
    await caches.settle(cache)
    assert [await cache.get(uid) for uid in UIDS] == [render_payload(uid.encode()) for uid in UIDS]


@pytest.mark.parametrize("size", [0, 1, 1_000, 100_000, 1_000_000])
async def test_every_size(caches: Caches, cache: Cache, size: int) -> None:
    """An order of any size is there whole, or not at all."""
    entry = render_payload(random.Random(size).randbytes(size))
    await cache.put_read("a", entry)
    await caches.settle(cache)
    assert await cache.get("a") in (entry, None)


async def test_many_at_once(caches: Caches, cache: Cache) -> None:
    """Readers and writers side by side each get what belongs to their uid."""
    entries = {f"uid-{number}": render_payload(b"%d" % number * 99) for number in range(200)}

    async def use(uid: str) -> None:
        assert await cache.get(uid) in (None, entries[uid])
        await cache.put_read(uid, entries[uid])
        assert await cache.get(uid) in (None, entries[uid])

    await asyncio.gather(*(use(uid) for uid in [*entries, *entries]))
    await caches.settle(cache)
    assert {uid: await cache.get(uid) for uid in entries} == entries


async def test_erased(caches: Caches, cache: Cache) -> None:
    """An order that was erased is not there any more, and who had read it before does not put it back."""
    entry = render_payload(b"{}")
    for uid in ("a", "b"):
        await cache.put_read(uid, entry)
    await caches.settle(cache)
    await cache.erase(["a", "never there"])
    assert [await cache.get(uid) for uid in ("a", "b")] == [None, entry]
    cache.begin_restore()
    await cache.put_new("a", entry)
    await cache.put_read("a", entry)
    await cache.put_older("a", entry)
    await caches.settle(cache)
    assert [await cache.get(uid) for uid in ("a", "b")] == [None, entry]


async def test_erased_for_all(shared: SharedCaches) -> None:
    """What one process erases is gone for the others too, whenever they come."""
    entry = render_payload(b"{}")
    async with shared.opened() as one:
        for uid in ("a", "b"):
            await one.put_read(uid, entry)
        await shared.settle(one)
        await one.erase(["a"])
        await shared.settle(one)
    async with shared.opened() as later:
        assert await later.get_many(["a", "b"]) == {"b": entry}


async def test_shared(shared: SharedCaches) -> None:
    """What one process has put, another finds, many in one call, and so does one that comes later."""
    entries = {f"uid-{number}": render_payload(b"%d" % number) for number in range(100)}
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(shared.opened()) for _ in range(2)]
        for uid, entry in entries.items():
            await one.put_read(uid, entry)
        await shared.settle(one)
        assert await other.get_many([*entries, "missing"]) == entries
    async with shared.opened() as later:
        assert await later.get_many(list(entries)) == entries
        assert await later.get_many([]) == {}


async def test_one_fills(shared: SharedCaches) -> None:
    """What is new, and a restore, one process writes for all, so that nothing is written once for each."""
    async with AsyncExitStack() as stack:
        both: list[SharedCache] = [await stack.enter_async_context(shared.opened()) for _ in range(2)]
        entry = render_payload(b"{}")
        for number, cache in enumerate(both):
            cache.begin_restore()
            await cache.put_new(f"new-{number}", entry)
        taken = [await cache.put_older(f"older-{number}", entry) for number, cache in enumerate(both)]
        assert sorted(taken) == [False, True]
        for cache in both:
            await shared.settle(cache)
        filler = taken.index(True)
        expected = {f"new-{filler}": entry, f"older-{filler}": entry}
        assert await both[0].get_many(["new-0", "new-1", "older-0", "older-1"]) == expected
