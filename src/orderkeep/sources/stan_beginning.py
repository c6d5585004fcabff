"""Where a channel of NATS Streaming is read from, and which channel it is.

A server tells nothing about a channel but its messages. So a channel is known by when its first message was
published, which changes when its store is made again. Limits drop that message in time; then it is taken for
the channel that the database knows.
"""

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from orderkeep.sources.retained import PARTITION, within_retained
from orderkeep.sources.source import AcceptGap, Resume
from orderkeep.stan_connection import StanConnection
from orderkeep.storage.store import SourceIdentity

RememberedIncarnation = Callable[[], Coroutine[Any, Any, str | None]]
"""Asks the database which incarnation of the channel the group read last. Retries until it answers."""
FIRST = 1
"""The sequence of the first message of a channel."""


class Begun(NamedTuple):
    """All below `position` is committed. `known`: the database has heard of it."""

    identity: SourceIdentity
    position: int
    known: bool


class Beginning:
    """Asks the database and the server; every call waits for both, and raises `Transient` or `Fatal`."""

    def __init__(
        self,
        channel: str,
        resume: Resume,
        accept_gap: AcceptGap | None,
        remembered: RememberedIncarnation | None,
    ) -> None:
        self._channel = channel
        self._resume = resume
        self._accept_gap = accept_gap
        self._remembered = remembered

    async def identify(
        self, client: StanConnection, before: SourceIdentity | None
    ) -> tuple[SourceIdentity, int]:
        """Which channel it is now, and the sequence of its first message; waits until it has one.

        `before` is what it was at the last connection.
        """
        first = await client.look(self._channel, "first")
        incarnation = str(first.timestamp)
        if first.sequence > FIRST:
            if before is not None:
                return before, first.sequence
            remembered = await self._remembered() if self._remembered else None
            incarnation = remembered or incarnation
        return SourceIdentity("stan", self._channel, incarnation), first.sequence

    async def find(self, client: StanConnection, identity: SourceIdentity, low: int) -> Begun:
        """Begin where the database is. Raises `OffsetGone` when the channel lacks the position."""
        known = await self.position(identity)
        position = await self.check(client, identity, low, low if known is None else known)
        return Begun(identity, position, known is not None)

    async def check(self, client: StanConnection, identity: SourceIdentity, low: int, position: int) -> int:
        """The position if it can be read, else where to go on. Raises `OffsetGone`."""
        high = (await client.look(self._channel, "last")).sequence + 1
        if low <= position < high:
            low = (await client.look(self._channel, position)).sequence  # or the first that is left behind it
        return await within_retained("channel", identity, low, high, position, self._accept_gap)

    async def position(self, identity: SourceIdentity) -> int | None:
        """All below is committed, by whomever, as far as the database knows; None when it knows nothing."""
        return (await self._resume(identity)).get(PARTITION)
