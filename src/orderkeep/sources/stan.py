"""NATS Streaming (STAN) as a source: a durable subscription, or a queue of them that processes share."""

import asyncio

import structlog

from orderkeep.errors import BrokerUnavailable, ConfigurationError, Fatal, ServerUnavailable
from orderkeep.nats_connection import place
from orderkeep.sources.reconnecting import START_SECONDS, ReconnectingSource
from orderkeep.sources.source import AcceptGap, Resume
from orderkeep.sources.stan_beginning import Beginning, RememberedIncarnation
from orderkeep.sources.stan_deliveries import Deliveries
from orderkeep.sources.stan_member import (
    MAX_IN_FLIGHT,
    MessagesGone,
    Reading,
    Skipped,
    StanMember,
    TooMuchWaits,
)
from orderkeep.stan_connection import ClientIdTaken, StanConnection, check_channel, connect_stan
from orderkeep.storage.store import SourceIdentity

ACK_WAIT_SECONDS = 10
"""After which the server delivers again; it costs little, since what is in flight is dropped."""
MOST_PROCESSES = 1_000
"""Of one queue."""

log = structlog.get_logger()


class StanSource(ReconnectingSource[StanConnection]):
    """A `Source` over one channel of a cluster, by the durable subscription `durable`.

    With a `queue`, processes share the messages, each as the client `client_id` with the first free number;
    without one, `client_id` is the client, and a second process with it is refused. `remembered` tells which
    incarnation of the channel the database knows. Raises `ConfigurationError` for names that STAN does not
    take.
    """

    name = "NATS Streaming"

    def __init__(
        self,
        url: str,
        cluster: str,
        client_id: str,
        channel: str,
        durable: str,
        *,
        queue: str = "",
        ack_wait: int = ACK_WAIT_SECONDS,
        remembered: RememberedIncarnation | None = None,
    ) -> None:
        _check_names(channel, durable, queue)
        self._deliveries = Deliveries(shared=bool(queue))
        super().__init__(self._deliveries)
        self._url, self._cluster, self._client_id = url, cluster, client_id
        self._reading = Reading(channel, durable, queue, ack_wait)
        self._remembered = remembered
        self._identity: SourceIdentity | None = None
        self._begun = False
        self._anew = False
        self._max_in_flight = MAX_IN_FLIGHT
        self._refused_since: float | None = None

    def _prepare(self, resume: Resume, accept_gap: AcceptGap | None) -> None:
        self._beginning = Beginning(self._reading.channel, resume, accept_gap, self._remembered)

    async def _take_part(self, client: StanConnection) -> None:
        try:
            await self._begin(client)
            member = StanMember(
                client,
                self._url,
                self._reading,
                self._deliveries,
                self._beginning,
                self._max_in_flight,
                anew=self._anew,
            )
            self._working = True
            try:
                await member.work(self._stopping, self._stopped, self._closing)
            finally:
                self._anew = self._anew and not member.joined
        except Skipped:
            self._anew = True
            raise
        except MessagesGone:
            self._begun = False
            raise
        except TooMuchWaits as limit:
            self._max_in_flight, self._anew = limit.max_in_flight, not self._reading.queue
            raise
        finally:
            self._working = False
            await client.end()

    async def _begin(self, client: StanConnection) -> None:
        """Begin where the database is; go on with what is in flight if the channel is that of before."""
        identity, low = await self._beginning.identify(client, self._identity)
        if self._begun and identity == self._identity:
            position = self._deliveries.next_position
            if await self._beginning.check(client, identity, low, position) == position:
                return
        if self._identity not in (None, identity):
            log.warning("topic_made_again", topic=identity.topic)
        begun = await self._beginning.find(client, identity, low)
        self._identity, self._begun = identity, True
        self._deliveries.begin(identity, begun.position, announce=not begun.known)
        log.info("stream_joined", topic=identity.topic, position=begun.position, client=client.client_id)
        self._anew = bool(self._reading.queue)

    async def _connect(self) -> StanConnection:
        """As the client that we are; with a queue, as the first whose number nobody has."""
        numbers = range(1, MOST_PROCESSES + 1) if self._reading.queue else (None,)
        for number in numbers:
            client_id = self._client_id if number is None else f"{self._client_id}-{number}"
            try:
                client = await connect_stan(self._url, self._cluster, client_id, "orderkeep ingest")
            except ClientIdTaken as taken:
                refusal = taken
            else:
                self._refused_since = None
                return client
        raise self._refused(refusal)

    def _refused(self, refusal: ClientIdTaken) -> Fatal | ClientIdTaken:
        """Another process that is being stopped is waited for, one that stays is not."""
        now = asyncio.get_running_loop().time()
        self._refused_since = self._refused_since or now
        return refusal if now - self._refused_since < START_SECONDS else self._nobody(refusal)

    def _nobody(self, error: BrokerUnavailable) -> Fatal:
        if isinstance(error, ClientIdTaken):
            return ConfigurationError(
                f"{error} to NATS Streaming: stop it, give each process an ORDERKEEP_STAN_CLIENT_ID of its "
                "own, or have them share the work with ORDERKEEP_STAN_QUEUE"
            )
        return ServerUnavailable(
            f"no NATS Streaming answers at {place(self._url)} ({error}): start nats-streaming-server, or set "
            "ORDERKEEP_NATS_URL and ORDERKEEP_STAN_CLUSTER"
        )


def _check_names(channel: str, durable: str, queue: str) -> None:
    """Raises `ConfigurationError`."""
    check_channel(channel)
    if not durable or ":" in durable:
        raise ConfigurationError(f"ORDERKEEP_NATS_DURABLE: {durable!r} is no durable of NATS Streaming")
    if ":" in queue:
        raise ConfigurationError(f"ORDERKEEP_STAN_QUEUE: {queue!r} is no queue of NATS Streaming")
