"""How fast a full stream of JetStream, or channel of NATS Streaming, goes into the database."""

import functools
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from orderkeep.bench import rows
from orderkeep.bench.ingest import FLUSH_SECONDS, Run, check_counts, watch
from orderkeep.bench.programs import running_command
from orderkeep.bench.results import Measurements, Result
from orderkeep.bench.rounds import Display, in_turn
from orderkeep.bench.servers import Databases, databases, value
from orderkeep.embedded import NatsServer, StanServer
from orderkeep.publish.jetstream import JetStreamPublisher
from orderkeep.publish.publisher import Publisher
from orderkeep.publish.stan import StanPublisher

SUBJECT = "orders"

Name = str
SettingsOf = Callable[[Name, int], Mapping[str, str]]
"""The settings of ingest for a run of that name by so many processes."""


def measure_jetstream(orders: int, folder: Path, display: Display) -> Result:
    """One process, and two that share the durable."""
    display.say("starting PostgreSQL and NATS")
    with databases(folder) as server, NatsServer(folder / "nats") as nats:
        nats.create_stream(SUBJECT, SUBJECT)
        published = _fill(JetStreamPublisher(nats.url, SUBJECT), orders, display)

        def settings(name: Name, _processes: int) -> Mapping[str, str]:
            return {"SOURCE": "jetstream", "NATS_URL": nats.url, "NATS_DURABLE": name}

        return _measure(orders, published, settings, server, folder, display)


def measure_stan(orders: int, folder: Path, display: Display) -> Result:
    """One process with a durable of its own, and two in a queue."""
    display.say("starting PostgreSQL and NATS Streaming")
    with databases(folder) as server, StanServer(folder / "stan", say=display.say) as stan:
        published = _fill(StanPublisher(stan.url, stan.cluster, "bench", SUBJECT), orders, display)

        def settings(name: Name, processes: int) -> Mapping[str, str]:
            return {
                "SOURCE": "stan",
                "NATS_URL": stan.url,
                "NATS_DURABLE": name,
                "STAN_CLUSTER": stan.cluster,
                "STAN_CLIENT_ID": name,
                "STAN_QUEUE": "bench" if processes > 1 else "",
            }

        return _measure(orders, published, settings, server, folder, display)


def _fill(publisher: Publisher, orders: int, display: Display) -> float:
    """Publish the orders, all confirmed: how many a second."""
    display.say("publishing")
    messages = list(rows.messages(orders))
    begun = time.perf_counter()
    try:
        for message in messages:
            publisher.send(message)
        publisher.flush(FLUSH_SECONDS)
        return orders / (time.perf_counter() - begun)
    finally:
        publisher.close()


def _measure(
    orders: int, published: float, settings: SettingsOf, server: Databases, folder: Path, display: Display
) -> Result:
    ingest = functools.partial(_ingest, orders, settings, server, folder)
    runs = in_turn(
        display,
        {"one": functools.partial(ingest, processes=1), "two": functools.partial(ingest, processes=2)},
    )
    found = Measurements()
    found.add("publish", "publish", "orders/s", [published])
    for name, what in {"one": "ingest", "two": "two ingest processes"}.items():
        found.add(f"ingest_{name}", what, "orders/s", [run.rate for run in runs[name]])
    most = [run.max_rss / 2**20 for run in runs["one"]]
    found.add("ingest_max_rss", "ingest, most memory", "MiB", most)
    outcomes = {name: done[-1].outcomes for name, done in runs.items()}
    return Result(found.by_name, {"outcomes": outcomes, "postgresql": server.facts()})


def _ingest(
    orders: int, settings: SettingsOf, server: Databases, folder: Path, name: Name, *, processes: int
) -> Run:
    """Read all orders into a fresh database; what is delivered twice counts once."""
    with ExitStack() as stack:
        url = stack.enter_context(server.fresh(name))
        given = {"DATABASE_URL": url, "INGEST_PORT": "0", "LOG_FORMAT": "json", **settings(name, processes)}
        programs = [
            stack.enter_context(running_command(f"{name}_{number}", ["ingest"], given, folder))
            for number in range(processes)
        ]
        outcomes, ended = watch(programs, orders)
        joined = min(program.moment("stream_joined") for program in programs)
        check_counts(
            "the database", {"stored": value(url, "select count(*) from orders")}, Counter(stored=orders)
        )
        return Run(
            orders / (ended - joined),
            orders / (ended - programs[0].started),
            max(program.max_rss for program in programs),
            dict(outcomes),
        )
