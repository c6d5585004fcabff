"""The publisher for NATS JetStream."""

import secrets
from typing import Final

import msgspec
from nats.js.errors import NotFoundError

from orderkeep.errors import BrokerUnavailable, Fatal, ServerUnavailable
from orderkeep.nats_connection import Connection, connect, place, translated
from orderkeep.publish.nats import NatsPublisher
from orderkeep.publish.publisher import DeliveryCallback

UNAVAILABLE: Final = 503


class _Refusal(msgspec.Struct):
    code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    """What the stream says to a message."""

    error: _Refusal | None = None


class JetStreamPublisher(NatsPublisher[Connection]):
    """Publishes to `subject` at `url`, for the stream that takes it.

    What is sent again has the same id: the stream recognises what it has for two minutes, its default. The
    id is of the publication, never the uid, or the stream would swallow duplicates and conflicts. A tombstone
    is sent as an empty message, since NATS has none.
    """

    def __init__(self, url: str, subject: str, *, on_delivery: DeliveryCallback | None = None) -> None:
        self._subject = subject
        self._name = secrets.token_hex(8)
        super().__init__(url, on_delivery)

    async def _connect(self) -> Connection:
        connection = await connect(self._url, "orderkeep publish")
        try:
            await self._find_stream(connection)
        except BaseException:
            await connection.end()
            raise
        return connection

    def _nats(self, client: Connection) -> Connection:
        return client

    def _nobody(self, error: BrokerUnavailable) -> ServerUnavailable:
        return ServerUnavailable(
            f"no JetStream answers at {place(self._url)} ({error}): is it running? set ORDERKEEP_NATS_URL"
        )

    async def _find_stream(self, connection: Connection) -> None:
        with translated(connection, self._url):
            try:
                await connection.jetstream().find_stream_name_by_subject(self._subject)
            except NotFoundError:
                raise ServerUnavailable(
                    f"no stream takes the subject {self._subject!r} at {place(self._url)}: start "
                    "`orderkeep ingest`, which makes it, or set ORDERKEEP_NATS_SUBJECT"
                ) from None

    async def _publish(self, client: Connection, reply: str, number: int, payload: bytes) -> None:
        headers = {"Nats-Msg-Id": f"{self._name}-{number}"}
        await client.publish(self._subject, payload, reply, headers)

    def _is_confirmed(self, answer: bytes) -> bool:
        refused = msgspec.json.decode(answer, type=_Answer).error
        if refused is None or refused.code == UNAVAILABLE:
            return refused is None
        raise Fatal(f"the stream did not take a message: {refused.description}")
