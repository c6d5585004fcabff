"""One stream of events: thinned to what its client wants, and ended when the client does not keep up."""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import suppress

from orderkeep.api.event_journal import Entry, Journal, Position
from orderkeep.api.event_text import HEARTBEAT, bye, event, opening, skipped
from orderkeep.errors import Fatal, Transient
from orderkeep.storage.events import EventKind, EventPlace, Missed

REPLAYED = 1_000
"""Events that a client which comes back is sent at once; the rest of what it missed is counted."""
HEARTBEAT_SECONDS = 15.0
TICK_SECONDS = 0.25
"""All streams send at the same moments, so that the database is asked once for all of them."""
SLOW_SECONDS = 5.0

TOO_SLOW = "the client is too slow"
NO_DATABASE = "the database does not answer"

Tell = Callable[[Sequence[Entry]], Awaitable[None]]


class EventStream:
    """Server-sent events. Begin, resume or replay it, then iterate over `chunks`.

    It sends at most `limit` events a second on the average, and as many at once: the newest. The others are
    counted, so that what is sent and what is counted is all that there was.
    """

    def __init__(self, journal: Journal, tell: Tell, kinds: Collection[EventKind], limit: int) -> None:
        """`tell` gives entries their text; it may raise `Transient` and `Fatal`."""
        self._journal = journal
        self._tell = tell
        self._kinds = kinds
        self._position = journal.end
        self._opening = b""
        self._replayed: set[tuple[EventKind | None, str]] = set()
        self._room = _Room(limit)

    def begin(self, place: EventPlace) -> None:
        """Tell what happens from now on; `place` is that of now."""
        self._opening = opening(place)

    def resume(self, position: Position) -> None:
        """Tell what the journal has from that position on, the first `REPLAYED` of it at once."""
        self._opening = opening(None)
        self._position = position
        self._room.widen(min(self._waiting, REPLAYED))

    def replay(self, missed: Missed) -> None:
        """Tell first what was missed; what was heard while that was read is told once."""
        count = [skipped(missed.older, missed.last_older)] if missed.older else []
        self._opening = b"".join([opening(None), *count, *map(event, missed.events)])
        self._replayed = {(one.place.kind, one.place.key) for one in missed.events}

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """What is to be sent, until there is a reason to end, which is sent last."""
        yield self._opening
        while True:
            news = await self._journal.wait(self._position, self._kinds, HEARTBEAT_SECONDS)
            if self._journal.over.is_set():
                yield bye(self._journal.reason)
                return
            if not news:
                yield HEARTBEAT
                continue
            try:
                chunk = await self._next()
            except (Transient, Fatal):
                yield bye(NO_DATABASE)
                return
            sent_at = _now()
            yield chunk
            if _now() - sent_at > SLOW_SECONDS:
                yield bye(TOO_SLOW)
                return
            await self._pause()

    @property
    def _waiting(self) -> int:
        return self._journal.end.count(self._kinds) - self._position.count(self._kinds)

    async def _next(self) -> bytes:
        """The newest of what is waiting, as many as there is room for, behind the count of the others."""
        waiting = self._waiting
        count = self._room.take(waiting)
        self._position = self._journal.end
        entries = self._journal.newest(self._kinds, min(count + 1, waiting))
        await self._tell(entries)
        shown = entries[-count:]
        last = entries[0].place if len(entries) > count else None
        told = [entry.text for entry in shown if entry.text and not self._is_replayed(entry)]
        left = waiting - sum(bool(entry.text) for entry in shown)
        return (skipped(left, last) if left else b"") + b"".join(told)

    def _is_replayed(self, entry: Entry) -> bool:
        return (entry.kind, entry.key) in self._replayed

    async def _pause(self) -> None:
        """Wait for the next moment at which there is room, or for the end."""
        moment = math.floor((_now() + self._room.seconds) / TICK_SECONDS + 1) * TICK_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout_at(moment):
                await self._journal.over.wait()


class _Room:
    """How many events may be sent: so many a second, and as many at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = float(limit)
        self._at = _now()

    def widen(self, count: int) -> None:
        """Once, let so many through."""
        self._left = max(self._left, count)

    @property
    def seconds(self) -> float:
        """Until there is room for one."""
        return max(0.0, 1 - self._left) / self._limit

    def take(self, wanted: int) -> int:
        """Room for at most so many, and at least one."""
        now = _now()
        self._left = max(self._left, min(self._limit, self._left + (now - self._at) * self._limit))
        self._at = now
        taken = max(1, min(wanted, int(self._left)))
        self._left = min(self._left - taken, self._limit)
        return taken


def _now() -> float:
    return asyncio.get_running_loop().time()
