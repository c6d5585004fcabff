"""Bringing the database to the version that this program needs: forward-only files, each run once.

A file is known by its number and its checksum; one that was changed after it ran is refused, since two
databases of the same version would then differ.

A migration is applied while programs of the version before are at work, and may have to stay while they come
back. One that they cannot work with says so in a line of its own, and they refuse to start on it:

    -- oldest program: 0009
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
import structlog

from orderkeep.errors import DatabaseUnavailable, Fatal, NotMigrated
from orderkeep.storage.postgres_connection import close, connect
from orderkeep.storage.postgres_errors import translated

if TYPE_CHECKING:
    from asyncpg import Connection

_LOCK = 0x6F72_6465_726B_6570  # "orderkep": one migration at a time in a database

LOCK_SECONDS = 5
"""A statement that waits for a lock holds up everybody who comes after it: for so long, and no longer."""
LOCK_TRIES = 5
"""So often a migration is tried."""
PAUSE_SECONDS = 2
"""Between two tries, for those who waited behind the first."""

_OLDEST_PROGRAM = re.compile(r"^-- oldest program: (\d+)$", re.MULTILINE)
_MAKE_TABLE = """
create table if not exists schema_migrations (
    version        integer primary key,
    name           text not null,
    sha256         text not null,
    applied_at     timestamptz not null default now(),
    oldest_program integer not null default 0
);
"""
# Looked at before, since even an alter that does nothing locks out who reads.
_ADD_COLUMN = """
do $$
begin
    if not exists (
        select from pg_attribute where attrelid = 'schema_migrations'::regclass and attname = 'oldest_program'
    ) then
        alter table schema_migrations add column oldest_program integer not null default 0;
    end if;
end
$$
"""
# By way of jsonb, since a database that an earlier program migrated may lack the column.
_APPLIED = """
select version, name, sha256,
       coalesce((to_jsonb(schema_migrations) ->> 'oldest_program')::integer, 0) as oldest_program
from schema_migrations
order by version
"""

log = structlog.get_logger()


class Migration(NamedTuple):
    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def oldest_program(self) -> int:
        """Up to which migration a program has to know them, to work on a database that has this one."""
        declared = _OLDEST_PROGRAM.search(self.sql)
        return int(declared[1]) if declared else 0


class Applied(NamedTuple):
    """A migration as the database remembers it."""

    version: int
    name: str
    sha256: str
    oldest_program: int


class History(NamedTuple):
    """How a database stands to a program: what it lacks, what was changed since it was applied, and what a
    newer program has applied. `unfit` are those of the last that this program cannot work with."""

    pending: list[Migration]
    changed: list[Migration]
    newer: list[Applied]
    unfit: list[Applied]


def migrations() -> list[Migration]:
    """The files of the package, in order."""
    folder = files("orderkeep.storage").joinpath("migrations")
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [Migration(int(name.split("_")[0]), name, folder.joinpath(name).read_text()) for name in names]


def compare(applied: Sequence[Applied], known: Sequence[Migration]) -> History:
    """`applied` in the database, `known` to the program."""
    by_version = {step.version: step for step in applied}
    newest = max((step.version for step in known), default=0)
    newer = [step for step in applied if step.version > newest]
    return History(
        pending=[step for step in known if step.version not in by_version],
        changed=[
            step
            for step in known
            if step.version in by_version and by_version[step.version].sha256 != step.sha256
        ],
        newer=newer,
        unfit=[step for step in newer if step.oldest_program > newest],
    )


async def applied_to(connection: "Connection[Any]") -> list[Applied]:
    """What the database remembers. Raises asyncpg's own errors."""
    return [Applied(*row) for row in await connection.fetch(_APPLIED)]


async def migrate(
    url: str,
    say: Callable[[str], None] = lambda _line: None,
    *,
    known: Sequence[Migration] | None = None,
    tries: int = LOCK_TRIES,
) -> int:
    """Apply what is missing and return how many files that were. Waits for another migration to end.

    Safe while programs work on the database. A table that is held by somebody for longer than `LOCK_SECONDS`
    is tried for again, `tries` times in all; then it raises `DatabaseUnavailable`, and what was applied
    before stays. `known` are the files of the package, unless others are given.
    """
    connection = await connect(url, "migrate", role="primary")
    try:
        with translated():
            await connection.execute("select pg_advisory_lock($1)", _LOCK)
            await connection.execute(_MAKE_TABLE)
            await connection.execute(_ADD_COLUMN)
            history = compare(await applied_to(connection), known or migrations())
            _refuse_changed(history)
            for later in history.newer:
                say(f"{later.name} was applied by a newer program, and stays")
            for step in history.pending:
                say(f"applying {step.name}")
                await _apply_patiently(connection, step, say, tries)
            return len(history.pending)
    finally:
        await close(connection)


async def check_migrated(url: str, known: Sequence[Migration] | None = None) -> None:
    """Raises `NotMigrated` unless the database has what this program needs, and nothing it cannot work with.

    More than it needs is logged, since a newer program is at work, or was.
    """
    connection = await connect(url, "check")
    try:
        with translated():
            history = compare(await applied_to(connection), known or migrations())
    finally:
        await close(connection)
    if history.pending:
        missing = ", ".join(step.name for step in history.pending)
        raise NotMigrated(f"the database lacks {missing}: run `orderkeep migrate`")
    if history.unfit:
        newest = history.unfit[-1].name
        raise NotMigrated(
            f"a newer program has applied {newest}, and this one does not work on that: start the newer one"
        )
    if history.newer:
        log.warning("database_is_newer", migrations=[step.name for step in history.newer])


def _refuse_changed(history: History) -> None:
    for step in history.changed:
        raise Fatal(
            f"{step.name} was changed after it was applied: restore the file, and add a new one instead"
        )


async def _apply_patiently(
    connection: "Connection[Any]", step: Migration, say: Callable[[str], None], tries: int
) -> None:
    for left in reversed(range(tries)):
        try:
            return await _apply(connection, step)
        except asyncpg.LockNotAvailableError:
            if not left:
                break
            say(f"somebody holds a table that {step.name} changes: trying again")
            await asyncio.sleep(PAUSE_SECONDS)
    raise DatabaseUnavailable(
        f"{step.name} was not applied, since somebody holds a table that it changes, such as a dump or a "
        "transaction that was left open: end that, or run `orderkeep migrate` again later (SQLSTATE 55P03)"
    )


async def _apply(connection: "Connection[Any]", step: Migration) -> None:
    async with connection.transaction():
        await connection.execute(f"set local lock_timeout = '{LOCK_SECONDS}s'")
        await connection.execute(step.sql)
        await connection.execute(
            "insert into schema_migrations (version, name, sha256, oldest_program) values ($1, $2, $3, $4)",
            step.version,
            step.name,
            step.sha256,
            step.oldest_program,
        )
