"""The consumer of the Kafka source: it lives in one thread, which alone touches it.

The thread fetches, hands batches over a bounded queue, sends the offsets that may be committed, and goes on
polling while the queue is full, so that the group keeps it. It never waits for the database without polling,
except in a rebalance, which waits with it.
"""

import asyncio
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from orderkeep.errors import BrokerUnavailable, Fatal, OffsetGone, OrderkeepError, ServerUnavailable
from orderkeep.sources import kafka_client
from orderkeep.sources.assignment import Assignment, starting_offset
from orderkeep.sources.batching import Linger, split_by_bytes
from orderkeep.sources.kafka_message import read
from orderkeep.sources.source import MAX_MESSAGES, Fetched, Resume, Span
from orderkeep.storage.store import Message, SourceIdentity

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 1.0  # for a full queue, before fetching pauses: a pause throws the prefetched away
DRAIN_SECONDS = 10.0  # for the batches of a revoked partition; later ones are redelivered elsewhere
INCARNATION_SECONDS = 3.0
COMMIT_SECONDS = 0.1
RECONNECT_SECONDS = 1.0
REJOIN_SECONDS = 20.0
"""After partitions were lost, before a new consumer. A broker that was frozen may name no brokers when it
comes back, and librdkafka up to 2.16 then forgets the last one for ever (its issue 5301)."""
COMPLAINT_SECONDS = 10.0  # between log lines about a broker that is away: each attempt to connect is reported

Answer = TypeVar("Answer")
Item = Fetched | OrderkeepError | None

log = structlog.get_logger()


class _TopicMadeAgain(Exception):
    """The topic has another id than the one that is being read: its positions start over."""


class KafkaReader:
    """Reads one topic as a member of a group, in a thread, into `queue`; see `orderkeep.sources.kafka`."""

    def __init__(
        self,
        options: Mapping[str, Any],
        source: SourceIdentity,
        resume: Resume,
        queue: "asyncio.Queue[Item]",
    ) -> None:
        self._options = dict(options)
        self._topic = source.topic
        self._source = source
        self._resume = resume
        self._queue = queue
        self._loop = asyncio.get_running_loop()
        self._incremental = kafka_client.assigns_incrementally(self._options)
        self._stopping = threading.Event()
        self._leaving = threading.Event()
        self._linger = Linger()
        self._carried: list[KafkaMessage] = []
        self._paused = False
        self._failure: OrderkeepError | _TopicMadeAgain | None = None
        self._committed_at = 0.0
        self._lost_at = float("inf")
        self._complained_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="kafka", daemon=True)
        self.assignment = Assignment()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Fetch nothing more; what was fetched is handed over, then None."""
        self._stopping.set()

    def leave(self) -> None:
        """Commit what is acknowledged and end the thread; `running` tells when that is done."""
        self._stopping.set()
        self._leaving.set()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        end: OrderkeepError | None = None
        try:
            while not self._stopping.is_set():
                try:
                    self._consume()
                except _TopicMadeAgain:
                    self._find_topic_again()
                except BrokerUnavailable as error:
                    log.warning("broker_unavailable", error=str(error))
                    self._leaving.wait(RECONNECT_SECONDS)
        except OrderkeepError as error:
            end = error
        except Exception as error:  # noqa: BLE001 - whatever it is, the pipeline must hear of it
            end = Fatal(f"the Kafka source failed: {error!r}")
        self._hand_to_loop(end)

    def _consume(self) -> None:
        """The life of one consumer, until it is told to stop or the topic becomes another."""
        self._admin = kafka_client.make_admin(
            self._options
        )  # of this life: it can be lost as the consumer can
        callbacks = {"error_cb": self._note_error, "on_commit": self._on_commit}
        self._consumer = Consumer({**self._options, **callbacks})
        self._carried.clear()
        self._paused = False
        self._lost_at = float("inf")
        answer, asked_at = None, time.monotonic()
        try:
            self._consumer.subscribe(
                [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            while not self._stopping.is_set():
                for batch in self._next_batches():
                    self._hand_over(batch)
                self._commit()
                if time.monotonic() - self._lost_at > REJOIN_SECONDS:
                    raise BrokerUnavailable(f"not back in the group after {REJOIN_SECONDS:g} s, joining anew")
                if answer is None and time.monotonic() - asked_at > INCARNATION_SECONDS:
                    answer, asked_at = kafka_client.describe_topic(self._admin, self._topic), time.monotonic()
                if answer is not None and answer.done():
                    self._check_incarnation(answer)
                    answer = None
            self._hand_to_loop(None)
            self._leaving.wait()
            self._commit(last=True)
        finally:
            self.assignment.forget_all()
            self._consumer.close()

    def _next_batches(self) -> list[Fetched]:
        """Wait for a message at most `POLL_SECONDS`, then take what there is, lingering as it pays."""
        messages, self._carried = self._carried, []
        if not messages:
            first = self._consumer.poll(POLL_SECONDS)
            self._raise_failure()
            if first is None:
                self._linger.note(0)
                return []
            messages = [first]
        messages += self._consumer.consume(MAX_MESSAGES - len(messages), self._linger.seconds)
        self._raise_failure()
        self._linger.note(len(messages))
        good = [read(message) for message in messages if self._is_good(message)]
        return [self._batch(part) for part in split_by_bytes(good)]

    def _batch(self, messages: Sequence[Message]) -> Fetched:
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for message in messages:
            first.setdefault(message.partition, message.position)
            last[message.partition] = message.position
        spans = {
            partition: Span(
                start, last[partition] + 1, self._end(partition), self.assignment.epoch(partition)
            )
            for partition, start in first.items()
        }
        return Fetched(self._source, messages, spans)

    def _is_good(self, message: KafkaMessage) -> bool:
        error = message.error()
        if error is None:
            return self.assignment.holds(message.partition())
        if kafka_client.is_no_topic(error):
            log.warning("topic_missing", topic=self._topic)
        elif kafka_client.is_offset_gone(error):
            raise self._offset_gone(message.partition() or 0)
        else:
            self._note_error(error)
            self._raise_failure()
        return False

    def _offset_gone(self, partition: int) -> OffsetGone:
        # A topic that was made again is empty at our offset too: ask before blaming retention.
        self._check_incarnation(kafka_client.describe_topic(self._admin, self._topic))
        wanted = self.assignment.next_position(partition)
        low, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=10)
        return kafka_client.offset_gone(self._topic, partition, wanted, low, high)

    def _end(self, partition: int) -> int | None:
        watermarks = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
        return watermarks[1] if watermarks and watermarks[1] >= 0 else None

    def _hand_over(self, batch: Fetched) -> None:
        """Give the batch to the loop; while it takes none, keep polling with fetching paused."""
        self.assignment.hand_out(batch.spans)
        handed = asyncio.run_coroutine_threadsafe(self._queue.put(batch), self._loop)
        try:
            handed.result(PATIENCE_SECONDS)
        except TimeoutError:
            self._pause(paused=True)
            while not handed.done() and not self._leaving.is_set():
                # Only a partition that was assigned this moment can still yield a message.
                message = self._consumer.poll(POLL_SECONDS)
                if message is not None:
                    self._carried.append(message)
                self._raise_failure()
                self._commit()
            self._pause(paused=False)

    def _hand_to_loop(self, item: Item) -> None:
        if self._leaving.is_set():
            return  # nobody listens any more, and the loop may be closed
        asyncio.run_coroutine_threadsafe(self._queue.put(item), self._loop)

    def _ask_loop(self, question: Coroutine[Any, Any, Answer]) -> Answer:
        """Wait for the loop's answer, which may take as long as the database is away, or until we leave."""
        asked = asyncio.run_coroutine_threadsafe(question, self._loop)
        while not self._leaving.is_set():
            try:
                return asked.result(POLL_SECONDS)
            except TimeoutError:
                if asked.done():
                    raise
        asked.cancel()
        raise BrokerUnavailable("leaving the group")

    def _pause(self, *, paused: bool) -> None:
        self._paused = paused
        change = self._consumer.pause if paused else self._consumer.resume
        change(self._consumer.assignment())

    def _commit(self, *, last: bool = False) -> None:
        if not last and time.monotonic() - self._committed_at < COMMIT_SECONDS:
            return
        offsets = self.assignment.take_acknowledged()
        if not offsets:
            return
        self._committed_at = time.monotonic()
        positions = [TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()]
        try:
            self._consumer.commit(offsets=positions, asynchronous=not last)  # type: ignore[call-overload] # a bool is no Literal
        except KafkaException as error:
            # Not sent is not lost: the outcome is committed, and a redelivery finds it.
            log.warning("commit_failed", error=str(error.args[0]))

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Send a commit that failed again: a stream that pauses would else never be acknowledged."""
        for committed in partitions:
            if error is not None or committed.error is not None:
                self.assignment.acknowledge_again(committed.partition, committed.offset)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            starts = self._starting_offsets(partitions)
        except KafkaException as error:
            self._fail(kafka_client.classify(error.args[0], self._topic))
            return
        except (OrderkeepError, _TopicMadeAgain) as error:
            self._fail(error)
            return
        placed = [TopicPartition(self._topic, partition, offset) for partition, offset in starts.items()]
        if self._incremental:
            consumer.incremental_assign(placed)
        else:
            consumer.assign(placed)
        self.assignment.assign(starts)
        self._lost_at = float("inf")
        if self._paused:
            consumer.pause(placed)
        log.info("partitions_assigned", topic=self._topic, positions=starts)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        drained = self._leaving.is_set() or self.assignment.wait_until_settled(DRAIN_SECONDS)
        self._commit(last=True)
        self._let_go(consumer, partitions)
        log.info("partitions_revoked", partitions=[part.partition for part in partitions], drained=drained)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._lost_at = time.monotonic()
        self._let_go(consumer, partitions)
        log.warning("partitions_lost", partitions=[part.partition for part in partitions])

    def _let_go(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {part.partition for part in partitions}
        self.assignment.revoke(gone)
        self._carried = [message for message in self._carried if message.partition() not in gone]
        if self._incremental:
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()

    def _starting_offsets(self, partitions: list[TopicPartition]) -> dict[int, int]:
        try:
            identity = kafka_client.identify(self._admin, self._topic)
        except ServerUnavailable as error:
            raise BrokerUnavailable(str(error)) from None  # it was there: perhaps it is being made again
        if identity != self._source:
            raise _TopicMadeAgain
        known = self._ask_loop(self._resume(self._source))
        starts: dict[int, int] = {}
        for committed in self._consumer.committed(partitions, timeout=30):
            if committed.error is not None:
                raise KafkaException(committed.error)
            partition = committed.partition
            low, high = self._consumer.get_watermark_offsets(committed, timeout=30)
            start = starting_offset(committed.offset, known.get(partition), low)
            if not low <= start <= high:
                raise kafka_client.offset_gone(self._topic, partition, start, low, high)
            starts[partition] = start
        return starts

    def _check_incarnation(self, answer: "Future[Any]") -> None:
        try:
            found = kafka_client.read_identity(answer, self._topic)
        except (BrokerUnavailable, ServerUnavailable):
            return  # nobody knows now; asked again soon
        if found != self._source:
            raise _TopicMadeAgain

    def _find_topic_again(self) -> None:
        self._failure = None
        while not self._leaving.is_set():
            try:
                self._source = kafka_client.identify(self._admin, self._topic)
            except (BrokerUnavailable, ServerUnavailable):
                self._leaving.wait(RECONNECT_SECONDS)
            else:
                log.warning("topic_made_again", topic=self._topic, incarnation=self._source.incarnation)
                return

    def _note_error(self, error: KafkaError) -> None:
        kind = kafka_client.classify(error, self._topic)
        if isinstance(kind, Fatal):
            self._fail(kind)
        elif time.monotonic() - self._complained_at > COMPLAINT_SECONDS:
            self._complained_at = time.monotonic()
            log.warning("broker_unavailable", error=str(kind))

    def _fail(self, error: OrderkeepError | _TopicMadeAgain) -> None:
        """Remember an error of a callback: librdkafka's callbacks cannot raise to the caller of poll."""
        self._failure = self._failure or error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
