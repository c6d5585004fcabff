"""How fast a full topic goes into the database, beside COPY of the same rows."""

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from orderkeep.bench import rows
from orderkeep.bench.programs import Client, Program, running_command
from orderkeep.bench.restore import api_settings
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
    """One ingest of a topic: its rate from the assignment of partitions, and from the start of the process.

    Rates are in messages a second.
    """

    rate: float
    rate_with_start: float
    max_rss: int
    outcomes: dict[str, int]


def measure(orders: int, folder: Path, display: Display) -> Result:
    """COPY and ingest in turn, each into a fresh database; then topics with duplicates and with rejects."""
    display.say("starting PostgreSQL and Kafka")
    with databases(folder) as server, KafkaServer(folder / "kafka") as kafka:
        ingest = functools.partial(_ingest, kafka.bootstrap, server, folder)
        clean = fill_topic(kafka, "clean", rows.messages(orders), display)
        transactions = uvloop.run(rows.collect(orders))
        display.say("COPY and ingest in turn")
        copied, runs = _beside_copy(orders, transactions, server, functools.partial(ingest, [clean]), display)
        del transactions
        repeats = fill_topic(
            kafka, "duplicates", rows.messages(orders, every=REPEAT_EVERY, kinds=("repeat",)), display
        )
        rejects = fill_topic(
            kafka, "rejects", rows.messages(orders, every=REJECT_EVERY, kinds=rows.SMALL_REJECTS), display
        )
        halves = [
            fill_topic(kafka, half, rows.messages(orders // 2, seed=seed), display, rows.PARTITIONS // 2)
            for half, seed in {"half": rows.SEED, "other-half": rows.SEED + 1}.items()
        ]
        others = in_turn(
            display,
            {
                "followed": functools.partial(ingest, [clean], followed=True),
                "two": functools.partial(ingest, halves),
                "duplicates": functools.partial(ingest, [repeats]),
                "rejects": functools.partial(ingest, [rejects]),
            },
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
    found.add("ingest", "ingest", "orders/s", [run.rate for run in runs], limit="copy")
    with_start = [run.rate_with_start for run in runs]
    found.add("ingest_with_start", "ingest, with its start", "orders/s", with_start, limit="copy")
    shown = {
        "followed": "ingest, an API following",
        "two": "two ingest processes",
        "duplicates": f"ingest, {100 // REPEAT_EVERY}% duplicates",
        "rejects": f"ingest, {100 // REJECT_EVERY}% rejects",
    }
    for name, what in shown.items():
        found.add(f"ingest_{name}", what, "messages/s", [run.rate for run in others[name]], limit="copy")
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
            check_counts(
                "COPY", {"stored": value(url, "select count(*) from orders")}, Counter(stored=orders)
            )
            return seconds

    def run(name: str) -> float:
        runs.append(ingest(name))
        return runs[-1].rate

    figures = in_turn(display, {"copy": copy, "ingest": run})
    return figures["copy"], runs


def _ingest(
    bootstrap: str,
    server: Databases,
    folder: Path,
    topics: Sequence[Topic],
    name: str,
    *,
    followed: bool = False,
) -> Run:
    """Read the whole topics into a fresh database, which an API may follow."""
    expected = sum((topic.expected for topic in topics), Counter[str]())
    with ExitStack() as stack:
        url = stack.enter_context(server.fresh(name))
        if followed:
            api = running_command(f"{name}_api", ["api"], api_settings(url, expected.total()), folder)
            stack.enter_context(api).event("started")
        run = read_topics(bootstrap, url, folder, topics, name)
        check_counts("the database", _stored(url), expected)
        return run


def read_topics(bootstrap: str, url: str, folder: Path, topics: Sequence[Topic], name: str) -> Run:
    """Read the whole topics into the database at `url`, each by a process of its own. Raises `Fatal`."""
    expected = sum((topic.expected for topic in topics), Counter[str]())
    settings = {"DATABASE_URL": url, "KAFKA_BROKERS": bootstrap, "INGEST_PORT": "0", "LOG_FORMAT": "json"}
    with ExitStack() as stack:
        programs = [
            stack.enter_context(
                running_command(
                    f"{name}_{topic.name}",
                    ["ingest"],
                    {**settings, "KAFKA_TOPIC": topic.name, "KAFKA_GROUP": name},
                    folder,
                )
            )
            for topic in topics
        ]
        outcomes, ended = watch(programs, expected.total())
        assigned = min(program.moment("partitions_assigned") for program in programs)
    check_counts("ingest", outcomes, expected)
    return Run(
        expected.total() / (ended - assigned),
        expected.total() / (ended - programs[0].started),
        max(program.max_rss for program in programs),
        dict(outcomes),
    )


def watch(programs: Sequence[Program], messages: int) -> tuple[Counter[str], float]:
    """Until so many messages have an outcome: the outcomes, and the moment when they were all there."""
    clients = [Client(program.event("started")["health"]) for program in programs]
    last, deadline = 0, time.monotonic() + STALL_SECONDS
    while True:
        outcomes: Counter[str] = Counter()
        for client in clients:
            outcomes.update(client.json("/health/ready")["outcomes"])
        now = time.time()
        for program in programs:
            program.note_memory()
        committed = outcomes.total() - outcomes["redelivered"]
        if committed >= messages:
            for client in clients:
                client.close()
            return outcomes, now
        if committed > last:
            last, deadline = committed, time.monotonic() + STALL_SECONDS
        for program in programs:
            program.check(deadline)
        time.sleep(POLL_SECONDS)


def fill_topic(
    kafka: KafkaServer,
    name: str,
    messages: Iterable[GeneratedMessage],
    display: Display,
    partitions: int = rows.PARTITIONS,
) -> Topic:
    """A new topic with these messages, confirmed."""
    display.say(f"filling the topic {name}")
    kafka.create_topic(name, partitions=partitions)
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


def check_counts(who: str, outcomes: Mapping[str, int], expected: Counter[str]) -> None:
    """Raises `Fatal` when the counts are not those expected: then a rate would mean nothing."""
    wrong = [
        f"{count:,} {name} and not {expected[name]:,}"
        for name, count in outcomes.items()
        if count != expected[name]
    ]
    if wrong:
        raise Fatal(f"the counts do not agree: {who} has {', '.join(wrong)}")
