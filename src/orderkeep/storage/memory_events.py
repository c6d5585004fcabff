"""The events of the store in memory."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from orderkeep.order import decode
from orderkeep.storage.events import (
    OVERLAP,
    Event,
    EventKind,
    EventPlace,
    Missed,
    RejectedEvent,
    StoredEvent,
    newest,
)
from orderkeep.storage.memory import MemoryStore
from orderkeep.storage.memory_rejects import MemoryRejects
from orderkeep.storage.rejects import RejectFilter
from orderkeep.storage.store import StoredOrder


class MemoryEvents:
    """An `EventReader` of what was written to a `MemoryStore`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._rejects = MemoryRejects(store)

    async def clock(self) -> datetime:
        return datetime.now(UTC)

    async def stored(self, uids: Sequence[str]) -> list[StoredEvent]:
        return [self._stored(order) for order in await self._store.orders(uids)]

    async def rejected(self, ids: Sequence[int]) -> list[RejectedEvent]:
        return [event for event in await self._all_rejected() if event.id in ids]

    async def missed(self, place: EventPlace, kinds: Collection[EventKind], limit: int) -> Missed:
        found: list[Event] = []
        if "stored" in kinds:
            found += [self._stored(order) async for orders in self._store.newest() for order in orders]
        if "rejected" in kinds:
            found += await self._all_rejected()
        count = sum(event.place.order > place.order for event in found)
        recent = [event for event in found if event.received_at >= place.received_at - OVERLAP]
        return newest(recent, place, limit, count)

    async def close(self) -> None:
        return

    async def _all_rejected(self) -> list[RejectedEvent]:
        wanted = self._rejects.iterate(RejectFilter())
        return [
            RejectedEvent(**{name: getattr(reject, name) for name in RejectedEvent.__struct_fields__})
            async for reject in wanted
        ]

    def _stored(self, stored: StoredOrder) -> StoredEvent:
        order = decode(stored.payload)
        source, partition, position = self._store.origin(stored.order_uid)
        return StoredEvent(
            order.order_uid,
            order.track_number,
            order.customer_id,
            order.date_created,
            stored.received_at,
            order.payment.amount,
            order.payment.currency,
            len(order.items),
            source.kind,
            partition,
            position,
        )
