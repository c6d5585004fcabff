"""How fast a full topic goes into the database, beside COPY of the same rows."""

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from orderkeep.bench import rows
from orderkeep.bench.programs import Client, Program, running_command
from orderkeep.bench.results import Measurements, Result
from orderkeep.bench.rounds import Display, in_turn
from orderkeep.bench.servers import Databases, databases, value
from orderkeep.embedded import KafkaServer
from orderkeep.errors import Fatal
from orderkeep.publish.kafka import KafkaPublisher
from orderkeep.publish.message import GeneratedMessage

REPEAT_EVERY = 20
REJECT_EVERY = 50
FLUSH_SECONDS = 120.0
STALL_SECONDS = 60.0
"""An ingest that commits nothing for so long is given up."""
POLL_SECONDS = 0.02


class Topic(NamedTuple):
    """A topic that is full, and the outcomes that its messages must have."""

    name: str
    expected: Counter[str]


class Run(NamedTuple):
    """One ingest of a topic: seconds from the assignment of partitions, and from the start of the process."""

    seconds: float
    seconds_with_start: float
    max_rss: int
    outcomes: dict[str, int]


def measure(orders: int, folder: Path, display: Display) -> Result:
    """COPY and ingest in turn, each into a fresh database; then topics with duplicates and with rejects."""
    display.say("starting PostgreSQL and Kafka")
    with databases(folder) as server, KafkaServer(folder / "kafka") as kafka:
        ingest = functools.partial(_ingest, kafka.bootstrap, server, folder)
        clean = _fill(kafka, "clean", rows.messages(orders), display)
        transactions = uvloop.run(_collect(orders))
        display.say("COPY and ingest in turn")
        copied, runs = _beside_copy(orders, transactions, server, functools.partial(ingest, clean), display)
        del transactions
        repeats = _fill(
            kafka, "duplicates", rows.messages(orders, every=REPEAT_EVERY, kinds=("repeat",)), display
        )
        rejects = _fill(
            kafka, "rejects", rows.messages(orders, every=REJECT_EVERY, kinds=rows.SMALL_REJECTS), display
        )
        others = in_turn(
            display,
            {
                "duplicates": functools.partial(ingest, repeats),
                "rejects": functools.partial(ingest, rejects),
            },
            rounds=1,
        )
        facts = {
            "partitions": rows.PARTITIONS,
            "rows_a_transaction": rows.ROWS_A_TRANSACTION,
            "outcomes": {
                "clean": runs[-1].outcomes,
                **{name: done[-1].outcomes for name, done in others.items()},
            },
            "postgresql": server.facts(),
        }
    return Result(_figures(orders, copied, runs, others), facts)


def _figures(
    orders: int, copied: list[float], runs: list[Run], others: dict[str, list[Run]]
) -> dict[str, Any]:
    found = Measurements()
    found.add("copy", "COPY, two connections", "orders/s", [orders / seconds for seconds in copied])
    found.add("ingest", "ingest", "orders/s", [orders / run.seconds for run in runs], limit="copy")
    found.add(
        "ingest_with_start",
        "ingest, with its start",
        "orders/s",
        [orders / run.seconds_with_start for run in runs],
        limit="copy",
    )
    found.add(
        "ingest_duplicates",
        f"ingest, {100 // REPEAT_EVERY}% duplicates",
        "messages/s",
        [orders / run.seconds for run in others["duplicates"]],
        limit="copy",
    )
    found.add(
        "ingest_rejects",
        f"ingest, {100 // REJECT_EVERY}% rejects",
        "messages/s",
        [orders / run.seconds for run in others["rejects"]],
        limit="copy",
    )
    found.add("ingest_max_rss", "ingest, most memory", "MiB", [run.max_rss / 2**20 for run in runs])
    return found.by_name


def _beside_copy(
    orders: int,
    transactions: list[rows.Rows],
    server: Databases,
    ingest: Callable[[str], Run],
    display: Display,
) -> tuple[list[float], list[Run]]:
    runs: list[Run] = []

    def copy(name: str) -> float:
        with server.fresh(name) as url:
            seconds = uvloop.run(rows.copy(url, transactions))
            _agree("COPY", {"stored": value(url, "select count(*) from orders")}, Counter(stored=orders))
            return seconds

    def run(name: str) -> float:
        runs.append(ingest(name))
        return runs[-1].seconds

    figures = in_turn(display, {"copy": copy, "ingest": run})
    return figures["copy"], runs


def _ingest(bootstrap: str, server: Databases, folder: Path, topic: Topic, name: str) -> Run:
    """Read the whole topic into a fresh database, as a consumer group of its own."""
    with server.fresh(name) as url:
        settings = {
            "DATABASE_URL": url,
            "KAFKA_BROKERS": bootstrap,
            "KAFKA_TOPIC": topic.name,
            "KAFKA_GROUP": name,
            "INGEST_PORT": "0",
            "LOG_FORMAT": "json",
        }
        with running_command(name, ["ingest"], settings, folder) as program:
            outcomes, ended = _watch(program, topic.expected.total())
            assigned = program.moment("partitions_assigned")
        _agree("ingest", outcomes, topic.expected)
        _agree("the database", _stored(url), topic.expected)
        return Run(ended - assigned, ended - program.started, program.max_rss, outcomes)


def _watch(program: Program, messages: int) -> tuple[dict[str, int], float]:
    """Until so many messages have an outcome: the outcomes, and the moment when they were all there."""
    client = Client(program.event("started")["health"])
    last, deadline = 0, time.monotonic() + STALL_SECONDS
    while True:
        outcomes: dict[str, int] = client.json("/health/ready")["outcomes"]
        now = time.time()
        program.note_memory()
        committed = sum(outcomes.values())
        if committed >= messages:
            client.close()
            return outcomes, now
        if committed > last:
            last, deadline = committed, time.monotonic() + STALL_SECONDS
        program.check(deadline)
        time.sleep(POLL_SECONDS)


def _fill(kafka: KafkaServer, name: str, messages: Iterable[GeneratedMessage], display: Display) -> Topic:
    display.say(f"filling the topic {name}")
    kafka.create_topic(name, partitions=rows.PARTITIONS)
    expected: Counter[str] = Counter()
    publisher = KafkaPublisher(kafka.bootstrap, name)
    try:
        for message in messages:
            publisher.send(message)
            expected[message.expected or "stored"] += 1
        publisher.flush(FLUSH_SECONDS)
    finally:
        publisher.close()
    return Topic(name, expected)


def _stored(url: str) -> dict[str, int]:
    """What the database itself says; a duplicate leaves no row."""
    rejects = "select count(*) from rejected_messages where kind <> 'conflict'"
    return {"stored": value(url, "select count(*) from orders"), "rejected": value(url, rejects)}


def _agree(who: str, outcomes: dict[str, int], expected: Counter[str]) -> None:
    """Raises `Fatal` when the counts are not those expected: then a rate would mean nothing."""
    wrong = [
        f"{count:,} {name} and not {expected[name]:,}"
        for name, count in outcomes.items()
        if count != expected[name]
    ]
    if wrong:
        raise Fatal(f"the counts do not agree: {who} has {', '.join(wrong)}")


async def _collect(orders: int) -> list[rows.Rows]:
    return [transaction async for transaction in rows.prepared(orders)]
