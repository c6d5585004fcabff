"""How fast a started API fills its cache from the database, beside a bare cursor over the same rows."""

import time
from pathlib import Path
from typing import NamedTuple

import uvloop

from orderkeep.bench import rows
from orderkeep.bench.programs import Client, Program, running_command
from orderkeep.bench.results import Measurements, Result
from orderkeep.bench.rounds import Display, in_turn
from orderkeep.bench.servers import databases, value
from orderkeep.errors import Fatal
from orderkeep.storage.postgres_connection import close, connect
from orderkeep.storage.postgres_reader import RESTORE_CHUNK
from orderkeep.storage.queries import QUERIES

RESTORE_SECONDS = 600.0
POLL_SECONDS = 0.1
MOST_BYTES_AN_ORDER = 8_192
"""Far more than an order takes in the cache: the bench is of a cache that has room for all."""


class Restore(NamedTuple):
    """`first_answer`: seconds from the start of the process to the first order that it answered with."""

    orders: int
    seconds: float
    first_answer: float
    rss: int


def measure(orders: int, folder: Path, display: Display) -> Result:
    """A cursor and the restore of `orderkeep api` in turn, over the same table."""
    display.say("starting PostgreSQL")
    with databases(folder) as server, server.fresh("orders") as url:
        display.say("loading the orders")
        uvloop.run(rows.load(url, orders))
        server.settle()
        uid = value(url, "select order_uid from orders limit 1")
        restores: list[Restore] = []

        def run(name: str) -> float:
            restores.append(_restore(url, orders, uid, folder, name))
            return restores[-1].seconds

        def read(_name: str) -> float:
            return _read_all(url, orders)

        figures = in_turn(display, {"cursor": read, "restore": run})
        facts = {"restored": restores[-1].orders, "postgresql": server.facts()}
    found = Measurements()
    found.add("cursor", "a cursor over the rows", "orders/s", [orders / each for each in figures["cursor"]])
    found.add(
        "restore", "restore", "orders/s", [orders / each for each in figures["restore"]], limit="cursor"
    )
    found.add("first_answer", "start to first answer", "s", [each.first_answer for each in restores])
    found.add("api_rss", "api, memory after it", "MiB", [each.rss / 2**20 for each in restores])
    return Result(found.by_name, facts)


def api_settings(url: str, orders: int) -> dict[str, str]:
    """The API on a free port, with room for all orders in its cache."""
    return {
        "DATABASE_URL": url,
        "HTTP_PORT": "0",
        "CACHE_MAX_BYTES": str(max(orders, 1_000) * MOST_BYTES_AN_ORDER),
        "LOG_FORMAT": "json",
    }


def wait_until_restored(program: Program, client: Client) -> tuple[int, float]:
    """How many orders were restored, and in how many seconds. Raises `Fatal`."""
    deadline = time.monotonic() + RESTORE_SECONDS
    while True:
        status = client.json("/health/ready")["restore"]
        if not status["restoring"]:
            return status["restored"], status["seconds"]
        program.check(deadline)
        time.sleep(POLL_SECONDS)


def _restore(url: str, orders: int, uid: str, folder: Path, name: str) -> Restore:
    with running_command(name, ["api"], api_settings(url, orders), folder) as program:
        client = Client(program.event("started")["address"])
        status, _ = client.get(f"/orders/{uid}")
        first_answer = time.time() - program.started
        if status != 200:
            raise Fatal(f"an order that is stored was answered with {status}")
        restored, seconds = wait_until_restored(program, client)
        client.close()
        program.note_memory()
    if restored != orders:
        raise Fatal(f"the counts do not agree: {restored:,} of {orders:,} orders were restored")
    return Restore(restored, seconds, first_answer, program.max_rss)


def _read_all(url: str, orders: int) -> float:
    """The seconds that a bare cursor takes for the rows that a restore reads, in its order and portions."""
    read, seconds = uvloop.run(_read(url))
    if read != orders:
        raise Fatal(f"the counts do not agree: {read:,} of {orders:,} orders were read")
    return seconds


async def _read(url: str) -> tuple[int, float]:
    connection = await connect(url, "bench")
    try:
        started = time.perf_counter()
        read = 0
        async with connection.transaction(readonly=True):
            cursor = await connection.cursor(QUERIES["newest_orders"])
            while portion := await cursor.fetch(RESTORE_CHUNK):
                read += len(portion)
        return read, time.perf_counter() - started
    finally:
        await close(connection)
