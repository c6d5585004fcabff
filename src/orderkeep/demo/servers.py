"""The demo's own PostgreSQL and broker, and the settings that lead to them."""

import asyncio
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from orderkeep.embedded import KafkaServer, NatsServer, PostgresServer, StanServer, remove
from orderkeep.errors import Fatal, ServerUnavailable
from orderkeep.settings import Settings
from orderkeep.storage.migrate import migrate

Say = Callable[[str], None]

PARTITIONS = 4
LEAST_FREE_BYTES = 500_000_000
DATABASE = "orderkeep"


@contextmanager
def running(
    settings: Settings, broker: str | None, data: Path, say: Say, *, reset: bool
) -> Iterator[Settings]:
    """Start the servers, stop them at the end, and yield the settings that reach them. Raises `Fatal`.

    Without a `broker` it is Kafka, or JetStream where Kafka cannot be had.
    """
    if reset:
        for name in ("postgres", "kafka", "nats", "stan"):
            remove(data / name)
    _make_folder(data)
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer(data / "postgres", say=say))
        reached = _start_broker(stack, settings, broker, data, say)
        yield settings.model_copy(update={**reached, **_provision(postgres)})


def _start_broker(
    stack: ExitStack, settings: Settings, broker: str | None, data: Path, say: Say
) -> dict[str, Any]:
    """The settings that lead to it."""
    if broker == "jetstream":
        return _start_nats(stack, settings, data, say)
    if broker == "stan":
        stan = stack.enter_context(StanServer(data / "stan", say=say))
        return {"source": "stan", "nats_url": stan.url, "stan_cluster": stan.cluster}
    try:
        return _start_kafka(stack, settings, data, say)
    except ServerUnavailable as error:
        if broker == "kafka":
            raise
        say(f"{error} So this demo runs on NATS JetStream.")
        return _start_nats(stack, settings, data, say)


def _start_kafka(stack: ExitStack, settings: Settings, data: Path, say: Say) -> dict[str, Any]:
    kafka = stack.enter_context(KafkaServer(data / "kafka", say=say))
    kafka.create_topic(settings.kafka_topic, PARTITIONS)
    # A demo that was killed is still a member of the group until its session ends, 45 s by default.
    options = {"session.timeout.ms": 6_000, **settings.kafka_options}
    return {"source": "kafka", "kafka_brokers": kafka.bootstrap, "kafka_options": options}


def _start_nats(stack: ExitStack, settings: Settings, data: Path, say: Say) -> dict[str, Any]:
    nats = stack.enter_context(NatsServer(data / "nats", say=say))
    nats.create_stream(settings.nats_stream, settings.nats_subject)
    return {"source": "jetstream", "nats_url": nats.url}


def _provision(postgres: PostgresServer) -> dict[str, str]:
    """A database of its own, its owner, and a user for each of the two roles; as a team would have it."""
    users = {name: secrets.token_hex(16) for name in ("orderkeep", "orderkeep_in", "orderkeep_out")}
    postgres.create_user("orderkeep", users["orderkeep"], createrole=True)
    postgres.create_database(DATABASE, "orderkeep")
    asyncio.run(migrate(postgres.url("orderkeep", users["orderkeep"], DATABASE)))
    postgres.create_user("orderkeep_in", users["orderkeep_in"], in_role="orderkeep_ingest")
    postgres.create_user("orderkeep_out", users["orderkeep_out"], in_role="orderkeep_reader")
    return {
        "database_migrate_url": postgres.url("orderkeep", users["orderkeep"], DATABASE),
        "database_url": postgres.url("orderkeep_in", users["orderkeep_in"], DATABASE),
        "database_read_url": postgres.url("orderkeep_out", users["orderkeep_out"], DATABASE),
    }


def _make_folder(data: Path) -> None:
    try:
        data.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(data).free
    except OSError as error:
        raise Fatal(f"cannot make {data}: {error.strerror}. Give another folder with --data") from None
    if free < LEAST_FREE_BYTES:
        raise Fatal(
            f"only {free // 1_000_000:,} MB are free at {data}, and the servers need "
            f"{LEAST_FREE_BYTES // 1_000_000}: make room, or give another folder with --data"
        )
