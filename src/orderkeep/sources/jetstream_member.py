"""A member of those who share a JetStream consumer: pulls over one connection, and acknowledges over it."""

import asyncio
import json

from nats.aio.msg import Msg

from orderkeep.errors import BrokerUnavailable, Fatal
from orderkeep.nats_connection import Connection, translated
from orderkeep.sources.jetstream_deliveries import Deliveries, read_delivery
from orderkeep.sources.jetstream_stream import ConsumerState, JetStreamStream, StreamState
from orderkeep.sources.reconnecting import first_event, first_of
from orderkeep.sources.source import MAX_BYTES, MAX_MESSAGES

EXPIRES_SECONDS = 30.0
"""For one request; the next one follows."""
HEARTBEAT_SECONDS = 2.0
SILENCE_SECONDS = 10.0
"""Without a message or a heartbeat, before another connection is made."""
LOOK_SECONDS = 1.0
LOOKS_A_STREAM = 3
"""So many looks at the consumer come to one at the stream."""
BUSY_SECONDS = 0.2
"""Before asking again, when the server refused for now."""
SETTLE_SECONDS = 10.0
POLL_SECONDS = 0.05

_ACKNOWLEDGED, _IN_PROGRESS, _NOT_DONE = b"", b"+WPI", b"-NAK"
_FULFILLED = ("Message Size Exceeds MaxBytes", "Batch Completed")
"""What the server says when the next message does not fit into a request, and behind the last that did."""
_SECOND = 1_000_000_000


class ConsumerChanged(Exception):
    """The consumer or the stream is no longer the one that was joined: look what there is."""


class MessagesGone(Exception):
    """Messages that nobody has read are no longer in the stream."""


class JetStreamMember:
    """Fills `deliveries` from a consumer, and sends what they say is due, over one connection."""

    def __init__(
        self,
        connection: Connection,
        url: str,
        stream: JetStreamStream,
        state: StreamState,
        consumer: ConsumerState,
        deliveries: Deliveries,
    ) -> None:
        self._connection = connection
        self._url = url
        self._stream = stream
        self._identity = state.identity
        self._consumer = consumer
        self._deliveries = deliveries
        self._requests = f"$JS.API.CONSUMER.MSG.NEXT.{stream.name}.{stream.durable}"
        self._inbox = connection.new_inbox()
        self._asked = self._asked_for = 0
        self._answered = asyncio.Event()
        self._leaving = asyncio.Event()
        self._drained = asyncio.Event()
        self._refused_for_now = False
        self._heard_at = 0.0
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work(self, stopping: asyncio.Event, stopped: asyncio.Event, closing: asyncio.Event) -> None:
        """Work until `closing` is set, then acknowledge what is due and give back the rest.

        Once `stopping` is set nothing more is asked for; `stopped` is set when all that was on its way has
        arrived. Raises `ConsumerChanged`, `MessagesGone`, `BrokerUnavailable` or `Fatal`.
        """
        closed = asyncio.ensure_future(closing.wait())
        parts = [
            asyncio.ensure_future(part)
            for part in (
                self._pull(stopping, stopped),
                self._acknowledge(),
                self._keep_in_progress(),
                self._look(),
                self._explain_holes(),
                self._watch(),
            )
        ]
        try:
            await first_of(closed, self._ended, *parts)
            await self._give_back()
        except ConsumerChanged:
            await self._hand_back()
            raise
        finally:
            for task in (closed, *parts):
                task.cancel()
            await asyncio.gather(closed, *parts, return_exceptions=True)

    async def _pull(self, stopping: asyncio.Event, stopped: asyncio.Event) -> None:
        """One request at a time, each for a batch, whenever less than a batch waits."""
        with translated(self._connection, self._url):
            subscription = await self._connection.subscribe(
                f"{self._inbox}.*",
                cb=self._receive,
                pending_msgs_limit=2 * MAX_MESSAGES,
                pending_bytes_limit=0,
            )
            asking = asyncio.ensure_future(self._ask())
            stop = asyncio.ensure_future(first_event(stopping, self._leaving))
            try:
                await first_of(asking, stop)
            finally:
                asking.cancel()
                stop.cancel()
            await subscription.drain()  # type: ignore[no-untyped-call] # nats-py gives no return type
        self._drained.set()
        if stopping.is_set():
            stopped.set()
        await asyncio.Event().wait()

    async def _ask(self) -> None:
        # The server never sends a message larger than the limit, and would keep it for ever.
        max_bytes = max(MAX_BYTES, 2 * self._connection.max_payload)
        request = {
            "batch": MAX_MESSAGES,
            "max_bytes": max_bytes,
            "expires": round(EXPIRES_SECONDS * _SECOND),
            "idle_heartbeat": round(HEARTBEAT_SECONDS * _SECOND),
        }
        while True:
            while not self._deliveries.has_room:
                self._deliveries.taken.clear()
                await self._deliveries.taken.wait()
            self._asked += 1
            self._asked_for = MAX_MESSAGES
            self._answered.clear()
            self._refused_for_now = False
            self._heard_at = asyncio.get_running_loop().time()
            await self._connection.publish(
                self._requests, json.dumps(request).encode(), f"{self._inbox}.{self._asked}"
            )
            await self._answered.wait()
            if self._refused_for_now:
                await asyncio.sleep(BUSY_SECONDS)

    async def _receive(self, message: Msg) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        # What a sender writes into headers may look like a status; the reply subject is the server's own.
        if not message.reply.startswith("$JS.ACK."):
            self._note_status(message)
            return
        self._deliveries.receive(read_delivery(message))
        self._asked_for -= 1
        if not self._asked_for:
            self._answered.set()

    def _note_status(self, message: Msg) -> None:
        """How a request ended, or that it is still waiting (ADR-13 of NATS has the codes)."""
        headers = message.headers or {}
        code, description = headers.get("Status", ""), headers.get("Description", "")
        if code == "100" or message.subject != f"{self._inbox}.{self._asked}":
            return  # waiting, or a last word on a request that was fulfilled
        if code == "503" or "Deleted" in description or "push based" in description:
            self._end_with(ConsumerChanged(description))
        elif code == "400":
            self._end_with(Fatal(f"JetStream refuses to deliver: {description}"))
        else:
            self._refused_for_now = code == "409" and description not in _FULFILLED
            self._answered.set()

    def _end_with(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    async def _acknowledge(self) -> None:
        with translated(self._connection, self._url):
            while True:
                await self._deliveries.due.wait()
                if self._answered.is_set():  # no request is open that would be told that the consumer is gone
                    await self._check_consumer()
                await self._send(self._deliveries.take_acknowledged(), _ACKNOWLEDGED)

    async def _keep_in_progress(self) -> None:
        """Tell the server that what is not acknowledged is being worked on, before it gives up waiting."""
        with translated(self._connection, self._url):
            while True:
                await asyncio.sleep(self._consumer.ack_wait / 3)
                await self._send(self._deliveries.unacknowledged, _IN_PROGRESS)

    async def _send(self, replies: list[str], what: bytes) -> None:
        for reply in replies:
            await self._connection.publish(reply, what)

    async def _look(self) -> None:
        """See whether stream and consumer are still the same, and how far all of us together have come."""
        looks = 0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            consumer = await self._check_consumer()
            self._deliveries.note_floor(consumer.floor, consumer.deliveries, at_rest=consumer.at_rest)
            looks += 1
            if looks % LOOKS_A_STREAM == 0:
                state = await self._state()
                self._deliveries.note_end(state.high)
                if state.low > consumer.delivered + 1:
                    raise MessagesGone

    async def _check_consumer(self) -> ConsumerState:
        consumer = await self._stream.consumer()
        if consumer is None or consumer.created != self._consumer.created:
            raise ConsumerChanged("another consumer is there now")
        return consumer

    async def _explain_holes(self) -> None:
        """Positions are missing before what waits: deleted one by one, or with all that came before them?"""
        while True:
            await self._deliveries.holed.wait()
            state = await self._state()
            hole = self._deliveries.hole
            if hole is not None and state.low > hole:
                await self._wait_until_settled()  # what came before is no part of the gap
                raise MessagesGone
            self._deliveries.pass_hole()

    async def _wait_until_settled(self) -> None:
        for _ in range(round(SETTLE_SECONDS / POLL_SECONDS)):
            if self._deliveries.settled():
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _state(self) -> StreamState:
        state = await self._stream.state()
        if state is None or state.identity != self._identity:
            raise ConsumerChanged("another stream is there now")
        return state

    async def _watch(self) -> None:
        """Raises `BrokerUnavailable` when the connection has ended, or nothing is heard."""
        loop = asyncio.get_running_loop()
        self._heard_at = loop.time()
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._connection.lost.wait()
                raise BrokerUnavailable("the connection to NATS has ended")
            except TimeoutError:
                waiting = self._asked_for and not self._answered.is_set()
                if waiting and loop.time() - self._heard_at > SILENCE_SECONDS:
                    raise BrokerUnavailable("NATS has not said anything for a while") from None

    async def _give_back(self) -> None:
        """Acknowledge what is due; what is unfinished is delivered to whoever asks, without a wait.

        Only then: a request that is still open could get a message that nobody would give back.
        """
        await first_event(self._drained, self._connection.lost)
        with translated(self._connection, self._url):
            await self._send(self._deliveries.take_acknowledged(), _ACKNOWLEDGED)
            await self._send_back()

    async def _hand_back(self) -> None:
        """A request that was sent as the consumer was made anew asks the new one, and may have been answered.

        Nobody would acknowledge that, and the server would wait for it. What is not of the new consumer is no
        business of it, and ignored.
        """
        self._leaving.set()
        await first_event(self._drained, self._connection.lost)
        with translated(self._connection, self._url):
            await self._send_back()

    async def _send_back(self) -> None:
        await self._send(self._deliveries.unacknowledged, _NOT_DONE)
        await self._connection.flush()
