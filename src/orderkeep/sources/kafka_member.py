"""A member of Kafka's consumer group: one consumer of librdkafka, from joining to leaving.

All of it runs in the thread of `orderkeep.sources.kafka_reader`, librdkafka's callbacks included: they are
called from within poll, consume and close. A callback cannot raise to the caller of poll, so it leaves its
error for the next call.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from orderkeep.errors import BrokerUnavailable, Fatal, OrderkeepError
from orderkeep.sources import kafka_client
from orderkeep.sources.assignment import Assignment
from orderkeep.sources.batching import Linger, split_by_bytes
from orderkeep.sources.complaints import Complaints
from orderkeep.sources.kafka_beginning import Beginning, Database, TopicMadeAgain
from orderkeep.sources.kafka_message import read
from orderkeep.sources.source import MAX_MESSAGES, Fetched, Span
from orderkeep.storage.store import Message, SourceIdentity

POLL_SECONDS = 0.1
DRAIN_SECONDS = 10.0  # for the batches of a revoked partition; later ones are redelivered elsewhere
INCARNATION_SECONDS = 3.0
COMMIT_SECONDS = 0.1
UNREPORTED_SECONDS = 10.0  # for the answer to a commit; then the next one is sent all the same
WATCH_SECONDS = 3.0
SILENCE_SECONDS = 10.0
"""Without a message and without an answer, before another consumer is made. Brokers that were frozen may name
none when they come back, and librdkafka up to 2.16 then forgets the last one for ever (its issue 5301)."""

log = structlog.get_logger()


class KafkaMember:
    """Joins the group when it is made. What it holds, and what of it is done, is in `assignment`."""

    def __init__(
        self,
        options: Mapping[str, Any],
        source: SourceIdentity,
        assignment: Assignment,
        database: Database,
        complaints: Complaints,
    ) -> None:
        self._topic = source.topic
        self._source = source
        self._assignment = assignment
        self._complaints = complaints
        self._incremental = kafka_client.assigns_incrementally(options)
        self._linger = Linger()
        self._carried: list[KafkaMessage] = []
        self._ends: dict[int, int] = {}
        self._unheard_of: dict[int, int] = {}  # with where they ended when they were assigned
        self._gone: int | None = None
        self._paused = False
        self._leaving = threading.Event()
        self._abandoned = False
        self._failure: OrderkeepError | TopicMadeAgain | None = None
        self._committed_at = 0.0
        self._committing = False
        self._asked_at = self._watched_at = self._answered_at = time.monotonic()
        self._answer: Future[Any] | None = None
        self._admin = kafka_client.make_admin(options)
        callbacks = {"error_cb": self._note_error, "on_commit": self._on_commit}
        self._consumer = Consumer({**options, **callbacks})
        self._beginning = Beginning(self._consumer, self._admin, source, database)
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def next_batches(self) -> list[Fetched]:
        """Wait for a message at most `POLL_SECONDS`, then take what there is, lingering as it pays."""
        if self._gone is not None:
            self._leave_for_gap(self._gone)
        if self._unheard_of:
            return self._beginnings()
        messages, self._carried = self._carried, []
        if not messages:
            first = self._consumer.poll(POLL_SECONDS)
            self._raise_failure()
            if first is None:
                self._linger.note(0)
                return self._holes()
            messages = [first]
        self._answered_at = time.monotonic()
        messages += self._consumer.consume(MAX_MESSAGES - len(messages), self._linger.seconds)
        self._raise_failure()
        self._linger.note(len(messages))
        good = [read(message) for message in messages if self._is_good(message)]
        return [self._batch(part) for part in split_by_bytes(good)]

    def pause(self) -> None:
        """Fetch nothing; what is assigned from now on is paused as well."""
        self._paused = True
        self._consumer.pause(self._consumer.assignment())

    def resume(self) -> None:
        self._paused = False
        self._consumer.resume(self._consumer.assignment())

    def poll_paused(self) -> None:
        """Stay in the group for `POLL_SECONDS`."""
        # Only a partition that was assigned this moment can still yield a message.
        message = self._consumer.poll(POLL_SECONDS)
        if message is not None:
            self._carried.append(message)
        self._raise_failure()

    def commit(self, *, last: bool = False) -> None:
        """Send the offsets that may be committed, at most every `COMMIT_SECONDS`; the last ones waiting.

        One request at a time: librdkafka repeats one that fails, which then might come after a later one,
        and take the group back.
        """
        since = time.monotonic() - self._committed_at
        if not last and since < (UNREPORTED_SECONDS if self._committing else COMMIT_SECONDS):
            return
        offsets = self._assignment.take_acknowledged()
        if not offsets:
            return
        self._committed_at, self._committing = time.monotonic(), not last
        positions = [TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()]
        try:
            self._consumer.commit(offsets=positions, asynchronous=not last)  # type: ignore[call-overload] # a bool is no Literal
        except KafkaException as error:
            # Not sent is not lost: the outcome is committed, and a redelivery finds it.
            self._committing = False
            log.warning("commit_failed", error=str(error.args[0]))

    def check(self) -> None:
        """Raises `TopicMadeAgain`, or `BrokerUnavailable` when this consumer has lost the brokers."""
        now = time.monotonic()
        if self._answer is not None and self._answer.done():
            answer, self._answer = self._answer, None
            self._beginning.check_incarnation(answer)
        elif self._answer is None and now - self._asked_at > INCARNATION_SECONDS:
            self._answer, self._asked_at = kafka_client.describe_topic(self._admin, self._topic), now
        if now - max(self._watched_at, self._answered_at) > WATCH_SECONDS:
            self._watched_at = now
            self._watch()

    def leave(self) -> None:
        """Commit what is acknowledged and leave the group; waits up to a minute for a broker that is away."""
        self._leaving.set()
        self.commit(last=True)
        self._assignment.forget_all()
        self._consumer.close()

    def abandon(self) -> None:
        """Leave the group, if it can be done, without waiting: closing waits for brokers that are lost."""
        self._abandoned = True
        self._assignment.forget_all()
        threading.Thread(target=self._consumer.close, name="kafka-close", daemon=True).start()

    def _batch(self, messages: Sequence[Message]) -> Fetched:
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for message in messages:
            first.setdefault(message.partition, message.position)
            last[message.partition] = message.position
        spans = {
            partition: Span(
                start, last[partition] + 1, self._end(partition), self._assignment.epoch(partition)
            )
            for partition, start in first.items()
        }
        for partition in spans:
            self._unheard_of.pop(partition, None)
        return Fetched(self._source, messages, spans)

    def _beginnings(self) -> list[Fetched]:
        """A batch without messages, so that the database hears where partitions begin.

        Only from there on can it be told that messages were deleted unread.
        """
        fresh, self._unheard_of = self._unheard_of, {}
        position, epoch = self._assignment.next_position, self._assignment.epoch
        return self._without_messages(
            {part: Span(position(part), position(part), end, epoch(part)) for part, end in fresh.items()}
        )

    def _holes(self) -> list[Fetched]:
        """At rest, a batch without messages for ends of partitions that hold none: marks of transactions.

        Unacknowledged they would stay behind as lag, and once deleted look like messages that are gone.
        """
        ends, self._ends = self._ends, {}
        position, epoch = self._assignment.next_position, self._assignment.epoch
        return self._without_messages(
            {
                part: Span(position(part), end, end, epoch(part))
                for part, end in ends.items()
                if position(part) < end
            }
        )

    def _without_messages(self, spans: Mapping[int, Span]) -> list[Fetched]:
        return [Fetched(self._source, (), spans)] if spans else []

    def _is_good(self, message: KafkaMessage) -> bool:
        error, partition = message.error(), message.partition() or 0
        held = self._assignment.holds(partition)
        if error is None:
            return held
        if kafka_client.is_end(error):
            if held:  # what was on its way may be of a partition that is lost meanwhile
                self._ends[partition] = message.offset() or 0
        elif kafka_client.is_no_topic(error):
            log.warning("topic_missing", topic=self._topic)
        elif kafka_client.is_offset_gone(error):
            if held:
                self._gone = partition  # looked at when what came before it is handed over
        else:
            self._note_error(error)
            self._raise_failure()
        return False

    def _leave_for_gap(self, partition: int) -> None:
        """The broker lacks the next position. Raises `OffsetGone`, or what leads to joining anew."""
        self._beginning.check(partition, self._assignment.next_position(partition))
        # What is on its way is no part of the gap.
        self._assignment.wait_until_settled(DRAIN_SECONDS)
        self.commit(last=True)
        raise BrokerUnavailable(f"messages of partition {partition} are gone")

    def _end(self, partition: int) -> int | None:
        watermarks = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
        return watermarks[1] if watermarks and watermarks[1] >= 0 else None

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Send a commit that failed again: a stream that pauses would else never be acknowledged."""
        self._committing = False
        for committed in partitions:
            if not self._abandoned and (error is not None or committed.error is not None):
                self._assignment.acknowledge_again(committed.partition, committed.offset)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            begun = self._beginning.find(partitions)
        except KafkaException as error:
            self._fail(kafka_client.classify(error.args[0], self._topic))
            return
        except (OrderkeepError, TopicMadeAgain) as error:
            self._fail(error)
            return
        starts = begun.positions
        placed = [TopicPartition(self._topic, partition, offset) for partition, offset in starts.items()]
        if self._incremental:
            consumer.incremental_assign(placed)
        else:
            consumer.assign(placed)
        self._assignment.assign(starts)
        for partition in begun.over_gaps:
            self._assignment.acknowledge_again(partition, starts[partition])
        self._unheard_of.update({partition: begun.ends[partition] for partition in begun.unheard_of})
        # librdkafka remembers a pause from before a partition went, and resumes only what is held.
        (consumer.pause if self._paused else consumer.resume)(placed)
        log.info("partitions_assigned", topic=self._topic, positions=starts)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._abandoned:
            return
        drained = self._leaving.is_set() or self._assignment.wait_until_settled(DRAIN_SECONDS)
        self.commit(last=True)
        self._let_go(consumer, partitions)
        log.info("partitions_revoked", partitions=[part.partition for part in partitions], drained=drained)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._abandoned:
            return
        self._let_go(consumer, partitions)
        log.warning("partitions_lost", partitions=[part.partition for part in partitions])

    def _let_go(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {part.partition for part in partitions}
        self._assignment.revoke(gone)
        self._carried = [message for message in self._carried if message.partition() not in gone]
        self._ends = {partition: end for partition, end in self._ends.items() if partition not in gone}
        self._unheard_of = {part: end for part, end in self._unheard_of.items() if part not in gone}
        if self._gone in gone:
            self._gone = None
        if self._incremental:
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()

    def _watch(self) -> None:
        """While no messages come: see whether this consumer still reaches a broker."""
        try:
            self._consumer.list_topics(self._topic, timeout=1)
        except KafkaException as error:
            if time.monotonic() - self._answered_at > SILENCE_SECONDS:
                raise BrokerUnavailable(
                    f"no broker has answered for a while: {error.args[0].str()}"
                ) from None
        else:
            self._answered_at = time.monotonic()

    def _note_error(self, error: KafkaError) -> None:
        if self._abandoned:
            return
        kind = kafka_client.classify(error, self._topic)
        if isinstance(kind, Fatal):
            self._fail(kind)
        else:
            self._complaints.note(kind)

    def _fail(self, error: OrderkeepError | TopicMadeAgain) -> None:
        self._failure = self._failure or error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
