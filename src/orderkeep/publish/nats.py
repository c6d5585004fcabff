"""What the publishers over NATS have in common: many messages under way, in a thread of its own."""

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from nats.aio.msg import Msg
from nats.errors import MaxPayloadError

from orderkeep.errors import BrokerUnavailable, Fatal, OrderkeepError, ServerUnavailable
from orderkeep.nats_connection import Connection, place, translated
from orderkeep.publish.message import GeneratedMessage
from orderkeep.publish.publisher import DeliveryCallback

CONNECT_SECONDS: Final = 10.0
GIVE_UP_SECONDS: Final = 60.0
"""Without a server, as long as Kafka's client tries."""
BACK_PRESSURE_SECONDS: Final = 0.1
MAX_UNCONFIRMED: Final = 4_000
MAX_UNCONFIRMED_BYTES: Final = 32_000_000
RETRY_SECONDS: Final = 0.2


class Link(Protocol):
    """A connection that can be published over."""

    @property
    def lost(self) -> asyncio.Event: ...

    async def end(self) -> None: ...


Client = TypeVar("Client", bound=Link)


class _Sent(NamedTuple):
    message: GeneratedMessage
    timestamp_ms: int


class NatsPublisher(ABC, Generic[Client]):
    """A `Publisher`; what is not confirmed when a connection ends is sent again over the next one, in order.

    Making one blocks until the server answers. Raises `ServerUnavailable` when none does within
    `CONNECT_SECONDS`, `Fatal` when the server refuses us.
    """

    def __init__(self, url: str, on_delivery: DeliveryCallback | None) -> None:
        self._url = url
        self._on_delivery = on_delivery
        self._sent = self._delivered = self._failed = 0
        self._unconfirmed_bytes = 0
        self._failure: OrderkeepError | None = None
        self._trouble = ""
        self._closing = False
        self._outbox: deque[tuple[int, GeneratedMessage]] = deque()
        self._under_way: dict[int, _Sent] = {}
        self._confirmed: deque[_Sent] = deque()
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._run, name="nats", daemon=True)
        self._thread.start()
        self._loop = self._ready.result()

    @property
    def delivered(self) -> int:
        return self._delivered

    @property
    def failed(self) -> int:
        return self._failed

    def send(self, message: GeneratedMessage) -> None:
        while self._is_full():
            self.serve(BACK_PRESSURE_SECONDS)
        self._unconfirmed_bytes += len(message.payload or b"")
        self._outbox.append((self._sent, message))
        self._sent += 1
        self._wake_up()
        self.serve(0)

    def serve(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._confirmed and self._failure is None and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.001))
        while self._confirmed:
            message, timestamp_ms = self._confirmed.popleft()
            self._delivered += 1
            self._unconfirmed_bytes -= len(message.payload or b"")
            if self._on_delivery is not None:
                self._on_delivery(message, timestamp_ms)
        if self._failure is not None:
            self._failed = self._sent - self._delivered
            raise self._failure

    def flush(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self._delivered < self._sent and time.monotonic() < deadline:
            self.serve(BACK_PRESSURE_SECONDS)
        if waiting := self._sent - self._delivered:
            because = f" ({self._trouble})" if self._trouble else ""
            raise BrokerUnavailable(f"{waiting:,} messages were not confirmed within {timeout:g} s{because}")

    def close(self) -> None:
        self._closing = True
        self._wake_up()
        self._thread.join()

    def _is_full(self) -> bool:
        waiting = self._sent - self._delivered
        return waiting >= MAX_UNCONFIRMED or (
            waiting > 0 and self._unconfirmed_bytes >= MAX_UNCONFIRMED_BYTES
        )

    def _wake_up(self) -> None:
        if not self._awake.is_set():
            with suppress(RuntimeError):  # the loop has ended with a failure
                self._loop.call_soon_threadsafe(self._awake.set)

    # What follows runs in the thread.

    @abstractmethod
    async def _connect(self) -> Client:
        """A connection over which the broker has answered. Raises `BrokerUnavailable` or `Fatal`."""

    @abstractmethod
    def _nats(self, client: Client) -> Connection:
        """What it sends over."""

    @abstractmethod
    def _nobody(self, error: BrokerUnavailable) -> ServerUnavailable:
        """What to say when no broker was there for too long."""

    @abstractmethod
    async def _publish(self, client: Client, reply: str, number: int, payload: bytes) -> None:
        """Send the message of this number; the answer is to come to `reply`."""

    @abstractmethod
    def _is_confirmed(self, answer: bytes) -> bool:
        """Whether the broker has the message; False when it cannot take any now. Raises `Fatal`."""

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except OrderkeepError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, who publishes must hear of it
            self._fail(Fatal(f"publishing to NATS failed: {error!r}"))

    def _fail(self, error: OrderkeepError) -> None:
        if self._ready.done():
            self._failure = error
        else:
            self._ready.set_exception(error)

    async def _work(self) -> None:
        self._awake = asyncio.Event()
        client = await self._connect_within(CONNECT_SECONDS)
        self._ready.set_result(asyncio.get_running_loop())
        while not self._closing:
            try:
                await self._publish_over(client)
            except BrokerUnavailable as error:
                self._trouble = str(error)
                await client.end()
                client = await self._connect_within(GIVE_UP_SECONDS)
        await client.end()

    async def _connect_within(self, patience: float) -> Client:
        """Raises what `_nobody` says, or `Fatal`."""
        deadline = time.monotonic() + patience
        while True:
            try:
                return await self._connect()
            except BrokerUnavailable as error:
                if time.monotonic() > deadline or self._closing:
                    raise self._nobody(error) from None
                await asyncio.sleep(RETRY_SECONDS)

    async def _publish_over(self, client: Client) -> None:
        nats = self._nats(client)
        inbox = nats.new_inbox()
        watching = asyncio.ensure_future(self._wake_when_lost(client))
        try:
            with translated(nats, self._url):
                await nats.subscribe(f"{inbox}.*", cb=partial(self._confirm, client), pending_bytes_limit=0)
                for number in list(self._under_way):
                    await self._send(client, inbox, number)
                while not self._closing:
                    self._awake.clear()
                    while self._outbox and not client.lost.is_set():
                        number, message = self._outbox.popleft()
                        self._under_way[number] = _Sent(message, time.time_ns() // 1_000_000)
                        await self._send(client, inbox, number)
                    if client.lost.is_set():
                        raise BrokerUnavailable("the connection to NATS has ended")
                    await self._awake.wait()
        finally:
            watching.cancel()

    async def _send(self, client: Client, inbox: str, number: int) -> None:
        payload = self._under_way[number].message.payload or b""
        try:
            await self._publish(client, f"{inbox}.{number}", number, payload)
        except MaxPayloadError:
            limit = self._nats(client).max_payload
            raise Fatal(
                f"NATS at {place(self._url)} takes {limit:,} bytes, and a message has {len(payload):,}"
            ) from None

    async def _confirm(self, client: Client, answer: Msg) -> None:
        try:
            confirmed = bool(answer.data) and self._is_confirmed(answer.data)
        except Fatal as error:
            self._failure = error
            return
        if not confirmed:  # without data nobody takes the subject: the broker ends, or has just begun
            client.lost.set()
        elif (sent := self._under_way.pop(int(answer.subject.rpartition(".")[2]), None)) is not None:
            self._confirmed.append(sent)

    async def _wake_when_lost(self, client: Client) -> None:
        await client.lost.wait()
        self._awake.set()
