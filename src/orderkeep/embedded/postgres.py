"""PostgreSQL as a child process."""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import asyncpg

from orderkeep.errors import Fatal

from . import ports
from .binaries import postgres_binaries
from .place import reachable_folder
from .process import Account, Child, end_leftovers, telling_line
from .server import Server, silent


class PostgresServer(Server):
    """A PostgreSQL cluster in `data`, served on the loopback address while started.

    `settings` are server settings, as in postgresql.conf. The superuser is `postgres`; its password is made
    when the cluster is, and kept in the data folder. Run by root, the server runs as the user `postgres` or
    `nobody`, because PostgreSQL refuses root.
    """

    name = "PostgreSQL"
    telling = ("FATAL:", "PANIC:", "ERROR:", "could not", "error:", "cannot")

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
        self._settings = dict(settings or {})
        self._passwords: dict[str, str] = {}

    def _launch(self) -> Child:
        account = _unprivileged_account()
        binaries = postgres_binaries(account)
        private = reachable_folder(self.data, "cluster", account)
        end_leftovers(private, signal.SIGINT)
        cluster = private / "pgdata"
        if not cluster.exists():
            self._say("making a PostgreSQL cluster")
            _make_cluster(binaries, private, account)
        self._passwords["postgres"] = (private / "password").read_text()
        (cluster / "postmaster.pid").unlink(missing_ok=True)  # of a killed run, whose id may be used again
        self.port = ports.choose(self.port or None, self.name)
        self._say(f"starting PostgreSQL on port {self.port}")
        return Child(
            [binaries / "postgres", "-D", cluster, *self._options()],
            log=self.log,
            on_death=signal.SIGINT,
            folder=cluster,
            account=account,
        )

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            **self._settings,
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
        self._passwords[name] = password

    def create_database(self, name: str, owner: str) -> None:
        """Make a database, or give the one that is there to `owner`."""
        with suppress(asyncpg.DuplicateDatabaseError):
            self.execute(f"CREATE DATABASE {_identifier(name)}")
        self.execute(f"ALTER DATABASE {_identifier(name)} OWNER TO {_identifier(owner)}")

    def url(self, user: str = "postgres", password: str | None = None, database: str = "postgres") -> str:
        """A URL to connect with. The password may be left out for `postgres` and for users made here."""
        secret = self._passwords.get(user, "") if password is None else password
        login = f"{quote(user, safe='')}:{quote(secret, safe='')}"
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(database, safe='')}"


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url, ssl=False)
    try:
        await connection.execute(sql)
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


def _make_cluster(binaries: Path, private: Path, account: Account | None) -> None:
    """Make `pgdata` in `private`, complete or not at all, and the superuser's password beside it."""
    unfinished = private / "pgdata.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    password = private / "password"
    password.unlink(missing_ok=True)
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(18))
    if account:
        os.chown(password, account.uid, account.gid)
    command = [
        *(str(binaries / "initdb"), "-D", str(unfinished), f"--pwfile={password}", "--username=postgres"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-sync"),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=private,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if done.returncode:
        raise Fatal(
            f"PostgreSQL could not make its cluster: {telling_line(done.stderr, PostgresServer.telling)}"
        )
    unfinished.rename(private / "pgdata")


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
