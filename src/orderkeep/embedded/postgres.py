"""PostgreSQL as a child process, alone or as the standby of another."""

import asyncio
import os
import pwd
import shutil
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote

import asyncpg

from orderkeep.errors import Fatal

from . import ports
from .binaries import postgres_binaries
from .place import reachable_folder
from .postgres_cluster import PASSWORD, TELLING, copy_cluster, keep_password, make_cluster, put_back
from .process import Account, Child, end_leftovers
from .server import Server, silent


class PostgresServer(Server):
    """A PostgreSQL cluster in `data`, served on the loopback address while started.

    `settings` are server settings, as in postgresql.conf. The superuser is `postgres`; its password is made
    when the cluster is, and kept in the data folder. Run by root, the server runs as the user `postgres` or
    `nobody`, because PostgreSQL refuses root.
    """

    name = "PostgreSQL"
    telling = TELLING

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = silent,
    ) -> None:
        """With `port` None, `start` chooses a free one, and keeps it for later starts of this object."""
        super().__init__(data, "postgres.log", port, say)
        self.settings = dict(settings or {})
        self.passwords: dict[str, str] = {}
        self._origin: PostgresServer | None = None

    @classmethod
    def standby(
        cls,
        of: "PostgresServer",
        data: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = silent,
    ) -> Self:
        """A server that follows `of`, which has to run when this one is first started, and is copied then.

        It has the users, databases and passwords of `of`, and its settings with `settings` over them. It
        answers queries while it follows. While it is away, `of` keeps up to 1 GB of WAL for it.
        """
        server = cls(data, port=port, settings={**of.settings, **(settings or {})}, say=say)
        server._follow(of)
        return server

    def become_standby(self, of: "PostgresServer") -> None:
        """Stop, delete the cluster, and be a standby of `of` from the next `start`. Port and settings stay.

        For a primary whose standby was promoted: it may have what the new primary never had.
        """
        self.stop("immediate")
        shutil.rmtree(self._private / "pgdata", ignore_errors=True)
        self._follow(of)

    def promote(self) -> None:
        """Make a standby a primary; blocks until it takes writes, at most a minute."""
        if not self.value("select pg_promote(wait_seconds => 60)"):
            raise Fatal(f"PostgreSQL was not promoted within a minute (its log: {self.log})")
        self._origin = None

    def configure(self, **settings: str) -> None:
        """Change settings of the running server; they outlive a restart, and standbys copy them.

        `synchronous_standby_names="*"` has commits wait for a standby, "" for none. Not for settings that
        were given to the constructor, which are stronger, nor for those that need a restart.
        """
        for name, value in settings.items():
            self.execute(f"ALTER SYSTEM SET {name} = {_literal(value)}")
        self.execute("select pg_reload_conf()")

    def back_up(self) -> None:
        """Copy the running cluster to a place beside it, instead of an earlier copy."""
        account = _unprivileged_account()
        copy_cluster(postgres_binaries(account), self._private, "backup", self.url(), account, standby=False)

    def restore_backup(self) -> None:
        """Stop, and put the cluster back to what it was at `back_up`, once: `start` goes on from there.

        A standby that followed it is ahead of it, and has to become a standby anew.
        """
        self.stop("immediate")
        put_back(self._private, "backup")

    @property
    def _private(self) -> Path:
        return (self.data / "cluster").resolve()

    def _follow(self, of: "PostgresServer") -> None:
        self._origin = of
        self.passwords = of.passwords

    def _launch(self) -> Child:
        account = _unprivileged_account()
        binaries = postgres_binaries(account)
        private = reachable_folder(self.data, "cluster", account)
        end_leftovers(private, signal.SIGINT)
        cluster = private / "pgdata"
        if not cluster.exists():
            self._make(binaries, private, account)
        self.passwords["postgres"] = (private / PASSWORD).read_text()
        (cluster / "postmaster.pid").unlink(missing_ok=True)  # of a killed run, whose id may be used again
        self.port = ports.choose(self.port or None, self.name)
        self._say(f"starting PostgreSQL on port {self.port}")
        return Child(
            [binaries / "postgres", "-D", cluster, *self._options()],
            log=self.log,
            on_death=signal.SIGINT,
            folder=cluster,
            account=account,
            env=self.env,
        )

    def _make(self, binaries: Path, private: Path, account: Account | None) -> None:
        if self._origin is None:
            self._say("making a PostgreSQL cluster")
            make_cluster(binaries, private, account)
            return
        self._say("copying a PostgreSQL cluster")
        self._origin.configure(wal_keep_size="1GB")
        keep_password(private, self.passwords["postgres"], account)
        copy_cluster(binaries, private, "pgdata", self._origin.url(), account, standby=True)

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            **self.settings,
        }
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def _is_ready(self) -> bool:
        """The server writes its state into the eighth line of postmaster.pid (miscadmin.h)."""
        with suppress(OSError):
            lines = (self.data / "cluster" / "pgdata" / "postmaster.pid").read_text().splitlines()
            return len(lines) >= 8 and lines[7].strip() == "ready"
        return False

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Shut down and wait: `fast` ends the sessions, `immediate` leaves recovery to the next start."""
        if self._child:
            immediate = (signal.SIGQUIT, 10.0)
            self._child.stop(*([(signal.SIGINT, 30.0), immediate] if mode == "fast" else [immediate]))
        self._let_go()

    def execute(self, sql: str, database: str = "postgres") -> None:
        """Run SQL, one statement or several, as the superuser. May be called inside a running event loop.

        Raises asyncpg.PostgresError when the server refuses it.
        """
        with ThreadPoolExecutor(1) as elsewhere:  # a thread without a loop
            elsewhere.submit(asyncio.run, _execute(self.url(database=database), sql)).result()

    def value(self, sql: str, database: str = "postgres") -> Any:
        """The first column of the first row that a query gives, as the superuser; None without a row."""
        with ThreadPoolExecutor(1) as elsewhere:  # a thread without a loop
            return elsewhere.submit(asyncio.run, _value(self.url(database=database), sql)).result()

    def create_user(
        self, name: str, password: str, *, createrole: bool = False, in_role: str | None = None
    ) -> None:
        """Make a role that may log in, or bring the one that is there to this state."""
        role = _identifier(name)
        with suppress(asyncpg.DuplicateObjectError):
            self.execute(f"CREATE ROLE {role}")
        rights = "CREATEROLE" if createrole else "NOCREATEROLE"
        self.execute(f"ALTER ROLE {role} LOGIN {rights} PASSWORD {_literal(password)}")
        if in_role is not None:
            self.execute(f"GRANT {_identifier(in_role)} TO {role}")
        self.passwords[name] = password

    def create_database(self, name: str, owner: str) -> None:
        """Make a database, or give the one that is there to `owner`."""
        with suppress(asyncpg.DuplicateDatabaseError):
            self.execute(f"CREATE DATABASE {_identifier(name)}")
        self.execute(f"ALTER DATABASE {_identifier(name)} OWNER TO {_identifier(owner)}")

    def url(self, user: str = "postgres", password: str | None = None, database: str = "postgres") -> str:
        """A URL to connect with. The password may be left out for `postgres` and for users made here."""
        secret = self.passwords.get(user, "") if password is None else password
        login = f"{quote(user, safe='')}:{quote(secret, safe='')}"
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(database, safe='')}"


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url, ssl=False)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def _value(url: str, sql: str) -> Any:
    connection = await asyncpg.connect(url, ssl=False)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def _unprivileged_account() -> Account | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise Fatal("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`. Add one.")


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
