"""The orders of a bench: as messages for a topic, and as rows made ready for COPY.

All come from one seed, so that the topic and the table hold the same orders.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from orderkeep.ingest.prepare import accept
from orderkeep.publish.broken import BREAKAGES, BrokenKind, broken
from orderkeep.publish.draw import Draw
from orderkeep.publish.generate import OrderGenerator
from orderkeep.publish.message import GeneratedMessage
from orderkeep.storage.copy import ORDER_COLUMNS, order_rows
from orderkeep.storage.postgres_connection import close, connect
from orderkeep.storage.store import Accepted, Message

if TYPE_CHECKING:
    from asyncpg import Connection

SEED = 20_211_126
ROWS_A_TRANSACTION = 5_000
COPY_CONNECTIONS = 2
PARTITIONS = 4
REMEMBERED = 1_000
"""A repeat is of one of so many latest orders."""
SMALL_REJECTS: tuple[BrokenKind, ...] = tuple(
    kind
    for kind, breakage in BREAKAGES.items()
    # These two are of up to a megabyte: a bench with them would measure bytes, and no messages.
    if breakage.expected == "rejected" and kind not in {"huge", "deep_nesting"}
)

Rows = list[bytes]
"""One transaction's worth of rows in COPY's binary format, in chunks."""


def messages(
    count: int, *, every: int | None = None, kinds: Sequence[BrokenKind] = (), seed: int = SEED
) -> Iterator[GeneratedMessage]:
    """So many messages, orders but for one in `every`, which is broken by each of `kinds` in turn."""
    orders = OrderGenerator(seed)
    draw = Draw(seed, "bench")
    latest: deque[GeneratedMessage] = deque(maxlen=REMEMBERED)
    for number in range(count):
        if every is None or (number + 1) % every:
            latest.append(orders.order())
            yield latest[-1]
        else:
            kind = kinds[number // every % len(kinds)]
            rejected = BREAKAGES[kind].expected == "rejected"
            yield broken(kind, draw, orders.order() if rejected else draw.pick(latest))


async def prepared(count: int, *, seed: int = SEED) -> AsyncIterator[Rows]:
    """So many orders as rows, sorted by uid within a transaction, as ingest sorts them too."""
    waiting: list[Accepted] = []
    for number, message in enumerate(messages(count, seed=seed)):
        waiting.append(accept(Message(number % PARTITIONS, number // PARTITIONS, message.payload)))
        if len(waiting) == ROWS_A_TRANSACTION or number + 1 == count:
            waiting.sort(key=lambda accepted: accepted.order_uid)
            yield [chunk async for chunk in order_rows(waiting, source=1)]
            waiting = []


async def collect(count: int, *, seed: int = SEED) -> list[Rows]:
    """The same, all at once."""
    return [transaction async for transaction in prepared(count, seed=seed)]


async def copy(url: str, transactions: Sequence[Rows]) -> float:
    """COPY over `COPY_CONNECTIONS` side by side, each COPY a transaction: the seconds that it took."""
    connections = [await connect(url, "bench") for _ in range(COPY_CONNECTIONS)]
    try:
        waiting = iter(transactions)
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for connection in connections:
                group.create_task(_copy_each(connection, waiting))
        return time.perf_counter() - started
    finally:
        for connection in connections:
            await close(connection)


async def load(url: str, count: int) -> None:
    """Fill the table with so many orders, holding no more than a transaction of them."""
    connection = await connect(url, "bench")
    try:
        async for rows in prepared(count):
            await _copy_each(connection, iter([rows]))
        # Else the first to read would pay for what the writer left to do (hint bits, statistics).
        await connection.execute("vacuum analyze orders")
    finally:
        await close(connection)


async def _copy_each(connection: "Connection[Any]", transactions: Iterator[Rows]) -> None:
    for rows in transactions:
        await connection.copy_to_table("orders", source=_stream(rows), columns=ORDER_COLUMNS, format="binary")


async def _stream(chunks: Rows) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
