"""A member of a Kafka group, without a broker."""

from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, Message

from orderkeep.sources import kafka_client
from orderkeep.sources.assignment import Assignment
from orderkeep.sources.complaints import Complaints
from orderkeep.sources.kafka_member import KafkaMember
from orderkeep.storage.store import Gap, SourceIdentity


class NoDatabase:
    """What is never asked here."""

    unless_acknowledged = accepts_gaps = False

    def positions(self, source: SourceIdentity) -> dict[int, int]:
        raise AssertionError(source)

    def record_gap(self, source: SourceIdentity, gap: Gap) -> None:
        raise AssertionError((source, gap))


@pytest.fixture
def member() -> Iterator[KafkaMember]:
    """One that holds partition 0, from position 5."""
    assignment = Assignment()
    assignment.assign({0: 5})
    options = kafka_client.consumer_options("127.0.0.1:1", "group", {})
    made = KafkaMember(
        options, SourceIdentity("kafka", "orders", "one"), assignment, NoDatabase(), Complaints()
    )
    yield made
    made.abandon()


def said(partition: int, code: int) -> Message:
    return Message(topic="orders", partition=partition, offset=7, error=KafkaError(code))


@pytest.mark.parametrize(
    "code",
    [KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE],
)
def test_what_is_said_of_a_lost_partition(member: KafkaMember, code: int) -> None:
    """An end or a gap of a partition that was lost while it was on its way means nothing."""
    assert not member._is_good(said(1, code))
    assert member._holes() == []
    assert member._gone is None


def test_the_end_of_a_partition(member: KafkaMember) -> None:
    """The end of one that is held is taken for read, up to it."""
    assert not member._is_good(said(0, KafkaError._PARTITION_EOF))
    (holes,) = member._holes()
    assert (holes.spans[0].first, holes.spans[0].next) == (5, 7)
