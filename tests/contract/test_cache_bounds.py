"""What every cache in memory promises besides: there is a bound, and what leaves is what should."""

from collections.abc import Callable

import pytest

from orderkeep.cache.cache import BoundedCache
from tests.contract.caches import BOUNDED_CACHES

Make = Callable[[int, int | None], BoundedCache]
ROOM = 1_000_000


@pytest.fixture(params=BOUNDED_CACHES)
def make(request: pytest.FixtureRequest) -> Make:
    return BOUNDED_CACHES[request.param]


async def held(cache: BoundedCache, *uids: str) -> list[str]:
    return [uid for uid in uids if await cache.get(uid) is not None]


async def test_twice(make: Make) -> None:
    """An order that is put twice is there once."""
    cache = make(ROOM, None)
    await cache.put_new("a", b"entry")
    before = cache.statistics()
    await cache.put_new("a", b"entry")
    await cache.put_read("a", b"entry")
    assert await cache.put_older("a", b"entry")
    assert cache.statistics() == before
    assert before.entries == 1


@pytest.mark.parametrize("way", ["put_new", "put_read", "put_older"])
async def test_bound(make: Make, way: str) -> None:
    """The bytes held never exceed the bound, whatever is put."""
    cache = make(10_000, None)
    for number in range(100):
        await getattr(cache, way)(f"uid-{number}", b"x" * (number * 7 % 900))
        assert cache.statistics().bytes <= 10_000
    assert cache.statistics().entries > 1


async def test_recency(make: Make) -> None:
    """What was asked for lately stays; what nobody asked for goes first."""
    cache = make(10_000, None)
    for number in range(4):
        await cache.put_new(f"uid-{number}", b"x" * 2_000)
    assert await held(cache, "uid-0", "uid-1") == ["uid-0", "uid-1"]
    await cache.put_new("more", b"x" * 2_000)
    await cache.put_read("and more", b"x" * 2_000)
    assert await held(cache, "uid-0", "uid-1", "more", "and more") == ["uid-0", "uid-1", "more", "and more"]
    assert await held(cache, "uid-2", "uid-3") == []
    assert cache.statistics().evictions == 2


async def test_restore_evicts_nothing(make: Make) -> None:
    """A restore fills what room there is, and then is told that there is none."""
    cache = make(10_000, None)
    await cache.put_new("newest", b"x" * 2_000)
    cache.begin_restore()
    taken = [await cache.put_older(f"uid-{number}", b"x" * 2_000) for number in range(10)]
    assert taken == sorted(taken, reverse=True)
    assert 0 < taken.count(True) < 10
    assert await held(cache, "newest", "uid-0") == ["newest", "uid-0"]
    assert cache.statistics().evictions == 0


async def test_arrivals_during_a_restore(make: Make) -> None:
    """An order that arrives during a restore puts out the oldest, not the newest restored."""
    cache = make(10_000, None)
    cache.begin_restore()
    number = 0
    while await cache.put_older(f"uid-{number}", b"x" * 2_000):
        number += 1
    await cache.put_new("arrival", b"x" * 2_000)
    assert await held(cache, "arrival", "uid-0", f"uid-{number - 1}") == ["arrival", "uid-0"]


async def test_newest(make: Make) -> None:
    """With a number of orders the newest received are held, and what is read changes nothing."""
    cache = make(ROOM, 3)
    for number in range(6):
        await cache.put_new(f"uid-{number}", b"x")
        await cache.get("uid-0")
        await cache.put_read("old", b"x")
    assert await held(cache, "old", *(f"uid-{number}" for number in range(6))) == ["uid-3", "uid-4", "uid-5"]
    assert cache.statistics().max_orders == 3


async def test_newest_after_a_gap(make: Make) -> None:
    """When a restore begins again, orders that the following missed are no gap in the newest."""
    cache = make(ROOM, 3)
    for uid in ("a", "b", "c"):
        await cache.put_new(uid, b"x")
    cache.begin_restore()
    for uid in ("f", "e", "d"):
        assert await cache.put_older(uid, b"x")
    assert not await cache.put_older("c", b"x")
    await cache.put_new("g", b"x")
    assert await held(cache, "a", "b", "c", "d", "e", "f", "g") == ["e", "f", "g"]


async def test_no_room_at_all(make: Make) -> None:
    """A cache of no bytes holds nothing, and says so."""
    cache = make(0, None)
    await cache.put_new("a", b"")
    await cache.put_read("b", b"")
    assert not await cache.put_older("c", b"")
    assert await held(cache, "a", "b", "c") == []
    assert cache.statistics().entries == cache.statistics().bytes == 0


async def test_too_large(make: Make) -> None:
    """An entry larger than the cache is not held, and puts out none of the others."""
    cache = make(5_000, None)
    await cache.put_new("a", b"x")
    await cache.put_new("large", b"x" * 5_000)
    await cache.put_read("larger", b"x" * 50_000)
    assert await held(cache, "a", "large", "larger") == ["a"]
