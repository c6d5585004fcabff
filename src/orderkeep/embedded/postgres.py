"""PostgreSQL as a child process."""

import asyncio
import atexit
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

import asyncpg

from orderkeep.errors import Fatal, ServerUnavailable

from . import ports
from .binaries import postgres_binaries
from .place import Claim, explained, reachable_folder
from .process import Account, Child, end_leftovers, telling_line

START_PATIENCE = 60.0
"""Seconds for the server to accept connections, crash recovery included."""
_TELLING = ("FATAL:", "PANIC:", "ERROR:", "could not", "error:", "cannot")


def _silent(_: str) -> None:
    pass


class PostgresServer:
    """A PostgreSQL cluster in `data`, served on the loopback address while started.

    `settings` are server settings, as in postgresql.conf. The superuser is `postgres`; its password is made
    when the cluster is, and kept in the data folder. Run by root, the server runs as the user `postgres` or
    `nobody`, because PostgreSQL refuses root. It shuts down by itself when this process dies (Linux).
    """

    host = ports.HOST

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = _silent,
    ) -> None:
        """With `port` None, `start` chooses a free one, and keeps it for later starts of this object."""
        self.data = Path(data).absolute()
        self.port = port or 0
        self.log = self.data / "postgres.log"
        self._settings = dict(settings or {})
        self._say = say
        self._passwords: dict[str, str] = {}
        self._claim: Claim | None = None
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the running server's first process."""
        return self._child.pid if self._child and self._child.alive() else None

    def start(self) -> None:
        """Start the server, making the cluster on first use; returns when it accepts connections.

        Raises `Fatal` when the folder is in use or the port taken, or when the server does not come up, with
        the last telling line of its log; `ServerUnavailable` when there are no binaries.
        """
        if self.pid:
            return
        self._let_go()
        self._claim = Claim(self.data)
        try:
            with explained(self.data):
                self._start()
        except BaseException:
            self.kill()
            raise

    def _start(self) -> None:
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
        self.port = ports.choose(self.port or None, "PostgreSQL")
        self._say(f"starting PostgreSQL on port {self.port}")
        self._child = Child(
            [binaries / "postgres", "-D", cluster, *self._options()],
            log=self.log,
            on_death=signal.SIGINT,
            folder=cluster,
            account=account,
        )
        atexit.register(self.stop)
        self._wait_until_ready(self._child, cluster / "postmaster.pid")

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            **self._settings,
        }
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def _wait_until_ready(self, child: Child, status: Path) -> None:
        """The server writes its state into the eighth line of postmaster.pid (miscadmin.h)."""
        deadline = time.monotonic() + START_PATIENCE
        while time.monotonic() < deadline:
            if not child.alive():
                raise Fatal(f"PostgreSQL did not start: {child.last_words(_TELLING)} (its log: {self.log})")
            with suppress(OSError):
                lines = status.read_text().splitlines()
                if len(lines) >= 8 and lines[7].strip() == "ready":
                    return
            time.sleep(0.02)
        raise Fatal(
            f"PostgreSQL did not accept connections within {START_PATIENCE:.0f} seconds: "
            f"{child.last_words(_TELLING)} (its log: {self.log})"
        )

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Shut down and wait: `fast` ends the sessions, `immediate` leaves recovery to the next start."""
        if self._child:
            immediate = (signal.SIGQUIT, 10.0)
            self._child.stop(*([(signal.SIGINT, 30.0), immediate] if mode == "fast" else [immediate]))
        self._let_go()

    def kill(self) -> None:
        """SIGKILL to every process of the server: a crash. The data folder is free again afterwards."""
        if self._child:
            self._child.kill()
        self._let_go()

    def pause(self) -> None:
        """SIGSTOP to every process of the server: connections stay open and nothing is answered."""
        self._running().pause()

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._running().resume()

    def execute(self, sql: str, database: str = "postgres") -> None:
        """Run SQL, one statement or several, as the superuser. May be called inside a running event loop.

        Raises asyncpg.PostgresError when the server refuses it.
        """
        failures: list[Exception] = []

        def work() -> None:
            try:
                asyncio.run(_execute(self.url(database=database), sql))
            except (asyncpg.PostgresError, OSError) as error:
                failures.append(error)

        thread = threading.Thread(target=work, name="postgres-execute")
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

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

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _running(self) -> Child:
        if not self._child:
            raise ServerUnavailable("PostgreSQL is not running. Start it first.")
        return self._child

    def _let_go(self) -> None:
        atexit.unregister(self.stop)
        self._child = None
        if self._claim:
            self._claim.release()
            self._claim = None


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
    done = subprocess.run(  # noqa: S603 - our own words and paths, no shell
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
        raise Fatal(f"PostgreSQL could not make its cluster: {telling_line(done.stderr, _TELLING)}")
    unfinished.rename(private / "pgdata")


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
