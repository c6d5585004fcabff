"""What the JetStream source promises beyond the contract: sharing, and streams that change."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from orderkeep.embedded import NatsServer
from orderkeep.errors import ConfigurationError, Fatal, OffsetGone, ServerUnavailable
from orderkeep.sources.jetstream import JetStreamSource
from orderkeep.sources.source import MAX_MESSAGES, Fetched, Source
from orderkeep.storage.store import Gap
from tests.conftest import start_or_skip
from tests.contract.brokers import JetStreamBroker
from tests.contract.ledger import PATIENCE, Ledger, fatal, until
from tests.contract.reading import Known, first, messages, opened, payloads, read

DURABLE = "group"


@pytest.fixture
def broker(nats: NatsServer, subject: str) -> JetStreamBroker:
    return JetStreamBroker(nats, subject)


@pytest.fixture
def known() -> Ledger:
    return Ledger()


@pytest.fixture
def mortal(tmp_path: Path, subject: str) -> Iterator[JetStreamBroker]:
    """A broker of this test's own, to be killed."""
    server = NatsServer(tmp_path / "nats")
    start_or_skip(server)
    try:
        yield JetStreamBroker(server, subject)
    finally:
        server.stop()


def publish(broker: JetStreamBroker, begin: int, end: int) -> list[bytes | None]:
    sent: list[bytes | None] = [b"%d" % number for number in range(begin, end)]
    for payload in sent:
        broker.publish(payload)
    broker.flush()
    return sent


def info(broker: JetStreamBroker) -> dict[str, Any]:
    """What the server says of the durable."""
    return broker.wire.ask(f"CONSUMER.INFO.{broker.subject}.{DURABLE}")


async def pulled_by(broker: JetStreamBroker, processes: int) -> None:
    """Wait until so many have asked for messages."""
    listing = f"CONSUMER.LIST.{broker.subject}"
    await until(
        lambda: [each["num_waiting"] for each in broker.wire.ask(listing)["consumers"]] == [processes]
    )


def make_consumer(broker: JetStreamBroker, **config: object) -> None:
    """The durable as an administrator makes it: right, but for what is given."""
    right = {
        "durable_name": DURABLE,
        "ack_policy": "explicit",
        "deliver_policy": "all",
        "filter_subject": broker.subject,
    }
    request = {"stream_name": broker.subject, "config": {**right, **config}}
    broker.wire.ask(f"CONSUMER.DURABLE.CREATE.{broker.subject}.{DURABLE}", request)


async def taken(sources: Sequence[Source], count: int) -> list[tuple[Source, Fetched]]:
    """What the sources hand out, whoever gets it, until it is so many messages."""
    batches: list[tuple[Source, Fetched]] = []

    async def take(source: Source) -> None:
        while (fetched := await source.fetch()) is not None:
            batches.append((source, fetched))

    taking = [asyncio.create_task(take(source)) for source in sources]
    await until(lambda: sum(len(fetched.messages) for _, fetched in batches) == count)
    for each in taking:
        each.cancel()
    return batches


@asynccontextmanager
async def killed(source: Source, known: Known) -> AsyncIterator[Source]:
    """An open source that ends as a process does that is killed: it gives nothing back."""
    async with opened(source, known):
        yield source
        assert isinstance(source, JetStreamSource)
        assert source._running is not None
        source._running.cancel()


async def test_shared(broker: JetStreamBroker, known: Ledger) -> None:
    """Processes of one durable share the messages; no position is claimed that another has in flight."""
    async with AsyncExitStack() as stack:
        sources = [await stack.enter_async_context(opened(broker.source(), known)) for _ in range(3)]
        work = [asyncio.create_task(known.serve(source, until=3_000)) for source in sources]
        await pulled_by(broker, 3)
        sent = await asyncio.to_thread(publish, broker, 0, 3_000)
        shares = await asyncio.gather(*work)
        assert min(shares) > 0
        assert [known.stored[position] for position in sorted(known.stored)] == sent
        assert sum(shares) == 3_000
        # At rest the database hears how far all of them have come.
        more = [asyncio.create_task(known.serve(source, until=3_001)) for source in sources]
        await until(lambda: known.positions[0] == 3_001)
        publish(broker, 3_000, 3_001)
        await asyncio.gather(*more)


async def test_others_in_flight(broker: JetStreamBroker, known: Ledger) -> None:
    """While one process has the first message in flight, the others claim no position behind it."""
    async with opened(broker.source(), known) as slow, opened(broker.source(), known) as quick:
        work = asyncio.create_task(known.serve(quick, until=500))
        await pulled_by(broker, 2)
        await asyncio.to_thread(publish, broker, 0, 500)
        kept = await first(slow)
        await asyncio.sleep(1.5)  # for the server's floor to be looked at
        assert known.positions[0] <= kept.messages[0].position
        known.commit(slow, kept)
        await asyncio.gather(work, known.serve(slow, until=500))


async def test_killed(broker: JetStreamBroker, known: Ledger) -> None:
    """What a process that was killed had in flight comes to the next one at once, in its order."""
    sent = publish(broker, 0, 50)
    async with killed(broker.source(), known) as source:
        assert len(messages(await read(source, 50))) == 50
    async with opened(broker.source(), known) as source:
        assert payloads(await read(source, 50)) == sent


async def test_redelivered(broker: JetStreamBroker, known: Ledger) -> None:
    """One of two is killed: what it had in flight comes to the other, however often it is not stored."""
    make_consumer(broker, ack_wait=500_000_000)
    async with opened(broker.source(), known) as left:
        async with killed(broker.source(), known) as source:
            work = asyncio.create_task(known.serve(left, until=100))
            await pulled_by(broker, 2)
            publish(broker, 0, 100)
            assert (await first(source)).messages
        assert await work == 100


async def test_slow(broker: JetStreamBroker, known: Ledger) -> None:
    """A write that takes longer than the server waits has nothing delivered again."""
    make_consumer(broker, ack_wait=600_000_000)
    publish(broker, 0, 10)
    async with opened(broker.source(), known) as source:
        batches = await read(source, 10)
        await asyncio.sleep(2.0)  # the fault itself
        assert info(broker)["num_redelivered"] == 0
        for fetched in batches:
            known.commit(source, fetched)
        await until(lambda: info(broker)["num_ack_pending"] == 0)


async def test_delivered_twice(broker: JetStreamBroker, known: Ledger) -> None:
    """What is delivered again while it is in flight is dropped, and the acknowledgement holds for both."""
    publish(broker, 0, 10)
    async with opened(broker.source(), known) as source:
        batches = await read(source, 10)
        assert isinstance(source, JetStreamSource)
        for reply in source._deliveries.unacknowledged:
            broker.wire.send(reply, b"-NAK")
        await until(lambda: source._deliveries.last_number == 20)
        for fetched in batches:
            known.commit(source, fetched)
        publish(broker, 10, 11)
        assert payloads(await read(source, 1)) == [b"10"]
        await until(lambda: info(broker)["num_ack_pending"] == 1)


async def test_consumer_deleted(
    broker: JetStreamBroker, known: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer that is deleted under us ends ingest with a word on what to do; nothing is lost by it."""
    monkeypatch.setattr("orderkeep.sources.jetstream.REMADE_SECONDS", 0.5)
    publish(broker, 0, 10)
    async with opened(broker.source(), known) as source:
        await known.serve(source, until=10)
        broker.wire.ask(f"CONSUMER.DELETE.{broker.subject}.{DURABLE}")
        error = await fatal(source, known)
        assert "was deleted while it was in use" in str(error)
        assert "start ingest again" in str(error)
    publish(broker, 10, 20)
    async with opened(broker.source(), known) as source:
        assert payloads(await read(source, 10)) == [b"%d" % number for number in range(10, 20)]


async def test_stream_made_again(broker: JetStreamBroker, known: Ledger) -> None:
    """A stream that was deleted and made again is another source, read from its beginning; what is still
    acknowledged of the old one does not count for it."""
    publish(broker, 0, 20)
    async with opened(broker.source(), known) as source:
        old = await read(source, 20)
        broker.wire.ask(f"STREAM.DELETE.{broker.subject}")
        await asyncio.sleep(0.1)
        broker.make_stream()
        known.positions.clear()
        sent = publish(broker, 100, 130)
        new = await read(source, 30)
        for fetched in old:
            source.acknowledge(fetched)
        assert payloads(new) == sent
        assert {fetched.source for fetched in new} & {fetched.source for fetched in old} == set()
        await asyncio.sleep(0.2)
        assert info(broker)["num_ack_pending"] == 30
        for fetched in new:
            known.commit(source, fetched)
        await until(lambda: info(broker)["num_ack_pending"] == 0)


async def test_gone_at_the_start(broker: JetStreamBroker, known: Ledger) -> None:
    """Messages that were deleted before they were stored are missed by number, or accepted by a person."""
    publish(broker, 0, 20)
    known.positions = {0: 5}
    broker.wire.ask(f"STREAM.PURGE.{broker.subject}", {"seq": 11})
    async with opened(broker.source(), known) as source:
        error = await fatal(source, known)
    assert isinstance(error, OffsetGone)
    assert error.missing == 6
    assert "6 messages were deleted before they were stored" in str(error)
    async with opened(broker.source(), known, accept_gaps=True) as source:
        assert payloads(await read(source, 10)) == [b"%d" % number for number in range(10, 20)]
    assert known.gaps == [Gap(0, 5, 11, 11)]


async def test_gone_in_mid_stream(broker: JetStreamBroker, known: Ledger) -> None:
    """A stream that deletes faster than it is read: what is missing is noticed before anything behind it."""
    broker.wire.ask(f"STREAM.DELETE.{broker.subject}")
    broker.make_stream(max_msgs=MAX_MESSAGES)
    publish(broker, 0, MAX_MESSAGES)
    async with opened(broker.source(), known) as source:
        assert isinstance(source, JetStreamSource)
        await until(lambda: not source._deliveries.has_room)
        publish(broker, MAX_MESSAGES, 3 * MAX_MESSAGES)
        error = await fatal(source, known)
    assert isinstance(error, OffsetGone)
    assert error.missing == MAX_MESSAGES
    assert len(known.stored) == MAX_MESSAGES


async def test_deleted_one_by_one(broker: JetStreamBroker, known: Ledger) -> None:
    """Single messages that somebody has deleted leave holes, which are passed over."""
    publish(broker, 0, 20)
    for position in (3, 4, 11):
        broker.wire.ask(f"STREAM.MSG.DELETE.{broker.subject}", {"seq": position})
    async with opened(broker.source(), known) as source:
        batches = await read(source, 17)
        assert batches[-1].spans[0].next == 21


async def test_lost_end(broker: JetStreamBroker, known: Ledger) -> None:
    """A stream that ends before the position of the database has lost its end: nothing is skipped."""
    publish(broker, 0, 5)
    known.positions = {0: 9}
    async with opened(broker.source(), known) as source:
        assert "it lost its end" in str(await fatal(source, known))


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"max_deliver": 5}, "gives a message up after 5 deliveries"),
        ({"ack_policy": "all"}, "not explicitly"),
        ({"headers_only": True}, "without payloads"),
        ({"deliver_subject": "push"}, "is pushed"),
    ],
)
async def test_consumer_that_loses(
    broker: JetStreamBroker, known: Ledger, config: dict[str, object], word: str
) -> None:
    """A durable that somebody made so that messages could be lost is refused."""
    make_consumer(broker, **config)
    async with opened(broker.source(), known) as source:
        error = await fatal(source, known)
    assert isinstance(error, ConfigurationError)
    assert word in str(error)


@pytest.mark.parametrize(
    ("config", "word"),
    [({"retention": "workqueue"}, "retention limits"), ({"subjects": ["a.>", "b"]}, "takes a.>, b")],
)
async def test_unfit_stream(
    broker: JetStreamBroker, known: Ledger, config: dict[str, object], word: str
) -> None:
    """A stream that could not be read again, or that holds what is not ours, is refused at the start."""
    broker.wire.ask(f"STREAM.DELETE.{broker.subject}")
    broker.make_stream(**config)
    with pytest.raises(ConfigurationError, match=word):
        async with opened(broker.source(), known):
            pass


async def test_made_if_missing(nats: NatsServer, subject: str, known: Ledger) -> None:
    """The stream and the durable are made: on disk, without limits, and no message is given up."""
    async with opened(JetStreamSource(nats.url, subject, subject, DURABLE), known) as source:
        assert (await asyncio.wait_for(source.fetch(), PATIENCE)) is not None
        broker = JetStreamBroker(nats, subject, make=False)
        stream = broker.wire.ask(f"STREAM.INFO.{subject}")["config"]
        assert (stream["storage"], stream["retention"], stream["max_msgs"]) == ("file", "limits", -1)
        config = info(broker)["config"]
        assert (config["ack_policy"], config["max_deliver"]) == ("explicit", -1)
        assert config["max_ack_pending"] >= 4 * MAX_MESSAGES


async def test_nobody_there(known: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer at the start is told in a line, without the password."""
    monkeypatch.setattr("orderkeep.sources.reconnecting.START_SECONDS", 0.5)
    source = JetStreamSource("nats://me:secret@127.0.0.1:1", "orders", "orders", DURABLE)
    with pytest.raises(ServerUnavailable, match=r"no JetStream answers at 127\.0\.0\.1:1") as raised:
        await source.open(known.resume)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("authorization", "good", "bad"),
    [
        ({"user": "me", "password": "s:e/c@ü"}, "me:s%3Ae%2Fc%40%C3%BC@", "me:other@"),
        ({"token": "t0ken"}, "t0ken@", "other@"),
    ],
    ids=["user", "token"],
)
async def test_credentials(
    tmp_path: Path, known: Ledger, authorization: dict[str, str], good: str, bad: str
) -> None:
    """Credentials come from the URL, escaped where they have to be; wrong ones are fatal."""
    server = NatsServer(tmp_path / "nats", settings={"authorization": authorization})
    start_or_skip(server)
    with server:
        place = server.url.removeprefix("nats://")
        source = JetStreamSource(f"nats://{good}{place}", "orders", "orders", DURABLE)
        async with opened(source, known):
            assert (await asyncio.wait_for(source.fetch(), PATIENCE)) is not None
        source = JetStreamSource(f"nats://{bad}{place}", "orders", "orders", DURABLE)
        with pytest.raises(Fatal, match="correct the credentials in ORDERKEEP_NATS_URL"):
            await source.open(known.resume)


async def test_tls_is_insisted_on(nats: NatsServer, known: Ledger) -> None:
    """With tls:// nothing is said to a server that does not offer TLS, least of all a password."""
    url = nats.url.replace("nats://", "tls://me:secret@")
    with pytest.raises(Fatal, match="does not offer TLS"):
        await JetStreamSource(url, "orders", "orders", DURABLE).open(known.resume)
    assert ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED  # what nats-py uses


async def test_server_killed(mortal: JetStreamBroker, known: Ledger) -> None:
    """A server that is killed and comes back is found, and what was in flight then is acknowledged to it."""
    async with opened(mortal.source(), known) as source, opened(mortal.source(), known) as other:
        await pulled_by(mortal, 2)
        sent = publish(mortal, 0, 100)
        in_flight = await taken((source, other), 100)
        for _ in range(2):
            mortal.server.kill()
            await asyncio.sleep(0.3)
            await asyncio.to_thread(mortal.server.start)
            mortal.connect()
            sent += publish(mortal, len(sent), len(sent) + 100)
        for holder, fetched in in_flight:
            known.commit(holder, fetched)
        # Until all is acknowledged, since the server may deliver what is stored once more.
        working = [asyncio.create_task(known.serve(each, until=301)) for each in (source, other)]
        await until(lambda: len(known.stored) == 300 and info(mortal)["num_ack_pending"] == 0)
        for each in working:
            each.cancel()
    assert [known.stored[position] for position in sorted(known.stored)] == sent


async def test_server_frozen(mortal: JetStreamBroker, known: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers nothing is left for another connection, and found when it goes on."""
    monkeypatch.setattr("orderkeep.sources.jetstream_member.SILENCE_SECONDS", 1.0)
    publish(mortal, 0, 10)
    async with opened(mortal.source(), known) as source:
        await known.serve(source, until=10)
        mortal.server.pause()
        await asyncio.sleep(4.0)  # the fault itself
        mortal.server.resume()
        publish(mortal, 10, 20)
        await known.serve(source, until=20)


async def test_two_start_with_nothing_known(broker: JetStreamBroker, known: Ledger) -> None:
    """Of two that find each other's messages in flight, while nothing is stored yet, one gives way."""
    publish(broker, 0, 100)
    async with opened(broker.source(), known), opened(broker.source(), known):
        await pulled_by(broker, 2)
        assert len(known.asked) <= 4  # each when it began, and one more time each


async def test_consumer_made_anew_before_a_request(broker: JetStreamBroker, known: Ledger) -> None:
    """What a consumer that was just made anew delivers for a request to the one before it is given back."""
    count = MAX_MESSAGES + 100
    make_consumer(broker, max_ack_pending=count)
    sent = await asyncio.to_thread(publish, broker, 0, count)
    async with opened(broker.source(), known) as source:
        assert isinstance(source, JetStreamSource)
        await until(lambda: not source._deliveries.has_room)  # so that nothing is asked for until it is taken
        broker.wire.ask(f"CONSUMER.DELETE.{broker.subject}.{DURABLE}")
        make_consumer(broker, max_ack_pending=count, ack_wait=3_600_000_000_000)
        known.commit(source, await first(source))
        await until(lambda: len(known.asked) == 2)  # it has found the other consumer, and joined that
        await known.serve(source, until=count)
        await until(lambda: info(broker)["num_ack_pending"] == 0)
    assert [known.stored[position] for position in sorted(known.stored)] == sent


async def test_many_start_at_once(broker: JetStreamBroker, known: Ledger) -> None:
    """Processes that start at the same time, with messages in flight, agree on one durable in the end."""
    sent = publish(broker, 0, 1_000)
    known.positions = {0: 1}
    async with killed(broker.source(), known) as source:
        await read(source, 1_000)
    async with AsyncExitStack() as stack:
        sources: Sequence[Source] = await asyncio.gather(
            *(stack.enter_async_context(opened(broker.source(), known)) for _ in range(6))
        )
        work = [asyncio.create_task(known.serve(source, until=1_200)) for source in sources]
        sent += await asyncio.to_thread(publish, broker, 1_000, 1_200)
        await asyncio.gather(*work)
    assert [known.stored[position] for position in sorted(known.stored)] == sent
