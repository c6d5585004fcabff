"""Putting a reject through the pipeline again: after the rules of an order, or the database, have changed.

A replay is a redelivery of one message: the same decoding, the same writer, the same place in the source.
So it can be repeated at will, and adds neither a second order nor a second reject.
"""

import asyncio
from datetime import UTC

from msgspec import Struct

from orderkeep.errors import DatabaseUnavailable, DataRefused
from orderkeep.ingest.prepare import prepare
from orderkeep.ingest.retry import within
from orderkeep.storage.rejects import ERASED, Reject, RejectStore, ReplayOutcome
from orderkeep.storage.store import Accepted, Batch, Message, OrderReader, OrderWriter, SourceIdentity

PATIENCE = 30.0
"""Seconds that a person waits for a database that is away."""


class Replay(Struct, frozen=True):
    """What became of a reject; `detail` is for people, such as the reason why it still is no order."""

    reject_id: int
    outcome: ReplayOutcome
    detail: str


class ReplayReport(Struct, frozen=True):
    """How many rejects had which outcome; `interrupted` when somebody said stop before the last."""

    outcomes: dict[str, int]
    interrupted: bool

    @property
    def total(self) -> int:
        return sum(self.outcomes.values())


class Replayer:
    """Replays, one at a time. `orders` and `rejects` have to read where `writer` writes."""

    def __init__(
        self,
        writer: OrderWriter,
        orders: OrderReader,
        rejects: RejectStore,
        patience: float = PATIENCE,
    ) -> None:
        """`patience`: seconds to try again for, while the database is away."""
        self._writer = writer
        self._orders = orders
        self._rejects = rejects
        self._patience = patience
        self._one_at_a_time = asyncio.Lock()

    async def replay(self, reject: Reject) -> Replay:
        """Like the function; may be cancelled, and repeated."""
        async with self._one_at_a_time:
            return await replay(reject, self._writer, self._orders, self._rejects, self._patience)

    async def replay_by_id(self, reject_id: int) -> Replay | None:
        """None when there is no such reject. Raises `Transient` and `Fatal`."""
        reject = await self._rejects.get(reject_id)
        return None if reject is None else await self.replay(reject)

    async def close(self) -> None:
        for each in (self._rejects, self._writer, self._orders):
            await each.close()


async def replay(
    reject: Reject,
    writer: OrderWriter,
    orders: OrderReader,
    rejects: RejectStore,
    patience: float = PATIENCE,
) -> Replay:
    """Decode and store the message again, and note what became of it.

    `orders` has to read where `writer` writes. Raises `ServerUnavailable` when the database is away for
    `patience` seconds, and `Fatal`; to replay again is right after either.
    """

    async def note(replayed: Replay) -> None:
        entry = (replayed.reject_id, replayed.outcome, replayed.detail)
        await within(patience, lambda: rejects.record_replay(*entry))

    if reject.discarded_at is not None:
        day = f"{reject.discarded_at.astimezone(UTC):%Y-%m-%d}"
        why = "because it was erased" if reject.reason == ERASED else "after ORDERKEEP_REJECTS_RETENTION_DAYS"
        detail = f"its content was discarded on {day}, {why}"
        return Replay(reject.id, "discarded", detail)
    accepted, refused = prepare([_message(reject)])
    if refused:
        result = Replay(reject.id, "rejected", f"{refused[0].kind}: {refused[0].reason}")
    else:
        # Noted first: whenever this process ends, an order that comes from a reject has its explanation.
        await note(Replay(reject.id, "begun", ""))
        result = await _store(reject, accepted[0], writer, orders, patience)
    await note(result)
    return result


async def _store(
    reject: Reject, accepted: Accepted, writer: OrderWriter, orders: OrderReader, patience: float
) -> Replay:
    source = SourceIdentity(reject.source, reject.topic, reject.incarnation)
    # No group and no progress: how far the source is read does not change.
    batch = Batch(source, "", [accepted], [], {})
    try:
        counts = await within(patience, lambda: writer.write(batch))
    except DataRefused as error:
        return Replay(reject.id, "rejected", f"{error.kind}: {error.reason}")
    uid = accepted.order_uid
    if counts.get("erased"):
        return Replay(reject.id, "erased", f"order {uid} was erased")
    if counts.get("stored"):
        return Replay(reject.id, "stored", f"order {uid}")
    if counts.get("duplicate"):
        return Replay(reject.id, "duplicate", f"order {uid} is stored with the same bytes")
    # A conflict that is kept already is a redelivery, and so is an order that an earlier replay has stored.
    if await within(patience, lambda: _text(orders, uid)) == accepted.payload:
        return Replay(reject.id, "redelivered", f"order {uid} was stored from it before")
    return Replay(reject.id, "conflict", f"another order is stored under the uid {uid}")


async def _text(orders: OrderReader, uid: str) -> bytes:
    """The order that the writer has met. Raises `Transient` while a standby does not have it yet."""
    found = await orders.order(uid)
    if found is None:
        raise DatabaseUnavailable(f"order {uid} is not there yet, where orders are read")
    return found.payload


def _message(reject: Reject) -> Message:
    return Message(reject.partition, reject.position, reject.payload, reject.key, reject.headers)
