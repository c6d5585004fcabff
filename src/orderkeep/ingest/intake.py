"""Orders that come from no broker: decoded as messages are, and stored with those that wait beside them.

Whoever sent one is told what became of it, so nothing else is kept: neither what is no order nor a conflict.
"""

import asyncio
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from orderkeep.errors import DataRefused
from orderkeep.ingest.prepare import accept
from orderkeep.ingest.retry import within
from orderkeep.storage.store import Accepted, Addition, Message, OrderWriter, SourceIdentity

HTTP = SourceIdentity("http", "orders", "")
MOST_ORDERS, MOST_BYTES = 500, 8_000_000
"""Of one transaction; a single order may be of any size that is one."""


class Taken(NamedTuple):
    """What became of an order; `payload` is the text that was sent."""

    order_uid: str
    payload: bytes
    outcome: Addition


class _Waiting(NamedTuple):
    accepted: Accepted
    answer: "asyncio.Future[Addition]"


class Intake:
    """Stores orders in groups: those that come while a group is written are the next one."""

    def __init__(self, writer: OrderWriter, patience: float) -> None:
        """`patience`: seconds to try again for, while the database is away."""
        self._writer = writer
        self._patience = patience
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def take(self, payload: bytes) -> Taken:
        """Store the order, or find that it is there; what it returns is committed.

        May be cancelled, and repeated: an order is stored once. Raises `Rejected` for what is no order,
        `ServerUnavailable` when the database is away for longer than the patience, and `Fatal`.
        """
        accepted = accept(Message(0, 0, payload))
        waiting = _Waiting(accepted, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_waiting())
        return Taken(accepted.order_uid, payload, await waiting.answer)

    async def close(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        await self._writer.close()

    async def _write_waiting(self) -> None:
        while group := self._next_group():
            await self._write(group)

    def _next_group(self) -> list[_Waiting]:
        """The first of those that wait; who has gone meanwhile waits for nothing."""
        present = [each for each in self._waiting if not each.answer.done()]
        sizes = accumulate(len(each.accepted.payload) for each in present[:MOST_ORDERS])
        count = sum(size <= MOST_BYTES for size in sizes) or 1
        self._waiting = present[count:]
        return present[:count]

    async def _write(self, group: Sequence[_Waiting]) -> None:
        """Write the group, and answer. A value that the store refuses is found by halving the group."""
        accepted = [each.accepted for each in group]
        try:
            additions = await within(self._patience, lambda: self._writer.add(HTTP, accepted))
        except DataRefused as error:
            if len(group) == 1:
                _fail(group, error)
                return
            middle = len(group) // 2
            await self._write(group[:middle])
            await self._write(group[middle:])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for those who wait
            _fail(group, error)
        else:
            for each, addition in zip(group, additions, strict=True):
                if not each.answer.done():
                    each.answer.set_result(addition)


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    for each in group:
        if not each.answer.done():
            each.answer.set_exception(error)
            each.answer.exception()  # looked at, also when whoever waits has gone
