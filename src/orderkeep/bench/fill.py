"""Fill a cache and tell what it costs, as one JSON object.

    python -m orderkeep.bench.fill ORDERS

A program of its own, because only a fresh process has no memory to use again.
"""

import asyncio
import gc
import sys
from datetime import UTC, datetime

import msgspec
import psutil  # type: ignore[import-untyped]  # the package has no types of its own
from msgspec import Struct

from orderkeep.bench.rows import messages
from orderkeep.cache.entry import render
from orderkeep.cache.memory import MemoryCache
from orderkeep.storage.store import StoredOrder


class Filled(Struct, frozen=True):
    """Memory of the process before and after, and the cache's own count of it, in bytes."""

    entries: int
    rss_before: int
    rss_after: int
    response_bytes: int
    payload_bytes: int
    accounted_bytes: int


async def fill(orders: int) -> Filled:
    """Put so many rendered orders into an empty cache."""
    making = messages(orders + 1)
    render(_stored(next(making).key, b"{}"))  # what the first order needs, all the others need as well
    cache = MemoryCache(max_bytes=sys.maxsize)
    before = _rss()
    response_bytes = payload_bytes = 0
    for message in making:
        order = _stored(message.key, message.payload or b"")
        entry = render(order)
        await cache.put_older(order.order_uid, entry)
        response_bytes += len(entry)
        payload_bytes += len(order.payload)
    statistics = cache.statistics()
    return Filled(statistics.entries, before, _rss(), response_bytes, payload_bytes, statistics.bytes)


def _stored(key: bytes | None, payload: bytes) -> StoredOrder:
    return StoredOrder((key or b"").decode(), payload, datetime.now(UTC))


def _rss() -> int:
    gc.collect()
    rss: int = psutil.Process().memory_info().rss
    return rss


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(asyncio.run(fill(int(sys.argv[1])))).decode() + "\n")
