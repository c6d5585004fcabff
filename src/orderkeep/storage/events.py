"""What a store promises of events: what it has stored and what it has kept aside, as a feed tells of them.

Events come in the order of their commits, and a store remembers only when each transaction began. So whoever
reads on behind an event has to look at what began a little earlier as well: `OVERLAP`.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from orderkeep.errors import RejectKind

EventKind = Literal["stored", "rejected"]

OVERLAP = timedelta(seconds=30)
"""Longer than a writer that is frozen, or whose host has vanished, holds a transaction open (15 and 20 s)."""
MOST_COUNTED = 100_000
"""Events that are counted without being read: to count more would hold up others who come back."""


class Notice(NamedTuple):
    """What a commit has changed: `keys` are uids of orders or ids of rejects, the smaller first.

    An erasure is no event: only caches, and what is still to be told of those orders, have to know of it.
    """

    kind: EventKind | Literal["erased"]
    keys: list[str]


class EventPlace(NamedTuple):
    """Where an event is: by time, the stored before the rejected. Without a kind: behind all of that time."""

    received_at: datetime
    kind: EventKind | None = None
    key: str = ""

    @property
    def order(self) -> tuple[datetime, int, int | str]:
        """What events are sorted by."""
        if self.kind == "rejected":
            return self.received_at, 1, int(self.key)
        return self.received_at, 0 if self.kind else 2, self.key


class StoredEvent(Struct, frozen=True):
    """An order that was stored, without personal data. `items` is their number.

    `amount`, `currency` and `items` are null where the order is too long to look into, `partition` and
    `position` where it was posted, and came from no broker.
    """

    order_uid: str
    track_number: str
    customer_id: str
    date_created: datetime
    received_at: datetime
    amount: int | None
    currency: str | None
    items: int | None
    source: str | None
    partition: int | None
    position: int | None

    @property
    def place(self) -> EventPlace:
        return EventPlace(self.received_at, "stored", self.order_uid)


class RejectedEvent(Struct, frozen=True):
    """A message that was kept aside, without what it holds."""

    id: int
    kind: RejectKind
    reason: str
    source: str
    topic: str
    partition: int
    position: int
    received_at: datetime
    order_uid: str | None

    @property
    def place(self) -> EventPlace:
        return EventPlace(self.received_at, "rejected", str(self.id))


Event = StoredEvent | RejectedEvent


class Missed(NamedTuple):
    """Events behind a place: the newest, the oldest of them first.

    `older` is how many more there are, at most `MOST_COUNTED`, and `last_older` the place of their last.
    """

    events: list[Event]
    older: int
    last_older: EventPlace | None


class EventReader(Protocol):
    """Every call raises `Transient` when the store does not answer, `Fatal` when it cannot be used.

    What `OrderReader.follow` has told of is there to be read.
    """

    async def clock(self) -> datetime:
        """The time by which events get theirs."""

    async def stored(self, uids: Sequence[str]) -> list[StoredEvent]:
        """Those of `uids` that are stored, in any order."""

    async def rejected(self, ids: Sequence[int]) -> list[RejectedEvent]:
        """Those of `ids` that there are, in any order."""

    async def missed(self, place: EventPlace, kinds: Collection[EventKind], limit: int) -> Missed:
        """What is behind the place, and what began so shortly before it that it may have come later.

        The latter are not among the `older`.
        """

    async def close(self) -> None: ...


def newest(events: Sequence[Event], place: EventPlace, limit: int, count: int) -> Missed:
    """The last `limit` of the events. `count` is how many are behind the place, where those are not all."""
    ordered = sorted(events, key=lambda event: event.place.order)
    told, left = ordered[-limit:], ordered[:-limit]
    behind = sum(event.place.order > place.order for event in told)
    return Missed(told, max(0, count - behind), left[-1].place if left else None)
