"""The messages of a topic between given offsets, in batches, without being a member of any group."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import methodcaller
from types import TracebackType
from typing import NamedTuple, Self, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from orderkeep.errors import ServerUnavailable

from .kafka_survey import client_options, explain, options_explained
from .topic import Span

BATCH_MESSAGES = 2_000
BATCH_BYTES = 8_000_000
"""A batch is closed by the first of the two; two batches are in memory at a time."""
PATIENCE = 60.0
"""Seconds without any message before the broker is given up."""

_END_OF_PARTITION = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's own codes begin with an underscore
_OPTIONS: dict[str, str | int | float | bool] = {
    "group.id": "orderkeep-audit",  # librdkafka wants one; nothing is ever joined or committed under it
    "group.protocol": "classic",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",  # retention may overtake the reading: go on where the log begins
    "queued.max.messages.kbytes": 32_768,
    "fetch.wait.max.ms": 100,  # the end of a partition is told only after this wait
}


# Not message.headers(): the interpreter's own fast call does not look whether an exception is set.
_headers_of: Callable[[Message], list[tuple[str, bytes | None]] | None] = methodcaller("headers")


class Record(NamedTuple):
    """A message as it was read; key and headers, which few are asked for, wait in the client's object."""

    partition: int
    position: int
    payload: bytes | None
    message: Message

    @property
    def key(self) -> bytes | None:
        return self.message.key()

    def headers(self) -> list[bytes | None] | None:
        """Names and values in turn; a value may be None. None at all when a name is not UTF-8.

        Call it once: for such a name confluent-kafka 2.16 returns a null pointer with an exception set, the
        second time without one, and to touch it kills the process.
        """
        try:
            pairs = _headers_of(self.message) or []
        except (SystemError, UnicodeDecodeError):
            return None
        return [part for name, value in pairs for part in (name.encode(), value)]


class Reader:
    """Reads `spans` of a topic, as an async context manager around `batches`.

    Every call of the client runs on one thread of its own, so that closing waits for the read in flight.
    """

    def __init__(self, brokers: str, options: Mapping[str, str], topic: str, spans: Sequence[Span]) -> None:
        self.positions = {span.partition: span.first for span in spans}
        """By partition, the offset after the last one that is done with."""
        self._brokers, self._topic = brokers, topic
        self._open = {span.partition: span.next for span in spans if span.length}
        self._stopped = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit-kafka")
        with options_explained():
            self._consumer = Consumer({**client_options(brokers, options), **_OPTIONS})
        self._consumer.assign([TopicPartition(topic, part, self.positions[part]) for part in self._open])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._consumer.close)
        self._thread.shutdown()

    async def batches(self) -> AsyncIterator[list[Record]]:
        """Every message of the spans, in order within a partition; the next batch is read meanwhile.

        Raises `Fatal` when the broker refuses, or sends nothing for `PATIENCE` seconds.
        """
        loop = asyncio.get_running_loop()
        upcoming = loop.run_in_executor(self._thread, self._read)
        while batch := await upcoming:
            upcoming = loop.run_in_executor(self._thread, self._read)
            yield batch

    def _read(self) -> list[Record]:
        """A batch; an empty one when all is read. Blocks until it is full, all is read, or patience ends."""
        batch: list[Record] = []
        size, heard_at = 0, time.monotonic()
        while self._open and not self._stopped and len(batch) < BATCH_MESSAGES and size < BATCH_BYTES:
            for message in self._consume():
                heard_at = time.monotonic()
                if record := self._wanted(message):
                    batch.append(record)
                    size += len(record.payload or b"")
            if time.monotonic() - heard_at > PATIENCE:
                raise ServerUnavailable(
                    f"Kafka at {self._brokers} has sent nothing for {PATIENCE:.0f} seconds, so the audit is "
                    "not complete. Run it again when the broker is well."
                )
        return batch

    def _consume(self) -> list[Message]:
        try:
            return self._consumer.consume(200, 0.2)  # few at a time, because messages may be large
        except KafkaException as error:
            raise explain(error.args[0], self._brokers, self._topic) from None

    def _wanted(self, message: Message) -> Record | None:
        """The message as a record if it is one of the spans'; takes note of where its partition stands."""
        error = message.error()
        if error is not None and error.code() != _END_OF_PARTITION:
            raise explain(error, self._brokers, self._topic)
        partition, offset = cast("int", message.partition()), cast("int", message.offset())
        end = self._open.get(partition)
        if end is None:
            return None
        wanted = error is None and offset < end
        # Holes before the end of a span show only by what comes after them: a message, or the end of the log.
        self.positions[partition] = min(offset + wanted, end)
        if self.positions[partition] == end:
            del self._open[partition]
            self._consumer.pause([TopicPartition(self._topic, partition)])
        return Record(partition, offset, message.value(), message) if wanted else None
