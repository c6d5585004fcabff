"""What a store promises of rejects: to list, show and stream them, and to note what a replay made of one.

Rejects are only ever added, by an `OrderWriter`, and none is deleted. What one holds may be discarded.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Literal, Protocol

from msgspec import Struct

from orderkeep.errors import RejectKind

ReplayOutcome = Literal[
    "begun", "stored", "duplicate", "redelivered", "conflict", "rejected", "erased", "discarded"
]
"""What became of a reject when it was replayed. `begun` is noted before an order is written, so that an
order whose replay was cut off is explained; `redelivered`: an earlier replay has stored it; `discarded`:
nothing is left to replay, and nothing is noted; `erased`: its order was erased, and stays so."""

ERASED = "erased"
"""The reason of a reject whose content was erased, instead of one that may quote it."""


class RejectFilter(Struct, frozen=True):
    """Which rejects are meant: all that agree with what is given. `since` is included, `until` is not."""

    kind: RejectKind | None = None
    topic: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class RejectSummary(Struct, frozen=True):
    """A line of the list of rejects.

    `id` grows, not always by one. `size` is the payload's in bytes, None for a tombstone. `replayed` is the
    outcome of the latest replay. Since `discarded_at`, when it is given, payload, key and headers are gone.
    """

    id: int
    kind: RejectKind
    reason: str
    order_uid: str | None
    source: str
    topic: str
    partition: int
    position: int
    size: int | None
    received_at: datetime
    replayed: ReplayOutcome | None
    discarded_at: datetime | None


class Reject(RejectSummary, frozen=True):
    """A message that was kept aside, whole.

    `sha256` is the payload's, in hex. `stored` is the text of the order that is stored under its uid, when
    it has a uid: in a conflict that is the other version.
    """

    incarnation: str
    key: bytes | None
    headers: tuple[tuple[bytes, bytes | None], ...]
    payload: bytes | None
    sha256: str
    stored: bytes | None


class RejectStore(Protocol):
    """Every call raises `Transient` when the store does not answer, `Fatal` when it cannot be used."""

    async def page(
        self, wanted: RejectFilter, limit: int, before_id: int | None = None
    ) -> list[RejectSummary]:
        """The newest, at most `limit`, of those with smaller ids than `before_id`."""

    async def get(self, reject_id: int) -> Reject | None: ...

    async def count(self, wanted: RejectFilter) -> int:
        """How many there are; reads them all, about 0.2 s for half a million."""

    def iterate(self, wanted: RejectFilter) -> AsyncIterator[Reject]:
        """Those that are there when it begins, by id, without holding more than a few."""

    async def record_replay(self, reject_id: int, outcome: ReplayOutcome, detail: str) -> None: ...

    async def discard(self, older_than: timedelta) -> int:
        """Discard payload, key and headers of rejects that were received so long ago: of how many.

        May be cancelled, fail in the middle, and run more than once at a time.
        """

    async def close(self) -> None: ...
