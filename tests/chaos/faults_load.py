"""Faults of what is sent: poison, floods, contradictions, giants, transactions that are aborted."""

import random
import time
from collections.abc import Iterator

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from orderkeep.order import MAX_BYTES
from orderkeep.publish.broken import broken
from orderkeep.publish.draw import Draw
from orderkeep.publish.kafka import MAX_MESSAGE_BYTES
from orderkeep.publish.message import GeneratedMessage
from tests.chaos.fault import fault
from tests.chaos.scene import Scene

RECORD_OVERHEAD = 200
"""Bytes of a record batch beside the payload of its only record, with the key; a little more than needed."""
TRANSACTION_SECONDS = 30.0


@fault("poison storm", part="load", hold=(2.0, 6.0))
def poison_storm(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """Half of all messages are broken, each way as often as any other."""
    before, scene.load.bad = scene.load.bad, 0.5
    yield
    scene.load.bad = before


@fault("flood of duplicates", part="load", hold=(0.5, 1.0))
def flood_of_duplicates(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Tens of thousands of orders are sent again at once."""
    scene.load.again(dice.randrange(15_000, 30_000))
    yield


@fault("repeats of one order", part="load", hold=(0.5, 2.0))
def one_order_repeated(scene: Scene, dice: random.Random) -> Iterator[None]:
    """The same order thousands of times, which all want the same row."""
    (order,) = scene.load.draw(1)
    repeat = msgspec.structs.replace(order, kind="repeat", expected="duplicate")
    scene.load.burst([order, *[repeat] * dice.randrange(2_000, 5_000)])
    yield


@fault("conflicts", part="load", hold=(0.5, 2.0))
def conflicts(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Thousands of orders that contradict one that was just sent, each of its own uid."""
    draw = Draw(dice.randrange(2**31), "conflicts")
    orders = scene.load.draw(dice.randrange(1_000, 3_000))
    scene.load.burst(orders)
    scene.load.burst(broken("conflict", draw, order) for order in orders)
    yield


@fault("payloads of the broker's maximum size", part="load", hold=(0.5, 2.0))
def giants(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Messages as long as the broker takes them, and orders as long as the service takes them."""
    longest = MAX_MESSAGE_BYTES - RECORD_OVERHEAD
    for order in scene.load.draw(dice.randrange(10, 30)):
        kind = dice.choice(("order", "too long", "noise"))
        if kind == "noise":
            scene.load.burst([_reject(order, dice.randbytes(longest), kind)])
        elif kind == "too long":
            scene.load.burst([_reject(order, _padded(order, longest), kind)])
        else:
            payload = _padded(order, MAX_BYTES)
            scene.load.burst([GeneratedMessage(order.key, payload, kind, order.uid, "stored")])
    yield


@fault("tombstones and empty messages", part="load", hold=(0.5, 2.0))
def tombstones(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Thousands of messages without a payload, half of them under the keys of stored orders."""
    known = scene.load.known
    messages = []
    for number in range(dice.randrange(2_000, 6_000)):
        key = known[dice.randrange(len(known))].encode() if known and number % 2 else None
        messages.append(GeneratedMessage(key, dice.choice((None, b"")), "tombstone", None, "rejected"))
    scene.load.burst(messages)
    yield


@fault("stream that stands still and bursts", part="load", hold=(1.0, 4.0))
def stand_still_and_burst(scene: Scene, dice: random.Random) -> Iterator[None]:
    """The stream trickles, then everything that was held back comes at once."""
    before, scene.load.rate = scene.load.rate, 2.0
    yield
    scene.load.rate = before
    scene.load.burst(scene.load.draw(dice.randrange(3_000, 10_000)))


@fault("stream ten times as fast", part="load", hold=(0.5, 1.5))
def stream_too_fast(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """More is sent than can be stored; what waits in the broker is worked off afterwards."""
    before, scene.load.rate = scene.load.rate, scene.load.rate * 10
    yield
    scene.load.rate = before


@fault("aborted transactions", part="load", hold=(1.0, 4.0), uses=frozenset({"kafka", "topic", "disk"}))
def aborted_transactions(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Transactions of another producer, every second one aborted, among the messages of the stream."""
    writer = _TransactionalWriter(scene, dice)
    with scene.meanwhile(writer.write, dice, every=(0.01, 0.1)):
        yield
    writer.producer.close()


class _TransactionalWriter:
    """Writes transactions and knows of each what became of it, also when its broker died meanwhile."""

    def __init__(self, scene: Scene, dice: random.Random) -> None:
        self._scene, self._dice = scene, dice
        self._id = f"chaos-{scene.topic}-{dice.randrange(2**31)}"
        self.producer = self._begin()

    def write(self) -> None:
        """One transaction of up to 60 orders, committed or aborted; blocks."""
        load, dice = self._scene.load, self._dice
        orders = load.draw(dice.randrange(1, 60))
        commits = dice.random() < 0.5
        if commits:
            for order in orders:
                load.announce(order)
        else:
            load.never.update(str(order.uid) for order in orders)
        since = int(time.time() * 1_000)
        try:
            self._send(orders, commits)
        except KafkaException:
            self.producer = self._begin()  # whose first act ends what the other one left open
            commits = commits and self._committed(orders[0], since)
        if commits:
            for order in orders:
                load.count(order)

    def _begin(self) -> Producer:
        producer = Producer(
            {
                "bootstrap.servers": self._scene.kafka.bootstrap,
                "transactional.id": self._id,
                "transaction.timeout.ms": 20_000,
                "log_level": 0,
            }
        )
        producer.init_transactions(TRANSACTION_SECONDS)
        return producer

    def _send(self, orders: list[GeneratedMessage], commits: bool) -> None:
        self.producer.begin_transaction()
        for order in orders:
            self.producer.produce(self._scene.topic, order.payload, order.key)
        if self._dice.random() < 0.2:
            self.producer.flush(TRANSACTION_SECONDS)
            time.sleep(self._dice.uniform(0.1, 0.5))  # readers wait at its first message meanwhile
        if commits:
            self.producer.commit_transaction(TRANSACTION_SECONDS)
        else:
            self.producer.abort_transaction(TRANSACTION_SECONDS)

    def _committed(self, order: GeneratedMessage, since: int) -> bool:
        """Whether the order is in the topic, by reading all that was sent since a time in milliseconds."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._scene.kafka.bootstrap,
                "group.id": self._id,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        try:
            numbers = self._scene.partitions()
            times = [TopicPartition(self._scene.topic, number, since) for number in numbers]
            consumer.assign(consumer.offsets_for_times(times, TRANSACTION_SECONDS))
            unread = set(numbers)
            while unread:
                message = consumer.poll(TRANSACTION_SECONDS)
                if message is None:
                    raise AssertionError("the brokers do not tell what became of a transaction")
                if (error := message.error()) is None:
                    if message.value() == order.payload:
                        return True
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition())
            return False
        finally:
            consumer.close()


def _padded(order: GeneratedMessage, length: int) -> bytes:
    """The order with a field that no one asked for, so long that the whole has `length` bytes."""
    assert order.payload is not None
    document = msgspec.json.decode(order.payload)
    bare = len(msgspec.json.encode({**document, "padding": ""}))
    return msgspec.json.encode({**document, "padding": "x" * (length - bare)})


def _reject(order: GeneratedMessage, payload: bytes, kind: str) -> GeneratedMessage:
    return GeneratedMessage(order.key, payload, kind, None, "rejected")
