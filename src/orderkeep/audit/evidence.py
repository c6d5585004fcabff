"""What the database holds about messages: the rows that an audit compares them with."""

import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files

import asyncpg

from orderkeep.errors import (
    ConfigurationError,
    Fatal,
    NotMigrated,
    OrderkeepError,
    ServerUnavailable,
    Transient,
)
from orderkeep.refused_certificate import why_refused
from orderkeep.storage.postgres_hosts import reach
from orderkeep.storage.queries import load

from .check import OrderRow, Place, RejectRow
from .unseen import AcceptedGap

QUERIES = load(files("orderkeep.audit").joinpath("audit.sql").read_text())
PATIENCE = 60.0
"""Seconds for a connection, or for the rows of one batch."""

Ranges = Sequence[tuple[int, int, int]]
"""(partition, from, to)."""


class Evidence:
    """The rows of one source of messages. `source` is its id, None when nothing was ever stored from it."""

    def __init__(self, connection: asyncpg.Connection, source: int | None) -> None:
        self._connection = connection
        self.source = source

    async def orders(self, uids: Sequence[str]) -> tuple[dict[str, OrderRow], set[str]]:
        """Those rows of orders that have one of the uids, and the uids of those that were erased."""
        with explained():
            rows = await self._connection.fetch(QUERIES["orders_by_uids"], uids, timeout=PATIENCE)
        there = [row for row in rows if row["payload"] is not None]
        found = {uid: OrderRow(payload, Place(*place)) for uid, payload, *place in there}
        return found, {row["order_uid"] for row in rows if row["payload"] is None}

    async def rejects(self, runs: Ranges) -> dict[tuple[int, int], list[RejectRow]]:
        """By partition and position, the rejects within runs of positions (both ends included)."""
        found: dict[tuple[int, int], list[RejectRow]] = defaultdict(list)
        with explained():
            rows = await self._connection.fetch(
                QUERIES["rejects_between"], self.source, *_columns(runs), timeout=PATIENCE
            )
        for partition, position, *reject in rows:
            found[partition, position].append(RejectRow(*reject))
        return found

    async def counts(self, spans: Ranges) -> dict[str, dict[int, int]]:
        """By table and partition, how many rows claim a position within spans (the end excluded).

        Reads the whole of orders, about a second for a million rows.
        """
        counted: dict[str, dict[int, int]] = {}
        for table, query in (("orders", "count_orders"), ("rejected_messages", "count_rejects")):
            with explained():
                rows = await self._connection.fetch(QUERIES[query], self.source, *_columns(spans))
            counted[table] = {row["partition"]: row["rows"] for row in rows}
        return counted

    async def accepted_gaps(self, group: str) -> list[AcceptedGap]:
        with explained():
            rows = await self._connection.fetch(
                QUERIES["accepted_gaps"], group, self.source, timeout=PATIENCE
            )
        return [AcceptedGap(*row) for row in rows]


def _columns(ranges: Ranges) -> tuple[list[int], list[int], list[int]]:
    return [each[0] for each in ranges], [each[1] for each in ranges], [each[2] for each in ranges]


@asynccontextmanager
async def evidence_of(
    database_url: str, *, kind: str, topic: str, incarnation: str
) -> AsyncIterator[Evidence]:
    """Connect and find the source. Raises `Fatal` with what to do when the database cannot be read."""
    async with connected(database_url) as connection:
        with explained():
            # The text as it is stored; asyncpg would decode it, and encode it again to compare.
            await connection.set_type_codec(
                "json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary"
            )
            source = await connection.fetchval(QUERIES["source_id"], kind, topic, incarnation)
        yield Evidence(connection, source)


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Raises `Fatal` with what to do when there is no way to the database."""
    with explained():
        connection = await _connect(database_url)
    try:
        yield connection
    finally:
        connection.terminate()  # it only read: no goodbye, and a cancelled query is not waited for


async def _connect(url: str) -> asyncpg.Connection:
    """To the host of `url` that takes writes: a standby may be behind."""
    try:
        return (await reach(url, "primary")).connection
    except OrderkeepError as error:
        raise error.__cause__ or error from None


@contextmanager
def explained() -> Iterator[None]:
    """Turn what PostgreSQL, or the way to it, refuses into a `Fatal` of one line."""
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise NotMigrated(f"The database is not migrated: {error}. Run `orderkeep migrate`.") from None
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigurationError(f"PostgreSQL: {error}. Grant orderkeep_reader to the user.") from None
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise ConfigurationError(f"PostgreSQL: {error}. Check ORDERKEEP_DATABASE_URL.") from None
    except ssl.SSLCertVerificationError as error:  # a ValueError, too
        raise Fatal(why_refused("PostgreSQL", error, "sslrootcert=FILE in ORDERKEEP_DATABASE_URL")) from None
    except ValueError:  # its text may quote the password
        raise ConfigurationError(
            "ORDERKEEP_DATABASE_URL is not of the form postgresql://user:password@host:port/database."
        ) from None
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, Transient) as error:
        raise ServerUnavailable(
            f"PostgreSQL cannot be reached: {str(error) or 'no answer'}. "
            "Start it, or set ORDERKEEP_DATABASE_URL."
        ) from None
    except asyncpg.PostgresError as error:
        raise Fatal(f"PostgreSQL could not answer the audit: {error}") from None
