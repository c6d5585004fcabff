"""The database as `deploy/postgres/users.sql` makes it: what each user may do there, and nobody else."""

import os
import subprocess
from pathlib import Path

import asyncpg
import pytest

from orderkeep.embedded import PostgresServer
from orderkeep.embedded.binaries import postgres_binaries
from orderkeep.storage.migrate import check_migrated, migrate
from tests.conftest import running
from tests.documents import ROOT
from tests.requirements import need

# As passwords are: whoever forgets to quote them fails here.
PASSWORDS = {user: f'{user}\'s "word"; --' for user in ("orderkeep", "orderkeep_in", "orderkeep_out")}
VARIABLES = ("DATABASE_OWNER_PASSWORD", "DATABASE_INGEST_PASSWORD", "DATABASE_READER_PASSWORD")


def make_users(psql: Path, url: str) -> None:
    """Run `users.sql` as its first lines say."""
    subprocess.run(
        [psql, "--no-psqlrc", "--quiet", url, "--file", ROOT / "deploy/postgres/users.sql"],
        env={**os.environ, **dict(zip(VARIABLES, PASSWORDS.values(), strict=True))},
        check=True,
    )


async def test_users_of_the_database(tmp_path: Path) -> None:
    """The owner migrates with no right to make roles, ingest writes, a reader reads, others are kept out."""
    psql = postgres_binaries(None) / "psql"
    need(psql.is_file(), f"no psql beside the other programs in {psql.parent}")
    # A server of its own: users belong to all of it.
    for server in running(PostgresServer(tmp_path / "postgres")):
        server.create_user("stranger", "word")
        make_users(psql, server.url())
        owner, writer, reader = (
            server.url(user, password, "orderkeep") for user, password in PASSWORDS.items()
        )
        assert await migrate(owner) > 0
        for url in (writer, reader):
            await check_migrated(url)

        ingest = await asyncpg.connect(writer)
        await ingest.execute("create temp table batch (like orders)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await ingest.execute("delete from orders")
        await ingest.close()

        api = await asyncpg.connect(reader)
        assert await api.fetch("select * from orders") == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute("create temp table batch (like orders)")
        await api.close()

        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(server.url("stranger", database="orderkeep"))
