"""Erasing orders of the store in memory."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from orderkeep.storage.erasure import ErasedOrder, Erasure, ErasureRequest
from orderkeep.storage.memory import MemoryStore, RejectKey
from orderkeep.storage.rejects import ERASED
from orderkeep.storage.store import Refused

_UID = re.compile(rb'"order_uid"\s*:\s*"([^"]*)"')
_CUSTOMER = re.compile(rb'"customer_id"\s*:\s*"([^"]*)"')


class MemoryEraser:
    """An `Eraser` of what was written to a `MemoryStore`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def preview(self, wanted: ErasureRequest) -> Erasure:
        return (await self._find(wanted))[0]

    async def erase(self, wanted: ErasureRequest, reason: str) -> Erasure:
        found, rejects = await self._find(wanted)
        now = datetime.now(UTC)
        uids = [*found.orders, *found.ahead, *found.again]
        self._store.forget([ErasedOrder(uid, now, reason) for uid in uids], rejects)
        return found

    async def erased(self) -> list[ErasedOrder]:
        return self._store.erased()

    async def _find(self, wanted: ErasureRequest) -> tuple[Erasure, list[RejectKey]]:
        customers = self._store.uids_of(wanted.customer_ids)
        uids = list(dict.fromkeys([*wanted.uids, *customers]))
        stored = {order.order_uid for order in await self._store.orders(uids)}
        erased = {one.order_uid for one in self._store.erased()}
        rejects = {
            number: key
            for number, (key, (refused, _)) in enumerate(self._store.rejects.items(), 1)
            if refused.reason != ERASED and _is_about(refused, uids, wanted.customer_ids)
        }
        named = {self._store.rejects[key][0].order_uid for key in rejects.values()}
        known = stored | erased | named
        found = Erasure(
            orders=[uid for uid in uids if uid in stored],
            rejects=list(rejects),
            ahead=[uid for uid in uids if uid not in stored | erased and (wanted.ahead or uid in known)],
            again=[uid for uid in uids if uid in erased],
            unknown=[] if wanted.ahead else [uid for uid in uids if uid not in known],
        )
        return found, list(rejects.values())


def _is_about(refused: Refused, uids: Sequence[str], customer_ids: Sequence[str]) -> bool:
    """Whether it has one of the uids, or its text or key names one, or one of the customers."""
    payload = refused.message.payload or b""
    return (
        refused.order_uid in uids
        or refused.message.key in [uid.encode() for uid in uids]
        or _first(_UID, payload) in uids
        or _first(_CUSTOMER, payload) in customer_ids
    )


def _first(pattern: re.Pattern[bytes], payload: bytes) -> str | None:
    found = pattern.search(payload)
    return found[1].decode(errors="replace") if found else None
