"""What a process has heard of lately: a bounded journal that all of its event streams read from.

So a stream holds nothing but its place, however slow its client is, and what fell out of the journal is
still counted.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from msgspec import Struct

from orderkeep.storage.events import EventKind, EventPlace, Notice

ENTRIES = 10_000


class Entry(Struct, gc=False):
    """Something that happened: what is told of it is known once a stream has asked."""

    kind: EventKind
    key: str
    text: bytes = b""
    place: EventPlace | None = None


class Position(NamedTuple):
    """How many of each kind were noted before."""

    stored: int
    rejected: int

    def count(self, kinds: Collection[EventKind]) -> int:
        return sum(getattr(self, kind) for kind in kinds)


class Journal:
    """The newest entries, in the order of the commits, without a gap. All processes have the same order."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=ENTRIES)
        self._noted: Counter[EventKind] = Counter()
        self._news = asyncio.Event()
        self.over = asyncio.Event()
        """Set when nothing more will be noted."""
        self.reason = ""
        """Why it is over."""

    def note(self, notices: Sequence[Notice]) -> None:
        for kind, keys in notices:
            if kind == "erased":
                self._forget(set(keys))
            else:
                self._entries.extend([Entry(kind, key) for key in keys])
                self._noted[kind] += len(keys)
        self._wake()

    def close(self, reason: str) -> None:
        """Nothing more will be noted; whoever waits is told."""
        self.reason = self.reason or reason
        self.over.set()
        self._wake()

    @property
    def end(self) -> Position:
        return Position(self._noted["stored"], self._noted["rejected"])

    def find(self, place: EventPlace) -> Position | None:
        """The position behind that event, if it is here."""
        behind: Counter[EventKind] = Counter()
        for entry in reversed(self._entries):
            if (entry.kind, entry.key) == (place.kind, place.key):
                return Position(self.end.stored - behind["stored"], self.end.rejected - behind["rejected"])
            behind[entry.kind] += 1
        return None

    def newest(self, kinds: Collection[EventKind], count: int) -> list[Entry]:
        """The last `count` of those kinds, or as many as are here; the oldest of them first."""
        wanted = (entry for entry in reversed(self._entries) if entry.kind in kinds)
        return list(islice(wanted, count))[::-1]

    async def wait(self, position: Position, kinds: Collection[EventKind], seconds: float) -> bool:
        """Wait for something of those kinds behind the position, or for the end; False when in vain."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.end.count(kinds) == position.count(kinds) and not self.over.is_set():
                    await self._news.wait()
                return True
        return False

    def _forget(self, uids: Collection[str]) -> None:
        """What was told of these orders is not told again; asked anew, the database has nothing of them."""
        for entry in self._entries:
            if entry.kind == "stored" and entry.key in uids:
                entry.text, entry.place = b"", None

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
