"""Reading past the cache: one query however many ask, bounded, and nothing missing is remembered."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from orderkeep.cache import read_through
from orderkeep.cache.entry import body, render_payload
from orderkeep.cache.memory import MemoryCache
from orderkeep.cache.read_through import Found, ReadThrough
from orderkeep.errors import DatabaseUnavailable, OrderErased, Overloaded
from orderkeep.storage.erasure import ErasureRequest
from orderkeep.storage.memory import MemoryStore
from orderkeep.storage.memory_erasure import MemoryEraser
from orderkeep.storage.store import LookUp, StoredOrder
from tests.orders import order, orders_batch


class SlowStore(MemoryStore):
    """A store whose reads wait until they are let through, are counted, and fail while it is away."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.asked: Counter[str] = Counter()
        self.queries = 0
        self.away = False

    async def orders(self, uids: Sequence[str]) -> list[StoredOrder]:
        self.queries += 1
        self.asked.update(uids)
        await self.open.wait()
        if self.away:
            raise DatabaseUnavailable("away")
        return await super().orders(uids)


@pytest.fixture
async def store() -> SlowStore:
    store = SlowStore()
    await store.write(orders_batch([order("a"), order("b")]))
    return store


@pytest.fixture
def cache() -> MemoryCache:
    return MemoryCache(1_000_000)


@pytest.fixture
def orders(store: SlowStore, cache: MemoryCache) -> ReadThrough:
    return ReadThrough(store, cache)


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_query_for_many(store: SlowStore, orders: ReadThrough) -> None:
    """A hundred who ask for an order at once cost one query, and all get the same entry."""
    asking = [asyncio.create_task(orders.get("a")) for _ in range(100)]
    await settle()
    store.open.set()
    answers = await asyncio.gather(*asking)
    assert store.asked == {"a": 1}
    assert all(answer is not None and answer.via == "miss" for answer in answers)
    assert len({id(answer.entry) for answer in answers if answer}) == 1
    assert answers[0]
    assert body(answers[0].entry) == order("a")


@pytest.mark.parametrize("queries", [1, 2, 5])
async def test_few_queries_for_many(store: SlowStore, cache: MemoryCache, queries: int) -> None:
    """Whatever is asked while queries are under way goes with the next one, and everyone gets their own."""
    orders = ReadThrough(store, cache, queries=queries)
    uids = [f"uid-{number}" for number in range(read_through.UIDS_A_QUERY + 1)]
    await store.write(orders_batch([order(uid) for uid in uids[::2]], first=10))
    asking = [asyncio.create_task(orders.get(uid)) for uid in ("a", *uids)]
    await settle()
    store.open.set()
    first, *answers = await asyncio.gather(*asking)
    assert store.queries <= queries + 1
    assert max(store.asked.values()) == 1
    assert first
    assert [answer and body(answer.entry) for answer in answers] == [
        None if number % 2 else order(uid) for number, uid in enumerate(uids)
    ]


@pytest.mark.parametrize("queries", [1, 2, 5])
async def test_no_more_queries_than_allowed(store: SlowStore, cache: MemoryCache, queries: int) -> None:
    """However many ask one after another, no more queries wait for the database than there may be."""
    orders = ReadThrough(store, cache, queries=queries)
    asking = []
    for number in range(20):
        asking.append(asyncio.create_task(orders.get(f"uid-{number}")))
        await settle()
    assert store.queries == queries
    store.open.set()
    assert await asyncio.gather(*asking) == [None] * 20


async def test_a_hit_asks_nobody(store: SlowStore, orders: ReadThrough) -> None:
    """What was read once comes from the cache."""
    store.open.set()
    first, second = await orders.get("a"), await orders.get("a")
    assert isinstance(first, Found)
    assert second == Found(first.entry, "hit")
    assert store.asked == {"a": 1}
    assert orders.reads == {"hit": 1, "miss": 1}


async def test_missing_is_not_remembered(store: SlowStore, orders: ReadThrough) -> None:
    """An order that was not there is found as soon as it is stored."""
    store.open.set()
    assert await orders.get("later") is None
    await store.write(orders_batch([order("later")], first=10))
    assert await orders.get("later") is not None


@pytest.mark.parametrize("text", ["", ".", "a b", "a" * 129, "a\n", "ä", "\0"])
async def test_what_is_no_uid(text: str, store: SlowStore, orders: ReadThrough) -> None:
    """The database is not asked for what cannot be a uid."""
    assert await orders.get(text) is None
    assert not store.asked


async def test_one_asker_hangs_up(store: SlowStore, orders: ReadThrough) -> None:
    """An asker who is cancelled, even the first one, takes the answer from nobody."""
    first, second = (asyncio.create_task(orders.get("a")) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    store.open.set()
    assert await second is not None
    assert store.asked == {"a": 1}


async def test_all_askers_hang_up(store: SlowStore, cache: MemoryCache, orders: ReadThrough) -> None:
    """A read that nobody waits for any more ends well, and leaves its order in the cache."""
    asking = asyncio.create_task(orders.get("a"))
    await settle()
    asking.cancel()
    store.open.set()
    await settle()
    assert cache.peek("a") is not None
    assert not orders._asked


async def test_overloaded(store: SlowStore, orders: ReadThrough, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound another uid is refused at once; who asks for one under way, or for a hit, is not."""
    monkeypatch.setattr(read_through, "WAITING_READS", 2)
    waiting = [asyncio.create_task(orders.get(uid)) for uid in ("a", "b", "a")]
    await settle()
    with pytest.raises(Overloaded):
        await orders.get("c")
    assert store.asked == {"a": 1, "b": 1}
    store.open.set()
    assert all(await asyncio.gather(*waiting))
    assert await orders.get("c") is None
    assert await orders.get("a") is not None


async def test_failure(store: SlowStore, orders: ReadThrough) -> None:
    """While the database is away every asker hears of it, and the next one asks again."""
    store.away = True
    store.open.set()
    failed = await asyncio.gather(*(orders.get("a") for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in failed] == [DatabaseUnavailable] * 3
    store.away = False
    assert await orders.get("a") is not None
    assert store.asked == {"a": 2}


class LateStore(MemoryStore):
    """A store that reads at once what is there, and answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.queries = 0

    async def orders(self, uids: Sequence[str]) -> list[StoredOrder]:
        self.queries += 1
        found = await super().orders(uids)
        await self.open.wait()
        return found


async def test_stored_while_a_query_is_under_way(cache: MemoryCache) -> None:
    """Who asks after an order was stored finds it, also while a query from before is under way."""
    store = LateStore()
    orders = ReadThrough(store, cache)
    before = asyncio.create_task(orders.get("new"))
    await settle()
    await store.write(orders_batch([order("new")]))
    after = [asyncio.create_task(orders.get("new")) for _ in range(20)]
    await settle()
    assert store.queries == 1
    store.open.set()
    assert await before is None
    assert all(found and body(found.entry) == order("new") for found in await asyncio.gather(*after))
    assert store.queries == 2


class Shared(MemoryCache):
    """A cache outside of the process, as far as reading past the memory sees it."""

    def __init__(self) -> None:
        super().__init__(1_000_000)
        self.asked: list[list[str]] = []

    async def get_many(self, uids: Sequence[str]) -> dict[str, bytes]:
        self.asked.append(list(uids))
        return {uid: entry for uid in uids if (entry := await self.get(uid)) is not None}


async def test_shared_cache(store: SlowStore, cache: MemoryCache) -> None:
    """What the shared cache has is not asked of the database; what it lacks is, and is put into both."""
    shared = Shared()
    await shared.put_read("a", render_payload(order("a")))
    orders = ReadThrough(store, cache, shared)
    store.open.set()
    a, b, missing = await asyncio.gather(*map(orders.get, ("a", "b", "missing")))
    assert a == Found(render_payload(order("a")), "redis")
    assert b == Found(render_payload(order("b")), "miss")
    assert missing is None
    assert shared.asked == [["a", "b", "missing"]]
    assert store.asked == {"b": 1, "missing": 1}
    assert [cache.peek(uid) for uid in "ab"] == [shared.peek(uid) for uid in "ab"] == [a.entry, b.entry]
    assert orders.reads == {"redis": 1, "miss": 2}


async def test_shared_cache_while_the_database_is_away(store: SlowStore, cache: MemoryCache) -> None:
    """What the shared cache has waits for the database neither while it is slow nor when it fails."""
    shared = Shared()
    await shared.put_read("a", render_payload(order("a")))
    orders = ReadThrough(store, cache, shared)
    a, b = (asyncio.create_task(orders.get(uid)) for uid in "ab")
    assert await a is not None
    assert shared.asked == [["a", "b"]]
    store.away = True
    store.open.set()
    with pytest.raises(DatabaseUnavailable):
        await b


class BehindStore(MemoryStore):
    """A standby: it still has what was erased."""

    async def look_up(self, uids: Sequence[str]) -> LookUp:
        return LookUp([StoredOrder(uid, order(uid), datetime.now(UTC)) for uid in uids], [])


async def test_erased(store: SlowStore, cache: MemoryCache, orders: ReadThrough) -> None:
    """Of an order that was erased it is said so, whether this process was told or not."""
    store.open.set()
    assert await orders.get("a")
    await MemoryEraser(store).erase(ErasureRequest(["a", "b"]), "")
    await cache.erase(["a"])
    for uid in ("a", "b"):
        with pytest.raises(OrderErased):
            await orders.get(uid)


async def test_erased_while_it_is_read(store: SlowStore, cache: MemoryCache, orders: ReadThrough) -> None:
    """What was read before the erasure, and comes after it, is neither answered nor kept."""
    asking = asyncio.create_task(orders.get("a"))
    await settle()
    await cache.erase(["a"])
    store.open.set()
    with pytest.raises(OrderErased):
        await asking
    assert await cache.get("a") is None


async def test_erased_and_still_elsewhere(cache: MemoryCache) -> None:
    """A standby that is behind, or a shared cache, does not bring it back."""
    shared = Shared()
    orders = ReadThrough(BehindStore(), cache, shared)
    await cache.erase(["a", "b"])
    await shared.put_read("a", render_payload(order("a")))
    for uid in ("a", "b"):
        with pytest.raises(OrderErased):
            await orders.ask(uid)
    assert await orders.get("c")
