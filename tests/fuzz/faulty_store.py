"""PostgreSQL as a pipeline meets it, in memory: each call waits until the test says how it ends."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum, auto
from itertools import count
from typing import Any, NamedTuple

from orderkeep.errors import DatabaseUnavailable, DatabaseWentBack, DataRefused, OutcomeUnknown
from orderkeep.storage.memory import MemoryStore
from orderkeep.storage.store import (
    Accepted,
    Addition,
    Batch,
    Gap,
    Message,
    Outcome,
    Refused,
    SourceIdentity,
)

POISON = "poison"
"""Orders of uids that begin so are valid, and the database refuses to hold them."""


class End(Enum):
    """How a call ends."""

    DONE = auto()
    FAILED = auto()
    COMMITTED_UNHEARD = auto()  # the transaction is committed, and the answer is lost
    LOST_UNHEARD = auto()  # it is not, and the answer is lost
    LATE = auto()  # the answer is lost, and the transaction is committed later


_numbers = count(1)
Place = tuple[SourceIdentity, int | None, int | None]


class Database(MemoryStore):
    """A store that can be put back in time, as by restoring a copy or by a failover to a late standby."""

    def __init__(self) -> None:
        super().__init__()
        self.life = 1
        """Connections belong to a life of the server: a restored copy begins another."""
        self.late: list[Batch] = []
        self.commits: list[int] = []
        """The numbers of the transactions that are committed, each used once."""
        self._rows: Counter[Place] | None = None
        self._before: list[tuple[dict[Any, Any], ...]] = []

    async def write(self, batch: Batch) -> dict[Outcome, int]:
        await self.land_late()  # it holds locks on its rows: whoever writes waits for it
        self._before.append((dict(self._orders), dict(self.rejects), dict(self._positions)))
        self.commits.append(next(_numbers))
        self._rows = None
        return await super().write(batch)

    def end_late(self, batch: Batch | None) -> None:
        """Commit it later, after whoever sent it has given up."""
        if batch is not None and not refuses(batch):
            self.late.append(batch)

    async def land_late(self) -> None:
        late, self.late = self.late, []
        for batch in late:
            await self.write(batch)

    def restore(self, ago: int) -> None:
        """Be as before so many transactions, or as in the beginning."""
        for _ in range(min(ago, len(self._before))):
            self._orders, self.rejects, self._positions = self._before.pop()
            self.commits.pop()
        self.late.clear()
        self._rows = None
        self.life += 1

    def rows_of(self, place: Place) -> int:
        """How many rows the message there has made."""
        if self._rows is None:
            self._rows = Counter(origin for _, origin, _ in self._orders.values())
            self._rows.update(origin for origin, _ in self.rejects)
        return self._rows[place]

    def keeps_aside(self, place: Place) -> bool:
        return self.rows_of(place) > 0 and any(origin == place for origin, _ in self.rejects)

    def has_outcome(self, place: Place, payload: bytes | None, uid: str | None) -> bool:
        """Whether it is stored or kept aside, or the same order is stored from another message."""
        if self.rows_of(place):
            return True
        return uid in self._orders and self._orders[uid][0].payload == payload

    def positions(self, group: str) -> dict[tuple[SourceIdentity, int], int]:
        """The claims: by source and partition, all below is committed."""
        return {
            (source, partition): position.next
            for (of_group, source, partition), (position, _) in self._positions.items()
            if of_group == group
        }


class History:
    """What the writers of one process know of the database: what they have committed, and what it told."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._commits: set[int] = set()
        self._told: dict[tuple[str, SourceIdentity], dict[int, int]] = {}

    def commit(self) -> None:
        self._commits.add(self._database.commits[-1])

    def tell(self, group: str, source: SourceIdentity, positions: dict[int, int]) -> None:
        self._told[group, source] = positions

    async def check(self) -> None:
        """Raises `DatabaseWentBack` when the database lacks some of it."""
        if not self._commits <= set(self._database.commits):
            raise DatabaseWentBack("a transaction is not there any more")
        for (group, source), positions in self._told.items():
            known = await self._database.progress(source, group)
            if any(known.get(partition, 0) < position for partition, position in positions.items()):
                raise DatabaseWentBack("positions are not there any more")


class Call(NamedTuple):
    """A call on its way, over a connection to one life of the server; `write` is None when it only asks."""

    write: Batch | None
    life: int
    ends: "asyncio.Future[End]"


class FaultyWriter:
    """An `OrderWriter` over one connection, as that to PostgreSQL is: made when needed, dropped at a failure.

    `pending` has the calls on their way, oldest first.
    """

    def __init__(
        self,
        database: Database,
        history: History,
        pending: list[Call],
        committed: Callable[[Batch], None],
    ) -> None:
        self._database = database
        self._history = history
        self._pending = pending
        self._committed = committed
        self._life: int | None = None

    async def write(self, batch: Batch) -> dict[Outcome, int]:
        end = await self._wait(batch)
        if end not in {End.FAILED, End.LOST_UNHEARD} and refuses(batch):
            raise DataRefused("no such value")
        if end is End.FAILED:
            self._fail("away")
        if end is End.LATE:
            self._database.end_late(batch)
        if end in {End.LATE, End.LOST_UNHEARD}:
            self._fail("COMMIT was not answered", OutcomeUnknown)
        counts = await self._database.write(batch)
        self._committed(batch)
        if end is End.COMMITTED_UNHEARD:
            self._fail("COMMIT was not answered", OutcomeUnknown)
        self._history.commit()
        return counts

    async def progress(self, source: SourceIdentity, group: str) -> dict[int, int]:
        if await self._wait(None) is not End.DONE:
            self._fail("away")
        known = await self._database.progress(source, group)
        self._history.tell(group, source, known)
        return known

    async def add(self, source: SourceIdentity, accepted: Sequence[Accepted]) -> list[Addition]:
        if await self._wait(None) is not End.DONE:
            self._fail("away")
        return await self._database.add(source, accepted)

    async def kept_aside(self, source: SourceIdentity, messages: Sequence[Message]) -> list[Refused]:
        if await self._wait(None) is not End.DONE:
            self._fail("away")
        return await self._database.kept_aside(source, messages)

    async def record_gap(self, source: SourceIdentity, group: str, gap: Gap) -> None:
        if await self._wait(None) is not End.DONE:
            self._fail("away")
        await self._database.record_gap(source, group, gap)

    async def close(self) -> None:
        self._life = None

    async def _wait(self, batch: Batch | None) -> End:
        if self._life is None:
            await self._history.check()
            self._life = self._database.life
        call = Call(batch, self._life, asyncio.get_running_loop().create_future())
        self._pending.append(call)
        try:
            end = await call.ends
        finally:
            self._pending.remove(call)
        if self._life != self._database.life:
            self._fail("the server was restarted")
        return end

    def _fail(self, text: str, error: type[DatabaseUnavailable] = DatabaseUnavailable) -> None:
        self._life = None
        raise error(text)


def refuses(batch: Batch) -> bool:
    return any(accepted.order_uid.startswith(POISON) for accepted in batch.accepted)
