"""What a large table costs: ingest, reads past the cache and pages, beside the same on a small one."""

import asyncio
import functools
import hashlib
import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from orderkeep.bench import ingest, rows, web
from orderkeep.bench.programs import Client, running_command
from orderkeep.bench.results import Measurements, Result
from orderkeep.bench.rounds import ROUNDS, Display, in_turn
from orderkeep.bench.servers import Databases, databases
from orderkeep.embedded import KafkaServer
from orderkeep.errors import Fatal
from orderkeep.publish.draw import Draw
from orderkeep.storage.postgres_connection import close, connect
from orderkeep.storage.queries import load

SQL = load(files("orderkeep.bench").joinpath("growth.sql").read_text())
ASKED = 20_000
"""Different orders that are asked for, at random; and as many pages."""
SECONDS = 5
READERS, LISTERS = 64, 8
"""Connections for the one and for the other: of more lists than wait for PostgreSQL, the rest are 503."""
CONNECTIONS = 2
PORTION = 100_000
"""Orders of one transaction of the loader."""
MEMORY = "1GB"
"""For building the indexes: they are dropped while the table is filled."""
SPAN = 0.01
"""Seconds between two stored orders."""


class Table(NamedTuple):
    """A database with so many orders in it, and the address of an API that reads them without a cache."""

    name: str
    url: str
    stored: int
    api: str


def measure(orders: int, folder: Path, display: Display, *, stored: int) -> Result:
    """A table of so many `orders` beside one of `stored`; each round adds `orders` to both."""
    display.say("looking for wrk")
    web.require("wrk")
    display.say("starting PostgreSQL and Kafka")
    found = Measurements()
    with ExitStack() as stack:
        server = stack.enter_context(databases(folder))
        kafka = stack.enter_context(KafkaServer(folder / "kafka"))
        began = time.monotonic()
        small = _make_table(stack, server, "small", orders, folder, display)
        large = _make_table(stack, server, "large", stored, folder, display)
        loaded_in = time.monotonic() - began
        topics = [
            ingest.fill_topic(kafka, f"orders-{n}", rows.messages(orders, seed=rows.SEED + n), display)
            for n in range(ROUNDS)
        ]
        compare = functools.partial(_compare, found, (small, large), display)
        compare("reads", "requests/s", lambda table: _wrk(table, _order_paths, READERS, folder))
        compare("pages", "requests/s", lambda table: _wrk(table, _page_paths, LISTERS, folder))
        compare("ingest", "orders/s", lambda table: _ingest(table, topics, kafka.bootstrap, folder))
        display.say("starting the API anew")
        starts = [_first_answer(large, folder, f"start_{n}") for n in range(ROUNDS)]
        found.add("first_answer", "start to first answer, large", "s", starts)
        facts = {"stored": stored, "seconds_to_load": round(loaded_in), "postgresql": server.facts()}
    return Result(found.by_name, facts)


def _compare(
    found: Measurements,
    tables: tuple[Table, Table],
    display: Display,
    what: str,
    unit: str,
    prepare: Callable[[Table], Callable[[str], float]],
) -> None:
    """Measure in turn what `prepare` makes of each table; the small one is the limit."""
    runs = {f"{what}_{table.name}": prepare(table) for table in tables}
    limit = None
    for name, figures in in_turn(display, runs).items():
        found.add(name, name.replace("_", ", "), unit, figures, limit=limit)
        limit = name


def _make_table(
    stack: ExitStack, server: Databases, name: str, count: int, folder: Path, display: Display
) -> Table:
    display.say(f"loading {count:,} orders")
    url = stack.enter_context(server.fresh(name))
    uvloop.run(fill(url, count, display))
    server.settle()
    settings = {"DATABASE_URL": url, "HTTP_PORT": "0", "CACHE_MAX_BYTES": "0", "LOG_FORMAT": "json"}
    api = stack.enter_context(running_command(f"api_{name}", ["api"], settings, folder))
    return Table(name, url, count, api.event("started")["address"])


async def fill(url: str, count: int, display: Display, text: str | None = None) -> None:
    """So many orders, then the indexes: in a tenth of the time that both at once would take.

    `text` is what all of them hold, with `{uid}` in the place of their uid.
    """
    owner, *others = [await connect(url, "bench") for _ in range(CONNECTIONS)]
    try:
        indexes = await owner.fetch(SQL["indexes"])
        for index in indexes:
            await owner.execute(index["drop_it"])
        portions = iter(range(0, count, PORTION))
        display.expect(-(-count // PORTION))
        text = text or _text()

        async def portion(connection: Any) -> None:
            for start in portions:
                await connection.execute(SQL["fill"], start, min(start + PORTION, count), count, text)
                display.done()

        await asyncio.gather(*(portion(connection) for connection in (owner, *others)))
        display.say(f"building the indexes of {count:,} orders")
        await owner.execute(f"set maintenance_work_mem = '{MEMORY}'")
        for index in indexes:
            await owner.execute(index["make_it"])
        await owner.execute("vacuum analyze orders")
    finally:
        for connection in (owner, *others):
            await close(connection)


def _text() -> str:
    """The text of an order with `{uid}` in the place of its uid."""
    message = next(rows.messages(1))
    return (message.payload or b"").decode().replace(str(message.uid), "{uid}")


def uid_of(number: int) -> str:
    """As growth.sql makes them."""
    return hashlib.md5(f"orderkeep{number}".encode(), usedforsecurity=False).hexdigest()


def _order_paths(table: Table) -> Iterator[str]:
    draw = Draw(rows.SEED, "asked")
    for _ in range(ASKED):
        yield f"/orders/{uid_of(draw.below(table.stored))}"


def _page_paths(table: Table) -> Iterator[str]:
    """Pages that begin anywhere in the table."""
    draw = Draw(rows.SEED, "pages")
    now = time.time()
    for _ in range(ASKED):
        at = now - draw.fraction() * table.stored * SPAN
        yield f"/orders?after={round(at * 1e6)}.0"


def _wrk(
    table: Table, make: Callable[[Table], Iterator[str]], connections: int, folder: Path
) -> Callable[[str], float]:
    paths = folder / f"paths_{table.name}{make.__name__}"
    paths.write_text("".join(f"{path}\n" for path in make(table)))

    def run(name: str) -> float:
        load = web.load(f"wrk_{name}", table.api, paths, SECONDS, folder, connections=connections)
        return web.all_answered(name, load).rate

    return run


def _ingest(table: Table, topics: list[ingest.Topic], bootstrap: str, folder: Path) -> Callable[[str], float]:
    """Each round another topic: what is stored already would be a duplicate."""
    waiting = iter(topics)

    def run(name: str) -> float:
        return ingest.read_topics(bootstrap, table.url, folder, [next(waiting)], name).rate

    return run


def _first_answer(table: Table, folder: Path, name: str) -> float:
    """Seconds from the start of an API to the first order that it answers with."""
    settings = {"DATABASE_URL": table.url, "HTTP_PORT": "0", "LOG_FORMAT": "json"}
    with running_command(name, ["api"], settings, folder) as program:
        client = Client(program.event("started")["address"])
        status, _ = client.get(f"/orders/{uid_of(0)}")
        seconds = time.time() - program.started
        client.close()
    if status != http.client.OK:
        raise Fatal(f"an order that is stored was answered with {status}")
    return seconds
