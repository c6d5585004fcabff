"""Bare reads of the table by its key, with nothing around them: the limit of what is not in a cache."""

import asyncio
import itertools
import statistics
import time

import uvloop

from orderkeep.bench.web import Load
from orderkeep.storage.postgres_connection import close, connect
from orderkeep.storage.queries import QUERIES


def point_reads(url: str, uids: list[str], connections: int, seconds: float) -> Load:
    """Read the orders one at a time, over so many connections that each wait for their answer. Blocks."""
    started = time.perf_counter()
    took = uvloop.run(_read_all(url, uids, connections, started + seconds))
    cuts = statistics.quantiles(took, n=100)
    elapsed = round((time.perf_counter() - started) * 1e6)
    return Load(len(took), elapsed, round(cuts[49] * 1e6), round(cuts[98] * 1e6), 0, 0)


async def _read_all(url: str, uids: list[str], connections: int, end: float) -> list[float]:
    """The seconds that each of the reads took."""
    took: list[float] = []
    waiting = itertools.cycle(uids)

    async def read() -> None:
        connection = await connect(url, "bench")
        try:
            query = await connection.prepare(QUERIES["order_by_uid"])
            while (began := time.perf_counter()) < end:
                await query.fetch(next(waiting))
                took.append(time.perf_counter() - began)
        finally:
            await close(connection)

    await asyncio.gather(*(read() for _ in range(connections)))
    return took
