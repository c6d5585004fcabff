"""Faults of what is sent: poison, floods, contradictions, giants, transactions that are aborted."""

import random
import time
from collections.abc import Iterator

import msgspec
from confluent_kafka import Producer

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
    producer = Producer(
        {
            "bootstrap.servers": scene.kafka.bootstrap,
            "transactional.id": f"chaos-{scene.topic}-{dice.randrange(2**31)}",
            "transaction.timeout.ms": 20_000,
            "log_level": 0,
        }
    )
    producer.init_transactions(TRANSACTION_SECONDS)
    with scene.meanwhile(lambda: _transaction(scene, producer, dice), dice, every=(0.01, 0.1)):
        yield
    producer.close()


def _transaction(scene: Scene, producer: Producer, dice: random.Random) -> None:
    orders = scene.load.draw(dice.randrange(1, 60))
    commits = dice.random() < 0.5
    producer.begin_transaction()
    for order in orders:
        if commits:
            scene.load.announce(order)
        else:
            scene.load.never.add(str(order.uid))
        producer.produce(scene.topic, order.payload, order.key)
    if dice.random() < 0.2:
        producer.flush(TRANSACTION_SECONDS)
        time.sleep(dice.uniform(0.1, 0.5))  # readers wait at its first message meanwhile
    if commits:
        producer.commit_transaction(TRANSACTION_SECONDS)
        for order in orders:
            scene.load.count(order)
    else:
        producer.abort_transaction(TRANSACTION_SECONDS)


def _padded(order: GeneratedMessage, length: int) -> bytes:
    """The order with a field that no one asked for, so long that the whole has `length` bytes."""
    assert order.payload is not None
    document = msgspec.json.decode(order.payload)
    bare = len(msgspec.json.encode({**document, "padding": ""}))
    return msgspec.json.encode({**document, "padding": "x" * (length - bare)})


def _reject(order: GeneratedMessage, payload: bytes, kind: str) -> GeneratedMessage:
    return GeneratedMessage(order.key, payload, kind, None, "rejected")
