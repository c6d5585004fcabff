"""The servers of a bench: its own, in a temporary folder, and as durable as they are by default."""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # the package has no types of its own

from orderkeep.embedded import PostgresServer, remove
from orderkeep.embedded.place import is_ours
from orderkeep.storage.migrate import migrate
from orderkeep.storage.postgres_connection import close, connect

USER = "bench"
SETTINGS = {
    "shared_buffers": f"{psutil.virtual_memory().total // 4 // 2**20}MB",  # as its manual advises
    "max_wal_size": "16GB",
}
"""The defaults, 128 MB and 1 GB, are for a machine that does other things; whatever is durable stays."""
TOLD = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
    "data_checksums",
)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that every user can enter, since PostgreSQL does not run as root; removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="orderkeep-bench-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for data in folder.iterdir():
            if is_ours(data):
                remove(data)
        shutil.rmtree(folder)


class Databases:
    """A PostgreSQL server with fresh databases for the taking. Everything blocks."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        server.create_user(USER, secrets.token_urlsafe(18), createrole=True)

    @contextmanager
    def fresh(self, name: str) -> Iterator[str]:
        """The URL of a migrated database with nothing in it, dropped afterwards."""
        self._server.create_database(name, USER)
        url = self._server.url(USER, database=name)
        try:
            asyncio.run(migrate(url))
            self.settle()
            yield url
        finally:
            self._server.execute(f'drop database "{name}" with (force)')

    def settle(self) -> None:
        """Write out what was changed before, so that what comes next does not pay for it."""
        self._server.execute("checkpoint")

    def facts(self) -> dict[str, str]:
        """The settings in force that figures depend on."""
        url = self._server.url(USER)
        return {name: str(value(url, f"show {name}")) for name in TOLD}


@contextmanager
def databases(folder: Path) -> Iterator[Databases]:
    """A running PostgreSQL of its own. Raises `ServerUnavailable` or `Fatal`."""
    with PostgresServer(folder / "postgresql", settings=SETTINGS) as server:
        yield Databases(server)


def value(url: str, sql: str) -> Any:
    """The one value that a query gives."""

    async def ask() -> Any:
        connection = await connect(url, "bench")
        try:
            return await connection.fetchval(sql)
        finally:
            await close(connection)

    return asyncio.run(ask())
