"""The publisher for Apache Kafka: confluent-kafka's producer, idempotent, confirmed by all replicas."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from orderkeep.errors import BrokerUnavailable, ConfigurationError, Fatal, ServerUnavailable, Transient
from orderkeep.publish.message import GeneratedMessage
from orderkeep.publish.publisher import DeliveryCallback

Option = str | int | float | bool

CONNECT_SECONDS: Final = 10.0
TOPIC_SECONDS: Final = 5.0
"""How long a topic may take to appear on a broker that makes topics when they are asked for."""
BACK_PRESSURE_SECONDS: Final = 0.1
MAX_MESSAGE_BYTES: Final = 1_048_588
"""The broker's default of message.max.bytes; the client's own, 1,000,000, is lower."""

DEFAULTS: Final[dict[str, Option]] = {
    "linger.ms": 5,
    "message.timeout.ms": 60_000,
    "message.max.bytes": MAX_MESSAGE_BYTES,
    "queue.buffering.max.kbytes": 64 * 1024,
    # Errors reach the person as one line, by `error_cb` and exceptions; the client's log would repeat them.
    "log_level": 0,
}
FIXED: Final[dict[str, Option]] = {"enable.idempotence": True, "acks": "all"}
"""Without these a retry could double or reorder messages, and the expected outcomes would not hold."""

FATAL_CODES: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - confluent-kafka's public names for client-side errors
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
    }
)


class KafkaPublisher:
    """Sends to `topic` at `brokers` (host:port, comma-separated); `options` are librdkafka's properties.

    Idempotence and full acknowledgement hold whatever the options say; those meant for consumers do nothing.
    Making one blocks until the topic answers. Raises `ServerUnavailable` when no broker does within
    `CONNECT_SECONDS` or there is no such topic, `ConfigurationError` for options that librdkafka refuses.
    """

    def __init__(
        self,
        brokers: str,
        topic: str,
        *,
        options: Mapping[str, Option] | None = None,
        on_delivery: DeliveryCallback | None = None,
    ) -> None:
        self._brokers = brokers
        self._topic = topic
        self._on_delivery = on_delivery
        self._delivered = 0
        self._failed = 0
        self._failure: KafkaError | None = None
        self._trouble = ""
        config = {
            **DEFAULTS,
            **(options or {}),
            **FIXED,
            "bootstrap.servers": brokers,
            "error_cb": self._note,
        }
        try:
            self._producer = Producer(config)
        except KafkaException as error:
            raise ConfigurationError(f"Kafka's client refuses the options: {_text(error)}") from None
        try:
            self._find_topic()
        except BaseException:
            self.close()
            raise

    @property
    def delivered(self) -> int:
        return self._delivered

    @property
    def failed(self) -> int:
        return self._failed

    def send(self, message: GeneratedMessage) -> None:
        while not self._taken(message):
            self.serve(BACK_PRESSURE_SECONDS)
        self.serve(0)

    def serve(self, seconds: float) -> None:
        self._producer.poll(seconds)
        if self._failure is not None:
            raise self._explained(self._failure)

    def flush(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        # In slices: Python sees a signal only between calls into the client.
        while len(self._producer) and (left := deadline - time.monotonic()) > 0:
            self._producer.flush(min(left, BACK_PRESSURE_SECONDS))
            self.serve(0)
        self.serve(0)
        if waiting := len(self._producer):
            raise BrokerUnavailable(
                f"{waiting:,} messages were not confirmed within {timeout:g} s{self._because()}"
            )

    def close(self) -> None:
        # Without a purge the client would go on trying for as long as message.timeout.ms.
        self._producer.purge()
        self._producer.close()

    def _taken(self, message: GeneratedMessage) -> bool:
        """Whether the client took it; not when its queue is full."""
        try:
            self._producer.produce(
                self._topic, message.payload, message.key, on_delivery=partial(self._reported, message)
            )
        except BufferError:
            return False
        except KafkaException as error:
            raise self._explained(error.args[0]) from None
        return True

    def _reported(self, message: GeneratedMessage, error: KafkaError | None, report: Message) -> None:
        if error is not None:
            self._failed += 1
            self._failure = self._failure or error
            return
        self._delivered += 1
        if self._on_delivery is not None:
            self._on_delivery(message, report.timestamp()[1])

    def _find_topic(self) -> None:
        deadline = time.monotonic() + TOPIC_SECONDS
        while (error := self._topic_error()) is not None:
            if time.monotonic() > deadline:
                raise ServerUnavailable(
                    f"no topic {self._topic!r} at {self._brokers} ({error.str()}): "
                    "create it, or set ORDERKEEP_KAFKA_TOPIC"
                )
            time.sleep(BACK_PRESSURE_SECONDS)

    def _topic_error(self) -> KafkaError | None:
        try:
            found = self._producer.list_topics(self._topic, timeout=CONNECT_SECONDS)
        except KafkaException as error:
            self._producer.poll(0)  # brings the reason to `_note`
            raise ServerUnavailable(
                f"no broker at {self._brokers}{self._because() or f' ({_text(error)})'}: "
                "is Kafka running? set ORDERKEEP_KAFKA_BROKERS"
            ) from None
        topic_error: KafkaError | None = found.topics[self._topic].error
        return topic_error

    def _note(self, error: KafkaError) -> None:
        # That all brokers are down follows every single reason, and says less.
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - a public name in all but its spelling
            self._trouble = error.str()

    def _because(self) -> str:
        return f" ({self._trouble})" if self._trouble else ""

    def _explained(self, error: KafkaError) -> Transient | Fatal:
        text = f"Kafka at {self._brokers} did not take a message for {self._topic!r}: {error.str()}"
        if error.fatal() or error.code() in FATAL_CODES:
            return Fatal(text)
        return BrokerUnavailable(f"{text}{self._because()}")


def _text(error: KafkaException) -> str:
    cause = error.args[0]
    return str(cause.str() if isinstance(cause, KafkaError) else cause)
