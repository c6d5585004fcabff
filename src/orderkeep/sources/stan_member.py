"""A subscription of a channel of NATS Streaming: fills `deliveries`, and acknowledges what is due."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import structlog

from orderkeep.nats_connection import translated
from orderkeep.sources.reconnecting import Rejoin, first_of
from orderkeep.sources.source import MAX_MESSAGES
from orderkeep.sources.stan_beginning import Beginning
from orderkeep.sources.stan_deliveries import Deliveries
from orderkeep.stan_connection import FOR_EVER, StanConnection, Subscription
from orderkeep.stan_protocol import StanMessage

MAX_IN_FLIGHT = 4 * MAX_MESSAGES
"""Messages that the server sends ahead of their acknowledgements."""
WAITING_BYTES = 64_000_000
"""A server pushes, however large messages are: with more than this, we subscribe anew for fewer."""
LEAST_IN_FLIGHT = 16
LOOK_SECONDS = 3.0
FLOOR_SECONDS = 1.0

log = structlog.get_logger()


class Reading(NamedTuple):
    """What is subscribed to, and how: `ack_wait` in seconds; `queue` empty when nobody shares."""

    channel: str
    durable: str
    queue: str
    ack_wait: int


class Skipped(Rejoin):
    """The durable is ahead of what we have: it has to be made anew."""


class MessagesGone(Rejoin):
    """Messages that nobody has read are no longer in the channel."""


class TooMuchWaits(Rejoin):
    """Messages are larger than thought: ask for fewer at a time."""

    def __init__(self, max_in_flight: int) -> None:
        super().__init__()
        self.max_in_flight = max_in_flight


class StanMember:
    """Works over one connection, until it is lost or somebody closes."""

    def __init__(
        self,
        client: StanConnection,
        url: str,
        reading: Reading,
        deliveries: Deliveries,
        beginning: Beginning,
        max_in_flight: int,
        *,
        anew: bool,
    ) -> None:
        """`anew`: what the server has delivered before is not known to be stored."""
        self._client = client
        self._url = url
        self._reading = reading
        self._deliveries = deliveries
        self._beginning = beginning
        self._max_in_flight = max_in_flight
        self._anew = anew
        self._read_until = -1
        """Up to there, what nobody brings is read again without waiting for anybody."""
        self._subscription: asyncio.Future[Subscription] = asyncio.get_running_loop().create_future()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stopping = False

    @property
    def joined(self) -> bool:
        """Whether the subscription is made, and where it began was looked at."""
        return self._subscription.done()

    async def work(self, stopping: asyncio.Event, stopped: asyncio.Event, closing: asyncio.Event) -> None:
        """Subscribe, and work until `closing` is set; then acknowledge what is due.

        Once `stopping` is set nothing more is taken; `stopped` says so. Raises `Rejoin`, `Transient` or
        `Fatal`.
        """
        closed = asyncio.ensure_future(closing.wait())
        parts = [
            asyncio.ensure_future(part)
            for part in (
                self._subscribe(),
                self._stop(stopping, stopped),
                self._acknowledge(),
                self._look(),
                self._notice_skipping(),
                self._watch(),
                *([self._share()] if self._reading.queue else []),
            )
        ]
        try:
            await first_of(closed, self._ended, *parts)
            await self._send_due()
        finally:
            for task in (closed, *parts):
                task.cancel()
            await asyncio.gather(closed, *parts, return_exceptions=True)

    async def _subscribe(self) -> None:
        """What is acknowledged may not be stored: the database may have been restored since."""
        made = await (self._join_queue() if self._reading.queue else self._take_durable())
        self._subscription.set_result(made)
        await asyncio.Event().wait()

    async def _take_durable(self) -> Subscription:
        """A durable of our own that is ahead of us is made anew."""
        self._deliveries.resume()
        if self._anew:
            return await self._make_durable_anew(await self._ask_for_messages(_drop))
        made = await self._ask_for_messages(self._receive)
        last = await self._client.look(self._reading.channel, "last")
        return await self._make_durable_anew(made) if self._is_ahead(last.sequence) else made

    async def _make_durable_anew(self, made: Subscription) -> Subscription:
        await self._client.unsubscribe(made)
        self._deliveries.resume()
        log.info("consumer_made", stream=self._reading.channel, start=self._deliveries.next_position)
        return await self._ask_for_messages(self._receive)

    async def _join_queue(self) -> Subscription:
        """A queue cannot be taken back. What it has passed over is read again, before what it brings."""
        deliveries = self._deliveries
        position = deliveries.next_position
        if not self._anew:
            deliveries.release()
            return await self._ask_for_messages(self._receive)
        deliveries.hold_back()
        made = await self._ask_for_messages(self._receive)
        last = await self._client.look(self._reading.channel, "last")
        self._read_until = deliveries.lowest_from(position, last.sequence + 1)
        if position < self._read_until:
            await self._read_again(position)
        deliveries.release()
        return made

    async def _ask_for_messages(self, receive: Callable[[StanMessage], None]) -> Subscription:
        reading = self._reading
        return await self._client.subscribe(
            reading.channel,
            receive,
            self._deliveries.next_position,
            max_in_flight=self._max_in_flight,
            ack_wait=reading.ack_wait,
            durable=reading.durable,
            queue=reading.queue,
        )

    def _is_ahead(self, last: int) -> bool:
        """All that was due has come: was the next position among it?"""
        deliveries = self._deliveries
        return deliveries.skipped.is_set() or (deliveries.idle and deliveries.next_position <= last)

    def _receive(self, message: StanMessage) -> None:
        if self._stopping or self._ended.done():
            return
        self._deliveries.receive(message)
        if self._deliveries.waiting_bytes > WAITING_BYTES:
            fewer = max(LEAST_IN_FLIGHT, WAITING_BYTES // 4 // self._deliveries.average_bytes)
            if fewer < self._max_in_flight:
                self._ended.set_exception(TooMuchWaits(fewer))

    async def _stop(self, stopping: asyncio.Event, stopped: asyncio.Event) -> None:
        await stopping.wait()
        self._stopping = True
        stopped.set()
        await asyncio.Event().wait()

    async def _acknowledge(self) -> None:
        while True:
            await self._deliveries.due.wait()
            await self._send_due()

    async def _send_due(self) -> None:
        subscription = await asyncio.shield(self._subscription)
        with translated(self._client.nats, self._url):
            for position in self._deliveries.take_acknowledged():
                await self._client.acknowledge(subscription, position)

    async def _look(self) -> None:
        """See how far the channel goes; a durable that does not go there has been moved on."""
        expected = -1
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            deliveries = self._deliveries
            behind = deliveries.idle and deliveries.next_position == expected
            last = await self._client.look(self._reading.channel, "last")
            deliveries.note_end(last.sequence + 1)
            if behind and deliveries.idle and not self._reading.queue:
                raise Skipped
            expected = deliveries.next_position if deliveries.next_position <= last.sequence else -1

    async def _notice_skipping(self) -> None:
        await asyncio.shield(self._subscription)
        await self._deliveries.skipped.wait()
        raise Skipped

    async def _share(self) -> None:
        """Ask the database how far all of us together have come; what nobody brings is read again."""
        loop, deliveries = asyncio.get_running_loop(), self._deliveries
        patience = 2.0 * self._reading.ack_wait  # until then the server gives it to one of us by itself
        missing, since = -1, loop.time()
        while True:
            await asyncio.sleep(FLOOR_SECONDS)
            if deliveries.sharing:
                deliveries.note_floor(await self._beginning.position(deliveries.source) or 0)
            if deliveries.missing != missing:
                missing, since = deliveries.missing, loop.time()
            if loop.time() - since > patience:
                self._read_until = deliveries.end
            if missing < self._read_until and deliveries.has_room and not deliveries.holds(missing):
                await self._read_again(missing)

    async def _read_again(self, position: int) -> None:
        """Have a batch from the position on delivered, whoever had it. Raises `MessagesGone`."""
        log.info("reading_again", topic=self._reading.channel, position=position)
        found: list[int] = []

        def receive(message: StanMessage) -> None:
            found.append(message.sequence)
            self._receive(message)

        again = await self._client.subscribe(
            self._reading.channel,
            receive,
            position,
            max_in_flight=min(MAX_MESSAGES, self._max_in_flight, self._read_until - position),
            ack_wait=FOR_EVER,
        )
        await self._client.look(self._reading.channel, "last")
        await self._client.close_subscription(again)
        if found and found[0] > position:
            raise MessagesGone

    async def _watch(self) -> None:
        await self._client.lost.wait()
        raise self._client.why_lost()


def _drop(_message: StanMessage) -> None:
    """What a durable has outstanding is delivered again at once, however much it is, and not wanted."""
