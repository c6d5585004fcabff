"""A client of a NATS Streaming (STAN) cluster: connecting, subscriptions, and whether the server knows us.

The cluster is asked over plain NATS: requests to subjects that it tells when we connect. Like the connection
below it, a client never connects again by itself: whoever uses it makes another, and looks what is there.
"""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from orderkeep import stan_protocol as protocol
from orderkeep.errors import BrokerUnavailable, ConfigurationError, Fatal, Transient
from orderkeep.nats_connection import Connection, connect, place, translated
from orderkeep.stan_protocol import Connected, StanMessage, Start

ANSWER_SECONDS = 5.0
"""For one request; to see whether another client with our id is alive takes the server up to 0.5 s."""
PING_SECONDS = 2
SILENCE_SECONDS = 10.0
"""Without an answer to a ping, before the server counts as lost."""
CLOSE_SECONDS = 2.0
FOR_EVER = 24 * 3600
"""Seconds that the server waits for the acknowledgement of a message that is only looked at."""

_TAKEN = "clientID already registered"
_SET_UP = ("invalid subject", "invalid DurableName", "durable name", "too many")
"""How the answers begin that only a person can change something about."""


class ClientIdTaken(BrokerUnavailable):
    """Another client with our id is connected, and alive."""


class Subscription(NamedTuple):
    """`token` is the last part of the subject that its messages come to."""

    channel: str
    durable: str
    token: str
    ack_inbox: str


class StanConnection:
    """Made by `connect_stan`. A request waits at most `ANSWER_SECONDS`, and raises `Transient` or `Fatal`.

    Messages of all subscriptions are handed over in the order in which the server sent them.
    """

    def __init__(self, nats: Connection, url: str, cluster: str, client_id: str) -> None:
        self.nats = nats
        self.client_id = client_id
        self.trouble: Transient | None = None
        """Why it was given up, once `lost` is set by the connection itself."""
        self._url = url
        self._cluster = cluster
        self._id = secrets.token_hex(16).encode()
        self._inbox = nats.new_inbox()
        self._receivers: dict[str, Callable[[StanMessage], None]] = {}
        self._subscribed = 0
        self._subjects = Connected("", "", "", "", "", "", "")
        self._pinging: asyncio.Task[None] | None = None

    @property
    def lost(self) -> asyncio.Event:
        """Set when the connection has ended, or the server is away, or no longer knows us."""
        return self.nats.lost

    @property
    def connection_id(self) -> bytes:
        """What the server tells connections with the same client id apart by."""
        return self._id

    def publish_subject(self, channel: str) -> str:
        return f"{self._subjects.publish}.{channel}"

    async def subscribe(
        self,
        channel: str,
        receive: Callable[[StanMessage], None],
        start: Start,
        *,
        max_in_flight: int,
        ack_wait: int,
        durable: str = "",
        queue: str = "",
    ) -> Subscription:
        """Have the messages of a channel handed to `receive`, whose first may come before this returns."""
        self._subscribed += 1
        token = str(self._subscribed)
        self._receivers[token] = receive
        request = protocol.subscription_request(
            self.client_id,
            channel,
            f"{self._inbox}.{token}",
            start,
            max_in_flight=max_in_flight,
            ack_wait=ack_wait,
            durable=durable,
            queue=queue,
        )
        answer = protocol.read_subscribed(await self._ask(self._subjects.subscribe, request))
        self._refuse(answer.error)
        return Subscription(channel, durable, token, answer.ack_inbox)

    async def acknowledge(self, subscription: Subscription, sequence: int) -> None:
        await self.nats.publish(
            subscription.ack_inbox, protocol.acknowledgement(subscription.channel, sequence)
        )

    async def close_subscription(self, subscription: Subscription) -> None:
        """End it; a durable stays where it is."""
        await self._end_subscription(self._subjects.close_subscription, subscription)

    async def unsubscribe(self, subscription: Subscription) -> None:
        """End it, and have the server forget its durable."""
        await self._end_subscription(self._subjects.unsubscribe, subscription)

    async def look(self, channel: str, start: Start) -> StanMessage:
        """The message that a subscription from there gets first; waits for one to be published.

        The server serves subscriptions in turn: when this returns, all that was due to those that were made
        before has been handed over. Raises `Transient` when the connection is lost meanwhile.
        """
        found: asyncio.Future[StanMessage] = asyncio.get_running_loop().create_future()

        def receive(message: StanMessage) -> None:
            if not found.done():
                found.set_result(message)

        looking = await self.subscribe(channel, receive, start, max_in_flight=1, ack_wait=FOR_EVER)
        lost = asyncio.ensure_future(self.lost.wait())
        try:
            await asyncio.wait((found, lost), return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
        if not found.done():
            raise self.why_lost()
        await self.close_subscription(looking)
        return found.result()

    def why_lost(self) -> Transient:
        return self.trouble or BrokerUnavailable("the connection to NATS has ended")

    async def end(self) -> None:
        """Tell the server that we go, which keeps durables, and close; one that is away is not waited for."""
        if self._pinging is not None:
            self._pinging.cancel()
        if self._subjects.close and not self.lost.is_set():
            with suppress(Exception):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._ask(self._subjects.close, protocol.close_request(self.client_id))
        await self.nats.end()

    async def open(self) -> None:
        """Register with the cluster. Raises `ClientIdTaken`, `BrokerUnavailable` or `Fatal`."""
        with translated(self.nats, self._url):
            heartbeats = self.nats.new_inbox()
            await self.nats.subscribe(heartbeats, cb=self._answer_heartbeat)
            await self.nats.subscribe(
                f"{self._inbox}.*", cb=self._receive, pending_msgs_limit=0, pending_bytes_limit=0
            )
        request = protocol.connect_request(
            self.client_id,
            heartbeats,
            self._id,
            ping_seconds=PING_SECONDS,
            pings_out=round(SILENCE_SECONDS / PING_SECONDS),
        )
        answer = protocol.read_connected(await self._ask(f"_STAN.discover.{self._cluster}", request))
        self._refuse(answer.error)
        if not answer.ping:
            raise Fatal(f"NATS Streaming at {place(self._url)} is older than 0.10: it does not answer pings")
        self._subjects = answer
        self._pinging = asyncio.create_task(self._ping())

    async def _end_subscription(self, subject: str, subscription: Subscription) -> None:
        request = protocol.end_subscription_request(
            self.client_id, subscription.channel, subscription.ack_inbox, subscription.durable
        )
        answer = protocol.read_subscribed(await self._ask(subject, request))
        self._receivers.pop(subscription.token, None)
        self._refuse(answer.error)

    async def _ask(self, subject: str, request: bytes) -> bytes:
        with translated(self.nats, self._url):
            try:
                return (await self.nats.request(subject, request, timeout=ANSWER_SECONDS)).data
            except NoRespondersError:
                raise BrokerUnavailable(
                    f"no NATS Streaming server of the cluster {self._cluster!r} is at {place(self._url)}"
                ) from None

    def _refuse(self, error: str) -> None:
        if not error:
            return
        what = error.removeprefix("stan: ")
        if what == _TAKEN:
            raise ClientIdTaken(f"another client is connected as {self.client_id!r}")
        if what.startswith("invalid clientID"):
            raise ConfigurationError(
                f"ORDERKEEP_STAN_CLIENT_ID: {self.client_id!r} is none, use letters, digits, - and _"
            )
        refusal = f"NATS Streaming at {place(self._url)} refuses: {what}"
        raise Fatal(refusal) if what.startswith(_SET_UP) else BrokerUnavailable(refusal)

    async def _receive(self, received: Msg) -> None:
        receive = self._receivers.get(received.subject.rpartition(".")[2])
        if receive is not None:
            receive(protocol.read_message(received.data))

    async def _answer_heartbeat(self, heartbeat: Msg) -> None:
        with suppress(Exception):  # what the connection has is told elsewhere
            await self.nats.publish(heartbeat.reply)

    async def _ping(self) -> None:
        """Give the connection up when the server is away, forgot us, or gave our id to somebody else."""
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        while True:
            await asyncio.sleep(PING_SECONDS)
            try:
                async with asyncio.timeout_at(heard_at + SILENCE_SECONDS):
                    answer = await self.nats.request(
                        self._subjects.ping, protocol.ping(self._id), timeout=SILENCE_SECONDS
                    )
                if refusal := protocol.read_refusal(answer.data):
                    return self._give_up(f"the NATS Streaming server does not know us any more: {refusal}")
                heard_at = loop.time()
            except NoRespondersError:
                return self._give_up("the NATS Streaming server is away")
            except Exception:  # noqa: BLE001 - whatever it is, nothing is heard
                return self._give_up("NATS Streaming has not said anything for a while")

    def _give_up(self, why: str) -> None:
        self.trouble = BrokerUnavailable(why)
        self.lost.set()


def check_channel(name: str) -> None:
    """Raises `ConfigurationError` for what is no name of a channel."""
    if "" in name.split(".") or any(letter in name for letter in " *>/\\\t\r\n"):
        raise ConfigurationError(f"ORDERKEEP_NATS_SUBJECT: {name!r} is no channel of NATS Streaming")


async def connect_stan(url: str, cluster: str, client_id: str, name: str) -> StanConnection:
    """Connect to a NATS Streaming cluster at the servers of `url` as a client of this id.

    Raises `ClientIdTaken` when another one is alive, `BrokerUnavailable`, or `Fatal`.
    """
    client = StanConnection(await connect(url, name), url, cluster, client_id)
    try:
        await client.open()
    except BaseException:
        await client.end()
        raise
    return client
