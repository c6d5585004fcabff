"""How long an order takes from the broker's timestamp to a 200 on GET, at an even rate."""

import functools
import http.client
import queue
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

from orderkeep.bench import rows
from orderkeep.bench.programs import Client, running_command
from orderkeep.bench.results import Measurements, Result
from orderkeep.bench.rounds import Display, in_turn
from orderkeep.bench.servers import databases
from orderkeep.embedded import KafkaServer
from orderkeep.errors import Fatal
from orderkeep.publish.generate import OrderGenerator
from orderkeep.publish.kafka import KafkaPublisher
from orderkeep.publish.message import GeneratedMessage
from orderkeep.publish.run import publish

RATES = (500, 2_000)
"""Orders a second."""
SECONDS = 8.0
"""Of a round, at most."""
ORDERS_A_SECOND = 1_000
"""With few orders a round is shorter."""
WARM_UP_SECONDS = 6.0
"""At the highest of the rates: Java compiles what it finds to be used often."""
PATIENCE_SECONDS = 10.0
LOOK_SECONDS = 0.001
LEAST_SAMPLES = 20


def measure(orders: int, folder: Path, display: Display) -> Result:
    """One stream through Kafka, ingest, PostgreSQL and the API, of each of the rates in turn."""
    seconds = min(SECONDS, max(1.0, orders / ORDERS_A_SECOND))
    display.say("starting PostgreSQL and Kafka")
    with ExitStack() as stack:
        server = stack.enter_context(databases(folder))
        kafka = stack.enter_context(KafkaServer(folder / "kafka"))
        url = stack.enter_context(server.fresh("orders"))
        kafka.create_topic("orders", partitions=rows.PARTITIONS)
        settings = {"DATABASE_URL": url, "KAFKA_BROKERS": kafka.bootstrap, "LOG_FORMAT": "json"}
        ingest = running_command("ingest", ["ingest"], {**settings, "INGEST_PORT": "0"}, folder)
        stack.enter_context(ingest).event("partitions_assigned")
        api = stack.enter_context(running_command("api", ["api"], {**settings, "HTTP_PORT": "0"}, folder))
        client = Client(api.event("started")["address"])
        stream = iter(OrderGenerator(rows.SEED).order, None)
        sample = functools.partial(_sample, kafka.bootstrap, client, stream)
        display.say("warming up")
        sample(RATES[-1], WARM_UP_SECONDS)

        def run(rate: int, _name: str) -> list[float]:
            taken = sample(rate, seconds)
            if len(taken) < LEAST_SAMPLES:
                raise Fatal(f"only {len(taken)} orders were seen of {rate * seconds:,.0f}")
            return statistics.quantiles(taken, n=100, method="inclusive")

        figures = in_turn(display, {str(rate): functools.partial(run, rate) for rate in RATES})
        client.close()
        facts = {"seconds": seconds, "partitions": rows.PARTITIONS, "postgresql": server.facts()}
    found = Measurements()
    for rate in RATES:
        for percentile in (50, 90, 99):
            rounds = [cuts[percentile - 1] for cuts in figures[str(rate)]]
            found.add(f"latency_{rate}_p{percentile}", f"at {rate:,} orders/s, p{percentile}", "ms", rounds)
    return Result(found.by_name, facts)


def _sample(
    brokers: str, client: Client, orders: Iterator[GeneratedMessage], rate: int, seconds: float
) -> list[float]:
    """Publish at the rate, and watch one order after another: milliseconds until each is served."""
    latest: queue.Queue[tuple[str, int]] = queue.Queue(maxsize=1)
    taken: list[float] = []
    over = threading.Event()

    def delivered(message: GeneratedMessage, timestamp_ms: int) -> None:
        if message.uid is not None and latest.empty():
            latest.put_nowait((message.uid, timestamp_ms))

    def watch() -> None:
        while not over.is_set():
            with suppress(queue.Empty):
                uid, timestamp_ms = latest.get(timeout=LOOK_SECONDS * 100)
                _wait_until_served(client, uid)
                taken.append(time.time() * 1_000 - timestamp_ms)

    # The timestamp is of the moment when a message is taken for sending: here it goes at once.
    publisher = KafkaPublisher(brokers, "orders", options={"linger.ms": 0}, on_delivery=delivered)
    with ThreadPoolExecutor(1) as elsewhere:
        watching = elsewhere.submit(watch)
        try:
            publish(publisher, orders, rate=rate, seconds=seconds)
        finally:
            over.set()
            publisher.close()
        watching.result()
    return taken


def _wait_until_served(client: Client, uid: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while client.get(f"/orders/{uid}")[0] != http.client.OK:
        if time.monotonic() > deadline:
            raise Fatal(f"the order {uid} is not served after {PATIENCE_SECONDS:g} seconds")
        time.sleep(LOOK_SECONDS)
