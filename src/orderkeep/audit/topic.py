"""What the broker says about a topic and a group, and which offsets an audit can therefore see."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, NamedTuple

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

PATIENCE = 10.0
"""Seconds for the broker to answer one request."""
_COMMITTED_OF: dict[str, str | int | float | bool] = {
    "group.protocol": "classic",
    "enable.auto.commit": False,
}
"""For a consumer that only asks: what a user sets for members of a group is of no use to it."""
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # its stubs give no return type
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # as above


class TopicState(NamedTuple):
    """A topic at one moment, by partition: `low` is the first offset that is left, `end` the one after the
    last that a reader of committed transactions gets, `committed` the group's, where it has one.
    `compacted` is None when the broker does not tell. `first` is where the very first message was.
    """

    kind: str
    topic: str
    incarnation: str
    low: Mapping[int, int]
    end: Mapping[int, int]
    committed: Mapping[int, int]
    compacted: bool | None
    first: int = 0


class Span(NamedTuple):
    """The offsets of a partition that are read, from `first` up to `next`, and how many around them are not.

    `deleted` by retention, `unread` those of them that were not acknowledged before, `unacknowledged` behind
    the committed offset, `lost_tail` acknowledged but beyond the end of the log.
    """

    partition: int
    first: int
    next: int
    deleted: int
    unread: int
    committed: int
    has_commit: bool
    unacknowledged: int
    lost_tail: int

    @property
    def length(self) -> int:
        """How many offsets are read."""
        return self.next - self.first


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


def plan(state: TopicState, since: Mapping[int, int], until: Mapping[int, int]) -> list[Span]:
    """What to read of each partition: from `since` or the beginning to `until` or the committed offset."""
    return [
        _span(state, partition, since.get(partition, state.first), until.get(partition))
        for partition in sorted(state.low)
    ]


def _span(state: TopicState, partition: int, since: int, until: int | None) -> Span:
    low, end, committed = state.low[partition], state.end[partition], state.committed.get(partition)
    acknowledged = 0 if committed is None else committed
    wanted = max(since, end if until is None else min(until, end))
    first = max(low, since)
    return Span(
        partition=partition,
        first=first,
        next=max(first, min(acknowledged, wanted)),
        deleted=max(0, min(low, wanted) - since),
        unread=max(0, min(low, wanted) - max(since, acknowledged)),
        committed=acknowledged,
        has_commit=committed is not None,
        unacknowledged=max(0, wanted - max(first, acknowledged)),
        lost_tail=max(0, acknowledged - end) if until is None else 0,
    )
