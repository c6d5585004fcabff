"""The rejects of the store in memory, numbered in the order in which they were kept."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from msgspec import structs

from orderkeep.storage.memory import MemoryStore, RejectKey
from orderkeep.storage.rejects import Reject, RejectFilter, RejectSummary, ReplayOutcome
from orderkeep.storage.store import Refused

_SUMMARY = RejectSummary.__struct_fields__


class MemoryRejects:
    """A `RejectStore` of what was written to a `MemoryStore`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._replays: dict[int, list[tuple[ReplayOutcome, str]]] = {}

    async def page(
        self, wanted: RejectFilter, limit: int, before_id: int | None = None
    ) -> list[RejectSummary]:
        found = [one for one in await self._wanted(wanted) if before_id is None or one.id < before_id]
        return [_summary(reject) for reject in found[::-1][:limit]]

    async def get(self, reject_id: int) -> Reject | None:
        return next((one for one in await self._wanted(RejectFilter()) if one.id == reject_id), None)

    async def count(self, wanted: RejectFilter) -> int:
        return len(await self._wanted(wanted))

    async def iterate(self, wanted: RejectFilter) -> AsyncIterator[Reject]:
        for reject in await self._wanted(wanted):
            yield reject

    async def record_replay(self, reject_id: int, outcome: ReplayOutcome, detail: str) -> None:
        self._replays.setdefault(reject_id, []).append((outcome, detail))

    async def discard(self, older_than: timedelta) -> int:
        now, count = datetime.now(UTC), 0
        for key, (refused, received_at) in self._store.rejects.items():
            if received_at < now - older_than and key not in self._store.discarded:
                message = structs.replace(refused.message, payload=None, key=None, headers=())
                self._store.rejects[key] = refused._replace(message=message), received_at
                self._store.discarded[key] = now
                count += 1
        return count

    async def close(self) -> None:
        return

    async def _wanted(self, wanted: RejectFilter) -> list[Reject]:
        kept = enumerate(self._store.rejects.items(), 1)
        rejects = [
            await self._reject(number, key, refused, received_at)
            for number, (key, (refused, received_at)) in kept
        ]
        return [reject for reject in rejects if _agrees(reject, wanted)]

    async def _reject(self, number: int, key: RejectKey, refused: Refused, received_at: datetime) -> Reject:
        (source, *_), digest = key
        message, uid = refused.message, refused.order_uid
        stored = await self._store.order(uid) if uid is not None else None
        replays = self._replays.get(number)
        return Reject(
            id=number,
            kind=refused.kind,
            reason=refused.reason,
            order_uid=uid,
            source=source.kind,
            topic=source.topic,
            partition=message.partition,
            position=message.position,
            size=None if message.payload is None else len(message.payload),
            received_at=received_at,
            replayed=replays[-1][0] if replays else None,
            discarded_at=self._store.discarded.get(key),
            incarnation=source.incarnation,
            key=message.key,
            headers=message.headers,
            payload=message.payload,
            sha256=digest.hex(),
            stored=stored.payload if stored else None,
        )


def _agrees(reject: Reject, wanted: RejectFilter) -> bool:
    return (
        wanted.kind in (None, reject.kind)
        and wanted.topic in (None, reject.topic)
        and (wanted.since is None or reject.received_at >= wanted.since)
        and (wanted.until is None or reject.received_at < wanted.until)
    )


def _summary(reject: Reject) -> RejectSummary:
    fields = structs.asdict(reject)
    return RejectSummary(**{name: fields[name] for name in _SUMMARY})
