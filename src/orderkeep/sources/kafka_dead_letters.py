"""A topic of Kafka that gets a copy of every message that is kept aside, with headers that say why.

The client's own threads do the sending; the event loop only looks in on them, and waits in no call.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Report

from orderkeep.errors import BrokerUnavailable, ConfigurationError, Fatal, OrderkeepError
from orderkeep.sources import kafka_client
from orderkeep.sources.dead_letter_headers import headers
from orderkeep.storage.store import Refused, SourceIdentity

SETTING = "ORDERKEEP_KAFKA_DEAD_LETTER_TOPIC"

_LOOK_SECONDS = 0.005
_OPTIONS: dict[str, Any] = {
    "enable.idempotence": True,  # and with it acks=all; the client repeats nothing by itself
    "message.timeout.ms": 30_000,
    "message.max.bytes": 1_000_000_000,  # the topic decides what is too much
    "queue.buffering.max.messages": 0,  # one batch of the pipeline at a time bounds it
    "queue.buffering.max.kbytes": 2_097_151,
}

Headers = list[tuple[str, str | bytes | None]]


class KafkaDeadLetters:
    """A `DeadLetters`; `options` are librdkafka's properties, of which those of the connection are used."""

    def __init__(self, brokers: str, topic: str, options: Mapping[str, Any]) -> None:
        self._brokers = brokers
        self._topic = topic
        self._options = {**options, "bootstrap.servers": brokers, "log_level": 0}
        self._made: Producer | None = None

    async def open(self) -> None:
        """See that the topic is there. Raises `Fatal`."""
        admin = kafka_client.make_admin(self._options)
        await kafka_client.find_topic(admin, self._topic, self._brokers, SETTING)

    async def deliver(self, source: SourceIdentity, refused: Sequence[Refused]) -> None:
        delivery = _Delivery(self._topic, len(refused))
        try:
            for one in refused:
                self._send(source, one, delivery)
            while delivery.waiting:
                self._producer.poll(0)
                if delivery.waiting:
                    await asyncio.sleep(_LOOK_SECONDS)
        except BaseException:
            self.close()  # what is still on its way is sent again with all the others
            raise
        if delivery.failure is not None:
            self.close()
            raise delivery.failure

    def close(self) -> None:
        """Let go of what is on its way, without waiting."""
        if self._made is not None:
            self._made.purge()
            self._made.close()
            self._made = None

    @property
    def _producer(self) -> Producer:
        if self._made is None:
            try:
                self._made = Producer({**kafka_client.connection_options(self._options), **_OPTIONS})
            except KafkaException as error:
                raise ConfigurationError(f"ORDERKEEP_KAFKA_OPTIONS: {error.args[0].str()}") from None
        return self._made

    def _send(self, source: SourceIdentity, refused: Refused, delivery: "_Delivery") -> None:
        message = refused.message
        try:
            self._producer.produce(
                self._topic,
                message.payload,
                message.key,
                headers=_headers(source, refused),
                on_delivery=delivery.note,
            )
        except BufferError:
            raise BrokerUnavailable(
                f"Kafka takes no dead letters for {self._topic}: its queue is full"
            ) from None
        except KafkaException as error:
            raise _meaning(error.args[0], self._topic) from None


class _Delivery:
    """How far some messages have come. `failure` is the worst that happened to one of them."""

    def __init__(self, topic: str, waiting: int) -> None:
        self._topic = topic
        self.waiting = waiting
        self.failure: OrderkeepError | None = None

    def note(self, error: KafkaError | None, _report: Report) -> None:
        self.waiting -= 1
        if error is not None and not isinstance(self.failure, Fatal):
            self.failure = _meaning(error, self._topic)


def _meaning(error: KafkaError, topic: str) -> OrderkeepError:
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return Fatal(
            f"the dead-letter topic {topic!r} refuses a message for its size: raise its max.message.bytes "
            f"above that of the topic that is read, and with room for the headers"
        )
    if error.fatal():
        # Of this producer, not of the cluster: an idempotent one may not go on after some failures.
        return BrokerUnavailable(f"dead letters: {error.str()}")
    return kafka_client.classify(error, topic)


def _headers(source: SourceIdentity, refused: Refused) -> Headers:
    said = headers(source, refused).items()
    return [*_original(refused.message.headers), *((name, _bytes(text)) for name, text in said)]


def _original(headers: Iterable[tuple[bytes, bytes | None]]) -> Headers:
    # Kafka's client has read names as UTF-8, and wants them as text again.
    return [(name.decode(errors="replace"), value) for name, value in headers]


def _bytes(text: str) -> bytes:
    return text.encode(errors="backslashreplace")
