"""What every source promises: everything in order, again until it is acknowledged, and nothing skipped."""

import asyncio
from collections import Counter

import pytest

from orderkeep.sources.source import MAX_BYTES, MAX_MESSAGES, Source
from tests.contract.brokers import BROKERS, Broker
from tests.contract.reading import Known, first, messages, opened, payloads, read, rest


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each broker with an empty topic."""
    return BROKERS[request.param](request)


@pytest.fixture
def known() -> Known:
    return Known()


def publish(broker: Broker, *texts: str, partition: int = 0) -> None:
    for text in texts:
        broker.publish(text.encode(), partition % broker.partitions)
    broker.flush()


def numbered(first: int, last: int) -> list[str]:
    return [f"{number}" for number in range(first, last)]


async def test_order(broker: Broker, known: Known) -> None:
    """Every message comes once, and those of a partition in their order, with positions that grow."""
    sent = {partition: numbered(0, 300 + partition) for partition in range(broker.partitions)}
    for partition, texts in sent.items():
        publish(broker, *texts, partition=partition)
    async with opened(broker.source(), known) as source:
        batches = await read(source, sum(map(len, sent.values())))
    for partition, texts in sent.items():
        assert payloads(batches, partition) == [text.encode() for text in texts]
        positions = [one.position for one in messages(batches) if one.partition == partition]
        assert positions == list(range(broker.first, broker.first + len(texts)))
    assert {fetched.source for fetched in batches} == set(known.asked)


async def test_messages_to_come(broker: Broker, known: Known) -> None:
    """A source that has read everything waits for what is published later."""
    async with opened(broker.source(), known) as source:
        for number in range(3):
            fetching = asyncio.create_task(read(source, 1))
            await asyncio.sleep(0)
            publish(broker, str(number), partition=number)
            assert payloads(await fetching) == [b"%d" % number]


async def test_spans(broker: Broker, known: Known) -> None:
    """A batch says for each partition what it holds of it: the spans follow each other without a gap."""
    two = range(min(2, broker.partitions))
    for partition in two:
        publish(broker, *numbered(0, 50), partition=partition)
    async with opened(broker.source(), known) as source:
        batches = await read(source, 50 * len(two))
    reached = dict.fromkeys(range(broker.partitions), broker.first)
    for fetched in batches:
        assert fetched.spans.keys() >= {one.partition for one in fetched.messages}
        for partition, span in fetched.spans.items():
            positions = [one.position for one in fetched.messages if one.partition == partition]
            assert positions == list(range(span.first, span.next))
            assert span.first == reached[partition]
            assert span.end is None or span.end >= span.next
            reached[partition] = span.next
    assert all(reached[partition] == broker.first + 50 for partition in two)


async def test_lag(broker: Broker, known: Known) -> None:
    """The lag of each partition is what is there and not acknowledged, whether it was fetched or not."""
    sent = {partition: 10 + partition for partition in range(broker.partitions)}
    for partition, count in sent.items():
        publish(broker, *numbered(0, count), partition=partition)
    async with opened(broker.source(), known) as source:
        await until_lag(source, sent)
        for fetched in await read(source, sum(sent.values())):
            source.acknowledge(fetched)
        await until_lag(source, dict.fromkeys(sent, 0))
        assert source.status().connected


async def until_lag(source: Source, lag: dict[int, int]) -> None:
    async with asyncio.timeout(60):
        while source.status().lag != lag:  # noqa: ASYNC110 - it is looked at, nobody tells
            await asyncio.sleep(0.02)


async def test_acknowledged(broker: Broker, known: Known) -> None:
    """What is acknowledged does not come again; what is not does, to the next source of the group."""
    publish(broker, *numbered(0, 5))
    async with opened(broker.source(), known) as source:
        stored = await read(source, 5)
        known.store(stored)
        for fetched in stored:
            source.acknowledge(fetched)
        publish(broker, *numbered(5, 8))
        assert len(messages(await read(source, 3))) == 3
    for _ in range(2):
        async with opened(broker.source(), known) as source:
            assert payloads(await read(source, 3)) == [b"5", b"6", b"7"]


@pytest.mark.parametrize(
    ("stored", "begins"),
    [({0: 3, 1: 4}, {0: 3, 1: 4}), ({0: 8, 1: 8}, {0: 5, 1: 5}), ({1: 5}, {0: 0, 1: 5}), ({}, {0: 0, 1: 0})],
    ids=["database behind", "broker behind", "a partition unknown", "database empty"],
)
async def test_begins_at_the_smaller_position(
    broker: Broker, known: Known, stored: dict[int, int], begins: dict[int, int]
) -> None:
    """Reading begins at the smaller of both positions, and at the start when the database has none."""
    two = range(min(2, broker.partitions))
    for partition in two:
        publish(broker, *numbered(0, 5), partition=partition)
    async with opened(broker.source(), known) as source:
        for fetched in await read(source, 5 * len(two)):
            source.acknowledge(fetched)
    for partition in two:
        publish(broker, *numbered(5, 10), partition=partition)
    known.positions = {part: broker.first + count for part, count in stored.items() if part in two}
    begins = {part: count for part, count in begins.items() if part in two}
    async with opened(broker.source(), known) as source:
        batches = await read(source, 10 * len(two) - sum(begins.values()))
    first = {one.partition: one.position - broker.first for one in reversed(messages(batches))}
    assert first == begins


async def test_no_acknowledgement(broker: Broker, known: Known) -> None:
    """A group that has acknowledged nothing begins where the database is."""
    publish(broker, *numbered(0, 5))
    known.positions = {0: broker.first + 3}
    async with opened(broker.source(), known) as source:
        assert payloads(await read(source, 2)) == [b"3", b"4"]


async def test_groups(broker: Broker, known: Known) -> None:
    """Every group has acknowledgements of its own."""
    publish(broker, *numbered(0, 4))
    async with opened(broker.source("one"), known) as source:
        for fetched in await read(source, 4):
            source.acknowledge(fetched)
    async with opened(broker.source("two"), known) as source:
        assert len(messages(await read(source, 4))) == 4


async def test_stop(broker: Broker, known: Known) -> None:
    """After `stop` comes what was fetched before, without a gap, and then None."""
    publish(broker, *numbered(0, 100))
    async with opened(broker.source(), known) as source:
        fetched = await first(source)
        assert fetched is not None
        source.stop()
        batches = [fetched, *await rest(source)]
    assert payloads(batches) == [b"%d" % number for number in range(len(messages(batches)))]


async def test_stop_ends_a_waiting_fetch(broker: Broker, known: Known) -> None:
    """`stop` ends a `fetch` that waits for messages, and what was acknowledged before counts."""
    publish(broker, "a")
    async with opened(broker.source(), known) as source:
        stored = await read(source, 1)
        fetching = asyncio.create_task(rest(source))
        await asyncio.sleep(0)
        source.stop()
        stored += await fetching
        assert payloads(stored) == [b"a"]
        for fetched in stored:
            source.acknowledge(fetched)
        known.store(stored)
    publish(broker, "b")
    async with opened(broker.source(), known) as source:
        assert payloads(await read(source, 1)) == [b"b"]


async def test_exactly(broker: Broker, known: Known) -> None:
    """Payload, key and headers come exactly as they were sent, whatever they are, or are not."""
    contents = list(broker.contents.values())
    for payload, key, headers in contents:
        broker.publish(payload, key=key, headers=headers)
    broker.flush()
    async with opened(broker.source(), known) as source:
        found = messages(await read(source, len(contents)))
    assert [(one.payload, one.key, one.headers) for one in found] == contents


async def test_bounds(broker: Broker, known: Known) -> None:
    """No batch has more messages or more bytes than a batch may have."""
    small = [b"%d" % number for number in range(12_000)]
    large = [bytes([number]) * 900_000 for number in range(24)]
    for number, payload in enumerate(small):
        broker.publish(payload, number % 2 % broker.partitions)
    for payload in large:
        broker.publish(payload, 2 % broker.partitions)
    broker.flush()
    async with opened(broker.source(), known) as source:
        batches = await read(source, 12_024)
    assert max(len(fetched.messages) for fetched in batches) <= MAX_MESSAGES
    assert max(sum(len(one.payload or b"") for one in fetched.messages) for fetched in batches) <= MAX_BYTES
    found = payloads(batches)
    assert [payload for payload in found if payload in large] == large
    assert Counter(payload for payload in found if payload not in large) == Counter(small)


async def test_closed_with_messages_waiting(broker: Broker, known: Known) -> None:
    """A source that is closed while it has more acknowledges none of that."""
    publish(broker, *numbered(0, 20))
    async with opened(broker.source(), known) as source:
        assert await source.fetch() is not None
        publish(broker, *numbered(20, 40), partition=1)
    known.positions = dict.fromkeys(range(2), broker.first)
    async with opened(broker.source(), known) as source:
        assert len(messages(await read(source, 40))) == 40
