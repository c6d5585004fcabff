"""What a large table costs those who write to it, by the shape of its key and of its other indexes."""

from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

import uvloop

from orderkeep.bench import growth, rows
from orderkeep.bench.results import Measurements, Result
from orderkeep.bench.rounds import ROUNDS, Display
from orderkeep.bench.servers import Databases, databases, value
from orderkeep.storage.postgres_connection import close, connect
from orderkeep.storage.queries import load

SQL = load(files("orderkeep.bench").joinpath("shapes.sql").read_text())
SHAPES: Final[dict[str, str]] = {
    "as_it_is": "as it is",
    "room_in_the_key": "fillfactor 70 of the key",
    "partitions": "16 partitions by hash",
    "brin": "BRIN on the time received",
    "no_search": "no indexes for the search",
    "key_alone": "the key alone",
}
"""By the name of the statement that makes it of an empty table."""
PAYLOAD = "{}"
"""Of the orders stored beforehand: what an index costs does not depend on it."""


class Copied(NamedTuple):
    """One COPY of a round's orders."""

    seconds: float
    wal_bytes: int


def measure(orders: int, folder: Path, display: Display, *, stored: int) -> Result:
    """COPY `orders` a round over two connections into a table of `stored` orders, of one shape after another.

    Not in turn: the memory is for the indexes of one large table, and a round before the first fills it.
    """
    with databases(folder) as server:
        display.say("making the orders of all rounds")
        rounds = [uvloop.run(rows.collect(orders, seed=rows.SEED + n)) for n in range(ROUNDS + 1)]
        display.expect(len(SHAPES))
        copies: dict[str, list[Copied]] = {}
        index_bytes: dict[str, int] = {}
        for shape in SHAPES:
            display.say(f"{shape}, loading {stored:,} orders")
            with server.fresh(shape) as url:
                uvloop.run(_make(url, shape, stored, display))
                display.say(f"{shape}, adding to them")
                copies[shape] = [_copy(server, url, transactions) for transactions in rounds][1:]
                index_bytes[shape] = value(url, SQL["index_bytes"])
            display.done()
        facts = {"stored": stored, "postgresql": server.facts()}
    found = Measurements()
    for shape, what in SHAPES.items():
        limit = None if shape == "as_it_is" else "as_it_is"
        found.add(shape, what, "orders/s", [orders / copy.seconds for copy in copies[shape]], limit=limit)
    for shape, what in SHAPES.items():
        found.add(
            f"{shape}_wal", f"{what}, WAL", "bytes/order", [c.wal_bytes / orders for c in copies[shape]]
        )
        found.add(f"{shape}_indexes", f"{what}, indexes", "MiB", [index_bytes[shape] / 2**20])
    return Result(found.by_name, facts)


async def _make(url: str, shape: str, stored: int, display: Display) -> None:
    connection = await connect(url, "bench")
    try:
        await connection.execute(SQL[shape])
    finally:
        await close(connection)
    await growth.fill(url, stored, display, text=PAYLOAD)


def _copy(server: Databases, url: str, transactions: list[rows.Rows]) -> Copied:
    """Right after a checkpoint."""
    server.settle()
    before = value(url, SQL["wal_bytes"])
    seconds = uvloop.run(rows.copy(url, transactions))
    return Copied(seconds, value(url, SQL["wal_bytes"]) - before)
