"""What the Kafka source asks of librdkafka: its options, what its errors mean, and what a topic is."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from orderkeep.errors import (
    BrokerUnavailable,
    ConfigurationError,
    Fatal,
    OffsetGone,
    OrderkeepError,
    ServerUnavailable,
)
from orderkeep.storage.store import SourceIdentity

Options = dict[str, Any]

CONNECT_SECONDS = 10.0
DESCRIBE_SECONDS = 5.0

_PROMISED: Options = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.partition.eof": True,  # ends of partitions may hold marks of transactions, and no message
}
"""What the promise depends on: nobody may set these otherwise."""

_DEFAULTS: Options = {
    "partition.assignment.strategy": "cooperative-sticky",
    "queued.max.messages.kbytes": 32_768,  # bounds the memory of the prefetch, whatever the backlog
    "fetch.queue.backoff.ms": 20,  # a full queue is empty long before the default of a second is over
    "fetch.wait.max.ms": 100,
    "topic.metadata.refresh.interval.ms": 10_000,  # so soon a new partition is read
    "reconnect.backoff.max.ms": 2_000,
    "log_level": 0,  # errors come by the callback and are logged by us, as one line each
}
_ONLY_CLASSIC = ("partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms")

# KafkaError's names of client-side errors begin with an underscore, yet are documented and public.
_CREDENTIALS = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - a public name, see above
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
_OFFSET_GONE = frozenset(
    {
        KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001 - a public name, see above
        KafkaError.OFFSET_OUT_OF_RANGE,
    }
)
_NO_TOPIC = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - a public name, see above
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - a public name, see above
    }
)


def consumer_options(brokers: str, group: str, extra: Mapping[str, Any]) -> Options:
    """The options of the consumer. Raises `ConfigurationError` for one that the promise depends on."""
    for name, value in _PROMISED.items():
        if name in extra and str(extra[name]).lower() != str(value).lower():
            raise ConfigurationError(
                f"ORDERKEEP_KAFKA_OPTIONS may not set {name}: nothing is lost only with {value!r}"
            )
    options = {**_DEFAULTS, **extra, **_PROMISED, "bootstrap.servers": brokers, "group.id": group}
    if options.get("group.protocol") == "consumer":
        asked = [name for name in _ONLY_CLASSIC if name in extra]
        if asked:
            raise ConfigurationError(
                f"ORDERKEEP_KAFKA_OPTIONS: with group.protocol=consumer leave {asked[0]} to the broker"
            )
        options = {name: value for name, value in options.items() if name not in _ONLY_CLASSIC}
    return options


def assigns_incrementally(options: Mapping[str, Any]) -> bool:
    """Whether a rebalance adds and takes partitions, instead of taking all and giving anew."""
    strategy = str(options.get("partition.assignment.strategy", ""))
    return options.get("group.protocol") == "consumer" or "cooperative" in strategy


def classify(error: KafkaError, topic: str) -> OrderkeepError:
    """Which kind of error this is: `Fatal` when only a person can change it."""
    if error.code() in _CREDENTIALS:
        return Fatal(f"Kafka refuses us: {error.str()}. Check the credentials in ORDERKEEP_KAFKA_OPTIONS")
    if error.code() == KafkaError.TOPIC_EXCEPTION:
        return Fatal(f"Kafka takes {topic!r} for no name of a topic: correct ORDERKEEP_KAFKA_TOPIC")
    if error.fatal():
        return Fatal(f"Kafka's client cannot go on: {error.str()}")
    return BrokerUnavailable(f"Kafka: {error.str()}")


def is_end(error: KafkaError) -> bool:
    """Whether it says that all there is of a partition has been read."""
    return bool(error.code() == KafkaError._PARTITION_EOF)  # noqa: SLF001 - a public name, see above


def is_offset_gone(error: KafkaError) -> bool:
    return error.code() in _OFFSET_GONE


def is_no_topic(error: KafkaError) -> bool:
    return error.code() in _NO_TOPIC


def offset_gone(topic: str, partition: int, wanted: int, low: int, high: int) -> OffsetGone:
    """The error for a position that the partition, from `low` to `high`, does not have."""
    where = f"partition {partition} of {topic}"
    remedy = "to go on with what is there, and have the gap recorded, run `orderkeep ingest --accept-gap`"
    if wanted < low:
        return OffsetGone(
            f"{where} begins at {low:,}, and {wanted:,} was to be read next: {low - wanted:,} messages were "
            f"deleted before they were stored; {remedy}",
            missing=low - wanted,
        )
    return OffsetGone(
        f"{where} ends at {high:,}, and {wanted:,} was to be read next: it lost its end; {remedy}"
    )


def connection_options(options: Mapping[str, Any]) -> Options:
    """What of a consumer's options concerns the connection: other clients refuse the rest."""
    names = (
        "bootstrap.servers",
        "security.",
        "sasl.",
        "ssl.",
        "client.",
        "log_level",
        "reconnect.",
        "socket.",
    )
    return {name: value for name, value in options.items() if name.startswith(names)}


class Admin(AdminClient):
    """An admin client that knows why no broker answers: librdkafka's own answer is only that time is up."""

    def __init__(self, options: Options) -> None:
        given: Options = {**options, "error_cb": self._note}
        super().__init__(given)
        self._trouble = ""

    def trouble(self) -> str:
        """The last reason that was told, or nothing."""
        self.poll(0)
        return self._trouble

    def _note(self, error: KafkaError) -> None:
        # That all brokers are down follows every single reason, and says less.
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - a public name, see above
            self._trouble = error.str()


def make_admin(options: Mapping[str, Any]) -> Admin:
    """An admin client over the same connection. Raises `ConfigurationError` for what librdkafka refuses."""
    try:
        return Admin(connection_options(options))
    except KafkaException as error:
        raise ConfigurationError(f"ORDERKEEP_KAFKA_OPTIONS: {error.args[0].str()}") from None


def describe_topic(admin: AdminClient, topic: str) -> "Future[Any]":
    """Ask the brokers what the topic is now; `read_identity` reads the answer."""
    future: Future[Any] = admin.describe_topics(TopicCollection([topic]), request_timeout=DESCRIBE_SECONDS)[
        topic
    ]
    return future


def read_identity(
    answer: "Future[Any]", topic: str, setting: str = "ORDERKEEP_KAFKA_TOPIC"
) -> SourceIdentity:
    """The topic with the id that it was made with. Blocks until the answer is there.

    Raises `BrokerUnavailable` when there is none, `ServerUnavailable` when there is no such topic.
    """
    try:
        description = answer.result()
    except KafkaException as raised:
        error: KafkaError = raised.args[0]
        if is_no_topic(error):
            raise ServerUnavailable(
                f"Kafka has no topic {topic!r}: create it, or correct {setting}"
            ) from None
        raise classify(error, topic) from None
    return SourceIdentity("kafka", topic, str(description.topic_id))


def identify(admin: AdminClient, topic: str, setting: str = "ORDERKEEP_KAFKA_TOPIC") -> SourceIdentity:
    """Ask and read in one; blocks. Raises as `read_identity` does."""
    return read_identity(describe_topic(admin, topic), topic, setting)


async def find_topic(
    admin: Admin, topic: str, brokers: str, setting: str = "ORDERKEEP_KAFKA_TOPIC"
) -> SourceIdentity:
    """Wait for the brokers to answer, at most `CONNECT_SECONDS`. Raises `Fatal`.

    `setting` is the one that the topic was named by.
    """
    deadline = asyncio.get_running_loop().time() + CONNECT_SECONDS
    while True:
        try:
            return await asyncio.to_thread(identify, admin, topic, setting)
        except BrokerUnavailable as error:
            if asyncio.get_running_loop().time() >= deadline:
                raise ServerUnavailable(_nobody(brokers, admin.trouble() or str(error))) from None
            await asyncio.sleep(0.2)


def _nobody(brokers: str, reason: str) -> str:
    remedy = "start Kafka, or set ORDERKEEP_KAFKA_BROKERS"
    if "certificate" in reason:
        remedy = (
            "name its authority by ssl.ca.location in ORDERKEEP_KAFKA_OPTIONS, and the brokers as their "
            "certificates do in ORDERKEEP_KAFKA_BROKERS"
        )
    return f"no broker answers at {brokers} ({reason}): {remedy}"
