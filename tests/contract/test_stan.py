"""What the NATS Streaming source promises beyond the contract: sharing, and servers that forget."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from orderkeep.embedded import NatsServer, StanServer
from orderkeep.errors import ConfigurationError, OffsetGone, ServerUnavailable
from orderkeep.sources.source import Source
from orderkeep.sources.stan import StanSource
from orderkeep.storage.store import Gap, SourceIdentity
from tests.conftest import start_or_skip
from tests.contract.brokers import StanBroker
from tests.contract.ledger import PATIENCE, Ledger, fatal, until
from tests.contract.reading import Known, messages, opened, payloads, read


@pytest.fixture
def broker(stan: StanServer, subject: str) -> StanBroker:
    return StanBroker(stan, subject)


@pytest.fixture
def queue(stan: StanServer, subject: str) -> StanBroker:
    """Whose sources share the messages."""
    return StanBroker(stan, subject, queue="queue")


@pytest.fixture
def known() -> Ledger:
    return Ledger()


@pytest.fixture
def mortal(tmp_path: Path, subject: str) -> Iterator[StanBroker]:
    """A broker of this test's own, to be killed."""
    server = StanServer(tmp_path / "stan")
    start_or_skip(server)
    try:
        yield StanBroker(server, subject)
    finally:
        server.stop()


def publish(broker: StanBroker, begin: int, end: int) -> list[bytes | None]:
    sent: list[bytes | None] = [b"%d" % number for number in range(begin, end)]
    for payload in sent:
        broker.publish(payload)
    broker.flush()
    return sent


@asynccontextmanager
async def killed(source: Source, known: Known) -> AsyncIterator[Source]:
    """An open source that ends as a process does that is killed: its server hears nothing of it."""
    async with opened(source, known):
        yield source
        assert isinstance(source, StanSource)
        assert source._running is not None
        source._running.cancel()
        await asyncio.sleep(0)


@pytest.fixture
def silent_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections end without telling the server."""

    async def end(self: object) -> None:
        await self.nats.end()  # type: ignore[attr-defined]

    monkeypatch.setattr("orderkeep.stan_connection.StanConnection.end", end)


async def test_shared(queue: StanBroker, known: Ledger) -> None:
    """Processes of one queue share the messages; no position is claimed that another has in flight."""
    async with AsyncExitStack() as stack:
        publish(queue, 0, 1)
        sources = [await stack.enter_async_context(opened(queue.source(), known)) for _ in range(3)]
        work = [asyncio.create_task(known.serve(source, until=3_001)) for source in sources]
        await until(lambda: all(isinstance(each, StanSource) and each._working for each in sources))
        await asyncio.sleep(0.2)  # for each to have joined
        await asyncio.to_thread(publish, queue, 1, 3_001)
        shares = await asyncio.gather(*work)
        assert min(shares) > 0
        assert [known.stored[position] for position in sorted(known.stored)] == [
            b"%d" % number for number in range(3_001)
        ]
        # At rest the database hears how far all of them have come.
        more = [asyncio.create_task(known.serve(source, until=3_002)) for source in sources]
        await until(lambda: known.positions[0] == 3_002)
        publish(queue, 3_001, 3_002)
        await asyncio.gather(*more)


@pytest.mark.usefixtures("silent_end")
async def test_shared_with_one_that_is_killed(queue: StanBroker, known: Ledger) -> None:
    """What a process that was killed had in flight comes to the others."""
    publish(queue, 0, 1)
    async with opened(queue.source(), known) as left:
        await known.serve(left, until=1)
        async with killed(queue.source(), known) as source:
            await until(lambda: isinstance(source, StanSource) and source._deliveries.source.topic)
            await asyncio.sleep(0.2)
            publish(queue, 1, 101)
            work = asyncio.create_task(known.serve(left, until=101))
            assert (await source.fetch()) is not None
        assert await work >= 100
        assert len(known.stored) == 101


@pytest.mark.usefixtures("silent_end")
async def test_killed(broker: StanBroker, known: Ledger) -> None:
    """What a process that was killed had in flight comes to the next one with its id, in its order."""
    sent = publish(broker, 0, 50)
    async with killed(broker.source(), known) as source:
        assert len(messages(await read(source, 50))) == 50
    async with opened(broker.source(), known) as source:
        assert payloads(await read(source, 50)) == sent


async def test_slow(broker: StanBroker, known: Ledger) -> None:
    """What is delivered again because a write is slow is dropped, and its acknowledgement holds for both."""
    publish(broker, 0, 10)
    async with opened(broker.source(), known) as source:
        batches = await read(source, 10)
        await asyncio.sleep(3.0)  # the fault itself: longer than the server waits
        for fetched in batches:
            known.commit(source, fetched)
        publish(broker, 10, 11)
        assert payloads(await read(source, 1)) == [b"10"]


async def test_second_client(broker: StanBroker, known: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second process with our client id is refused while we live, with a word on what to do."""
    monkeypatch.setattr("orderkeep.sources.reconnecting.START_SECONDS", 0.5)
    publish(broker, 0, 1)
    async with opened(broker.source(), known) as source:
        with pytest.raises(ConfigurationError, match=r"another client .*STAN_CLIENT_ID.*STAN_QUEUE"):
            await broker.source().open(known.resume)
        await known.serve(source, until=1)


async def test_gone_at_the_start(tmp_path: Path, subject: str, known: Ledger) -> None:
    """Messages that limits dropped before they were stored are missed by number, or accepted by a person."""
    server = StanServer(tmp_path / "stan", settings={"store_limits": {"max_msgs": 10}})
    start_or_skip(server)
    with server:
        broker = StanBroker(server, subject)
        publish(broker, 0, 20)
        known.positions = {0: 5}
        async with opened(broker.source(), known) as source:
            error = await fatal(source, known)
        assert isinstance(error, OffsetGone)
        assert error.missing == 6
        assert "6 messages were deleted before they were stored" in str(error)
        async with opened(broker.source(), known, accept_gaps=True) as source:
            assert payloads(await read(source, 10)) == [b"%d" % number for number in range(10, 20)]
        assert known.gaps == [Gap(0, 5, 11, 11)]


async def test_dropped_in_mid_stream(tmp_path: Path, subject: str, known: Ledger) -> None:
    """A channel that drops messages faster than they are read: what is missing is noticed, and counted."""
    server = StanServer(tmp_path / "stan", settings={"store_limits": {"max_msgs": 1_000}})
    start_or_skip(server)
    with server, pytest.MonkeyPatch.context() as few:
        few.setattr("orderkeep.sources.stan.MAX_IN_FLIGHT", 100)
        broker = StanBroker(server, subject)
        publish(broker, 0, 10)
        async with opened(broker.source(), known) as source:
            assert isinstance(source, StanSource)
            await until(lambda: source._deliveries.end == 11)
            publish(broker, 10, 5_010)
            error = await fatal(source, known)
    assert isinstance(error, OffsetGone)
    assert error.missing == 4_010 - len(known.stored)
    assert sorted(known.stored) == list(range(1, len(known.stored) + 1))


async def test_first_message_dropped(tmp_path: Path, subject: str, known: Ledger) -> None:
    """A channel whose first message was dropped is the one that the database knows, or a new one."""
    server = StanServer(tmp_path / "stan", settings={"store_limits": {"max_msgs": 10}})
    start_or_skip(server)
    with server:
        broker = StanBroker(server, subject)
        publish(broker, 0, 20)

        async def remembered() -> str | None:
            return "before"

        source = StanSource(server.url, server.cluster, "me", subject, "durable", remembered=remembered)
        known.positions = {0: 15}
        async with opened(source, known):
            assert [message.position for message in messages(await read(source, 6))] == list(range(15, 21))
        assert known.asked == [SourceIdentity("stan", subject, "before")]


async def test_lost_end(broker: StanBroker, known: Ledger) -> None:
    """A channel that ends before the position of the database has lost its end: nothing is skipped."""
    publish(broker, 0, 5)
    known.positions = {0: 9}
    async with opened(broker.source(), known) as source:
        assert "it lost its end" in str(await fatal(source, known))


async def test_empty_channel(broker: StanBroker, known: Ledger) -> None:
    """A channel without messages is waited at; which one it is follows from its first message."""
    async with opened(broker.source(), known) as source:
        fetching = asyncio.create_task(read(source, 3))
        await asyncio.sleep(0.1)
        assert known.asked == []
        sent = publish(broker, 0, 3)
        assert payloads(await fetching) == sent
    async with opened(broker.source(), known) as source:
        source.stop()
        assert await asyncio.wait_for(source.fetch(), PATIENCE) is None


async def test_server_killed(mortal: StanBroker, known: Ledger) -> None:
    """A server that is killed and comes back is found, and what was in flight then is acknowledged to it."""
    sent = publish(mortal, 0, 100)
    async with opened(mortal.source(), known) as source:
        in_flight = await read(source, 100)
        for _ in range(2):
            mortal.server.kill()
            await asyncio.sleep(0.3)
            await asyncio.to_thread(mortal.server.start)
            mortal.connect()
            sent += publish(mortal, len(sent), len(sent) + 100)
        for fetched in in_flight:
            known.commit(source, fetched)
        await known.serve(source, until=300)
    assert [known.stored[position] for position in sorted(known.stored)] == sent


async def test_store_made_again(mortal: StanBroker, known: Ledger) -> None:
    """A server that comes back without its files has another channel, which is read from its beginning."""
    publish(mortal, 0, 20)
    async with opened(mortal.source(), known) as source:
        old = await read(source, 20)
        mortal.server.stop()
        shutil.rmtree(mortal.server.data / "store")
        known.positions.clear()
        await asyncio.to_thread(mortal.server.start)
        mortal.connect()
        sent = publish(mortal, 100, 130)
        new = await read(source, 30)
        assert payloads(new) == sent
        assert {fetched.source for fetched in new} & {fetched.source for fetched in old} == set()
        for fetched in old:
            source.acknowledge(fetched)


async def test_server_frozen(mortal: StanBroker, known: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers nothing is left for another connection, and found when it goes on."""
    monkeypatch.setattr("orderkeep.stan_connection.SILENCE_SECONDS", 1.0)
    publish(mortal, 0, 10)
    async with opened(mortal.source(), known) as source:
        await known.serve(source, until=10)
        mortal.server.pause()
        await asyncio.sleep(5.0)  # the fault itself
        mortal.server.resume()
        publish(mortal, 10, 20)
        await known.serve(source, until=20)


async def test_durable_moved_on(broker: StanBroker, known: Ledger) -> None:
    """A durable that somebody else has moved on is made anew where the database is: nothing is skipped."""
    sent = publish(broker, 0, 10)
    async with opened(broker.source(), known) as source:
        for fetched in await read(source, 10):
            source.acknowledge(fetched)  # and nothing of it is stored
    known.positions = {0: 1}
    async with opened(broker.source(), known) as source:
        assert payloads(await read(source, 10)) == sent


async def test_large_messages(broker: StanBroker, known: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """When messages are so large that too much would wait, fewer are asked for, and none is lost."""
    monkeypatch.setattr("orderkeep.sources.stan_member.WAITING_BYTES", 8_000_000)
    sent: list[bytes | None] = [b"%d" % number * 200_000 for number in range(100, 200)]
    for payload in sent:
        broker.publish(payload)
    broker.flush()
    async with opened(broker.source(), known) as source:
        assert isinstance(source, StanSource)
        await until(lambda: source._max_in_flight < 100)
        await until(lambda: source._working)
        assert source._deliveries.waiting_bytes < 20_000_000
        await known.serve(source, until=100)
    assert [known.stored[position] for position in sorted(known.stored)] == sent


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"channel": "a b"}, "NATS_SUBJECT"),
        ({"channel": "a..b"}, "NATS_SUBJECT"),
        ({"channel": "orders.*"}, "NATS_SUBJECT"),
        ({"durable": "a:b"}, "NATS_DURABLE"),
        ({"queue": "a:b"}, "STAN_QUEUE"),
    ],
)
def test_names(given: dict[str, str], setting: str) -> None:
    """What STAN does not take for a name is told with its setting."""
    names: dict[str, Any] = {"channel": "orders", "durable": "durable", "queue": "", **given}
    with pytest.raises(ConfigurationError, match=f"ORDERKEEP_{setting}"):
        StanSource("nats://127.0.0.1:1", "cluster", "me", **names)


async def test_client_id(stan: StanServer, subject: str, known: Ledger) -> None:
    """A client id that the server does not take is told with its setting."""
    with pytest.raises(ConfigurationError, match=r"ORDERKEEP_STAN_CLIENT_ID: 'a\.b'"):
        await StanSource(stan.url, stan.cluster, "a.b", subject, "durable").open(known.resume)


async def test_nobody_there(nats: NatsServer, known: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server, or where NATS has no cluster of that name, the start ends with what to do."""
    monkeypatch.setattr("orderkeep.sources.reconnecting.START_SECONDS", 0.5)
    source = StanSource("nats://me:secret@127.0.0.1:1", "cluster", "me", "orders", "durable")
    with pytest.raises(ServerUnavailable, match=r"127\.0\.0\.1:1 .*ORDERKEEP_NATS_URL") as raised:
        await source.open(known.resume)
    assert "secret" not in str(raised.value)
    source = StanSource(nats.url, "nowhere", "me", "orders", "durable")
    with pytest.raises(ServerUnavailable, match=r"cluster 'nowhere' .*ORDERKEEP_STAN_CLUSTER"):
        await source.open(known.resume)
