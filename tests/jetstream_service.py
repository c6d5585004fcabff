"""The real service for tests, on NATS JetStream."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orderkeep.embedded import NatsServer
from orderkeep.publish.jetstream import JetStreamPublisher
from orderkeep.publish.publisher import DeliveryCallback, Publisher
from tests.nats_wire import NatsWire
from tests.service import Service

DURABLE = "orderkeep"
ACK_WAIT_SECONDS = 2
"""After which a killed process is missed, instead of 30."""


class JetStreamService(Service):
    """A service over a stream of its own, which is made here; `topic` is its name and its subject."""

    def __init__(self, folder: Path, nats: NatsServer, topic: str, **given: Any) -> None:
        env = {
            "ORDERKEEP_SOURCE": "jetstream",
            "ORDERKEEP_NATS_URL": nats.url,
            "ORDERKEEP_NATS_STREAM": topic,
            "ORDERKEEP_NATS_SUBJECT": topic,
        }
        super().__init__(folder, brokers="none", topic=topic, env=env, **given)
        self.nats = nats
        self.make_stream()

    def wire(self) -> NatsWire:
        """A new connection, which outlives no restart of the server."""
        return NatsWire(self.nats.port)

    def make_stream(self) -> None:
        """With a durable that does not wait long for a process that was killed."""
        wire = self.wire()
        stream = {"name": self.topic, "subjects": [self.topic], "storage": "file"}
        wire.ask(f"STREAM.CREATE.{self.topic}", stream)
        consumer = {
            "durable_name": DURABLE,
            "ack_policy": "explicit",
            "deliver_policy": "all",
            "filter_subject": self.topic,
            "ack_wait": ACK_WAIT_SECONDS * 1_000_000_000,
        }
        request = {"stream_name": self.topic, "config": consumer}
        wire.ask(f"CONSUMER.DURABLE.CREATE.{self.topic}.{DURABLE}", request)
        wire.close()

    def publisher(self, on_delivery: DeliveryCallback) -> Publisher:
        return JetStreamPublisher(self.nats.url, self.topic, on_delivery=on_delivery)

    def send(self, payloads: Sequence[bytes | None], partition: int = -1) -> None:  # noqa: ARG002 - there is one
        wire = self.wire()
        for payload in payloads:
            wire.publish(self.topic, payload or b"")
        wire.flush()
        wire.close()

    def unacknowledged(self) -> int:
        """Messages that are not delivered, or delivered and not acknowledged."""
        wire = self.wire()
        found = wire.ask(f"CONSUMER.INFO.{self.topic}.{DURABLE}")
        wire.close()
        return int(found["num_pending"]) + int(found["num_ack_pending"])
