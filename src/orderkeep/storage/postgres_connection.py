"""Connections to PostgreSQL, all made in one place so that all of them are durable and exact."""

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from orderkeep.storage.postgres_errors import translated

if TYPE_CHECKING:
    from asyncpg import Connection, Pool

CONNECT_SECONDS = 10.0


async def connect(url: str, purpose: str, *, writable: bool = False) -> "Connection[Any]":
    """A connection of its own; with `writable` to the primary, when `url` names several hosts.

    `purpose` is shown in pg_stat_activity. Raises `Transient` or `Fatal`.
    """
    with translated():
        connection: Connection[Any] = await asyncpg.connect(
            url, target_session_attrs=SessionAttribute.read_write if writable else None, **_options(purpose)
        )
        await prepare(connection)
        return connection


async def make_pool(url: str, purpose: str, size: int, seconds: float) -> "Pool[Any]":
    """A pool that connects when it is first used; `seconds` bounds each statement."""
    with translated():
        return await asyncpg.create_pool(
            url, min_size=0, max_size=size, command_timeout=seconds, init=prepare, **_options(purpose)
        )


async def prepare(connection: "Connection[Any]") -> None:
    """Have json come as the bytes that were stored: a str would be decoded only to be encoded again."""
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary"
    )


def _options(purpose: str) -> dict[str, Any]:
    return {
        "timeout": CONNECT_SECONDS,
        "server_settings": {"application_name": f"orderkeep {purpose}", "synchronous_commit": "on"},
    }


async def close(connection: "Connection[Any]") -> None:
    """Close within two seconds, politely when the server answers and at once when it does not."""
    try:
        await asyncio.wait_for(connection.close(), 2)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
