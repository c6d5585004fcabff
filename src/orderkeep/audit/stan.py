"""A channel of NATS Streaming, to be audited: read again by a subscription of the audit's own."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

from asyncpg import Range

from orderkeep.errors import BrokerUnavailable, ConfigurationError, ServerUnavailable
from orderkeep.nats_connection import translated
from orderkeep.stan_connection import StanConnection, check_channel, connect_stan
from orderkeep.stan_protocol import StanMessage

from .evidence import PATIENCE, QUERIES, connected, explained
from .topic import Span, TopicState

BATCH_MESSAGES = 1_000
"""Of a batch; so many are in memory twice, as many as the server sends ahead."""
EMPTY_SECONDS = 1.0
"""A server says nothing about a channel without messages: after so long, one that is new counts as empty."""
PARTITION, FIRST = 0, 1


class ChannelRecord(NamedTuple):
    """A message as it was read; see `Record`."""

    partition: int
    position: int
    payload: bytes

    @property
    def key(self) -> bytes | None:
        """STAN has none."""
        return None

    def headers(self) -> list[bytes | None]:
        """STAN has none."""
        return []


class StanTopic:
    """`AuditedTopic` of one channel of a cluster, as far as the database at `database_url` claims to be.

    Nobody can ask the server what a durable has acknowledged: the audit proves that the claim is true.
    """

    def __init__(
        self, url: str, cluster: str, client_id: str, channel: str, durable: str, database_url: str
    ) -> None:
        check_channel(channel)
        self._url, self._cluster, self._channel = url, cluster, channel
        self._client_id = f"{client_id}-audit-{secrets.token_hex(4)}"
        self._database_url = database_url
        self.group = durable

    def look(self) -> TopicState:
        return asyncio.run(self._look())

    def survey(self) -> TopicState:
        state = self.look()
        if not state.committed:
            raise ConfigurationError(
                f"The database knows nothing of the channel {self._channel!r} read by {self.group!r}. "
                "Run `orderkeep ingest` first, or set ORDERKEEP_NATS_SUBJECT and ORDERKEEP_NATS_DURABLE."
            )
        return state

    @asynccontextmanager
    async def reader(self, spans: Sequence[Span]) -> AsyncIterator["ChannelReader"]:
        (span,) = spans
        async with self._connected() as client:
            yield ChannelReader(client, self._url, self._channel, span)

    async def _look(self) -> TopicState:
        async with self._connected() as client, connected(self._database_url) as database:
            with explained():
                known = await database.fetchval(QUERIES["latest_incarnation"], *self._names, timeout=PATIENCE)
            first = await self._first(client, known)
            if first is None:
                return self._state("", FIRST, FIRST, FIRST)
            end = (await client.look(self._channel, "last")).sequence + 1
            # Limits may have dropped the first message ever, which tells one incarnation from another.
            incarnation = str(first.timestamp) if first.sequence == FIRST or known is None else known
            with explained():
                row = await database.fetchrow(QUERIES["claimed"], *self._names, incarnation, timeout=PATIENCE)
            claimed = None if row is None else _reached(row["next_position"], row["shared"])
            return self._state(incarnation, first.sequence, end, claimed)

    @property
    def _names(self) -> tuple[str, str, str]:
        return self.group, "stan", self._channel

    async def _first(self, client: StanConnection, known: str | None) -> StanMessage | None:
        """The first message there is; None when there is none, and none was expected."""
        try:
            async with asyncio.timeout(EMPTY_SECONDS if known is None else PATIENCE):
                return await client.look(self._channel, "first")
        except TimeoutError:
            if known is None:
                return None
        raise ServerUnavailable(
            f"The channel {self._channel!r} is empty, and the database has messages of it: there is nothing "
            "to compare them with."
        )

    def _state(self, incarnation: str, low: int, end: int, claimed: int | None) -> TopicState:
        return TopicState(
            kind="stan",
            topic=self._channel,
            incarnation=incarnation,
            low={PARTITION: low},
            end={PARTITION: end},
            committed={} if claimed is None else {PARTITION: claimed},
            compacted=False,
            first=FIRST,
        )

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[StanConnection]:
        with _explained():
            client = await connect_stan(self._url, self._cluster, self._client_id, "orderkeep audit")
            try:
                yield client
            finally:
                await client.end()


class ChannelReader:
    """Reads one span of a channel; see `TopicReader`."""

    def __init__(self, client: StanConnection, url: str, channel: str, span: Span) -> None:
        self.positions = {PARTITION: span.first}
        self._client, self._url, self._channel = client, url, channel
        self._span = span
        self._arrived: list[StanMessage] = []
        self._news = asyncio.Event()

    async def batches(self) -> AsyncIterator[list[ChannelRecord]]:
        if not self._span.length:
            return
        subscription = await self._client.subscribe(
            self._channel,
            self._receive,
            self._span.first,
            max_in_flight=BATCH_MESSAGES,
            ack_wait=round(PATIENCE),
        )
        while self.positions[PARTITION] < self._span.next:
            records = self._wanted(await self._next())
            with translated(self._client.nats, self._url):
                for record in records:
                    await self._client.acknowledge(subscription, record.position)
            if records:
                yield records
        await self._client.close_subscription(subscription)

    def _receive(self, message: StanMessage) -> None:
        self._arrived.append(message)
        self._news.set()

    async def _next(self) -> list[StanMessage]:
        while not self._arrived:
            self._news.clear()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._news.wait()
            except TimeoutError:
                raise ServerUnavailable(
                    f"NATS Streaming has sent nothing for {PATIENCE:.0f} seconds, so the audit is not "
                    "complete. Run it again when the server is well."
                ) from None
        arrived, self._arrived = self._arrived, []
        return arrived

    def _wanted(self, messages: Sequence[StanMessage]) -> list[ChannelRecord]:
        """Those of the span that were not read yet: the server may send one again."""
        records = []
        for message in messages:
            if self.positions[PARTITION] <= message.sequence < self._span.next:
                records.append(ChannelRecord(PARTITION, message.sequence, message.data))
                self.positions[PARTITION] = message.sequence + 1
            elif message.sequence >= self._span.next:
                self.positions[PARTITION] = self._span.next
        return records


def _reached(claimed: int, shared: Sequence[Range[int]]) -> int:
    """Where the ranges leave the first gap behind what is claimed; they are sorted."""
    for each in shared:
        if each.lower is not None and each.lower <= claimed:
            claimed = max(claimed, each.upper or 0)
    return claimed


@contextmanager
def _explained() -> Iterator[None]:
    """An audit does not wait for a server that is away."""
    try:
        yield
    except BrokerUnavailable as error:
        raise ServerUnavailable(
            f"{error}. Start it, or set ORDERKEEP_NATS_URL and ORDERKEEP_STAN_CLUSTER."
        ) from None
