"""What a store of orders promises: the two protocols that every implementation keeps.

`OrderWriter` is what ingest needs, `OrderReader` what the API needs. They meet only in the database.
"""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct, structs

from orderkeep.errors import RejectKind
from orderkeep.storage.events import Notice
from orderkeep.storage.search import ALL_ORDERS, OrderFilter, OrderSummary, Place

Outcome = Literal["stored", "duplicate", "rejected", "conflict", "redelivered", "erased"]
"""What became of a message. `redelivered` is one whose outcome was there already: it adds none. `erased`: its
order was erased on request, so nothing of it is kept, however often it comes."""
Addition = Literal["stored", "duplicate", "conflict", "erased"]
"""What became of an order that came from no broker."""


class SourceIdentity(NamedTuple):
    """Where messages come from; `incarnation` changes when a topic is deleted and made again."""

    kind: str
    topic: str
    incarnation: str


class Message(Struct, frozen=True, gc=False):
    """One message as the broker delivered it. `timestamp_ms` is the broker's, or 0."""

    partition: int
    position: int
    payload: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[bytes, bytes | None], ...] = ()
    timestamp_ms: int = 0


class Accepted(Struct, frozen=True, gc=False):
    """A message that is an order: its text, and the fields that have columns of their own."""

    message: Message
    payload: bytes
    order_uid: str
    track_number: str
    customer_id: str
    date_created: datetime


class Refused(NamedTuple):
    message: Message
    kind: RejectKind
    reason: str
    order_uid: str | None = None


class Position(NamedTuple):
    """`next`: all below it is committed once the batch is. `end`: the end of the partition, if known."""

    next: int
    end: int | None


class Gap(NamedTuple):
    """Positions of a partition whose messages are gone unread: from `first` up to, not with, `next`.

    Reading goes on at `begin`, the first position that there is.
    """

    partition: int
    first: int
    next: int
    begin: int


class Batch(Struct, frozen=True):
    """Messages of one source, in the order of delivery, with what the same transaction says of progress.

    When positions are `shared` with other processes, those of the messages are recorded one by one: what all
    of them have recorded, without a gap behind what is claimed, counts as claimed. `erased` are messages of
    orders that are known to be erased: all that is left of them is where they were.
    """

    source: SourceIdentity
    group: str
    accepted: Sequence[Accepted]
    refused: Sequence[Refused]
    progress: Mapping[int, Position]
    shared: bool = False
    erased: Sequence[Message] = ()

    def __len__(self) -> int:
        return len(self.accepted) + len(self.refused) + len(self.erased)

    @property
    def messages(self) -> list[Message]:
        """All of them; no longer in the order of delivery."""
        of_outcomes = [each.message for each in self.accepted] + [each.message for each in self.refused]
        return [*of_outcomes, *self.erased]

    def without(self, uids: Collection[str]) -> "Batch":
        """The same, with nothing left of the orders of these uids but their positions."""
        gone = [each.message for each in self.accepted if each.order_uid in uids]
        gone += [each.message for each in self.refused if each.order_uid in uids]
        return structs.replace(
            self,
            accepted=[each for each in self.accepted if each.order_uid not in uids],
            refused=[each for each in self.refused if each.order_uid not in uids],
            erased=[*self.erased, *gone],
        )


class StoredOrder(NamedTuple):
    """An order as it is served: `payload` is the text that was sent, byte for byte."""

    order_uid: str
    payload: bytes
    received_at: datetime


class LookUp(NamedTuple):
    """What was found of some uids; of what is `erased` nothing is there but the uid."""

    orders: list[StoredOrder]
    erased: list[str]


class OrderOrigin(Struct, frozen=True):
    """When an order was received, and the message that it came in; one that was posted came in none."""

    order_uid: str
    received_at: datetime
    source: str
    topic: str
    partition: int | None
    position: int | None


class PartitionProgress(Struct, frozen=True):
    """How far a consumer group has come in a partition; `lag` in messages, None when the end is not known."""

    consumer_group: str
    kind: str
    topic: str
    partition: int
    next_position: int
    lag: int | None
    updated_at: datetime


class PoolUse(NamedTuple):
    """Connections of a pool: at work, waiting for some, and how many it may have."""

    busy: int
    idle: int
    most: int


class Pooled(Protocol):
    """What reads over a pool of connections."""

    @property
    def use(self) -> PoolUse: ...


class OrderWriter(Protocol):
    """One writer stores one batch at a time; several writers may work side by side.

    Any call raises `DatabaseWentBack` when the database lacks what the writers of this process had confirmed,
    or what `progress` had told: positions that were claimed on the strength of it would be false.
    """

    async def write(self, batch: Batch) -> dict[Outcome, int]:
        """Store the batch in one transaction and say how many messages had which outcome.

        When it returns, the outcome of every message is committed. Raises `DataRefused` when a value
        cannot be stored (nothing of the batch is), `Transient` when it is worth trying again (the whole
        batch; `OutcomeUnknown` included), `Fatal` when it is not.
        """

    async def add(self, source: SourceIdentity, accepted: Sequence[Accepted]) -> list[Addition]:
        """Store orders that came from no broker in one transaction: what became of each, in the order given.

        Their places are not kept, nor is a conflict: it is for whoever sent it to know. When it returns, all
        that is stored or a duplicate is committed. Raises as `write` does.
        """

    async def progress(self, source: SourceIdentity, group: str) -> dict[int, int]:
        """The next position of each partition that the group has begun: all below it is committed.

        Of shared positions, those count that any process has recorded.
        """

    async def kept_aside(self, source: SourceIdentity, messages: Sequence[Message]) -> list[Refused]:
        """Those of the messages that are kept as rejects or conflicts, in the order given.

        Raises as `write` does.
        """

    async def record_gap(self, source: SourceIdentity, group: str, gap: Gap) -> None:
        """Record that messages are gone, and that the group goes on where the gap says.

        Both are committed when it returns. Raises as `write` does.
        """

    async def close(self) -> None: ...


class OrderReader(Protocol):
    async def order(self, uid: str) -> StoredOrder | None: ...

    async def orders(self, uids: Sequence[str]) -> list[StoredOrder]:
        """Those of `uids` that are stored, in any order."""

    async def look_up(self, uids: Sequence[str]) -> LookUp:
        """Those of `uids` that are stored, and those that were erased, in any order.

        A standby that is behind may still have an order that was erased.
        """

    async def erased_since(self, age: timedelta) -> list[str]:
        """The uids of what was erased no longer than `age` ago, as the primary knows it."""

    async def order_origin(self, uid: str) -> OrderOrigin | None: ...

    async def page(
        self, limit: int, after: Place | None = None, wanted: OrderFilter = ALL_ORDERS
    ) -> list[OrderSummary]:
        """At most `limit` orders in the order of the filter, after the place that a page of it ended with."""

    def newest(self) -> AsyncGenerator[list[StoredOrder], None]:
        """Every order, newest first, in chunks, without holding more than a chunk. Close it when done."""

    def follow(self) -> AsyncGenerator[list[Notice], None]:
        """What is stored, kept aside and erased from now on, in the order of the commits: of each the orders
        first. All who follow are told the same in the same order.

        An empty list comes first, and again whenever so much was waiting that some was let go: what was
        there before it may have been missed. Raises `Transient` when the connection is lost. Close it when
        done.
        """

    async def ingest_progress(self) -> list[PartitionProgress]: ...

    async def estimate(self) -> int:
        """About how many orders there are, without counting them."""

    async def identity(self) -> str:
        """Which store this is: another after a restore or a failover, which may have lost what it had.

        Raises `Transient` when the primary cannot say.
        """

    async def notification_queue(self) -> float:
        """How full the queue is from which those who follow are told, from 0 to 1; at 1 nothing is committed.

        Asks the primary. Raises `Transient` or `Fatal`.
        """

    async def ping(self) -> None:
        """Raises `Transient` or `Fatal` when the store cannot be read now."""

    async def close(self) -> None: ...
