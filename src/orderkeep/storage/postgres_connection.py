"""Connections to PostgreSQL, all made in one place so that all of them are durable and exact."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from orderkeep.errors import DatabaseUnavailable
from orderkeep.storage.postgres_errors import translated
from orderkeep.storage.postgres_hosts import HOST_SECONDS, Reached, Role, reach
from orderkeep.storage.store import PoolUse

if TYPE_CHECKING:
    from asyncpg import Connection, Pool
    from asyncpg.pool import PoolConnectionProxy

DEAD_PEER_SECONDS = 20
"""A host that vanished acknowledges nothing: after so long its connections end, and what waits for them
fails. Longer than the second or two of a switch that reboots its ports or a live migration; short enough for
a failover within half a minute. The kernel's own answer is 15 minutes while sending, and never while waiting.
"""
KEEPALIVE_SECONDS = 5


async def connect(
    url: str, purpose: str, *, role: Role = "any", seconds: float | None = None
) -> "Connection[Any]":
    """A connection of its own, to the host of `url` that has the role; `seconds` bounds each statement.

    `purpose` is shown in pg_stat_activity. Raises `Transient` or `Fatal`.
    """
    return (await connect_and_tell(url, purpose, role=role, seconds=seconds)).connection


async def connect_and_tell(
    url: str, purpose: str, *, role: Role = "any", seconds: float | None = None
) -> Reached:
    """Like `connect`, and which branch of the database it is."""
    settings = {"application_name": f"orderkeep {purpose}", "synchronous_commit": "on"}
    if seconds is not None:  # later than ours: the server goes on with what nobody waits for any more
        settings["statement_timeout"] = f"{seconds + 1:.0f}s"
    with translated():
        reached = await reach(url, role, command_timeout=seconds, server_settings=settings)
        try:
            _notice_a_dead_peer(reached.connection)
            async with asyncio.timeout(HOST_SECONDS):
                await _prepare(reached.connection)
        except BaseException:
            reached.connection.terminate()
            raise
        return reached


def is_standby(connection: "Connection[Any] | PoolConnectionProxy[Any]") -> bool:
    """Whether its server is a standby now: the server tells, also when it is promoted (since version 14)."""
    return getattr(connection.get_settings(), "in_hot_standby", "on") != "off"


@asynccontextmanager
async def ended_when_lost(connection: "Connection[Any]") -> AsyncIterator[None]:
    """End the block with TimeoutError when the connection is lost and it does not notice within a second.

    asyncpg 0.32 waits for a full buffer to be sent, in COPY and in fetchmany, and does not look there whether
    the connection is still there: it would wait for ever.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as ending:
        inside = True

        def note(_connection: object) -> None:
            if inside:
                ending.reschedule(loop.time() + 1)

        connection.add_termination_listener(note)
        try:
            yield
        finally:
            inside = False
            connection.remove_termination_listener(note)


class ReadPool:
    """At most `size` connections for reading, made when they are needed."""

    def __init__(self, url: str, purpose: str, *, role: Role, size: int, seconds: float) -> None:
        self._url, self._purpose, self._role = url, purpose, role
        self._size, self._seconds = size, seconds
        self._made: Pool[Any] | None = None
        self._making = asyncio.Lock()

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator["PoolConnectionProxy[Any]"]:
        """A connection for the block. The wait for it and the block together take at most `seconds`.

        Raises `Transient` or `Fatal`, also for what fails in the block.
        """
        with translated():
            async with asyncio.timeout(self._seconds):
                pool = await self._pool()
                connection = await pool.acquire()
                try:
                    yield connection
                except (TimeoutError, asyncio.CancelledError):
                    # Given back, it would be waited for until the server has taken note: perhaps for ever.
                    connection.terminate()
                    raise
                finally:
                    await pool.release(connection)

    @property
    def use(self) -> PoolUse:
        if self._made is None:
            return PoolUse(0, 0, self._size)
        idle = self._made.get_idle_size()
        return PoolUse(self._made.get_size() - idle, idle, self._size)

    async def close(self) -> None:
        if self._made is not None:
            self._made.terminate()

    async def _pool(self) -> "Pool[Any]":
        async with self._making:
            if self._made is None:
                self._made = await asyncpg.create_pool(
                    min_size=0, max_size=self._size, connect=self._connect, reset=_leave_as_it_is
                )
        return self._made

    async def _connect(self, *_arguments: object, **_options: object) -> "Connection[Any]":
        return await connect(self._url, self._purpose, role=self._role, seconds=self._seconds)


async def _leave_as_it_is(_connection: "Connection[Any]") -> None:
    """Readers change nothing of a session, and to reset it takes as long as the query before."""


async def close(connection: "Connection[Any]") -> None:
    """Close within two seconds, politely when the server answers and at once when it does not."""
    try:
        await asyncio.wait_for(connection.close(), 2)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


async def _prepare(connection: "Connection[Any]") -> None:
    """Have json come as the bytes that were stored: a str would be decoded only to be encoded again."""
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary"
    )


def _notice_a_dead_peer(connection: "Connection[Any]") -> None:
    """tcp(7): user timeout for what was sent, keepalives for what is waited for. Nothing on a Unix socket."""
    client: Any = connection
    sock = client._transport.get_extra_info("socket")  # noqa: SLF001 - asyncpg has no other way to it
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    options = {
        "TCP_KEEPIDLE": KEEPALIVE_SECONDS,
        "TCP_KEEPINTVL": KEEPALIVE_SECONDS,
        "TCP_KEEPCNT": DEAD_PEER_SECONDS // KEEPALIVE_SECONDS - 1,
        "TCP_USER_TIMEOUT": DEAD_PEER_SECONDS * 1000,
    }
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in options.items():
            if hasattr(socket, name):  # macOS and Windows have some of them
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    except ValueError as error:  # uvloop's answer for a socket that is lost already
        raise DatabaseUnavailable(f"the connection was lost while it was made: {error}") from error
