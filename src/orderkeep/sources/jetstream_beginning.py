"""Where a JetStream stream is read from: the database's position against what the durable has delivered."""

from typing import NamedTuple

import structlog

from orderkeep.errors import BrokerUnavailable, Fatal
from orderkeep.sources.jetstream_stream import ConsumerState, JetStreamStream, StreamState
from orderkeep.sources.retained import PARTITION, within_retained
from orderkeep.sources.source import AcceptGap, Resume
from orderkeep.storage.store import SourceIdentity

log = structlog.get_logger()


class Begun(NamedTuple):
    """All below `position` is committed. `known`: the database has heard of it.

    `alone`: the durable has delivered nothing from there on, so nobody else has anything in flight.
    """

    consumer: ConsumerState
    position: int
    known: bool
    alone: bool


class Beginning:
    """Asks the database and the server; every call waits for both, and raises `Transient` or `Fatal`."""

    def __init__(self, resume: Resume, accept_gap: AcceptGap | None) -> None:
        self._resume = resume
        self._accept_gap = accept_gap

    async def find(self, stream: JetStreamStream, state: StreamState) -> Begun:
        """Begin where the database is. What the durable delivered from there on is delivered again.

        Acknowledged is not stored: the database may have been restored, or have failed over, since. Raises
        `OffsetGone` when the stream lacks the position.
        """
        known, state = await self._ask_both(stream, state.identity)
        position = await within_retained(
            "stream",
            state.identity,
            state.low,
            state.high,
            state.low if known is None else known,
            self._accept_gap,
        )
        consumer = await stream.consumer()
        if consumer is None or not _begins_by(consumer, position) or consumer.delivered >= position:
            consumer = await stream.make_consumer(position)
            log.info("consumer_made", stream=stream.name, consumer=stream.durable, start=position)
        return Begun(consumer, position, known is not None, alone=consumer.delivered < position)

    async def join(self, stream: JetStreamStream, state: StreamState, consumer: ConsumerState) -> Begun:
        """Go on with a durable that another process has just made anew, as `find` does.

        It has looked at the database then; to look again would make it anew once more, and so on for ever.
        """
        known, state = await self._ask_both(stream, state.identity)
        position = state.low if known is None else known
        if not _begins_by(consumer, position) or not state.low <= position <= state.high:
            return await self.find(stream, state)
        return Begun(consumer, position, known is not None, alone=consumer.delivered < position)

    async def _ask_both(
        self, stream: JetStreamStream, identity: SourceIdentity
    ) -> tuple[int | None, StreamState]:
        """The database's position, and only then the stream, which has to reach as far."""
        known = (await self._resume(identity)).get(PARTITION)
        state = await stream.state()
        if state is None or state.identity != identity:
            raise BrokerUnavailable(f"the stream {stream.name!r} is being made again")
        return known, state


def consumer_deleted(stream: JetStreamStream) -> Fatal:
    return Fatal(
        f"the consumer {stream.durable!r} of the stream {stream.name!r} was deleted while it was in use: "
        "start ingest again, which makes it anew and goes on where the database is"
    )


def _begins_by(consumer: ConsumerState, position: int) -> bool:
    """Whether the durable was made to deliver everything from the position on."""
    return consumer.start is not None and consumer.start <= position
