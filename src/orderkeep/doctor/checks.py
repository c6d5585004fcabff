"""Every check, in the order of the report. `docs/doctor.md` says of each what it means."""

from typing import Any, Final

from orderkeep.settings import Settings

from . import database, jetstream, kafka, lag, machine, postgres, redis, rights, settings, stan
from .check import Check


def _on_kafka(given: Settings) -> bool:
    return given.source == "kafka"


def _with_dead_letters(given: Settings) -> bool:
    return given.source == "kafka" and bool(given.kafka_dead_letter_topic)


def _on_jetstream(given: Settings) -> bool:
    return given.source == "jetstream"


def _on_stan(given: Settings) -> bool:
    return given.source == "stan"


def _with_redis(given: Settings) -> bool:
    return given.cache != "memory"


def _start_database(name: str) -> str:
    return f"start PostgreSQL, or correct {name}"


_START_KAFKA = "start Kafka, or correct ORDERKEEP_KAFKA_BROKERS and ORDERKEEP_KAFKA_OPTIONS"
_START_NATS = "start the server, or correct ORDERKEEP_NATS_URL"

CHECKS: Final[list[Check[Any]]] = [
    Check("settings", settings.settings_given, settings.values),
    Check("old-names", settings.settings_given, settings.old_names),
    Check("contradictions", settings.settings_given, settings.contradictions),
    Check("clients", settings.settings_given, settings.clients),
    Check("open-files", machine.machine, machine.open_files),
    Check("memory", machine.machine, machine.memory),
    Check("database", database.primary, postgres.reached, opens=_start_database("ORDERKEEP_DATABASE_URL")),
    Check(
        "database-read",
        database.read_server,
        postgres.reached,
        opens=_start_database("ORDERKEEP_DATABASE_READ_URL"),
    ),
    Check(
        "database-migrate",
        database.owner,
        postgres.reached,
        opens=_start_database("ORDERKEEP_DATABASE_MIGRATE_URL"),
    ),
    Check("database-version", database.primary, postgres.version),
    Check("database-direct", database.primary, postgres.direct),
    Check("database-encoding", database.primary, postgres.encoding),
    Check("database-migrations", database.primary, postgres.applied),
    Check("database-ingest-user", database.primary, rights.ingest_user),
    Check("database-read-user", database.read_server, rights.reading_user),
    Check("database-owner", database.owner, rights.owning_user),
    Check("database-replica", database.writes_and_reads, postgres.read_replica),
    Check("database-durability", database.primary, postgres.durability),
    Check("database-commits", database.primary, postgres.commits),
    Check("database-notifications", database.primary, postgres.notifications),
    Check("database-connections", database.primary, postgres.connections),
    Check("database-transactions", database.primary, postgres.transactions),
    Check("database-clock", database.primary, postgres.clock),
    Check("database-disk", database.primary, postgres.disk),
    Check("kafka", kafka.cluster, kafka.reached, opens=_START_KAFKA, when=_on_kafka),
    Check("kafka-topic", kafka.cluster, kafka.topic, when=_on_kafka),
    Check("kafka-dead-letters", kafka.cluster, kafka.dead_letter_topic, when=_with_dead_letters),
    Check("kafka-retention", kafka.cluster, kafka.retention, when=_on_kafka),
    Check("kafka-replication", kafka.cluster, kafka.replication, when=_on_kafka),
    Check("kafka-clock", kafka.cluster, kafka.clock, when=_on_kafka),
    Check("jetstream", jetstream.server, jetstream.reached, opens=_START_NATS, when=_on_jetstream),
    Check("jetstream-stream", jetstream.server, jetstream.stream, when=_on_jetstream),
    Check("jetstream-limits", jetstream.server, jetstream.limits, when=_on_jetstream),
    Check("jetstream-duplicates", jetstream.server, jetstream.duplicates, when=_on_jetstream),
    Check("jetstream-consumer", jetstream.server, jetstream.consumer, when=_on_jetstream),
    Check("jetstream-storage", jetstream.server, jetstream.storage, when=_on_jetstream),
    Check("jetstream-clock", jetstream.server, jetstream.clock, when=_on_jetstream),
    Check("stan", stan.server, stan.reached, opens=_START_NATS, when=_on_stan),
    Check("stan-limits", lag.positions, stan.limits, when=_on_stan),
    Check("lag", lag.positions, lag.lag),
    Check(
        "redis",
        redis.server,
        redis.reached,
        opens="start it, or correct ORDERKEEP_REDIS_URL: PostgreSQL is read meanwhile",
        severity="warning",
        when=_with_redis,
    ),
    Check("redis-memory", redis.server, redis.memory, when=_with_redis),
]
