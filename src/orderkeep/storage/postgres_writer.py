"""Writing batches to PostgreSQL: one connection, one transaction a batch, every outcome committed at once."""

import operator
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from orderkeep.errors import DatabaseUnavailable, DataRefused, OutcomeUnknown
from orderkeep.storage.copy import ORDER_COLUMNS, STAGED_COLUMNS, order_rows, staged_rows
from orderkeep.storage.notifications import ORDERS_CHANNEL, REJECTS_CHANNEL, joined
from orderkeep.storage.postgres_confirmed import Confirmed, LastCommit
from orderkeep.storage.postgres_connection import connect_and_tell, ended_when_lost
from orderkeep.storage.postgres_erased import ErasedAmong, refuse_erased
from orderkeep.storage.postgres_errors import describe, translated
from orderkeep.storage.postgres_hosts import HOST_SECONDS, Branch
from orderkeep.storage.postgres_lookout import looking_around
from orderkeep.storage.postgres_reject_rows import conflict, digest, reject_row
from orderkeep.storage.queries import QUERIES
from orderkeep.storage.shared_positions import record_shared
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

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_uid = operator.attrgetter("order_uid")

_CLEAN_BATCHES = 20  # so many batches without a duplicate, and COPY goes straight into orders again


class PostgresWriter:
    """An `OrderWriter` over one connection, which it opens when needed and drops after any failure.

    `slot` numbers the writers of a process: each has rows of its own in `progress`. Those that share
    `confirmed` write to the same server, and raise `DatabaseWentBack` rather than to one that lacks what any
    of them has committed.
    """

    def __init__(self, url: str, slot: int = 0, confirmed: Confirmed | None = None) -> None:
        self._url = url
        self._slot = slot
        self._confirmed = confirmed
        self._connection: Connection[Any] | None = None
        self._branch: Branch | None = None
        self._checked = False
        self._source_ids: dict[SourceIdentity, int] = {}
        self._staged_batches = 0
        self._warnings: list[str] = []

    async def write(self, batch: Batch) -> dict[Outcome, int]:
        async with self._session() as connection:
            await self._check_kept(connection)
            source = await self._source_id(connection, batch.source)
            while True:
                try:
                    return await self._write(connection, batch, source)
                except ErasedAmong as error:
                    await connection.execute("rollback")
                    batch = batch.without(error.uids)

    async def add(self, source: SourceIdentity, accepted: Sequence[Accepted]) -> list[Addition]:
        async with self._session() as connection:
            source_id = await self._source_id(connection, source)
            erased: frozenset[str] = frozenset()
            while True:
                try:
                    return await self._add(connection, source_id, accepted, erased)
                except ErasedAmong as error:
                    await connection.execute("rollback")
                    erased |= error.uids

    async def progress(self, source: SourceIdentity, group: str) -> dict[int, int]:
        async with self._session() as connection:
            await self._check_kept(connection)
            rows = await connection.fetch(QUERIES["progress"], group, *source)
            positions = {row["partition"]: row["next_position"] for row in rows}
            if self._confirmed:
                self._confirmed.tell(group, source, positions)
            return positions

    async def kept_aside(self, source: SourceIdentity, messages: Sequence[Message]) -> list[Refused]:
        async with self._session() as connection:
            rows = await connection.fetch(
                QUERIES["kept_aside"],
                await self._source_id(connection, source),
                [message.partition for message in messages],
                [message.position for message in messages],
                [digest(message) for message in messages],
            )
            return [Refused(messages[ordinal - 1], *row) for ordinal, *row in rows]

    async def record_gap(self, source: SourceIdentity, group: str, gap: Gap) -> None:
        async with self._session() as connection:
            await self._check_kept(connection)
            source_id = await self._source_id(connection, source)
            await connection.execute(QUERIES["begin_batch"])
            await connection.execute(QUERIES["record_gap"], group, source_id, *gap)
            await self._commit(connection)
            if self._confirmed:
                self._confirmed.forget(group, source, gap.partition)

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _write(self, connection: "Connection[Any]", batch: Batch, source: int) -> dict[Outcome, int]:
        """Raises `ErasedAmong`, with nothing committed, when the batch has orders that were erased."""
        if self._staged_batches == 0 and not _repeats_a_uid(batch.accepted):
            try:
                return await self._write_clean(connection, batch, source)
            except asyncpg.UniqueViolationError:
                await connection.execute("rollback")
                self._staged_batches = _CLEAN_BATCHES
        return await self._write_staged(connection, batch, source)

    async def _add(
        self,
        connection: "Connection[Any]",
        source: int,
        accepted: Sequence[Accepted],
        erased: frozenset[str],
    ) -> list[Addition]:
        """What became of each, those of `erased` uids left out. Raises `ErasedAmong` as `_write` does."""
        taken = [one for one in accepted if one.order_uid not in erased]
        await connection.execute(QUERIES["begin_batch"])
        inserted, others = await _stage(connection, staged_rows(taken, source, placed=False))
        await connection.execute(QUERIES["write_something"])
        if await _notify(connection, [(ORDERS_CHANNEL, text) for text in joined(inserted)]):
            await refuse_erased(connection, inserted)
        await self._commit(connection)
        conflicts = {row["ordinal"] for row in others if not row["same_bytes"]}
        additions = iter(_additions(taken, set(inserted), conflicts))
        return ["erased" if one.order_uid in erased else next(additions) for one in accepted]

    async def _write_clean(
        self, connection: "Connection[Any]", batch: Batch, source: int
    ) -> dict[Outcome, int]:
        """COPY straight into orders. Raises UniqueViolationError when a uid is there already."""
        ordered = sorted(batch.accepted, key=_uid)
        await connection.execute(QUERIES["begin_batch"])
        if ordered:
            await connection.copy_to_table(
                "orders", source=order_rows(ordered, source), columns=ORDER_COLUMNS, format="binary"
            )
        counts: Counter[Outcome] = Counter({"stored": len(ordered)})
        await self._finish(connection, batch, source, map(_uid, ordered), batch.refused, counts)
        return counts

    async def _write_staged(
        self, connection: "Connection[Any]", batch: Batch, source: int
    ) -> dict[Outcome, int]:
        """COPY beside orders, insert what is new, and compare the rest with what is there."""
        await connection.execute(QUERIES["begin_batch"])
        inserted, others = await _stage(connection, staged_rows(batch.accepted, source))
        conflicts = [conflict(batch.accepted[row["ordinal"]]) for row in others if not row["same_bytes"]]
        counts: Counter[Outcome] = Counter(
            {
                "stored": len(inserted),
                "duplicate": len(others) - len(conflicts),
                "redelivered": len(batch.accepted) - len(inserted) - len(others),
            }
        )
        await self._finish(connection, batch, source, inserted, [*batch.refused, *conflicts], counts)
        self._staged_batches = _CLEAN_BATCHES if others else max(0, self._staged_batches - 1)
        return counts

    async def _finish(
        self,
        connection: "Connection[Any]",
        batch: Batch,
        source: int,
        uids: Iterable[str],
        refused: Sequence[Refused],
        counts: Counter[Outcome],
    ) -> None:
        """The rest of the transaction: rejects, progress, notifications, COMMIT."""
        if batch.erased:
            counts["erased"] = len(batch.erased)
        notices = [(ORDERS_CHANNEL, text) for text in joined(uids)]
        if refused:
            rejects = await self._insert_rejects(connection, refused, source, counts)
            notices += [(REJECTS_CHANNEL, text) for text in joined(rejects)]
        commit: LastCommit | None = None
        if batch.progress:
            partitions = sorted(batch.progress)
            row = await connection.fetchrow(
                QUERIES["advance_progress"],
                batch.group,
                source,
                self._slot,
                partitions,
                [batch.progress[partition].next for partition in partitions],
                [batch.progress[partition].end for partition in partitions],
            )
            commit = LastCommit(batch.group, batch.source, *row) if row else None
        if batch.shared:
            await record_shared(connection, batch, source)
        if await _notify(connection, notices):
            await refuse_erased(connection, [*map(_uid, batch.accepted), *map(_uid, refused)])
        await self._commit(connection)
        if self._confirmed:
            self._confirmed.note(self._slot, self._branch, commit)

    async def _insert_rejects(
        self,
        connection: "Connection[Any]",
        refused: Sequence[Refused],
        source: int,
        counts: Counter[Outcome],
    ) -> list[str]:
        """The ids of those that are new; inserted by position, so that two writers cannot deadlock."""
        ordered = sorted(refused, key=lambda reject: (reject.message.partition, reject.message.position))
        rows = await connection.fetchmany(
            QUERIES["insert_rejects"], [reject_row(reject, source) for reject in ordered]
        )
        counts["redelivered"] += len(ordered) - len(rows)
        conflicts = sum(row["kind"] == "conflict" for row in rows)
        counts["conflict"] += conflicts
        counts["rejected"] += len(rows) - conflicts
        return [str(row["id"]) for row in rows]

    async def _commit(self, connection: "Connection[Any]") -> None:
        """COMMIT, without a timeout: whatever is not a plain success has an unknown outcome."""
        self._warnings.clear()
        try:
            await connection.execute("commit")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            raise OutcomeUnknown(f"COMMIT was not confirmed: {describe(error)}") from error
        if self._warnings:
            # 01000: the synchronous standby was not waited for, so a failover could lose the batch.
            raise OutcomeUnknown(f"COMMIT warned: {self._warnings[0]}")

    @asynccontextmanager
    async def _session(self) -> AsyncIterator["Connection[Any]"]:
        try:
            with translated():
                if self._connection is None:
                    self._connection = await self._connect()
                async with (
                    looking_around(self._url, self._connection, self._branch),
                    ended_when_lost(self._connection),
                ):
                    yield self._connection
        except DataRefused:
            await self._roll_back()
            raise
        except BaseException:
            # Cancelled or failed in the middle: what the connection is doing is not known any more.
            await self.close()
            raise

    async def _roll_back(self) -> None:
        """Keep the connection after a refused value: a batch is split in many steps."""
        try:
            if self._connection is not None:
                await self._connection.execute("rollback", timeout=HOST_SECONDS)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await self.close()

    async def _connect(self) -> "Connection[Any]":
        connection, self._branch = await connect_and_tell(self._url, f"ingest {self._slot}", role="primary")
        try:
            connection.add_log_listener(self._note_warning)
            await connection.execute(QUERIES["prepare_writer"], timeout=HOST_SECONDS)
            await connection.execute(QUERIES["make_staging"], timeout=HOST_SECONDS)
            if self._confirmed:
                self._confirmed.arrive(self._branch)
        except BaseException:
            connection.terminate()
            raise
        self._checked = False
        self._source_ids.clear()  # another server, or the same one restored, may number them otherwise
        return connection

    async def _check_kept(self, connection: "Connection[Any]") -> None:
        if self._confirmed:
            self._confirmed.check_branch(self._branch)
            if not self._checked:
                await self._confirmed.check(connection)
                self._checked = True

    def _note_warning(self, _connection: object, message: Any) -> None:
        if getattr(message, "sqlstate", None) == "01000":
            self._warnings.append(describe(message))

    async def _source_id(self, connection: "Connection[Any]", source: SourceIdentity) -> int:
        if source not in self._source_ids:
            self._source_ids[source] = await _ask_source_id(connection, source)
        return self._source_ids[source]


async def _stage(
    connection: "Connection[Any]", rows: AsyncIterator[bytes]
) -> tuple[list[str], "list[Record]"]:
    """Insert what is new: its uids, and how the rest compares with what is there."""
    await connection.copy_to_table("staged_orders", source=rows, columns=STAGED_COLUMNS, format="binary")
    inserted = [row["order_uid"] for row in await connection.fetch(QUERIES["insert_staged"])]
    return inserted, await connection.fetch(QUERIES["compare_staged"])


async def _notify(connection: "Connection[Any]", notices: Sequence[tuple[str, str]]) -> bool:
    """Have those who follow told at the commit. Returns whether anything was ever erased."""
    if not notices:
        return False
    channels, texts = zip(*notices, strict=True)
    row = await connection.fetchrow(QUERIES["notify"], list(channels), list(texts))
    return bool(row and row["erasures"])


def _additions(accepted: Sequence[Accepted], inserted: set[str], conflicts: set[int]) -> list[Addition]:
    """What became of each: of an inserted uid, the first in the order given is the one that was stored."""
    additions: list[Addition] = []
    for ordinal, uid in enumerate(map(_uid, accepted)):
        if uid in inserted:
            inserted.discard(uid)
            additions.append("stored")
        else:
            additions.append("conflict" if ordinal in conflicts else "duplicate")
    return additions


async def _ask_source_id(connection: "Connection[Any]", source: SourceIdentity) -> int:
    # The second asking is for a row that another process inserted while the first one ran.
    for _ in range(2):
        known = await connection.fetchval(QUERIES["source_id"], *source)
        if known is not None:
            return int(known)
    raise DatabaseUnavailable(f"the source {source} is neither there nor can be inserted")


def _repeats_a_uid(accepted: Sequence[Accepted]) -> bool:
    return len(set(map(_uid, accepted))) < len(accepted)
