"""The cache in memory: never beyond its bounds, and what it lets go is what it should."""

from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from orderkeep.cache.memory import OVERHEAD, MemoryCache

SIZES = st.integers(0, 900)
UIDS = st.integers(0, 15).map("uid-{:02}".format)


def now(answer: Coroutine[Any, Any, Any]) -> Any:
    """The answer of a coroutine that waits for nothing."""
    with pytest.raises(StopIteration) as stopped:
        answer.send(None)
    return stopped.value.value


def cost(uid: str, size: int) -> int:
    return len(uid) + size + OVERHEAD


class AnyUse(RuleBasedStateMachine):
    """Any sequence of calls on a cache that is bounded by bytes."""

    @initialize(limit=st.sampled_from([0, 100, 500, 2_000, 5_000]))
    def make(self, limit: int) -> None:
        self.limit = limit
        self.cache = MemoryCache(limit)
        self.size: dict[str, int] = {}  # an order never changes, so its entry does not either
        self.touched: dict[str, int] = {}
        self.newest = self.oldest = 0

    def held(self) -> set[str]:
        return set(self.cache._entries)

    def touch(self, uid: str) -> None:
        self.newest += 1
        self.touched[uid] = self.newest

    def entry(self, uid: str, size: int) -> bytes:
        return b"x" * self.size.setdefault(uid, size)

    @rule(uid=UIDS, peeked=st.booleans())
    def get(self, uid: str, *, peeked: bool) -> None:
        known = uid in self.held()
        assert (self.cache.peek(uid) is not None) == known
        if peeked:
            self.cache.note_asked([uid])
        else:
            assert (now(self.cache.get(uid)) is not None) == known
        if known and self.cache.statistics().bytes > self.limit // 2:  # below, nobody is about to leave
            self.touch(uid)

    @rule(uid=UIDS, size=SIZES, read=st.booleans())
    def put(self, uid: str, size: int, *, read: bool) -> None:
        entry, before = self.entry(uid, size), self.held()
        now((self.cache.put_read if read else self.cache.put_new)(uid, entry))
        if uid not in before or not read:  # what is announced is warm, though a restore may have brought it
            self.touch(uid)
        gone = before - self.held()
        fits = cost(uid, len(entry)) <= self.limit
        assert fits == (uid in self.held())
        assert fits or not gone, "what is too large for the cache must not empty it"
        kept = before & self.held()
        assert all(self.touched[old] < self.touched[other] for old in gone for other in kept)

    @rule(uid=UIDS, size=SIZES)
    def put_older(self, uid: str, size: int) -> None:
        entry, before, evictions = self.entry(uid, size), self.held(), self.cache.statistics().evictions
        taken = now(self.cache.put_older(uid, entry))
        assert taken == (uid in self.held())
        assert before <= self.held()
        assert self.cache.statistics().evictions == evictions
        if uid in self.held() - before:
            self.oldest -= 1
            self.touched[uid] = self.oldest

    @rule()
    def begin_restore(self) -> None:
        before = self.held()
        self.cache.begin_restore()
        assert self.held() == before

    @invariant()
    def is_bounded(self) -> None:
        statistics = self.cache.statistics()
        assert statistics.bytes == sum(cost(uid, self.size[uid]) for uid in self.held())
        assert statistics.bytes <= statistics.max_bytes == self.limit
        assert statistics.entries == len(self.held())

    @invariant()
    def keeps_what_was_put(self) -> None:
        assert all(len(entry) == self.size[uid] for uid, entry in self.cache._entries.items())


TestAnyUse = AnyUse.TestCase
TestAnyUse.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def _steps(stored: int, announced: int, *, restoring: bool) -> list[str]:
    """What may happen next while a cache is restored; nothing more once all is restored and announced."""
    if not restoring and announced == stored:
        return []
    may = {
        "restore": restoring,
        "announce": announced < stored,
        "store": stored < 12,
        "read": 0 < stored < 12,
    }
    return [step for step, possible in may.items() if possible]


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 4))
def test_newest(data: st.DataObject, most: int) -> None:
    """With a number of orders, exactly the newest so many are held, however a restore meets arrivals."""
    cache = MemoryCache(10**9, most)
    stored = [f"uid-{number}" for number in range(data.draw(st.integers(0, 6)))]
    announced = len(stored)  # what was stored before the following began is not announced
    for _ in range(data.draw(st.integers(1, 2))):
        cache.begin_restore()
        restore: list[str] | None = None
        restoring = True
        while steps := _steps(len(stored), announced, restoring=restoring):
            step = data.draw(st.sampled_from(steps))
            if step == "store":
                stored.append(f"uid-{len(stored)}")
            elif step == "announce":
                now(cache.put_new(stored[announced], b"x"))
                announced += 1
            elif step == "restore":
                restore = stored[::-1] if restore is None else restore
                restoring = bool(restore) and now(cache.put_older(restore.pop(0), b"x"))
            else:
                uid = data.draw(st.sampled_from(stored))
                now(cache.get(uid))
                now(cache.put_read(uid, b"x"))
        assert list(cache._entries) == stored[-most:]


def test_statistics() -> None:
    """The statistics say what is held, the bounds, and how many were put out."""
    cache = MemoryCache(10_000, 2)
    for uid in ("a", "b", "c"):
        now(cache.put_new(uid, b"xyz"))
    found = cache.statistics()
    assert (found.entries, found.bytes, found.max_bytes, found.max_orders, found.evictions) == (
        *(2, 2 * cost("a", 3), 10_000, 2, 1),
    )


def test_peek() -> None:
    """An entry is found without the event loop too, as the very object that was put."""
    cache = MemoryCache(10_000)
    entry = bytes(bytearray(b"entry"))
    now(cache.put_new("a", entry))
    assert cache.peek("a") is entry
    assert cache.peek("b") is None
