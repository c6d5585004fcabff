"""Which adapters stand for the broker that the settings name: to read it, to send to it, to audit it.

They are imported when they are asked for, so that a start pays for one broker, and the API for none. Their
clients are extras, so that an installation has only what it uses: everything here raises
`ConfigurationError` when the client of the broker is missing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from orderkeep.errors import ConfigurationError
from orderkeep.publish.publisher import DeliveryCallback, Publisher
from orderkeep.settings import Settings
from orderkeep.sources.source import Source

if TYPE_CHECKING:
    from orderkeep.audit import AuditedTopic
    from orderkeep.sources.kafka_dead_letters import KafkaDeadLetters

_CLIENTS = {
    "kafka": ("confluent_kafka", "orderkeep[kafka]"),
    "jetstream": ("nats", "orderkeep[nats]"),
    "stan": ("nats", "orderkeep[nats]"),
}


def source_of(settings: Settings) -> Source:
    """What ingest reads. Nothing is connected yet."""
    _require_client(settings)
    if settings.source == "jetstream":
        from orderkeep.sources.jetstream import JetStreamSource

        return JetStreamSource(
            settings.nats_url, settings.nats_stream, settings.nats_subject, settings.nats_durable
        )
    if settings.source == "stan":
        from orderkeep.sources.stan import StanSource
        from orderkeep.storage.postgres_incarnation import latest_incarnation

        database, channel, durable = settings.database_url, settings.nats_subject, settings.nats_durable
        return StanSource(
            settings.nats_url,
            settings.stan_cluster,
            settings.stan_client_id,
            channel,
            durable,
            queue=settings.stan_queue,
            remembered=lambda: latest_incarnation(database, "stan", channel, durable),
        )
    from orderkeep.sources.kafka import KafkaSource

    return KafkaSource(
        settings.kafka_brokers,
        settings.kafka_topic,
        settings.kafka_group,
        settings.kafka_options,
        # A dead letter is delivered after its reject is committed, and only then acknowledged.
        unless_acknowledged=bool(settings.kafka_dead_letter_topic),
    )


@asynccontextmanager
async def dead_letters_of(settings: Settings) -> AsyncIterator["KafkaDeadLetters | None"]:
    """Where ingest delivers what it keeps aside, if asked to. Raises `Fatal` when that cannot be used."""
    if not settings.kafka_dead_letter_topic:
        yield None
        return
    if settings.source != "kafka":
        raise ConfigurationError("ORDERKEEP_KAFKA_DEAD_LETTER_TOPIC is for ORDERKEEP_SOURCE=kafka alone")
    _require_client(settings)
    from orderkeep.sources.kafka_dead_letters import KafkaDeadLetters

    brokers, topic = settings.kafka_brokers, settings.kafka_dead_letter_topic
    dead_letters = KafkaDeadLetters(brokers, topic, settings.kafka_options)
    await dead_letters.open()
    try:
        yield dead_letters
    finally:
        dead_letters.close()


def make_publisher(settings: Settings, on_delivery: DeliveryCallback | None = None) -> Publisher:
    """A publisher to the broker. Blocks until it answers; raises `Fatal`."""
    _require_client(settings)
    if settings.source == "jetstream":
        from orderkeep.publish.jetstream import JetStreamPublisher

        return JetStreamPublisher(settings.nats_url, settings.nats_subject, on_delivery=on_delivery)
    if settings.source == "stan":
        from orderkeep.publish.stan import StanPublisher

        return StanPublisher(
            settings.nats_url,
            settings.stan_cluster,
            settings.stan_client_id,
            settings.nats_subject,
            on_delivery=on_delivery,
        )
    from orderkeep.publish.kafka import KafkaPublisher

    return KafkaPublisher(
        settings.kafka_brokers,
        settings.kafka_topic,
        options=settings.kafka_options,
        on_delivery=on_delivery,
    )


def audited_topic(settings: Settings) -> "AuditedTopic":
    """What an audit reads again. Nothing is connected yet."""
    _require_client(settings)
    if settings.source == "jetstream":
        from orderkeep.audit.jetstream import JetStreamTopic

        return JetStreamTopic(
            settings.nats_url, settings.nats_stream, settings.nats_subject, settings.nats_durable
        )
    if settings.source == "stan":
        from orderkeep.audit.stan import StanTopic

        return StanTopic(
            settings.nats_url,
            settings.stan_cluster,
            settings.stan_client_id,
            settings.nats_subject,
            settings.nats_durable,
            settings.read_url,
        )
    from orderkeep.audit.kafka import KafkaTopic

    return KafkaTopic(
        settings.kafka_brokers, settings.kafka_options, settings.kafka_topic, settings.kafka_group
    )


def _require_client(settings: Settings) -> None:
    module, extra = _CLIENTS[settings.source]
    if find_spec(module) is None:
        raise ConfigurationError(
            f"ORDERKEEP_SOURCE is {settings.source}, and its client is not here: install {extra}"
        )
