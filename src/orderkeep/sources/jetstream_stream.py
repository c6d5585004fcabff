"""What the JetStream source asks of the server: the stream, the durable consumer, and what they are now."""

from contextlib import suppress
from typing import NamedTuple

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    ConsumerInfo,
    DeliverPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, NotFoundError

from orderkeep.errors import BrokerUnavailable, ConfigurationError
from orderkeep.nats_connection import Connection, translated
from orderkeep.sources.source import MAX_MESSAGES
from orderkeep.storage.store import SourceIdentity

MAX_ACK_PENDING = 20 * MAX_MESSAGES
"""Messages that all processes of a durable together may have without an acknowledgement: a process holds up
to eight batches, and one that is frozen holds its own until the server's wait for them is over."""
ANSWER_SECONDS = 10.0
_CONTENDED = (10012, 10013, 10105, 10148, 10149)
"""Error codes for a consumer of that name that another process has made, with another configuration, or
deleted, between our deleting it and making it."""


class StreamState(NamedTuple):
    """`low` is the first position that there is, `high` the one after the last."""

    identity: SourceIdentity
    low: int
    high: int


class ConsumerState(NamedTuple):
    """`start` is where it was made to begin, None when that is no position.

    `deliveries` counts them, redeliveries too; the last new one was of the position `delivered`. All below
    `floor` is acknowledged. `ack_wait` in seconds.
    """

    created: str
    start: int | None
    deliveries: int
    delivered: int
    floor: int
    ack_wait: float

    @property
    def at_rest(self) -> bool:
        """Whether all that was delivered is acknowledged."""
        return self.floor > self.delivered


class JetStreamStream:
    """One stream and one durable of it, over one connection.

    Every call waits for the server, at most `ANSWER_SECONDS`, and raises `BrokerUnavailable` or `Fatal`.
    """

    def __init__(
        self, connection: Connection, url: str, stream: str, subject: str, durable: str, ack_wait: float
    ) -> None:
        self._connection = connection
        self._url = url
        self.name = stream
        self.subject = subject
        self.durable = durable
        self._ack_wait = ack_wait
        self._api: JetStreamContext = connection.jetstream(timeout=ANSWER_SECONDS)

    async def make(self) -> None:
        """Make the stream unless it is there: on disk, keeping every message."""
        with translated(self._connection, self._url):
            try:
                await self._api.stream_info(self.name)
            except NotFoundError:
                await self._api.add_stream(
                    name=self.name,
                    subjects=[self.subject],
                    storage=StorageType.FILE,
                    retention=RetentionPolicy.LIMITS,
                )

    async def state(self) -> StreamState | None:
        """None when there is no such stream. Raises `Fatal` for one that cannot be read again."""
        with translated(self._connection, self._url):
            try:
                found = await self._api.stream_info(self.name)
            except NotFoundError:
                return None
        self._refuse_unfit(found.config)
        identity = SourceIdentity("jetstream", self.name, str(found.created))
        return StreamState(identity, max(1, found.state.first_seq), found.state.last_seq + 1)

    async def consumer(self) -> ConsumerState | None:
        """None when there is no such durable. Raises `ConfigurationError` for one that loses messages."""
        with translated(self._connection, self._url):
            try:
                found = await self._api.consumer_info(self.name, self.durable)
            except NotFoundError:
                return None
        self._refuse_losing(found.config)
        return _read(found)

    async def make_consumer(self, start: int) -> ConsumerState:
        """Make the durable, which begins at a position; one that is there is deleted first."""
        config = ConsumerConfig(
            name=self.durable,
            durable_name=self.durable,
            filter_subject=self.subject,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=start,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._ack_wait,
            max_deliver=-1,
            max_ack_pending=MAX_ACK_PENDING,
        )
        with translated(self._connection, self._url):
            with suppress(NotFoundError):
                await self._api.delete_consumer(self.name, self.durable)
            try:
                return _read(await self._api.add_consumer(self.name, config))
            except BadRequestError as error:
                if error.err_code not in _CONTENDED:
                    raise
        raise BrokerUnavailable(f"another process makes the consumer {self.durable!r} at this moment")

    def _refuse_unfit(self, config: StreamConfig) -> None:
        if config.retention != RetentionPolicy.LIMITS:
            raise ConfigurationError(
                f"the stream {self.name!r} deletes what is acknowledged (retention {config.retention}), and "
                "could not be read again: make it with retention limits"
            )
        if config.subjects != [self.subject]:
            # Positions between ours that are others' could not be told from messages that were deleted.
            raise ConfigurationError(
                f"the stream {self.name!r} takes {', '.join(config.subjects or ['no subject'])}, and has to "
                f"take {self.subject} alone: correct ORDERKEEP_NATS_STREAM or ORDERKEEP_NATS_SUBJECT"
            )

    def _refuse_losing(self, config: ConsumerConfig) -> None:
        """What the promise depends on: nobody may have set it otherwise."""
        subjects = config.filter_subjects or [config.filter_subject or self.subject]
        wrong = {
            f"acknowledges {config.ack_policy} and not explicitly": config.ack_policy != AckPolicy.EXPLICIT,
            f"gives a message up after {config.max_deliver} deliveries": (config.max_deliver or -1) > 0,
            "is pushed and not pulled": bool(config.deliver_subject),
            "delivers headers without payloads": bool(config.headers_only),
            f"reads {', '.join(subjects)} and not {self.subject}": subjects != [self.subject],
        }
        for what, is_so in wrong.items():
            if is_so:
                raise ConfigurationError(
                    f"the consumer {self.durable!r} of the stream {self.name!r} {what}: delete it, and "
                    "ingest makes the right one, or set ORDERKEEP_NATS_DURABLE to another name"
                )


def _read(info: ConsumerInfo) -> ConsumerState:
    config, delivered, floor = info.config, info.delivered, info.ack_floor
    start = None
    if config.deliver_policy == DeliverPolicy.ALL:
        start = 1
    elif config.deliver_policy == DeliverPolicy.BY_START_SEQUENCE:
        start = config.opt_start_seq
    return ConsumerState(
        created=str(info.created),
        start=start,
        deliveries=delivered.consumer_seq if delivered else 0,
        delivered=delivered.stream_seq if delivered else 0,
        floor=(floor.stream_seq if floor else 0) + 1,
        ack_wait=config.ack_wait or 30.0,
    )
