"""What the sources over NATS have in common: being a member over one connection after another."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

import structlog

from orderkeep.errors import BrokerUnavailable, Fatal, OrderkeepError, Transient
from orderkeep.sources.batching import Linger
from orderkeep.sources.complaints import Complaints
from orderkeep.sources.retained import PARTITION
from orderkeep.sources.source import AcceptGap, Fetched, Resume, SourceStatus

START_SECONDS = 10.0
CLOSE_SECONDS = 5.0
RECONNECT_SECONDS = 0.5
POLL_SECONDS = 0.1

Client = TypeVar("Client")

log = structlog.get_logger()


class Rejoin(Exception):
    """What was joined is not there any more, or not the same: look at once what there is."""


class Arrivals(Protocol):
    """What was delivered and is not acknowledged, from connection to connection; never blocks."""

    arrived: asyncio.Event
    """Set while there is something for `take`."""

    @property
    def has_room(self) -> bool:
        """Whether less than a batch waits."""

    @property
    def lag(self) -> int | None:
        """Messages that nobody has acknowledged yet, as far as the server has told."""

    def take(self) -> Fetched | None: ...

    def acknowledge(self) -> None:
        """The oldest batch that was taken is committed."""


class ReconnectingSource(ABC, Generic[Client]):
    """A `Source` whose one task connects, takes part, and connects again, until closed or something is fatal.

    `name` is for messages.
    """

    name: str

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._linger = Linger()
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._closing = asyncio.Event()
        self._failure: OrderkeepError | None = None
        self._running: asyncio.Task[None] | None = None
        self._working = False
        """Whether a member is at work, which will set `_stopped` when all that was on its way has arrived."""
        self._complaints = Complaints()

    async def open(self, resume: Resume, accept_gap: AcceptGap | None = None) -> None:
        self._prepare(resume, accept_gap)
        self._running = asyncio.create_task(self._run(await self._first_connection()))

    async def fetch(self) -> Fetched | None:
        while (fetched := await self._collect()) is None:
            if self._stopped.is_set():
                if self._failure is not None:
                    raise self._failure
                return None
            await first_event(self._arrivals.arrived, self._stopped)
        return fetched

    def acknowledge(self, fetched: Fetched) -> None:  # noqa: ARG002 - batches are acknowledged in their order
        self._arrivals.acknowledge()

    def status(self) -> SourceStatus:
        lag = self._arrivals.lag
        return SourceStatus(connected=self._working, lag={} if lag is None else {PARTITION: lag})

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

    @abstractmethod
    def _prepare(self, resume: Resume, accept_gap: AcceptGap | None) -> None:
        """Remember how to ask the database."""

    @abstractmethod
    async def _connect(self) -> Client:
        """A connection over which the server has answered. Raises `Transient` or `Fatal`."""

    @abstractmethod
    async def _take_part(self, client: Client) -> None:
        """Join, work until `_closing` is set or something is wrong, and end the connection.

        Raises `Rejoin`, `Transient` or `Fatal`.
        """

    @abstractmethod
    def _nobody(self, error: BrokerUnavailable) -> Fatal:
        """What to say when no server was there for `START_SECONDS`."""

    async def _collect(self) -> Fetched | None:
        """A batch of what has arrived, after a linger if that is worth it."""
        if self._arrivals.arrived.is_set() and self._arrivals.has_room and self._linger.seconds:
            await asyncio.sleep(self._linger.seconds)
        fetched = self._arrivals.take()
        if fetched is not None:
            self._linger.note(len(fetched.messages))
        return fetched

    async def _run(self, client: Client | None) -> None:
        try:
            while not self._closing.is_set():
                try:
                    await self._take_part(client or await self._connect())
                except Rejoin:
                    pass
                except Transient as error:
                    self._complaints.note(error)
                    if self._stopping.is_set():
                        self._stopped.set()
                    await wait_for(self._closing, RECONNECT_SECONDS)
                client = None
        except OrderkeepError as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001 - whatever it is, the pipeline must hear of it
            self._failure = Fatal(f"the {self.name} source failed: {error!r}")
        self._stopped.set()

    async def _first_connection(self) -> Client:
        """Raises what `_nobody` says when no server answers within `START_SECONDS`."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while True:
            try:
                return await self._connect()
            except BrokerUnavailable as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise self._nobody(error) from None
                await asyncio.sleep(POLL_SECONDS)


async def first_of(*ends: "asyncio.Future[Any]") -> None:
    """Wait until one of them is done, and raise what it raises."""
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        if end.done():
            end.result()


async def first_event(*events: asyncio.Event) -> None:
    """Wait until one of them is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait until it is set, or for so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
