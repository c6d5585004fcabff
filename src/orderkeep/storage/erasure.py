"""What a store promises of erasing orders: what somebody asked to have removed goes, and does not come back.

Of an erased order its uid is kept, the time and a reason; of a reject that is about it, where it was and the
hash of its payload. So a copy that is delivered again is known, and the audit can explain every message.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct


class ErasureRequest(Struct, frozen=True):
    """Orders by their uids, and all those of customers that are stored now.

    With `ahead`, uids of which nothing is stored are meant as well: to keep out what is still to come.
    """

    uids: Sequence[str] = ()
    customer_ids: Sequence[str] = ()
    ahead: bool = False


class Erasure(Struct, frozen=True):
    """What is erased, or would be: uids of stored `orders`, and ids of `rejects` that lose what they hold.

    `ahead` are uids of which no order is stored, and `again` those that were erased before; of the `unknown`
    there is nothing, and nothing is done about them.
    """

    orders: list[str]
    rejects: list[int]
    ahead: list[str]
    again: list[str]
    unknown: list[str]


class ErasedOrder(Struct, frozen=True):
    """What is left of an order that was erased."""

    order_uid: str
    erased_at: datetime
    reason: str


class Eraser(Protocol):
    """Every call raises `Transient` when the store does not answer, `Fatal` when it cannot be used."""

    async def preview(self, wanted: ErasureRequest) -> Erasure:
        """What would be erased now. Reads all rejects: 2 to 3 s for 100,000 of them, on busy cores."""

    async def erase(self, wanted: ErasureRequest, reason: str) -> Erasure:
        """Erase it in one transaction, and tell all who follow; may be repeated.

        Writers wait while orders are removed, and not while rejects are looked through.
        """

    async def erased(self) -> list[ErasedOrder]:
        """All that was ever erased, the oldest first."""
