"""The task of ingest that discards what rejects hold: what it survives, and that it ends with its block."""

import asyncio
from datetime import timedelta

import pytest

from orderkeep.errors import DatabaseUnavailable, Fatal
from orderkeep.ingest import retention
from orderkeep.storage.memory import MemoryStore
from orderkeep.storage.memory_rejects import MemoryRejects
from tests.orders import orders_batch


class Failing(MemoryRejects):
    """Fails in turn with what the world and the set-up may do, then works."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.errors = [DatabaseUnavailable("away"), Fatal("no right")]
        self.asked: list[timedelta] = []
        self.done = asyncio.Event()
        self.closed = False

    async def discard(self, older_than: timedelta) -> int:
        self.asked.append(older_than)
        if self.errors:
            raise self.errors.pop(0)
        self.done.set()
        return await super().discard(timedelta(days=-1))

    async def close(self) -> None:
        self.closed = True


async def test_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails, it is tried again the next time, and the block never hears of it."""
    monkeypatch.setattr(retention, "EVERY", 0.0)
    store = MemoryStore()
    await store.write(orders_batch([b"garbage"]))
    rejects = Failing(store)
    async with retention.discarding(rejects, 30):
        await asyncio.wait_for(rejects.done.wait(), 60)
    assert rejects.asked[:3] == [timedelta(days=30)] * 3
    assert [refused.message.payload for refused, _ in store.rejects.values()] == [None]
    assert rejects.closed


async def test_looks_at_once_and_then_rarely() -> None:
    """It looks when the block begins, not again within the hour, and not after the block."""
    rejects = Failing(MemoryStore())
    async with retention.discarding(rejects, 1):
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(rejects.asked) == 1
    await asyncio.sleep(0)
    assert len(rejects.asked) == 1
