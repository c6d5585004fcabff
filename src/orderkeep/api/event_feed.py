"""The feed of events of a process: hears what is stored and rejected, and opens streams of it.

What streams tell is read from the database once for all of them, when the first one is about to tell it.
Without streams nothing is read.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from orderkeep.api.event_journal import Entry, Journal
from orderkeep.api.event_stream import REPLAYED, EventStream
from orderkeep.api.event_text import event
from orderkeep.errors import DatabaseUnavailable, Overloaded
from orderkeep.storage.events import Event, EventKind, EventPlace, EventReader, Notice

STREAMS = 128
"""Streams of a process; beyond it the answer is 503."""

STOPS = "the service stops"
INTERRUPTED = "events may have been missed"


class Feed:
    """Listens (`orderkeep.cache.warm.Listener`), and tells."""

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader
        self._journal = Journal()
        self._journal.close(INTERRUPTED)  # nothing is heard yet
        self._stopped = False
        self._telling = asyncio.Lock()
        self.streams = 0

    def begin(self) -> None:
        self.end()
        self._journal = Journal()
        if self._stopped:
            self._journal.close(STOPS)

    def hear(self, notices: Sequence[Notice]) -> None:
        self._journal.note(notices)

    def end(self) -> None:
        self._journal.close(INTERRUPTED)

    async def stop_when(self, stop: asyncio.Event) -> None:
        """Wait for `stop`, then end all streams."""
        await stop.wait()
        self._stopped = True
        self._journal.close(STOPS)

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Room for a stream while it lasts. Raises `Overloaded` when there is none."""
        if self.streams >= STREAMS:
            raise Overloaded("too many streams of events are open; try again in a second")
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    async def open(self, last: EventPlace | None, kinds: Collection[EventKind], limit: int) -> EventStream:
        """A stream of what is behind the event that was `last`, or of what happens from now on.

        Raises `Transient` when the database is away, `Fatal` when it cannot be used.
        """
        journal = self._journal
        if journal.over.is_set():
            raise DatabaseUnavailable(f"no events: {journal.reason}")
        stream = EventStream(journal, self.tell, kinds, limit)
        position = journal.find(last) if last else None
        if position is not None:
            stream.resume(position)
        elif last is not None:
            stream.replay(await self._reader.missed(last, kinds, REPLAYED))
        else:
            stream.begin(EventPlace(await self._reader.clock()))
        return stream

    async def tell(self, entries: Sequence[Entry]) -> None:
        """Give each entry its text, unless it has one or there is nothing left to tell. Raises as `open`."""
        async with self._telling:
            untold = [entry for entry in entries if not entry.text]
            found: list[Event] = []
            if uids := [entry.key for entry in untold if entry.kind == "stored"]:
                found += await self._reader.stored(uids)
            if ids := [int(entry.key) for entry in untold if entry.kind == "rejected"]:
                found += await self._reader.rejected(ids)
            by_key = {(one.place.kind, one.place.key): one for one in found}
            for entry in untold:
                if one := by_key.get((entry.kind, entry.key)):
                    entry.text, entry.place = event(one), one.place
