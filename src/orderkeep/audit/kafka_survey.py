"""What Kafka says about a topic and a group."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec

from orderkeep.errors import ConfigurationError, Fatal, ServerUnavailable

from .topic import TopicState

PATIENCE = 10.0
"""Seconds for the broker to answer one request."""
_COMMITTED_OF: dict[str, str | int | float | bool] = {
    "group.protocol": "classic",
    "enable.auto.commit": False,
}
"""For a consumer that only asks: what a user sets for members of a group is of no use to it."""
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # its stubs give no return type
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # as above


def client_options(brokers: str, options: Mapping[str, str]) -> dict[str, str | int | float | bool]:
    """Options for a client; librdkafka's own log lines are off, since what matters comes as an exception."""
    return {**options, "bootstrap.servers": brokers, "log_level": 0}


def survey(brokers: str, options: Mapping[str, str], topic: str, group: str) -> TopicState:
    """Ask the broker; blocks for as many seconds as it takes, at most `PATIENCE` a request.

    Raises `Fatal`: there is no such topic, the broker cannot be reached or refuses to tell.
    """
    with options_explained():
        admin = AdminClient(client_options(brokers, options))
        consumer = Consumer({**client_options(brokers, options), **_COMMITTED_OF, "group.id": group})
    try:
        return _survey(admin, consumer, topic)
    except KafkaException as error:
        raise explain(error.args[0], brokers, topic) from None
    finally:
        consumer.close()


def _survey(admin: AdminClient, consumer: Consumer, topic: str) -> TopicState:
    description = admin.describe_topics(TopicCollection([topic]), request_timeout=PATIENCE)[topic].result()
    partitions = [TopicPartition(topic, partition.id) for partition in description.partitions]
    return TopicState(
        kind="kafka",
        topic=topic,
        incarnation=str(description.topic_id),
        low=_offsets(admin, partitions, _EARLIEST),
        end=_offsets(admin, partitions, _LATEST),
        committed=_committed(consumer, partitions),
        compacted=_is_compacted(admin, topic),
    )


def _committed(consumer: Consumer, partitions: list[TopicPartition]) -> dict[int, int]:
    """The offsets of the consumer's group, which it does not join: it subscribes to nothing.

    AdminClient.list_consumer_group_offsets would do, but librdkafka 2.16.1 can crash the process in it when
    the coordinator answers with an error, as it does while a broker is starting (seen in 1 of 12 starts).
    """
    found = consumer.committed(partitions, timeout=PATIENCE)
    for seen in found:
        if seen.error is not None:
            raise KafkaException(seen.error)
    return {seen.partition: seen.offset for seen in found if seen.offset >= 0}


def _offsets(admin: AdminClient, partitions: list[TopicPartition], which: OffsetSpec) -> dict[int, int]:
    asked = dict.fromkeys(partitions, which)
    answers: dict[TopicPartition, Future[Any]] = admin.list_offsets(
        asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=PATIENCE
    )
    return {partition.partition: answer.result().offset for partition, answer in answers.items()}


def _is_compacted(admin: AdminClient, topic: str) -> bool | None:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    try:
        entries = admin.describe_configs([resource], request_timeout=PATIENCE)[resource].result()
    except KafkaException:  # a right of its own, which an auditor need not have
        return None
    return "compact" in entries["cleanup.policy"].value


def explain(error: KafkaError, brokers: str, topic: str) -> Fatal:
    """One line for a person about what the broker, or the way to it, refuses."""
    match error.code():
        case KafkaError.UNKNOWN_TOPIC_OR_PART | KafkaError.UNKNOWN_TOPIC_ID:
            return ServerUnavailable(
                f"There is no topic {topic!r} at {brokers}. Make it, or set ORDERKEEP_KAFKA_TOPIC."
            )
        case KafkaError.TOPIC_EXCEPTION:
            return ConfigurationError(
                f"Kafka takes {topic!r} for no name of a topic: set ORDERKEEP_KAFKA_TOPIC."
            )
        case KafkaError.TOPIC_AUTHORIZATION_FAILED | KafkaError.GROUP_AUTHORIZATION_FAILED:
            return ConfigurationError(
                f"Kafka does not let this user read topic {topic!r} and the group's offsets: {error.str()}."
            )
        case _:
            return ServerUnavailable(
                f"Kafka at {brokers} does not answer as it should: {error.str()}. "
                "Start it, or set ORDERKEEP_KAFKA_BROKERS and ORDERKEEP_KAFKA_OPTIONS."
            )


@contextmanager
def options_explained() -> Iterator[None]:
    """Turn the refusal of a new client into a `ConfigurationError`."""
    try:
        yield
    except KafkaException as error:
        raise ConfigurationError(f"ORDERKEEP_KAFKA_OPTIONS: {error.args[0].str()}") from None
