"""The stream of a sequence: orders with broken ones, repeats and conflicts among them, and what became known.

A thread of its own sends at `rate` messages a second. Whatever the brokers do, it gives up no message.
"""

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from orderkeep.publish.generate import OrderGenerator
from orderkeep.publish.kafka import MAX_MESSAGE_BYTES
from orderkeep.publish.message import GeneratedMessage
from orderkeep.publish.mixture import Mixture
from orderkeep.publish.run import Pace

LARGE_BYTES: Final = 50_000
ONE_LARGE_IN: Final = 20
"""Of so many broken messages of more than `LARGE_BYTES` only one is sent: they cost seconds."""
FLUSH_SECONDS: Final = 90.0
ANY_PARTITION: Final = -1

Outgoing = tuple[GeneratedMessage, int]


class Load:
    """Publishes to `topic` from `start` to `finish`; the same seed makes the same messages.

    `known` are the uids of the confirmed orders in their order, `payloads` all that was sent for a uid,
    `never` the uids that were sent and must not become orders. `delivered` and `expected` count what the
    audit has to find. `rate` and `bad` may be changed at any time.
    """

    def __init__(self, brokers: str, topic: str, *, seed: int, bad: float, rate: float) -> None:
        self.topic, self.rate, self.bad = topic, rate, bad
        self.delivered = 0
        self.expected: Counter[str | None] = Counter()
        self.known: list[str] = []
        self.payloads: dict[str, list[bytes]] = {}
        self.never: set[str] = set()
        self.failure: str | None = None
        self._brokers, self._seed = brokers, seed
        self._mixtures: dict[float, Iterator[GeneratedMessage]] = {}
        self._dice = random.Random(seed)
        self._probes = OrderGenerator(seed + 1)
        self._counting = threading.Lock()
        self._confirmed: set[str] = set()
        self._sent: list[GeneratedMessage] = []
        self._bursts: deque[Iterator[Outgoing]] = deque()
        self._stop, self._still, self._stands = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Send no more of the stream, and wait until all is confirmed, bursts included."""
        self._stop.set()
        self._thread.join(FLUSH_SECONDS * 2)
        if self._thread.is_alive() or self.failure:
            raise AssertionError(self.failure or "the stream does not end")

    def abandon(self) -> None:
        """Stop at once; what is under way may be lost."""
        self.failure = self.failure or "abandoned"
        self._stop.set()

    def burst(self, messages: Iterable[GeneratedMessage]) -> None:
        """Send these as fast as the brokers take them, before the stream goes on; returns at once."""
        self._bursts.append((message, ANY_PARTITION) for message in messages)

    def again(self, count: int) -> None:
        """Send `count` orders again that were sent before, as fast as the brokers take them."""
        chosen = self._dice.choices(self._sent, k=count) if self._sent else []
        self.burst(_repeat(message) for message in chosen)

    def draw(self, count: int) -> list[GeneratedMessage]:
        """Orders that the stream will not send: whoever asks has to, by `burst`."""
        return [self._probes.order() for _ in range(count)]

    def probe(self, partitions: Iterable[int]) -> list[str]:
        """Send one order to each partition, before anything else: their uids."""
        orders = [(self._probes.order(), partition) for partition in partitions]
        self._bursts.appendleft(iter(orders))
        return [str(order.uid) for order, _ in orders]

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Within it nothing is sent, and all that was is confirmed; a new producer sends what follows."""
        self._still.set()
        if not self._stands.wait(FLUSH_SECONDS):
            raise AssertionError(self.failure or "the stream cannot be stopped")
        try:
            yield
        finally:
            self._stands.clear()
            self._still.clear()

    def begin_again(self) -> None:
        """The topic is another: the audit will find only what is delivered from now on."""
        self.delivered = 0
        self.expected.clear()

    def announce(self, message: GeneratedMessage) -> None:
        """A message is about to be sent: from now on it may be served."""
        if message.uid is not None and message.payload is not None:
            sent = self.payloads.setdefault(message.uid, [])
            if message.payload not in sent:
                sent.append(message.payload)

    def count(self, message: GeneratedMessage) -> None:
        """A message is in the topic: confirmed, or committed with a transaction."""
        with self._counting:
            self.expected[message.expected] += 1
            self.delivered += 1
            if message.uid is not None and message.uid not in self._confirmed:
                self._confirmed.add(message.uid)
                self._sent.append(message)
                self.known.append(message.uid)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._send_with(Producer(_options(self._brokers)))
        except Exception as error:  # noqa: BLE001 - told by `finish`, in the thread of the sequence
            self.failure = f"the stream failed: {error!r}"

    def _send_with(self, producer: Producer) -> None:
        """The life of one producer: until the stream ends or stands still."""
        pace, paced_for = Pace(self.rate), self.rate
        while not (self._still.is_set() or self._stop.is_set()) or self._bursts:
            if self.failure:
                break
            if self._bursts:
                self._send_next(producer, self._bursts[0])
                continue
            if self.rate != paced_for:
                pace, paced_for = Pace(self.rate), self.rate
            if delay := pace.delay(time.monotonic()):
                producer.poll(min(delay, 0.05))
                continue
            self._send(producer, next(self._mixture()), ANY_PARTITION)
            pace.sent()
        self._flush(producer)
        if self._still.is_set():
            self._stands.set()
            while self._still.is_set() and not self._stop.is_set():
                time.sleep(0.02)

    def _mixture(self) -> Iterator[GeneratedMessage]:
        """Each share of broken messages has a stream of its own, with uids of its own."""
        if self.bad not in self._mixtures:
            self._mixtures[self.bad] = _frugal(Mixture(self._seed * 1_000 + len(self._mixtures), self.bad))
        return self._mixtures[self.bad]

    def _send_next(self, producer: Producer, burst: Iterator[Outgoing]) -> None:
        outgoing = next(burst, None)
        if outgoing is None:
            self._bursts.remove(burst)
        else:
            self._send(producer, *outgoing)

    def _send(self, producer: Producer, message: GeneratedMessage, partition: int) -> None:
        self.announce(message)
        while not self.failure:
            try:
                producer.produce(
                    self.topic,
                    message.payload,
                    message.key,
                    partition=partition,
                    on_delivery=partial(self._reported, message),
                )
            except BufferError:
                producer.poll(0.1)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._UNKNOWN_PARTITION:
                    raise
                producer.poll(0.1)  # the topic has grown, and this client has not heard of it
            else:
                break
        producer.poll(0)

    def _flush(self, producer: Producer) -> None:
        deadline = time.monotonic() + FLUSH_SECONDS
        while len(producer) and not self.failure:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(producer)} messages are not confirmed after {FLUSH_SECONDS:g} s")
            producer.poll(0.1)
        producer.purge()
        producer.close()

    def _reported(self, message: GeneratedMessage, error: KafkaError | None, _report: Message) -> None:
        if error is None:
            self.count(message)
        elif not self.failure:
            self.failure = f"the brokers did not take a message: {error.str()}"


def _options(brokers: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": brokers,
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 5,
        "message.timeout.ms": 0,  # for ever: a message given up would be in the topic or not
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "queue.buffering.max.kbytes": 128 * 1024,
        "reconnect.backoff.max.ms": 1_000,
        "topic.metadata.refresh.interval.ms": 2_000,  # a topic may grow
        "log_level": 0,
    }


def _frugal(messages: Iterator[GeneratedMessage]) -> Iterator[GeneratedMessage]:
    """Leave most of the large ones out; they are rejects, so no repeat refers to them."""
    large = 0
    for message in messages:
        if message.payload is not None and len(message.payload) > LARGE_BYTES and message.uid is None:
            large += 1
            if large % ONE_LARGE_IN:
                continue
        yield message


def _repeat(message: GeneratedMessage) -> GeneratedMessage:
    return GeneratedMessage(message.key, message.payload, "repeat", message.uid, "duplicate")
