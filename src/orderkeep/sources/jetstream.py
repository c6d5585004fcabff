"""NATS JetStream as a source: a durable pull consumer, which any number of ingest processes may share."""

import asyncio

import structlog

from orderkeep.errors import BrokerUnavailable, ConfigurationError, ServerUnavailable
from orderkeep.nats_connection import Connection, connect, place
from orderkeep.sources.jetstream_beginning import Beginning, Begun, consumer_deleted
from orderkeep.sources.jetstream_deliveries import Deliveries
from orderkeep.sources.jetstream_member import ConsumerChanged, JetStreamMember, MessagesGone
from orderkeep.sources.jetstream_stream import ConsumerState, JetStreamStream, StreamState
from orderkeep.sources.reconnecting import POLL_SECONDS, ReconnectingSource, Rejoin
from orderkeep.sources.source import AcceptGap, Resume

ACK_WAIT_SECONDS = 30.0
"""After which the server delivers again what a process that died had in flight."""
REMADE_SECONDS = 2.0
"""For a consumer that is missing: another process may be making it anew."""

log = structlog.get_logger()


class JetStreamSource(ReconnectingSource[Connection]):
    """A `Source` over one stream, by the durable `durable`; stream and durable are made if missing.

    `url` is nats:// or tls://, comma-separated. `ack_wait`, in seconds, is for a durable that is made.
    Raises `ConfigurationError` for names that NATS does not take.
    """

    name = "JetStream"

    def __init__(
        self, url: str, stream: str, subject: str, durable: str, *, ack_wait: float = ACK_WAIT_SECONDS
    ) -> None:
        for setting, name in (("STREAM", stream), ("DURABLE", durable)):
            if not name or any(letter in name for letter in " .*>/\\\t\r\n"):
                raise ConfigurationError(f"ORDERKEEP_NATS_{setting}: {name!r} is no name for NATS")
        self._deliveries = Deliveries()
        super().__init__(self._deliveries)
        self._url = url
        self._names = (stream, subject, durable, ack_wait)
        self._state: StreamState | None = None
        self._consumer: ConsumerState | None = None

    def _prepare(self, resume: Resume, accept_gap: AcceptGap | None) -> None:
        self._beginning = Beginning(resume, accept_gap)

    async def _take_part(self, client: Connection) -> None:
        try:
            stream = JetStreamStream(client, self._url, *self._names)
            state, consumer = await self._join(stream)
            self._state, self._consumer = state, consumer
            member = JetStreamMember(client, self._url, stream, state, consumer, self._deliveries)
            self._working = True
            await member.work(self._stopping, self._stopped, self._closing)
        except ConsumerChanged as change:
            log.warning("consumer_changed", stream=self._names[0], found=str(change))
            raise Rejoin from None
        except MessagesGone:
            self._consumer = None
            raise Rejoin from None
        finally:
            self._working = False
            await client.end()

    async def _join(self, stream: JetStreamStream) -> tuple[StreamState, ConsumerState]:
        """Go on with what is in flight if stream and consumer are those of before, else begin."""
        state = await self._find_stream(stream)
        if self._state is None or self._consumer is None or state.identity != self._state.identity:
            if self._state is not None and state.identity != self._state.identity:
                log.warning("topic_made_again", topic=stream.name)
            begun = await self._beginning.find(stream, state)
        else:
            consumer = await self._wait_for_consumer(stream)
            if consumer.created != self._consumer.created:
                begun = await self._beginning.join(stream, state, consumer)
            elif self._went_back(state, consumer):
                begun = await self._beginning.find(stream, state)
            else:
                return state, consumer
        self._begin(state, begun)
        return state, begun.consumer

    def _begin(self, state: StreamState, begun: Begun) -> None:
        consumer = begun.consumer
        self._deliveries.begin(
            state.identity, begun.position, consumer.deliveries, alone=begun.alone, announce=not begun.known
        )
        log.info("stream_joined", topic=state.identity.topic, position=begun.position, alone=begun.alone)

    def _went_back(self, state: StreamState, consumer: ConsumerState) -> bool:
        """Whether a server that crashed has forgotten deliveries, or messages.

        To acknowledge those to it would have it skip what others had in flight then.
        """
        return (
            consumer.deliveries < self._deliveries.last_number or state.high < self._deliveries.next_position
        )

    async def _find_stream(self, stream: JetStreamStream) -> StreamState:
        """It is made at the start; one that is deleted later is waited for: someone made it with care."""
        if self._state is None:
            await stream.make()
        state = await stream.state()
        if state is None:
            raise BrokerUnavailable(f"there is no stream {stream.name!r} any more")
        return state

    async def _wait_for_consumer(self, stream: JetStreamStream) -> ConsumerState:
        for _ in range(round(REMADE_SECONDS / POLL_SECONDS)):
            if (consumer := await stream.consumer()) is not None:
                return consumer
            await asyncio.sleep(POLL_SECONDS)
        raise consumer_deleted(stream)

    async def _connect(self) -> Connection:
        """A connection over which JetStream has answered."""
        connection = await connect(self._url, "orderkeep ingest")
        try:
            await JetStreamStream(connection, self._url, *self._names).state()
        except BaseException:
            await connection.end()
            raise
        return connection

    def _nobody(self, error: BrokerUnavailable) -> ServerUnavailable:
        return ServerUnavailable(
            f"no JetStream answers at {place(self._url)} ({error}): start nats-server with JetStream (-js), "
            "or set ORDERKEEP_NATS_URL"
        )
