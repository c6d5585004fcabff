"""The publisher for NATS Streaming."""

import secrets

from orderkeep import stan_protocol as protocol
from orderkeep.errors import BrokerUnavailable, Fatal, ServerUnavailable
from orderkeep.nats_connection import Connection, place
from orderkeep.publish.nats import NatsPublisher
from orderkeep.publish.publisher import DeliveryCallback
from orderkeep.stan_connection import StanConnection, check_channel, connect_stan

_NOT_OURS = "invalid publish request"
"""The server's answer to a client that it does not know any more."""


class StanPublisher(NatsPublisher[StanConnection]):
    """Publishes to `channel` of a cluster, as a client of its own whose id begins with `client_id`.

    The server does not recognise what it has already: what was not confirmed when a connection ended is
    there twice if the server had taken it. A tombstone is sent as an empty message, since NATS has none.
    """

    def __init__(
        self,
        url: str,
        cluster: str,
        client_id: str,
        channel: str,
        *,
        on_delivery: DeliveryCallback | None = None,
    ) -> None:
        check_channel(channel)
        self._cluster, self._channel = cluster, channel
        self._client_id = f"{client_id}-publish-{secrets.token_hex(4)}"
        super().__init__(url, on_delivery)

    async def _connect(self) -> StanConnection:
        return await connect_stan(self._url, self._cluster, self._client_id, "orderkeep publish")

    def _nats(self, client: StanConnection) -> Connection:
        return client.nats

    def _nobody(self, error: BrokerUnavailable) -> ServerUnavailable:
        return ServerUnavailable(
            f"no NATS Streaming answers at {place(self._url)} ({error}): is it running? set "
            "ORDERKEEP_NATS_URL and ORDERKEEP_STAN_CLUSTER"
        )

    async def _publish(self, client: StanConnection, reply: str, number: int, payload: bytes) -> None:
        message = protocol.publication(
            self._client_id, str(number), self._channel, payload, client.connection_id
        )
        await client.nats.publish(client.publish_subject(self._channel), message, reply)

    def _is_confirmed(self, answer: bytes) -> bool:
        error = protocol.read_published(answer).error
        if not error or error.endswith(_NOT_OURS):
            return not error
        raise Fatal(f"NATS Streaming did not take a message: {error}")
