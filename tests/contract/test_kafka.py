"""What Kafka adds to the contract of a source: what it refuses, loses, deletes and takes back."""

import asyncio

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # it is re-exported without saying so
    AdminClient,
    NewPartitions,
)

from orderkeep.embedded import KafkaServer
from orderkeep.errors import ConfigurationError, Fatal, OffsetGone, ServerUnavailable
from orderkeep.sources import kafka_client, kafka_member, kafka_reader
from orderkeep.sources.kafka import KafkaSource
from orderkeep.sources.source import Fetched, Source
from orderkeep.storage.store import Gap, Message
from tests.contract.brokers import KafkaBroker
from tests.contract.reading import Known, first, messages, opened, payloads, read


@pytest.fixture
def broker(kafka: KafkaServer, topic: str) -> KafkaBroker:
    return KafkaBroker(kafka, topic)


@pytest.fixture
def known() -> Known:
    return Known()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enable.auto.commit", True),
        ("enable.auto.commit", "true"),
        ("enable.auto.offset.store", True),
        ("auto.offset.reset", "earliest"),
        ("isolation.level", "read_uncommitted"),
    ],
)
def test_forbidden_option(name: str, value: object) -> None:
    """An option that the promise depends on is refused by name; its own value is not."""
    with pytest.raises(ConfigurationError, match=name):
        KafkaSource("localhost:1", "orders", "group", {name: value})
    KafkaSource(
        "localhost:1", "orders", "group", {"enable.auto.commit": "false", "auto.offset.reset": "error"}
    )


def test_option_that_the_protocol_refuses() -> None:
    """What the newer group protocol leaves to the broker is refused in one line."""
    with pytest.raises(ConfigurationError, match=r"session\.timeout\.ms"):
        KafkaSource("localhost:1", "orders", "group", {"group.protocol": "consumer", "session.timeout.ms": 1})


async def test_unknown_option(kafka: KafkaServer, topic: str, known: Known) -> None:
    """An option that librdkafka does not know is fatal, in one line that names it."""
    with pytest.raises(Fatal, match=r"no\.such\.option") as caught:
        async with opened(
            KafkaSource(kafka.bootstrap, topic, "group", {"no.such.option": 1}), known
        ) as source:
            await source.fetch()
    assert "\n" not in str(caught.value)


async def test_missing_topic(kafka: KafkaServer, known: Known) -> None:
    """A topic that is not there is named, with the setting to correct."""
    with pytest.raises(ServerUnavailable, match=r"no topic 'nowhere'.*ORDERKEEP_KAFKA_TOPIC"):
        await KafkaSource(kafka.bootstrap, "nowhere", "group", {}).open(known.resume)


async def test_no_broker(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody answers, the message names the address and the setting."""
    monkeypatch.setattr(kafka_client, "CONNECT_SECONDS", 0.1)
    with pytest.raises(ServerUnavailable, match=r"127\.0\.0\.1:1 .*ORDERKEEP_KAFKA_BROKERS"):
        await KafkaSource("127.0.0.1:1", "orders", "group", {}).open(known.resume)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
async def test_protocols(kafka: KafkaServer, topic: str, known: Known, protocol: str) -> None:
    """Both group protocols of Kafka deliver and acknowledge."""
    broker, options = KafkaBroker(kafka, topic), {"group.protocol": protocol}
    for start in (0, 5):
        for number in range(start, start + 5):
            broker.publish(b"%d" % number, number % 4)
        broker.flush()
        async with opened(
            KafkaSource(kafka.bootstrap, topic, f"{protocol}-{topic}", options), known
        ) as source:
            batches = await read(source, 5)
            assert set(payloads(batches)) == {b"%d" % number for number in range(start, start + 5)}
            for fetched in batches:
                source.acknowledge(fetched)
            known.store(batches)


@pytest.mark.parametrize("known_position", [5, None], ids=["progress", "no progress"])
async def test_offset_gone(broker: KafkaBroker, known: Known, known_position: int | None) -> None:
    """Messages that were deleted before they were stored are fatal, with their number; or are the past."""
    for number in range(10):
        broker.publish(b"%d" % number)
    broker.flush()
    delete_before(broker, 8)
    known.positions = {} if known_position is None else {0: known_position}
    async with opened(broker.source(), known) as source:
        if known_position is None:
            assert payloads(await read(source, 2)) == [b"8", b"9"]
            return
        with pytest.raises(OffsetGone, match="3 messages were deleted") as caught:
            await read(source, 1)
    assert caught.value.missing == 3


async def test_deleted_while_reading(broker: KafkaBroker, known: Known) -> None:
    """Messages that are deleted under way to a slow reader are missed, and that is fatal too."""
    payload = b"x" * 900_000
    for _ in range(60):  # more than is read ahead
        broker.publish(payload)
    broker.flush()
    known.positions = {0: 0}
    async with opened(broker.source(), known) as source:
        begun = await first(source)
        await asyncio.to_thread(delete_before, broker, 60)
        broker.publish(b"after")
        broker.flush()
        later: list[Message] = []
        with pytest.raises(OffsetGone) as caught:
            await read_on(source, later)
    assert all(one.payload == payload for one in later)
    assert caught.value.missing == 60 - len(begun.messages) - len(later)


async def test_gap_accepted(broker: KafkaBroker, known: Known) -> None:
    """When a person accepts it, what was deleted unread is recorded and the rest is read."""
    for number in range(10):
        broker.publish(b"%d" % number)
    broker.flush()
    delete_before(broker, 8)
    known.positions = {0: 5}
    async with opened(broker.source(), known, accept_gaps=True) as source:
        assert payloads(await read(source, 2)) == [b"8", b"9"]
    assert known.gaps == [Gap(0, 5, 8, begin=8)]


async def test_gap_accepted_while_reading(broker: KafkaBroker, known: Known) -> None:
    """Messages that are deleted under way to a slow reader are a gap as well, and reading goes on."""
    for _ in range(60):  # more than is read ahead
        broker.publish(b"x" * 900_000)
    broker.flush()
    known.positions = {0: 0}
    async with opened(broker.source(), known, accept_gaps=True) as source:
        begun = await first(source)
        await asyncio.to_thread(delete_before, broker, 60)
        broker.publish(b"after")
        broker.flush()
        seen = list(begun.messages)
        fetched: Fetched | None = begun
        async with asyncio.timeout(60):
            while fetched and seen[-1].payload != b"after":
                known.store([fetched])
                source.acknowledge(fetched)
                fetched = await source.fetch()
                seen += fetched.messages if fetched else ()
    assert known.gaps == [Gap(0, len(seen) - 1, 60, begin=60)]


async def test_lost_end_accepted(broker: KafkaBroker, known: Known) -> None:
    """Of a topic that lost its end, everything that is left is read again, once that is accepted."""
    broker.publish(b"0")
    broker.flush()
    known.positions = {0: 7}
    async with opened(broker.source(), known, accept_gaps=True) as source:
        assert payloads(await read(source, 1)) == [b"0"]
    assert known.gaps == [Gap(0, 1, 7, begin=0)]


async def test_more_partitions(broker: KafkaBroker, known: Known) -> None:
    """A partition that is added is found and read from its start."""
    broker.publish(b"old")
    broker.flush()
    async with opened(broker.source(), known) as source:
        assert payloads(await read(source, 1)) == [b"old"]
        admin = AdminClient({"bootstrap.servers": broker.server.bootstrap, "log_level": 0})
        admin.create_partitions([NewPartitions(broker.topic, 6)])[broker.topic].result()
        broker.renew()
        broker.publish(b"new", partition=5)
        broker.flush()
        assert payloads(await read(source, 1)) == [b"new"]


async def read_on(source: Source, into: list[Message]) -> None:
    """Collect messages until the source ends or raises."""
    async with asyncio.timeout(60):
        while (fetched := await source.fetch()) is not None:
            into.extend(fetched.messages)


async def test_lost_end(broker: KafkaBroker, known: Known) -> None:
    """A topic that is shorter than what was stored of it has lost messages, and is not read from anywhere."""
    broker.publish(b"0")
    broker.flush()
    known.positions = {0: 7}
    async with opened(broker.source(), known) as source:
        with pytest.raises(OffsetGone, match="lost its end"):
            await read(source, 1)


def delete_before(broker: KafkaBroker, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": broker.server.bootstrap, "log_level": 0})
    for deleted in admin.delete_records([TopicPartition(broker.topic, 0, offset)]).values():
        deleted.result()


@pytest.mark.parametrize("acknowledged", [True, False], ids=["acknowledged", "not acknowledged"])
async def test_topic_made_again(
    broker: KafkaBroker, known: Known, monkeypatch: pytest.MonkeyPatch, *, acknowledged: bool
) -> None:
    """A topic that is deleted and made again is read from its start, as another incarnation."""
    monkeypatch.setattr(kafka_member, "INCARNATION_SECONDS", 0.2)
    for number in range(6):
        broker.publish(b"old %d" % number)
    broker.flush()
    async with opened(broker.source(), known) as source:
        before = await read(source, 6)
        if acknowledged:
            for fetched in before:
                source.acknowledge(fetched)
        await asyncio.to_thread(make_again, broker)
        for number in range(10):
            broker.publish(b"new %d" % number)
        broker.flush()
        after = await read(source, 10)
        assert payloads(after) == [b"new %d" % number for number in range(10)]
        assert [one.position for one in messages(after)] == list(range(10))
        made = {fetched.source for fetched in after if fetched.messages}
        assert made.isdisjoint({fetched.source for fetched in before})
        assert {(source.kind, source.topic) for source in made} == {("kafka", broker.topic)}
        # Late: it must not be taken for a position in the new topic.
        for fetched in before:
            source.acknowledge(fetched)
    known.positions = {}
    async with opened(broker.source(), known) as source:
        assert len(messages(await read(source, 10))) == 10


def make_again(broker: KafkaBroker) -> None:
    broker.server.delete_topic(broker.topic)
    broker.server.create_topic(broker.topic, partitions=4)


async def test_transactions(broker: KafkaBroker, known: Known) -> None:
    """Of a topic with transactions, what was taken back is not seen, and acknowledgements pass the holes."""
    producer = Producer(
        {"bootstrap.servers": broker.server.bootstrap, "transactional.id": broker.topic, "log_level": 0}
    )
    await asyncio.to_thread(producer.init_transactions, 60)

    def send(texts: list[bytes], *, keep: bool) -> None:
        producer.begin_transaction()
        for text in texts:
            producer.produce(broker.topic, text, partition=0)
        producer.flush()
        (producer.commit_transaction if keep else producer.abort_transaction)(60)

    await asyncio.to_thread(send, [b"a", b"b"], keep=True)
    await asyncio.to_thread(send, [b"taken", b"back"], keep=False)
    await asyncio.to_thread(send, [b"c"], keep=True)
    async with opened(broker.source(), known) as source:
        batches = await read(source, 3)
        assert payloads(batches) == [b"a", b"b", b"c"]
        assert [one.position for one in messages(batches)] == [0, 1, 6]
        marks = [await source.fetch(), await source.fetch()]
        mark = next(one for one in marks if one is not None and 0 in one.spans)
        assert (mark.messages, mark.spans[0].next) == ((), 8)
        for fetched in [*batches, mark]:
            source.acknowledge(fetched)
        known.store([*batches, mark])
    assert broker.committed() == 8
    await asyncio.to_thread(send, [b"more", b"lost"], keep=False)
    await asyncio.to_thread(send, [b"d"], keep=True)
    async with opened(broker.source(), known) as source:
        assert payloads(await read(source, 1)) == [b"d"]


async def test_slow_reader(broker: KafkaBroker, known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody takes batches fetching pauses and the group is kept; afterwards all come, once."""
    monkeypatch.setattr(kafka_reader, "PATIENCE_SECONDS", 0.05)
    for number in range(20_000):
        broker.publish(b"%d" % number, number % 4)
    broker.flush()
    async with opened(broker.source(), known) as source:
        seen = messages([await first(source)])
        while len(seen) < 20_000:
            await asyncio.sleep(0.3)
            fetched = await asyncio.wait_for(source.fetch(), 60)
            assert fetched is not None
            seen += fetched.messages
    assert len({(one.partition, one.position) for one in seen}) == len(seen) == 20_000
    assert len(known.asked) == 1


async def test_rebalance(broker: KafkaBroker, known: Known) -> None:
    """A second member takes over partitions at the acknowledged positions, and gives them back."""
    for number in range(40):
        broker.publish(b"%d" % number, number % 4)
    broker.flush()
    async with opened(broker.source(), known) as one:
        stored = await read(one, 40)
        for fetched in stored:
            one.acknowledge(fetched)
        known.store(stored)
        async with opened(broker.source(), known) as second:
            queue: asyncio.Queue[tuple[str, object]] = asyncio.Queue()
            members = {"first": one, "second": second}
            pumps = [
                asyncio.create_task(pump(name, source, known, queue)) for name, source in members.items()
            ]
            seen: list[object] = []
            names: set[str] = set()
            number = 0
            async with asyncio.timeout(60):
                while names < members.keys():
                    broker.publish(b"more %d" % number, number % 4)
                    broker.flush()
                    number += 1
                    name, payload = await queue.get()
                    names.add(name)
                    seen.append(payload)
                while len(seen) < number:
                    seen.append((await queue.get())[1])
            for running in pumps:
                running.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        assert set(seen) == {b"more %d" % each for each in range(number)}


async def test_revoked_while_paused(
    broker: KafkaBroker, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition that goes while fetching pauses, and comes back after, is read on."""
    monkeypatch.setattr(kafka_reader, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(kafka_member, "DRAIN_SECONDS", 0.1)
    for number in range(20_000):
        broker.publish(b"%d" % number, number % 4)
    broker.flush()
    async with opened(broker.source(), known) as slow:
        await first(slow)  # and no more: its queue is full, and it pauses
        await asyncio.sleep(0.5)
        async with opened(broker.source(), known) as second:
            await first(second)
            await slow.fetch()
            await slow.fetch()
        for partition in range(4):
            broker.publish(b"last", partition)
        broker.flush()
        seen: set[int] = set()
        async with asyncio.timeout(60):
            while len(seen) < 4:
                fetched = await first(slow)
                seen |= {one.partition for one in fetched.messages if one.payload == b"last"}


async def pump(name: str, source: Source, known: Known, queue: asyncio.Queue[tuple[str, object]]) -> None:
    """Take what comes, as a pipeline does that stores it at once."""
    while (fetched := await source.fetch()) is not None:
        known.store([fetched])
        source.acknowledge(fetched)
        for one in fetched.messages:
            queue.put_nowait((name, one.payload))
