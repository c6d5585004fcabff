"""A stream of NATS JetStream, to be audited: read again by a consumer of the audit's own."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy, StreamInfo
from nats.js.errors import NotFoundError

from orderkeep.errors import BrokerUnavailable, ConfigurationError, ServerUnavailable
from orderkeep.nats_connection import Connection, connect, headers_of, translated

from .topic import Span, TopicState

BATCH_MESSAGES = 2_000
BATCH_BYTES = 8_000_000
"""A batch is closed by the first of the two; two batches are in memory at a time."""
PATIENCE = 60.0
"""Seconds without an answer before the server is given up."""
UNUSED_SECONDS = 300.0
"""After which the server forgets the consumer of an audit that was killed."""
PARTITION = 0
_FULFILLED = ("Message Size Exceeds MaxBytes", "Batch Completed")
"""What the server says when the next message does not fit into a request, and behind the last that did."""


class StreamRecord(NamedTuple):
    """A message as it was read; see `Record`."""

    partition: int
    position: int
    payload: bytes | None
    message: Msg

    @property
    def key(self) -> bytes | None:
        """NATS has none."""
        return None

    def headers(self) -> list[bytes | None] | None:
        return [part for header in headers_of(self.message) for part in header]


class JetStreamTopic:
    """`AuditedTopic` of one stream, at the servers of `url`, as far as `durable` has acknowledged it."""

    def __init__(self, url: str, stream: str, subject: str, durable: str) -> None:
        self._url, self._stream, self._subject = url, stream, subject
        self.group = durable

    def look(self) -> TopicState:
        return asyncio.run(self._look())

    def survey(self) -> TopicState:
        state = self.look()
        if not state.committed:
            raise ConfigurationError(
                f"The consumer {self.group!r} of the stream {self._stream!r} is not there. "
                "Run `orderkeep ingest` first, or set ORDERKEEP_NATS_DURABLE."
            )
        return state

    @asynccontextmanager
    async def reader(self, spans: Sequence[Span]) -> AsyncIterator["StreamReader"]:
        (span,) = spans
        async with self._connected() as connection:
            reader = StreamReader(connection, self._stream, span)
            yield reader

    async def _look(self) -> TopicState:
        async with self._connected() as connection:
            api = connection.jetstream(timeout=PATIENCE)
            try:
                stream = await api.stream_info(self._stream)
            except NotFoundError:
                raise ServerUnavailable(
                    f"There is no stream {self._stream!r}. Make it, or set ORDERKEEP_NATS_STREAM."
                ) from None
            try:
                consumer = await api.consumer_info(self._stream, self.group)
            except NotFoundError:
                consumer = None
            return _state(self._stream, stream, consumer)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        with _explained():
            connection = await connect(self._url, "orderkeep audit")
            try:
                with translated(connection, self._url):
                    yield connection
            finally:
                await connection.end()


class StreamReader:
    """Reads one span of a stream; see `TopicReader`."""

    def __init__(self, connection: Connection, stream: str, span: Span) -> None:
        self.positions = {PARTITION: span.first}
        self._connection = connection
        self._stream = stream
        self._span = span
        self._inbox = connection.new_inbox()
        self._requests = 0
        self._arrived: list[Msg] = []
        self._answered = asyncio.Event()
        self._refused = ""
        self._at_end = span.length == 0

    async def batches(self) -> AsyncIterator[list[StreamRecord]]:
        if self._at_end:
            return
        api = self._connection.jetstream(timeout=PATIENCE)
        reading = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=max(1, self._span.first),
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            inactive_threshold=UNUSED_SECONDS,
        )
        consumer = (await api.add_consumer(self._stream, reading)).name
        await self._connection.subscribe(f"{self._inbox}.*", cb=self._receive, pending_bytes_limit=0)
        upcoming = asyncio.ensure_future(self._read(consumer))
        try:
            while batch := await upcoming:
                upcoming = asyncio.ensure_future(self._read(consumer))
                yield batch
        finally:
            upcoming.cancel()
            await api.delete_consumer(self._stream, consumer)

    async def _read(self, consumer: str) -> list[StreamRecord]:
        """A batch; an empty one when all is read."""
        while not self._at_end:
            messages = await self._ask(consumer)
            records = [StreamRecord(PARTITION, _position(each), each.data, each) for each in messages]
            wanted = [record for record in records if record.position < self._span.next]
            self._at_end = self._at_end or len(wanted) < len(records)
            last = wanted[-1].position + 1 if wanted else self.positions[PARTITION]
            self._at_end = self._at_end or last == self._span.next
            self.positions[PARTITION] = self._span.next if self._at_end else last
            if wanted:
                return wanted
        return []

    async def _ask(self, consumer: str) -> list[Msg]:
        self._requests += 1
        self._answered.clear()
        request = {
            "batch": BATCH_MESSAGES,
            "max_bytes": max(BATCH_BYTES, 2 * self._connection.max_payload),
            "no_wait": True,
        }
        await self._connection.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{consumer}",
            json.dumps(request).encode(),
            f"{self._inbox}.{self._requests}",
        )
        async with asyncio.timeout(PATIENCE):
            await self._answered.wait()
        if self._refused:
            raise ServerUnavailable(f"JetStream does not go on delivering: {self._refused}")
        arrived, self._arrived = self._arrived, []
        return arrived

    async def _receive(self, message: Msg) -> None:
        if message.reply.startswith("$JS.ACK."):
            self._arrived.append(message)
            if len(self._arrived) == BATCH_MESSAGES:
                self._answered.set()
            return
        if message.subject != f"{self._inbox}.{self._requests}":
            return  # a last word on a request that was fulfilled
        headers = message.headers or {}
        status, description = headers.get("Status"), headers.get("Description", "")
        if status == "404":
            self._at_end = True  # no message is left
        elif description not in _FULFILLED:
            self._refused = f"{status} {description}"
        self._answered.set()


def _state(name: str, stream: StreamInfo, consumer: ConsumerInfo | None) -> TopicState:
    low, end = max(1, stream.state.first_seq), stream.state.last_seq + 1
    committed: dict[int, int] = {}
    if consumer is not None:
        floor = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
        idle = not consumer.num_pending and not consumer.num_ack_pending
        committed[PARTITION] = end if idle else floor + 1
    return TopicState(
        kind="jetstream",
        topic=name,
        incarnation=str(stream.created),
        low={PARTITION: low},
        end={PARTITION: end},
        committed=committed,
        compacted=stream.config.max_msgs_per_subject > 0,
        first=1,
    )


def _position(message: Msg) -> int:
    return int(message.metadata.sequence.stream)


@contextmanager
def _explained() -> Iterator[None]:
    """An audit does not wait for a server that is away."""
    try:
        yield
    except BrokerUnavailable as error:
        raise ServerUnavailable(f"{error}. Start it, or set ORDERKEEP_NATS_URL.") from None
