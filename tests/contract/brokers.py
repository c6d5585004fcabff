"""The brokers whose sources keep the contract: to add one, write a `Broker`, and name it in `BROKERS`."""

from collections.abc import Callable
from typing import Protocol

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from orderkeep.embedded import KafkaServer
from orderkeep.sources.kafka import KafkaSource
from orderkeep.sources.memory import MemorySource, MemoryTopic
from orderkeep.sources.source import Source
from orderkeep.storage.store import Message

PARTITIONS = 4
Headers = tuple[tuple[bytes, bytes | None], ...]


class Broker(Protocol):
    """A broker with one empty topic of `PARTITIONS` partitions."""

    def publish(
        self,
        payload: bytes | None,
        partition: int = 0,
        *,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> None:
        """Send one message; it need not have arrived before `flush`."""

    def flush(self) -> None:
        """Returns when everything published can be read."""

    def source(self, group: str = "group") -> Source:
        """Another source of the topic, not opened yet."""


class MemoryBroker:
    def __init__(self) -> None:
        self._topic = MemoryTopic("orders", PARTITIONS)

    def publish(
        self,
        payload: bytes | None,
        partition: int = 0,
        *,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> None:
        messages = self._topic.partitions[partition]
        messages.append(Message(partition, len(messages), payload, key, headers))

    def flush(self) -> None:
        self._topic.changed.set()

    def source(self, group: str = "group") -> Source:
        return MemorySource(self._topic, group)


class KafkaBroker:
    def __init__(self, server: KafkaServer, topic: str) -> None:
        self.server, self.topic = server, topic
        self.renew()

    def renew(self) -> None:
        """With a new producer, which knows the partitions as they are now."""
        self._producer = Producer({"bootstrap.servers": self.server.bootstrap, "log_level": 0})

    def committed(self, group: str = "group", partition: int = 0) -> int:
        """The offset that the group has acknowledged."""
        asking = {"bootstrap.servers": self.server.bootstrap, "group.id": f"{group}-{self.topic}"}
        consumer = Consumer(asking)
        found = consumer.committed([TopicPartition(self.topic, partition)], 60)
        consumer.close()
        return int(found[0].offset)

    def publish(
        self,
        payload: bytes | None,
        partition: int = 0,
        *,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> None:
        while True:
            try:
                self._producer.produce(
                    self.topic,
                    payload,
                    partition=partition,
                    key=key,
                    headers=[(name.decode(), value) for name, value in headers],
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def flush(self) -> None:
        assert self._producer.flush(60) == 0

    def source(self, group: str = "group") -> Source:
        # The name of a group belongs to the whole server, a topic only to one test.
        options = {"session.timeout.ms": 6_000}
        return KafkaSource(self.server.bootstrap, self.topic, f"{group}-{self.topic}", options)


BROKERS: dict[str, Callable[[pytest.FixtureRequest], Broker]] = {
    "memory": lambda _request: MemoryBroker(),
    "kafka": lambda request: KafkaBroker(request.getfixturevalue("kafka"), request.getfixturevalue("topic")),
}
