"""What is seen of a PostgreSQL, by each of the three URLs."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from orderkeep.storage.migrate import Applied, applied_to
from orderkeep.storage.postgres_errors import translated
from orderkeep.storage.postgres_hosts import Role, reach
from orderkeep.storage.queries import load

from .check import Sight

if TYPE_CHECKING:
    from asyncpg import Connection

QUERIES = load(files("orderkeep.doctor").joinpath("doctor.sql").read_text())
STATEMENT_SECONDS = 10.0
INGEST_ROLE, READER_ROLE = "orderkeep_ingest", "orderkeep_reader"


class Right(NamedTuple):
    """Whether the user is `allowed` the privilege on the table, and its role `meant` to have it."""

    table: str
    privilege: str
    allowed: bool
    meant: bool

    def __str__(self) -> str:
        return f"{self.privilege} on {self.table}"


class Database(NamedTuple):
    """`server` and `activity` are the rows of their statements, `settings` those of the server by name.

    `clock_ahead` in seconds, known as well as `round_trip` allows. `proxied`: another process of the server
    answers than the one that we were connected to.
    """

    server: Mapping[str, Any]
    settings: Mapping[str, str]
    activity: Mapping[str, Any]
    abilities: Mapping[str, Any]
    rights: tuple[Right, ...]
    migrations: tuple[Applied, ...]
    clock_ahead: float
    round_trip: float
    proxied: bool


async def primary(sight: Sight) -> Database:
    """By ORDERKEEP_DATABASE_URL. Raises `Transient` or `Fatal`, as the others do."""
    return await _look(sight.settings.database_url, "primary", INGEST_ROLE)


async def read_server(sight: Sight) -> Database:
    """By ORDERKEEP_DATABASE_READ_URL."""
    return await _look(sight.settings.read_url, "any", READER_ROLE)


async def owner(sight: Sight) -> Database:
    """By ORDERKEEP_DATABASE_MIGRATE_URL."""
    return await _look(sight.settings.migrate_url, "primary", INGEST_ROLE)


async def writes_and_reads(sight: Sight) -> tuple[Database, Database]:
    return await sight.see(primary), await sight.see(read_server)


async def _look(url: str, wanted: Role, role: str) -> Database:
    async with _connected(url, wanted) as connection:
        asked_at = time.time()
        server = await _row(connection, "server")
        round_trip = time.time() - asked_at
        settings = {row["name"]: row["value"] for row in await connection.fetch(QUERIES["server_settings"])}
        rights = await connection.fetch(QUERIES["rights"], role)
        return Database(
            server=server,
            settings=settings,
            activity=await _row(connection, "activity"),
            abilities=await _row(connection, "abilities"),
            rights=tuple(Right(*row) for row in rights),
            migrations=tuple(await applied_to(connection)) if server["migrated"] else (),
            clock_ahead=server["clock"] - (asked_at + round_trip / 2),
            round_trip=round_trip,
            proxied=connection.get_server_pid() != server["pid"],
        )


@asynccontextmanager
async def _connected(url: str, wanted: Role) -> AsyncIterator["Connection[Any]"]:
    """Without the settings of our other sessions: what is seen are the server's own."""
    with translated():
        settings = {"application_name": "orderkeep doctor"}
        reached = await reach(url, wanted, command_timeout=STATEMENT_SECONDS, server_settings=settings)
        try:
            await reached.connection.execute(QUERIES["only_read"])
            yield reached.connection
        finally:
            reached.connection.terminate()  # it only read: no goodbye


async def _row(connection: "Connection[Any]", statement: str) -> dict[str, Any]:
    (row,) = await connection.fetch(QUERIES[statement])
    return dict(row)
