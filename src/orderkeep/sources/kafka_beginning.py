"""Where partitions of a Kafka topic are read from, and what it means when that is not there."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from orderkeep.errors import BrokerUnavailable, ServerUnavailable
from orderkeep.sources import kafka_client
from orderkeep.sources.assignment import starting_offset
from orderkeep.storage.store import Gap, SourceIdentity

ANSWER_SECONDS = 30.0

log = structlog.get_logger()


class TopicMadeAgain(Exception):
    """The topic has another id than the one that is being read: its positions start over."""


class Database(Protocol):
    """What is asked of the database, by way of the event loop; the calls block, and raise `Transient`."""

    @property
    def accepts_gaps(self) -> bool:
        """Whether messages that are gone are recorded and passed over, instead of raising `OffsetGone`."""

    @property
    def unless_acknowledged(self) -> bool:
        """Whether its positions count for nothing where the group has acknowledged nothing."""

    def positions(self, source: SourceIdentity) -> Mapping[int, int]: ...

    def record_gap(self, source: SourceIdentity, gap: Gap) -> None: ...


class Begun(NamedTuple):
    """By partition, where it is read from and where it ends. The database has `unheard_of` some; some begin
    after a gap.
    """

    positions: Mapping[int, int]
    ends: Mapping[int, int]
    unheard_of: Collection[int]
    over_gaps: Collection[int]


class Beginning:
    """Of one topic, as one consumer of a group reads it. Everything here blocks."""

    def __init__(
        self, consumer: Consumer, admin: AdminClient, source: SourceIdentity, database: Database
    ) -> None:
        self._consumer = consumer
        self._admin = admin
        self._source = source
        self._database = database

    def find(self, partitions: Sequence[TopicPartition]) -> Begun:
        """Raises `TopicMadeAgain`, `OffsetGone`, `Transient`, or KafkaException for what the broker says."""
        try:
            identity = kafka_client.identify(self._admin, self._source.topic)
        except ServerUnavailable as error:
            raise BrokerUnavailable(str(error)) from None  # it was there: perhaps it is being made again
        if identity != self._source:
            raise TopicMadeAgain
        known = self._database.positions(self._source)
        wanted: dict[int, int] = {}
        positions: dict[int, int] = {}
        ends: dict[int, int] = {}
        for committed in self._consumer.committed(list(partitions), timeout=ANSWER_SECONDS):
            if committed.error is not None:
                raise KafkaException(committed.error)
            partition = committed.partition
            low, high = self._consumer.get_watermark_offsets(committed, timeout=ANSWER_SECONDS)
            trusted = committed.offset >= 0 or not self._database.unless_acknowledged
            stored = known.get(partition) if trusted else None
            wanted[partition] = starting_offset(committed.offset, stored, low)
            positions[partition] = self._within(partition, wanted[partition], low, high)
            ends[partition] = high
        over_gaps = {part for part, position in positions.items() if position != wanted[part]}
        return Begun(positions, ends, positions.keys() - known.keys(), over_gaps)

    def check(self, partition: int, position: int) -> None:
        """The broker said that it lacks a position: raises `OffsetGone`, unless gaps are accepted.

        Raises `TopicMadeAgain` first: a topic that was made again is empty at our position too.
        """
        self.check_incarnation(kafka_client.describe_topic(self._admin, self._source.topic))
        if not self._database.accepts_gaps:
            place = TopicPartition(self._source.topic, partition)
            low, high = self._consumer.get_watermark_offsets(place, timeout=ANSWER_SECONDS)
            raise kafka_client.offset_gone(self._source.topic, partition, position, low, high)

    def check_incarnation(self, answer: "Future[Any]") -> None:
        """Raises `TopicMadeAgain`; while nobody answers nothing is known, and nothing raised."""
        try:
            found = kafka_client.read_identity(answer, self._source.topic)
        except (BrokerUnavailable, ServerUnavailable):
            return
        if found != self._source:
            raise TopicMadeAgain

    def _within(self, partition: int, position: int, low: int, high: int) -> int:
        """The position; when it is gone and that is accepted, where the partition begins."""
        if low <= position <= high:
            return position
        topic = self._source.topic
        if not self._database.accepts_gaps:
            raise kafka_client.offset_gone(topic, partition, position, low, high)
        first, after = (position, low) if position < low else (high, position)
        self._database.record_gap(self._source, Gap(partition, first, after, begin=low))
        log.warning("gap_accepted", topic=topic, partition=partition, first=first, next=after)
        return low
