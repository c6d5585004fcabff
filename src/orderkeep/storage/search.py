"""What may be asked of the list of orders, and how the answer is sorted: as an index has it.

Each list is read from one index, in its order, from one place to another. So a page costs what its orders
cost, however many agree with the filter, and however many do not. What would need more is refused.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

Time = Literal["received_at", "date_created"]
Place = tuple[datetime | str, ...]
"""Where a page ended: the values of its last order in the columns that the list is sorted by."""


class OrderSummary(Struct, frozen=True):
    """A line of the list of orders."""

    order_uid: str
    track_number: str
    customer_id: str
    date_created: datetime
    received_at: datetime


class OrderFilter(Struct, frozen=True):
    """Which orders are meant: all that agree with what is given. `since` is included, `until` is not.

    Both are about the time `by`. Raises `ValueError` for two filters that no index answers together.
    """

    uid_prefix: str | None = None
    track_number: str | None = None
    customer_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    by: Time = "received_at"

    def __post_init__(self) -> None:
        first, *others = [name for name in _EXACT if getattr(self, name) is not None] or [""]
        if self.by != "received_at":
            others.append("by")
        if first == "uid_prefix":
            others += [name for name in ("since", "until") if getattr(self, name) is not None]
        if first and others:
            raise ValueError(f"{others[0]}: cannot be combined with {first}")

    @property
    def sorted_by(self) -> tuple[str, ...]:
        """The columns that the list is sorted by: a uid prefix by uid, all else the newest first."""
        if self.uid_prefix is not None:
            return ("order_uid",)
        times = ("date_created", "received_at") if self.by == "date_created" else ("received_at",)
        return (*times, "order_uid")

    def place(self, order: OrderSummary) -> Place:
        """Where in the list the order is."""
        return tuple(getattr(order, column) for column in self.sorted_by)


_EXACT = ("uid_prefix", "track_number", "customer_id")
ALL_ORDERS = OrderFilter()
