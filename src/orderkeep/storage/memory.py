"""A complete store in memory: for tests, and for reading how a store behaves without its SQL."""

import asyncio
import operator
import secrets
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Collection, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from msgspec import structs

from orderkeep.storage.erasure import ErasedOrder
from orderkeep.storage.events import Notice
from orderkeep.storage.rejects import ERASED
from orderkeep.storage.search import ALL_ORDERS, OrderFilter, OrderSummary, Place
from orderkeep.storage.store import (
    Accepted,
    Addition,
    Batch,
    Gap,
    LookUp,
    Message,
    OrderOrigin,
    Outcome,
    PartitionProgress,
    Position,
    Refused,
    SourceIdentity,
    StoredOrder,
)

_CHUNK = 2_000
Origin = tuple[SourceIdentity, int | None, int | None]
RejectKey = tuple[Origin, bytes]


class MemoryStore:
    """An `OrderWriter` and an `OrderReader` over dicts: what one writes, the other reads."""

    def __init__(self) -> None:
        self._orders: dict[str, tuple[Accepted, Origin, datetime]] = {}
        self.rejects: dict[RejectKey, tuple[Refused, datetime]] = {}
        """By place and hash, in the order in which they were kept."""
        self.discarded: dict[RejectKey, datetime] = {}
        """When what these rejects held was discarded."""
        self._positions: dict[tuple[str, SourceIdentity, int], tuple[Position, datetime]] = {}
        self._shared: dict[tuple[str, SourceIdentity, int], set[int]] = defaultdict(set)
        self.gaps: list[tuple[SourceIdentity, str, Gap]] = []
        self._erased: dict[str, ErasedOrder] = {}
        self._followers: set[asyncio.Queue[list[Notice]]] = set()
        self._identity = secrets.token_hex(8)

    async def write(self, batch: Batch) -> dict[Outcome, int]:
        now = datetime.now(UTC)
        batch = batch.without(self._erased)
        counts: Counter[Outcome] = Counter()
        if batch.erased:
            counts["erased"] = len(batch.erased)
        stored: list[str] = []
        known_rejects = len(self.rejects)
        for accepted in batch.accepted:
            outcome = self._store(batch.source, accepted, now)
            counts[outcome] += 1
            if outcome == "stored":
                stored.append(accepted.order_uid)
        for refused in batch.refused:
            counts[self._refuse(batch.source, refused, now)] += 1
        for partition, position in batch.progress.items():
            self._advance((batch.group, batch.source, partition), position, now)
        if batch.shared:
            for message in batch.messages:
                self._shared[batch.group, batch.source, message.partition].add(message.position)
        self._tell(stored, known_rejects)
        return counts

    async def add(self, source: SourceIdentity, accepted: Sequence[Accepted]) -> list[Addition]:
        now = datetime.now(UTC)
        additions = [self._add(source, one, now) for one in accepted]
        kinds = zip(accepted, additions, strict=True)
        self._tell([one.order_uid for one, addition in kinds if addition == "stored"], len(self.rejects))
        return additions

    async def progress(self, source: SourceIdentity, group: str) -> dict[int, int]:
        return {
            key[2]: _after(position.next, self._shared[key])
            for key, (position, _) in self._positions.items()
            if key[:2] == (group, source)
        }

    async def kept_aside(self, source: SourceIdentity, messages: Sequence[Message]) -> list[Refused]:
        kept = ((message, self.rejects.get(_reject_key(source, message))) for message in messages)
        return [
            found[0]._replace(message=message)
            for message, found in kept
            if found is not None and found[0].order_uid not in self._erased
        ]

    async def record_gap(self, source: SourceIdentity, group: str, gap: Gap) -> None:
        self.gaps.append((source, group, gap))
        key = (group, source, gap.partition)
        if key in self._positions:
            self._positions[key] = Position(gap.begin, None), datetime.now(UTC)
        self._shared.pop(key, None)

    async def order(self, uid: str) -> StoredOrder | None:
        found = await self.orders([uid])
        return found[0] if found else None

    async def orders(self, uids: Sequence[str]) -> list[StoredOrder]:
        rows = ((uid, self._orders[uid]) for uid in dict.fromkeys(uids) if uid in self._orders)
        return [StoredOrder(uid, accepted.payload, received_at) for uid, (accepted, _, received_at) in rows]

    async def look_up(self, uids: Sequence[str]) -> LookUp:
        return LookUp(await self.orders(uids), [uid for uid in uids if uid in self._erased])

    async def erased_since(self, age: timedelta) -> list[str]:
        since = datetime.now(UTC) - age
        return [uid for uid, one in self._erased.items() if one.erased_at >= since]

    def origin(self, uid: str) -> Origin:
        """Where the order came from: without partition and position when it came from no broker."""
        return self._orders[uid][1]

    async def order_origin(self, uid: str) -> OrderOrigin | None:
        if uid not in self._orders:
            return None
        _, (source, partition, position), received_at = self._orders[uid]
        return OrderOrigin(uid, received_at, source.kind, source.topic, partition, position)

    async def page(
        self, limit: int, after: Place | None = None, wanted: OrderFilter = ALL_ORDERS
    ) -> list[OrderSummary]:
        lines = (_summary(accepted, received_at) for accepted, _, received_at in self._orders.values())
        newest_first = wanted.uid_prefix is None
        found = sorted(
            (line for line in lines if _agrees(line, wanted)), key=wanted.place, reverse=newest_first
        )
        if after is not None:
            comes_after = operator.lt if newest_first else operator.gt
            found = [line for line in found if comes_after(wanted.place(line), after)]
        return found[:limit]

    async def newest(self) -> AsyncGenerator[list[StoredOrder], None]:
        rows = sorted(self._orders.items(), key=lambda row: row[1][2], reverse=True)
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            yield [StoredOrder(uid, accepted.payload, at) for uid, (accepted, _, at) in chunk]

    async def follow(self) -> AsyncGenerator[list[Notice], None]:
        queue: asyncio.Queue[list[Notice]] = asyncio.Queue()
        self._followers.add(queue)
        try:
            yield []
            while True:
                yield await queue.get()
        finally:
            self._followers.discard(queue)

    async def ingest_progress(self) -> list[PartitionProgress]:
        return [
            PartitionProgress(
                group,
                source.kind,
                source.topic,
                partition,
                position.next,
                None if position.end is None else max(0, position.end - position.next),
                updated_at,
            )
            for (group, source, partition), (position, updated_at) in sorted(self._positions.items())
        ]

    async def estimate(self) -> int:
        return len(self._orders)

    async def identity(self) -> str:
        return self._identity

    async def notification_queue(self) -> float:
        return 0.0

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        return

    def _store(self, source: SourceIdentity, accepted: Accepted, now: datetime) -> Outcome:
        uid = accepted.order_uid
        origin = (source, accepted.message.partition, accepted.message.position)
        if uid not in self._orders:
            self._orders[uid] = (accepted, origin, now)
            return "stored"
        known, known_origin, _ = self._orders[uid]
        if known.payload == accepted.payload:
            return "redelivered" if known_origin == origin else "duplicate"
        reason = f"another order is stored under the uid {uid}"
        return self._refuse(source, Refused(accepted.message, "conflict", reason, uid), now)

    def _add(self, source: SourceIdentity, accepted: Accepted, now: datetime) -> Addition:
        if accepted.order_uid in self._erased:
            return "erased"
        known = self._orders.get(accepted.order_uid)
        if known is None:
            self._orders[accepted.order_uid] = (accepted, (source, None, None), now)
            return "stored"
        return "duplicate" if known[0].payload == accepted.payload else "conflict"

    def _tell(self, stored: list[str], known_rejects: int) -> None:
        """Tell of these orders, and of the rejects behind those that were known."""
        rejects = [str(number + 1) for number in range(known_rejects, len(self.rejects))]
        self._notify(Notice("stored", sorted(stored)), Notice("rejected", rejects))

    def _notify(self, *notices: Notice) -> None:
        told = [notice for notice in notices if notice.keys]
        for follower in self._followers:
            if told:
                follower.put_nowait(told)

    def uids_of(self, customer_ids: Collection[str]) -> list[str]:
        """The uids of all orders of these customers."""
        return [uid for uid, (one, *_) in self._orders.items() if one.customer_id in customer_ids]

    def erased(self) -> list[ErasedOrder]:
        return list(self._erased.values())

    def forget(self, erased: Sequence[ErasedOrder], empty: Collection[RejectKey]) -> None:
        """Erase these orders, whether they are stored or not, and what these rejects hold."""
        for one in erased:
            self._orders.pop(one.order_uid, None)
            self._erased.setdefault(one.order_uid, one)
        for key in empty:
            refused, received_at = self.rejects[key]
            message = structs.replace(refused.message, payload=None, key=None, headers=())
            self.rejects[key] = refused._replace(message=message, reason=ERASED), received_at
            self.discarded.setdefault(key, datetime.now(UTC))
        self._notify(Notice("erased", sorted(one.order_uid for one in erased)))

    def _refuse(self, source: SourceIdentity, refused: Refused, now: datetime) -> Outcome:
        key = _reject_key(source, refused.message)
        if key in self.rejects:
            return "redelivered"
        self.rejects[key] = refused, now
        return "conflict" if refused.kind == "conflict" else "rejected"

    def _advance(self, key: tuple[str, SourceIdentity, int], position: Position, now: datetime) -> None:
        known = self._positions.get(key)
        reached = max(position.next, known[0].next) if known else position.next
        self._positions[key] = (Position(reached, position.end), now)


def _after(position: int, shared: set[int]) -> int:
    """What is claimed, and what was recorded behind it without a gap."""
    while position in shared:
        position += 1
    return position


def _reject_key(source: SourceIdentity, message: Message) -> RejectKey:
    return (source, message.partition, message.position), sha256(message.payload or b"").digest()


def _agrees(line: OrderSummary, wanted: OrderFilter) -> bool:
    time = getattr(line, wanted.by)
    return (
        line.order_uid.startswith(wanted.uid_prefix or "")
        and wanted.track_number in (None, line.track_number)
        and wanted.customer_id in (None, line.customer_id)
        and (wanted.since is None or time >= wanted.since)
        and (wanted.until is None or time < wanted.until)
    )


def _summary(accepted: Accepted, received_at: datetime) -> OrderSummary:
    return OrderSummary(
        accepted.order_uid,
        accepted.track_number,
        accepted.customer_id,
        accepted.date_created,
        received_at,
    )
