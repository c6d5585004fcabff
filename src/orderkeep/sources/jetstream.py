"""NATS JetStream as a source: a durable pull consumer, which any number of ingest processes may share."""

import asyncio
from contextlib import suppress

import structlog

from orderkeep.errors import (
    BrokerUnavailable,
    ConfigurationError,
    Fatal,
    OrderkeepError,
    ServerUnavailable,
    Transient,
)
from orderkeep.nats_connection import Connection, connect, place
from orderkeep.sources.batching import Linger
from orderkeep.sources.jetstream_beginning import Beginning, Begun, consumer_deleted
from orderkeep.sources.jetstream_deliveries import Deliveries
from orderkeep.sources.jetstream_member import ConsumerChanged, JetStreamMember, MessagesGone
from orderkeep.sources.jetstream_stream import ConsumerState, JetStreamStream, StreamState
from orderkeep.sources.source import AcceptGap, Fetched, Resume

ACK_WAIT_SECONDS = 30.0
"""After which the server delivers again what a process that died had in flight."""
START_SECONDS = 10.0
CLOSE_SECONDS = 5.0
RECONNECT_SECONDS = 0.5
COMPLAINT_SECONDS = 10.0
REMADE_SECONDS = 2.0
"""For a consumer that is missing: another process may be making it anew."""
POLL_SECONDS = 0.1

log = structlog.get_logger()


class JetStreamSource:
    """A `Source` over one stream, by the durable `durable`; stream and durable are made if missing.

    `url` is nats:// or tls://, comma-separated. `ack_wait`, in seconds, is for a durable that is made.
    Raises `ConfigurationError` for names that NATS does not take.
    """

    def __init__(
        self, url: str, stream: str, subject: str, durable: str, *, ack_wait: float = ACK_WAIT_SECONDS
    ) -> None:
        for setting, name in (("STREAM", stream), ("DURABLE", durable)):
            if not name or any(letter in name for letter in " .*>/\\\t\r\n"):
                raise ConfigurationError(f"ORDERKEEP_NATS_{setting}: {name!r} is no name for NATS")
        self._url = url
        self._names = (stream, subject, durable, ack_wait)
        self._deliveries = Deliveries()
        self._linger = Linger()
        self._state: StreamState | None = None
        self._consumer: ConsumerState | None = None
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._closing = asyncio.Event()
        self._failure: OrderkeepError | None = None
        self._running: asyncio.Task[None] | None = None
        self._working = False
        self._complained_at = float("-inf")

    async def open(self, resume: Resume, accept_gap: AcceptGap | None = None) -> None:
        connection = await self._first_connection()
        self._running = asyncio.create_task(self._run(connection, Beginning(resume, accept_gap)))

    async def fetch(self) -> Fetched | None:
        while (fetched := await self._collect()) is None:
            if self._stopped.is_set():
                if self._failure is not None:
                    raise self._failure
                return None
            await _first_event(self._deliveries.arrived, self._stopped)
        return fetched

    def acknowledge(self, fetched: Fetched) -> None:  # noqa: ARG002 - batches are acknowledged in their order
        self._deliveries.acknowledge()

    def stop(self) -> None:
        self._stopping.set()
        if not self._working:
            self._stopped.set()

    async def close(self) -> None:
        self.stop()
        self._closing.set()
        if self._running is not None:
            if self._working:
                await asyncio.wait((self._running,), timeout=CLOSE_SECONDS)
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _collect(self) -> Fetched | None:
        """A batch of what has arrived, after a linger if that is worth it."""
        if self._deliveries.arrived.is_set() and self._deliveries.has_room and self._linger.seconds:
            await asyncio.sleep(self._linger.seconds)
        fetched = self._deliveries.take()
        if fetched is not None:
            self._linger.note(len(fetched.messages))
        return fetched

    async def _run(self, connection: Connection | None, beginning: Beginning) -> None:
        """Be a member over one connection after another, until closed, or something is fatal."""
        try:
            while not self._closing.is_set():
                try:
                    await self._take_part(connection or await self._connect(), beginning)
                except ConsumerChanged as change:
                    log.warning("consumer_changed", stream=self._names[0], found=str(change))
                except MessagesGone:
                    self._consumer = None
                except Transient as error:
                    self._complain(error)
                    if self._stopping.is_set():
                        self._stopped.set()
                    await _wait(self._closing, RECONNECT_SECONDS)
                connection = None
        except OrderkeepError as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001 - whatever it is, the pipeline must hear of it
            self._failure = Fatal(f"the JetStream source failed: {error!r}")
        self._stopped.set()

    async def _take_part(self, connection: Connection, beginning: Beginning) -> None:
        try:
            stream = JetStreamStream(connection, self._url, *self._names)
            state, consumer = await self._join(stream, beginning)
            self._state, self._consumer = state, consumer
            member = JetStreamMember(connection, self._url, stream, state, consumer, self._deliveries)
            self._working = True
            await member.work(self._stopping, self._stopped, self._closing)
        finally:
            self._working = False
            await connection.end()

    async def _join(self, stream: JetStreamStream, beginning: Beginning) -> tuple[StreamState, ConsumerState]:
        """Go on with what is in flight if stream and consumer are those of before, else begin."""
        state = await self._find_stream(stream)
        if self._state is None or self._consumer is None or state.identity != self._state.identity:
            if self._state is not None and state.identity != self._state.identity:
                log.warning("topic_made_again", topic=stream.name)
            begun = await beginning.find(stream, state)
        else:
            consumer = await self._wait_for_consumer(stream)
            if consumer.created != self._consumer.created:
                begun = await beginning.join(stream, state, consumer)
            elif self._went_back(state, consumer):
                begun = await beginning.find(stream, state)
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

    async def _first_connection(self) -> Connection:
        """Raises `ServerUnavailable` when JetStream does not answer within `START_SECONDS`."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while True:
            try:
                return await self._connect()
            except BrokerUnavailable as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise ServerUnavailable(
                        f"no JetStream answers at {place(self._url)} ({error}): start nats-server with "
                        "JetStream (-js), or set ORDERKEEP_NATS_URL"
                    ) from None
                await asyncio.sleep(POLL_SECONDS)

    async def _connect(self) -> Connection:
        """A connection over which JetStream has answered."""
        connection = await connect(self._url, "orderkeep ingest")
        try:
            await JetStreamStream(connection, self._url, *self._names).state()
        except BaseException:
            await connection.end()
            raise
        return connection

    def _complain(self, error: Transient) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._complained_at > COMPLAINT_SECONDS:
            self._complained_at = now
            log.warning("broker_unavailable", error=str(error))


async def _first_event(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
