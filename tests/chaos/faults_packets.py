"""Faults of a network that loses packets."""

import random
from collections.abc import Iterator

from tests.chaos.fault import fault
from tests.chaos.packet_loss import missing, packet_loss
from tests.chaos.scene import Scene

LOSS = (0.02, 0.2)
"""Of all packets. The kernel sends again after 0.2 seconds and longer, each time twice as long."""


@fault("packets lost between ingest and Kafka", part="network", hold=(2.0, 6.0), needs=missing)
def kafka_packets_lost(scene: Scene, dice: random.Random) -> Iterator[None]:
    """A share of the packets between ingest and the brokers is dropped."""
    with packet_loss([link.port for link in scene.links.ingest_kafka], dice.uniform(*LOSS)):
        yield


@fault("packets lost between ingest and PostgreSQL", part="network", hold=(2.0, 6.0), needs=missing)
def ingest_postgres_packets_lost(scene: Scene, dice: random.Random) -> Iterator[None]:
    """A share of the packets between ingest and PostgreSQL is dropped."""
    with packet_loss([link.port for link in scene.links.ingest_postgres], dice.uniform(*LOSS)):
        yield


@fault("packets lost between the API and PostgreSQL", part="network", hold=(2.0, 6.0), needs=missing)
def api_postgres_packets_lost(scene: Scene, dice: random.Random) -> Iterator[None]:
    """A share of the packets between the API and PostgreSQL is dropped."""
    with packet_loss([link.port for link in scene.links.api_postgres], dice.uniform(*LOSS)):
        yield


@fault("packets lost between the brokers", part="network", hold=(2.0, 6.0), needs=missing)
def broker_packets_lost(scene: Scene, dice: random.Random) -> Iterator[None]:
    """A share of the packets among the brokers, and between them and the publisher, is dropped."""
    with packet_loss([node.port for node in scene.kafka.nodes], dice.uniform(*LOSS)):
        yield
