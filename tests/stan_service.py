"""The real service for tests, on NATS Streaming."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orderkeep.audit.stan import StanTopic
from orderkeep.embedded import StanServer
from orderkeep.publish.publisher import DeliveryCallback, Publisher
from orderkeep.publish.stan import StanPublisher
from tests.service import Service
from tests.stan_wire import StanWire

DURABLE = "orderkeep"


class StanService(Service):
    """A service over the channel `topic`; ingest connects to `port`, if it is another than the server's."""

    def __init__(
        self,
        folder: Path,
        stan: StanServer,
        topic: str,
        *,
        queue: str = "",
        port: int | None = None,
        **given: Any,
    ) -> None:
        env = {
            "ORDERKEEP_SOURCE": "stan",
            "ORDERKEEP_NATS_URL": f"nats://127.0.0.1:{port or stan.port}",
            "ORDERKEEP_NATS_SUBJECT": topic,
            "ORDERKEEP_STAN_CLUSTER": stan.cluster,
            "ORDERKEEP_STAN_CLIENT_ID": f"ingest-{topic}",
            "ORDERKEEP_STAN_QUEUE": queue,
        }
        super().__init__(folder, brokers="none", topic=topic, env=env, **given)
        self.stan = stan

    def wire(self) -> StanWire:
        """A new connection, which outlives no restart of the server."""
        return StanWire(self.stan.port, self.stan.cluster)

    def publisher(self, on_delivery: DeliveryCallback) -> Publisher:
        return StanPublisher(self.stan.url, self.stan.cluster, "load", self.topic, on_delivery=on_delivery)

    def send(self, payloads: Sequence[bytes | None], partition: int = -1) -> None:  # noqa: ARG002 - there is one
        wire = self.wire()
        for payload in payloads:
            wire.publish(self.topic, payload or b"")
        wire.flush()
        wire.close()

    def unacknowledged(self) -> int:
        """Messages of the channel that the database does not claim to have: nobody can ask the server."""
        database = self.env["ORDERKEEP_DATABASE_READ_URL"]
        topic = StanTopic(self.stan.url, self.stan.cluster, "test", self.topic, DURABLE, database)
        state = topic.look()
        return state.end[0] - state.committed.get(0, state.low[0])
