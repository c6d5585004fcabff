"""The brokers whose sources keep the contract: to add one, write a `Broker`, and name it at the end."""

from collections.abc import Callable
from typing import ClassVar, Protocol

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from orderkeep.embedded import KafkaServer, NatsServer, StanServer
from orderkeep.sources.jetstream import JetStreamSource
from orderkeep.sources.kafka import KafkaSource
from orderkeep.sources.memory import MemorySource, MemoryTopic
from orderkeep.sources.source import Source
from orderkeep.sources.stan import StanSource
from orderkeep.storage.store import Message
from tests.contract.implementations import implementations
from tests.nats_wire import NatsWire
from tests.stan_wire import StanWire

PARTITIONS = 4
Headers = tuple[tuple[bytes, bytes | None], ...]
Content = tuple[bytes | None, bytes | None, Headers]

CONTENTS: dict[str, Content] = {
    "tombstone": (None, b"key", ()),
    "empty": (b"", b"", ()),
    "every byte": (bytes(range(256)), bytes(range(256)), ((b"name", bytes(range(256))),)),
    "headers": (b"x", None, ((b"a", b"1"), (b"a", None), (b"", b""), ("Ж".encode(), b"2"))),
}
"""Payload, key and headers of messages that are hard to carry."""


class Broker(Protocol):
    """A broker with one empty topic of `partitions` partitions, whose first position is `first`.

    `contents` are those of `CONTENTS` that it can carry, or what comes closest.
    """

    partitions: int
    first: int

    @property
    def contents(self) -> dict[str, Content]: ...

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
    partitions, first, contents = PARTITIONS, 0, CONTENTS

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
    partitions, first, contents = PARTITIONS, 0, CONTENTS

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


class JetStreamBroker:
    """A stream has no partitions, and a message neither a key nor a header without a value."""

    partitions, first = 1, 1
    contents: ClassVar[dict[str, Content]] = {
        "empty": (b"", None, ()),
        "every byte": (bytes(range(256)), None, ((b"name", bytes(set(range(33, 256)))),)),
        "headers": (
            b"x",
            None,
            ((b"a", b"1"), (b"a", b""), (b"", b""), ("Ж".encode(), b"2"), (b"\xff", b":\xff")),
        ),
        "status": (b"", None, ((b"Status", b"409"), (b"Description", b"Consumer Deleted"))),
    }

    def __init__(self, server: NatsServer, subject: str, *, make: bool = True) -> None:
        self.server, self.subject = server, subject
        self.connect()
        if make:
            self.make_stream()

    def connect(self) -> None:
        """Over a new connection, as after a restart of the server."""
        self.wire = NatsWire(self.server.port)

    def make_stream(self, **config: object) -> None:
        self.wire.ask(
            f"STREAM.CREATE.{self.subject}",
            {"name": self.subject, "subjects": [self.subject], "storage": "file", **config},
        )

    def publish(
        self,
        payload: bytes | None,
        partition: int = 0,  # noqa: ARG002 - there is one
        *,
        key: bytes | None = None,  # noqa: ARG002 - there is none
        headers: Headers = (),
    ) -> None:
        self.wire.publish(self.subject, payload or b"", [(name, value or b"") for name, value in headers])

    def flush(self) -> None:
        self.wire.flush()

    def source(self, group: str = "group") -> Source:
        return JetStreamSource(self.server.url, self.subject, self.subject, group, ack_wait=2.0)


class StanBroker:
    """A channel has no partitions, and a message neither key nor headers.

    Each group is a client of its own, as a durable belongs to a client.
    """

    partitions, first = 1, 1
    contents: ClassVar[dict[str, Content]] = {
        "empty": (b"", None, ()),
        "every byte": (bytes(range(256)), None, ()),
    }

    def __init__(self, server: StanServer, channel: str, *, queue: str = "") -> None:
        self.server, self.channel, self.queue = server, channel, queue
        self.connect()

    def connect(self) -> None:
        """Over a new connection, as after a restart of the server."""
        self.wire = StanWire(self.server.port, self.server.cluster)

    def publish(
        self,
        payload: bytes | None,
        partition: int = 0,  # noqa: ARG002 - there is one
        *,
        key: bytes | None = None,  # noqa: ARG002 - there is none
        headers: Headers = (),  # noqa: ARG002 - there are none
    ) -> None:
        self.wire.publish(self.channel, payload or b"")

    def flush(self) -> None:
        self.wire.flush()

    def source(self, group: str = "group") -> Source:
        return StanSource(
            self.server.url,
            self.server.cluster,
            f"{group}-{self.channel}",
            self.channel,
            group,
            queue=self.queue,
            ack_wait=1,
        )


_OURS: dict[str, Callable[[pytest.FixtureRequest], Broker]] = {
    "memory": lambda _request: MemoryBroker(),
    "kafka": lambda request: KafkaBroker(request.getfixturevalue("kafka"), request.getfixturevalue("topic")),
    "jetstream": lambda request: JetStreamBroker(
        request.getfixturevalue("nats"), request.getfixturevalue("subject")
    ),
    "stan": lambda request: StanBroker(request.getfixturevalue("stan"), request.getfixturevalue("subject")),
    "stan queue": lambda request: StanBroker(
        request.getfixturevalue("stan"), request.getfixturevalue("subject"), queue="queue"
    ),
}
BROKERS = implementations("SOURCE", _OURS)
