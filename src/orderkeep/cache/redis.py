"""The cache in Redis or Valkey: shared by all API processes, there after a restart, never waited for long.

Whatever it does, no read fails: what it does not say in time, or says wrongly, is read from the database.
Keys hold which database they are of, so that after a restore or a failover nothing of the old one is found.

What a process has read, it writes. What is new, and a restore, one process writes for all: the *filler*,
who holds a key of Redis for as long as it renews it.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

import structlog
from msgspec import Struct

from orderkeep.cache.entry import body, render_payload
from orderkeep.cache.erased import Erased
from orderkeep.cache.redis_value import FORMAT, LONGEST, pack, unpack
from orderkeep.errors import CacheUnavailable, OrderkeepError

if TYPE_CHECKING:  # its client is an extra
    from orderkeep.cache.redis_connection import RedisConnection

FILLER_SECONDS = 15
"""After which another process fills, when the one that did is gone."""
CHECK_SECONDS = 5.0
"""Between renewals of that, and between questions which database this is."""
START_SECONDS = 2.0
"""How long a process waits at its start for the answers to both."""
WAITING_WRITES = 1_024
"""Orders that wait to be written; what is read beyond is not written, a restore waits."""
ORDERS_A_WRITE = 64
ERASE_AGAIN_SECONDS = 1.0
"""Between two tries to remove what was erased, while Redis takes no writes."""

ReadResult = Literal["hit", "miss", "wrong", "failed", "skipped"]
"""`wrong` is a value that is not what was written; `skipped`: it was not asked, because it is away."""
WriteResult = Literal["written", "failed", "dropped"]
"""`dropped`: too much was waiting."""

log = structlog.get_logger()


class RedisStatus(Struct, frozen=True):
    """`fills`: this process writes what is new, for all."""

    status: Literal["ok", "unavailable"]
    detail: str | None
    fills: bool


class _Write(NamedTuple):
    """`key` is that of the database which the order was read from."""

    uid: str
    key: str
    value: bytes


class RedisCache:
    """A `SharedCache`. It does something only while `run` runs."""

    def __init__(
        self,
        connection: "RedisConnection",
        identify: Callable[[], Awaitable[str]],
        *,
        prefix: str,
        ttl: int,
        max_bytes: int,
    ) -> None:
        """`identify` says which database the orders are of. Values stay for `ttl` seconds; a restore writes
        at most `max_bytes` of them."""
        self._connection = connection
        self._identify = identify
        self._prefix, self._ttl, self._max_bytes = prefix, ttl, max_bytes
        self._space: str | None = None  # what the keys of the database begin with, once it is known
        self._owner = secrets.token_hex(8)
        self._fills = False
        self._restored_bytes = 0
        self._to_write: asyncio.Queue[_Write] = asyncio.Queue(WAITING_WRITES)
        self._refused: str | None = None
        self._erased = Erased()
        self._to_erase: set[str] = set()
        self._erasing = asyncio.Event()
        self._changing = asyncio.Lock()  # one after the other: what was erased is not written behind that
        self.reads: Counter[ReadResult] = Counter()
        self.writes: Counter[WriteResult] = Counter()

    async def get(self, uid: str) -> bytes | None:
        return (await self.get_many([uid])).get(uid)

    async def get_many(self, uids: Sequence[str]) -> dict[str, bytes]:
        uids = [uid for uid in uids if uid not in self._erased]
        if not uids or self._is_away():
            self.reads["skipped"] += len(uids)
            return {}
        try:
            values = await self._connection.read([self._key(uid) for uid in uids])
        except CacheUnavailable:
            self.reads["failed"] += len(uids)
            return {}
        there = {uid: value for uid, value in zip(uids, values, strict=True) if value is not None}
        unpacked = {uid: unpack(uid, value) for uid, value in there.items()}
        found = {uid: render_payload(payload) for uid, payload in unpacked.items() if payload is not None}
        self.reads["miss"] += len(values) - len(there)
        self.reads["wrong"] += len(there) - len(found)
        self.reads["hit"] += len(found)
        return found

    async def put_read(self, uid: str, entry: bytes) -> None:
        self._write_later(uid, body(entry))

    async def put_new(self, uid: str, entry: bytes) -> None:
        if self._fills:
            self._write_later(uid, body(entry))

    def begin_restore(self) -> None:
        self._restored_bytes = 0

    async def put_older(self, uid: str, entry: bytes) -> bool:
        payload = body(entry)
        self._restored_bytes += len(payload)
        if not self._fills or self._is_away() or self._restored_bytes > self._max_bytes:
            return False
        if len(payload) <= LONGEST:
            await self._to_write.put(_Write(uid, self._key(uid), pack(uid, payload)))
        return True

    async def erase(self, uids: Sequence[str]) -> None:
        self._erased.add(uids)
        self._to_erase.update(uids)
        self._erasing.set()

    @property
    def breaker_is_open(self) -> bool:
        return self._connection.is_open

    def status(self) -> RedisStatus:
        trouble = self._connection.trouble
        if trouble is None and self._space is None:
            trouble = "which database the orders are of is not known yet"
        return RedisStatus("unavailable" if trouble else "ok", trouble or self._refused, self._fills)

    async def open(self) -> None:
        """Connect and learn who fills, before a restore begins; goes on without what does not answer."""
        with suppress(CacheUnavailable, TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await self._ask_which_database()
                await self._connection.connect()
                await self._offer_to_fill()

    async def run(self) -> None:
        """Write what was put, and keep up with who fills and which database this is, for ever."""
        await asyncio.gather(
            self._check_for_ever(),
            self._write_for_ever(),
            self._erase_for_ever(),
            self._connection.probe_for_ever(),
        )

    async def close(self) -> None:
        """Leave the filling to another process."""
        with suppress(CacheUnavailable):
            if self._fills:
                await self._connection.let_go(self._filler)
        await self._connection.close()

    @property
    def _filler(self) -> str:
        return f"{self._space}!filler"  # which is no key of an order: no uid makes it one

    def _key(self, uid: str) -> str:
        return f"{self._space}:{uid}"

    def _is_away(self) -> bool:
        return self._space is None or self._connection.is_open

    async def _check_for_ever(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self._check()

    async def _check(self) -> None:
        await self._ask_which_database()
        with suppress(CacheUnavailable):
            await self._offer_to_fill()

    async def _ask_which_database(self) -> None:
        # One that is away is still the same, and what Redis has of it is all there is.
        with suppress(OrderkeepError):
            self._space = f"{self._prefix}:{FORMAT}:{await self._identify()}"

    async def _offer_to_fill(self) -> None:
        if self._space is not None:
            await self._connection.read([self._filler])  # that it fails is noticed also while nobody reads
            self._fills = await self._connection.take(self._filler, self._owner, FILLER_SECONDS)

    def _write_later(self, uid: str, payload: bytes) -> None:
        if self._is_away() or len(payload) > LONGEST:
            return
        try:
            self._to_write.put_nowait(_Write(uid, self._key(uid), pack(uid, payload)))
        except asyncio.QueueFull:
            self.writes["dropped"] += 1

    async def _write_for_ever(self) -> None:
        while True:
            waiting = [await self._to_write.get()]
            while len(waiting) < ORDERS_A_WRITE and not self._to_write.empty():
                waiting.append(self._to_write.get_nowait())
            try:
                await self._write(waiting)
            except CacheUnavailable as error:
                self.writes["failed"] += len(waiting)
                self._note_refusal(str(error))
            else:
                self.writes["written"] += len(waiting)
                self._refused = None
            for _ in waiting:
                self._to_write.task_done()

    async def _write(self, waiting: Sequence[_Write]) -> None:
        async with self._changing:
            values = {each.key: each.value for each in waiting if each.uid not in self._erased}
            if values:
                await self._connection.write(values, self._ttl)

    async def _erase_for_ever(self) -> None:
        """Every process does it: each may have written a copy that it had read before."""
        while True:
            await self._erasing.wait()
            erasing = list(self._to_erase)[:ORDERS_A_WRITE]
            try:
                await self._erase(erasing)
            except CacheUnavailable:
                await asyncio.sleep(ERASE_AGAIN_SECONDS)
                continue
            self._to_erase.difference_update(erasing)
            if not self._to_erase:
                self._erasing.clear()

    async def _erase(self, uids: Sequence[str]) -> None:
        if self._space is None:
            raise CacheUnavailable("which database the orders are of is not known yet")
        async with self._changing:
            await self._connection.delete([self._key(uid) for uid in uids])

    def _note_refusal(self, reason: str) -> None:
        if self._connection.is_open:
            return  # which has been told
        if self._refused is None:
            log.warning("redis_write_failed", error=reason)
        self._refused = reason
