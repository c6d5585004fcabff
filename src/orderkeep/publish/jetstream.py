"""The publisher for NATS JetStream: acknowledged by the stream, many at a time, in a thread of its own."""

import asyncio
import secrets
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

import msgspec
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from orderkeep.errors import BrokerUnavailable, Fatal, OrderkeepError, ServerUnavailable
from orderkeep.nats_connection import Connection, connect, place, translated
from orderkeep.publish.message import GeneratedMessage
from orderkeep.publish.publisher import DeliveryCallback

CONNECT_SECONDS: Final = 10.0
GIVE_UP_SECONDS: Final = 60.0
"""Without a server, as long as Kafka's client tries."""
BACK_PRESSURE_SECONDS: Final = 0.1
MAX_UNCONFIRMED: Final = 4_000
MAX_UNCONFIRMED_BYTES: Final = 32_000_000
RETRY_SECONDS: Final = 0.2
UNAVAILABLE: Final = 503


class _Refusal(msgspec.Struct):
    code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    """What the stream says to a message."""

    error: _Refusal | None = None


class _Sent(NamedTuple):
    message: GeneratedMessage
    timestamp_ms: int


class JetStreamPublisher:
    """Publishes to `subject` at `url`, for the stream that takes it.

    What is not acknowledged when a connection ends is published again over the next one, in its order, with
    the same id: the stream recognises what it has for two minutes, its default. The id is of the publication,
    never the uid, or the stream would swallow duplicates and conflicts. A tombstone is sent as an empty
    message, since NATS has none.

    Making one blocks until the stream answers. Raises `ServerUnavailable` when none does within
    `CONNECT_SECONDS`, `Fatal` when the server refuses us.
    """

    def __init__(self, url: str, subject: str, *, on_delivery: DeliveryCallback | None = None) -> None:
        self._url, self._subject = url, subject
        self._on_delivery = on_delivery
        self._name = secrets.token_hex(8)
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
        connection = await self._connect(CONNECT_SECONDS)
        self._ready.set_result(asyncio.get_running_loop())
        while not self._closing:
            try:
                await self._publish_over(connection)
            except BrokerUnavailable as error:
                self._trouble = str(error)
                await connection.end()
                connection = await self._connect(GIVE_UP_SECONDS)
        await connection.end()

    async def _connect(self, patience: float) -> Connection:
        """Connect, and wait for the stream. Raises `ServerUnavailable`."""
        deadline = time.monotonic() + patience
        while True:
            try:
                connection = await connect(self._url, "orderkeep publish")
                try:
                    await self._find_stream(connection)
                except BaseException:
                    await connection.end()
                    raise
            except BrokerUnavailable as error:
                if time.monotonic() > deadline or self._closing:
                    raise ServerUnavailable(
                        f"no JetStream answers at {place(self._url)} ({error}): is it running? "
                        "set ORDERKEEP_NATS_URL"
                    ) from None
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return connection

    async def _find_stream(self, connection: Connection) -> None:
        with translated(connection, self._url):
            try:
                await connection.jetstream().find_stream_name_by_subject(self._subject)
            except NotFoundError:
                raise ServerUnavailable(
                    f"no stream takes the subject {self._subject!r} at {place(self._url)}: start "
                    "`orderkeep ingest`, which makes it, or set ORDERKEEP_NATS_SUBJECT"
                ) from None

    async def _publish_over(self, connection: Connection) -> None:
        inbox = connection.new_inbox()
        watching = asyncio.ensure_future(self._wake_when_lost(connection))
        try:
            with translated(connection, self._url):
                await connection.subscribe(
                    f"{inbox}.*", cb=partial(self._confirm, connection), pending_bytes_limit=0
                )
                for number in list(self._under_way):
                    await self._publish(connection, inbox, number)
                while not self._closing:
                    self._awake.clear()
                    while self._outbox and not connection.lost.is_set():
                        number, message = self._outbox.popleft()
                        self._under_way[number] = _Sent(message, time.time_ns() // 1_000_000)
                        await self._publish(connection, inbox, number)
                    if connection.lost.is_set():
                        raise BrokerUnavailable("the connection to NATS has ended")
                    await self._awake.wait()
        finally:
            watching.cancel()

    async def _publish(self, connection: Connection, inbox: str, number: int) -> None:
        payload = self._under_way[number].message.payload or b""
        if len(payload) > connection.max_payload:
            raise Fatal(
                f"NATS at {place(self._url)} takes {connection.max_payload:,} bytes, and a message has "
                f"{len(payload):,}"
            )
        headers = {"Nats-Msg-Id": f"{self._name}-{number}"}
        await connection.publish(self._subject, payload, f"{inbox}.{number}", headers)

    async def _confirm(self, connection: Connection, answer: Msg) -> None:
        if not answer.data:
            connection.lost.set()  # no stream takes the subject: JetStream ends, or has just begun
            return
        number = int(answer.subject.rpartition(".")[2])
        refused = msgspec.json.decode(answer.data, type=_Answer).error
        if refused is not None and refused.code == UNAVAILABLE:
            connection.lost.set()
        elif refused is not None:
            self._failure = Fatal(f"the stream did not take a message: {refused.description}")
        elif (sent := self._under_way.pop(number, None)) is not None:
            self._confirmed.append(sent)

    async def _wake_when_lost(self, connection: Connection) -> None:
        await connection.lost.wait()
        self._awake.set()
