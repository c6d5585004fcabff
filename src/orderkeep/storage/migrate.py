"""Bringing the database to the version that this program needs: forward-only files, each run once.

A file is known by its number and its checksum; one that was changed after it ran is refused, since two
databases of the same version would then differ.
"""

import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from orderkeep.errors import Fatal, NotMigrated
from orderkeep.storage.postgres_connection import close, connect
from orderkeep.storage.postgres_errors import translated

if TYPE_CHECKING:
    from asyncpg import Connection

_LOCK = 0x6F72_6465_726B_6570  # "orderkep": one migration at a time in a database

_MAKE_TABLE = """
create table if not exists schema_migrations (
    version    integer primary key,
    name       text not null,
    sha256     text not null,
    applied_at timestamptz not null default now()
)
"""


class Migration(NamedTuple):
    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """The files of the package, in order."""
    folder = files("orderkeep.storage").joinpath("migrations")
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [Migration(int(name.split("_")[0]), name, folder.joinpath(name).read_text()) for name in names]


async def migrate(url: str, say: Callable[[str], None] = lambda _line: None) -> int:
    """Apply what is missing and return how many files that were. Waits for another migration to end."""
    connection = await connect(url, "migrate", role="primary")
    try:
        with translated():
            await connection.execute("select pg_advisory_lock($1)", _LOCK)
            await connection.execute(_MAKE_TABLE)
            applied = await _applied(connection)
            _check_history(applied)
            missing = [step for step in migrations() if step.version not in applied]
            for step in missing:
                say(f"applying {step.name}")
                await _apply(connection, step)
            return len(missing)
    finally:
        await close(connection)


async def check_migrated(url: str) -> None:
    """Raises `NotMigrated` unless the database has exactly what this program needs, or more."""
    connection = await connect(url, "check")
    try:
        with translated():
            applied = await _applied(connection)
    finally:
        await close(connection)
    missing = [step.name for step in migrations() if step.version not in applied]
    if missing:
        raise NotMigrated(f"the database lacks {', '.join(missing)}: run `orderkeep migrate`")


async def _applied(connection: "Connection[Any]") -> dict[int, str]:
    rows = await connection.fetch("select version, sha256 from schema_migrations order by version")
    return {row["version"]: row["sha256"] for row in rows}


def _check_history(applied: dict[int, str]) -> None:
    for step in migrations():
        if applied.get(step.version, step.sha256) != step.sha256:
            raise Fatal(
                f"{step.name} was changed after it was applied: restore the file, and add a new one instead"
            )


async def _apply(connection: "Connection[Any]", step: Migration) -> None:
    async with connection.transaction():
        await connection.execute(step.sql)
        await connection.execute(
            "insert into schema_migrations (version, name, sha256) values ($1, $2, $3)",
            step.version,
            step.name,
            step.sha256,
        )
