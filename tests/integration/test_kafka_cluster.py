"""A cluster of three brokers survives what one broker does not."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from orderkeep.embedded.kafka_cluster import KafkaCluster, KafkaNode
from orderkeep.errors import Fatal
from tests.requirements import need
from tests.service import wait_until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def kafka(servers_folder: Path) -> Iterator[KafkaCluster]:
    cluster = KafkaCluster(servers_folder / "cluster")
    try:
        cluster.start()
    except Fatal as error:
        need(condition=False, reason=str(error))
    yield cluster
    cluster.kill()


@pytest.fixture
def topic(kafka: KafkaCluster, request: pytest.FixtureRequest) -> str:
    """A topic of two partitions, with every broker running."""
    kafka.start()
    name = str(request.node.name)
    kafka.create_topic(name, partitions=2)
    return name


def produce(kafka: KafkaCluster, topic: str, values: list[bytes], partition: int = 0) -> None:
    """Send, and wait until two brokers have everything."""
    failed: list[object] = []
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True, "log_level": 0})
    for value in values:
        producer.produce(
            topic,
            value,
            partition=partition,
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
    assert producer.flush(60) == 0
    assert not failed


def read(kafka: KafkaCluster, topic: str, count: int) -> list[bytes]:
    """The first so many messages of partition 0, by the listener of the service."""
    consumer = Consumer({"bootstrap.servers": kafka.service_bootstrap, "group.id": topic, "log_level": 0})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[bytes] = []
    try:
        while len(found) < count:
            found += [message.value() or b"" for message in consumer.consume(count, timeout=1)]
    finally:
        consumer.close()
    return found


def test_leader_killed(kafka: KafkaCluster, topic: str) -> None:
    """What was acknowledged outlives the leader; another leads; the killed one comes back on its ports."""
    values = [b"%d" % number for number in range(200)]
    produce(kafka, topic, values[:100])
    leader = kafka.leader(topic, 0)
    ports = leader.port, leader.service_port
    leader.kill()
    produce(kafka, topic, values[100:])
    assert kafka.leader(topic, 0) is not leader
    assert read(kafka, topic, 200) == values
    leader.start()
    assert (leader.port, leader.service_port) == ports


def test_controller_killed(kafka: KafkaCluster, topic: str) -> None:
    """Another controls, and the cluster goes on making topics."""
    controller = kafka.controller()
    controller.kill()
    assert kafka.controller() is not controller
    kafka.create_topic(f"{topic}-afterwards", partitions=1)
    controller.start()
    produce(kafka, topic, [b"controlled"])


def test_leaders_moved(kafka: KafkaCluster, topic: str) -> None:
    """Every partition gets another leader and loses nothing, and the coordinator of groups can be moved."""
    produce(kafka, topic, [b"before"])
    for name in (topic, "__consumer_offsets"):
        led_by_another = partial(_is_led_by_another, kafka, name, kafka.leader(name, 0))
        kafka.move_leaders(name)
        wait_until(led_by_another, f"{name} has another leader")
    produce(kafka, topic, [b"after"])
    assert read(kafka, topic, 2) == [b"before", b"after"]


def test_all_killed(kafka: KafkaCluster, topic: str) -> None:
    """All brokers killed at once come back with everything that was acknowledged."""
    values = [b"%d" % number for number in range(1_000)]
    produce(kafka, topic, values)
    kafka.kill()
    kafka.start()
    assert read(kafka, topic, 1_000) == values


def test_partitions_added(kafka: KafkaCluster, topic: str) -> None:
    """A topic grows, and what is new can be written at once."""
    kafka.add_partitions(topic, 5)
    produce(kafka, topic, [b"roomy"], partition=4)
    kafka.delete_topic(topic)


def test_through(servers_folder: Path) -> None:
    """The service's listener is advertised where the caller leads it, one port for each node."""
    cluster = KafkaCluster(servers_folder / "advertised", through=lambda port: port + 1)
    led_to = ",".join(f"127.0.0.1:{node.service_port + 1}" for node in cluster.nodes)
    assert cluster.service_bootstrap == led_to


def _is_led_by_another(kafka: KafkaCluster, topic: str, leader: KafkaNode) -> bool:
    return kafka.leader(topic, 0) is not leader
