"""Two PostgreSQL servers for the tests, one the standby of the other, whichever is which."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orderkeep.embedded import PostgresServer
from orderkeep.storage.migrate import migrate
from tests.conftest import INGEST, OWNER, PASSWORD, READER, TEMPLATE, start_or_skip
from tests.service import wait_until


class Pair:
    """Started when made. `primary` and `standby` change places in a failover; `url` names both hosts."""

    def __init__(self, folder: Path, name: str) -> None:
        self.primary = PostgresServer(folder / f"{name}-1", settings={"fsync": "off"})
        start_or_skip(self.primary)
        self.primary.create_user(OWNER, PASSWORD, createrole=True)
        self.primary.create_database(TEMPLATE, OWNER)
        with ThreadPoolExecutor(1) as elsewhere:  # a thread without a loop
            elsewhere.submit(asyncio.run, migrate(self.primary.url(OWNER, database=TEMPLATE))).result()
        self.primary.create_user(INGEST, PASSWORD, in_role="orderkeep_ingest")
        self.primary.create_user(READER, PASSWORD, in_role="orderkeep_reader")
        self.standby = PostgresServer.standby(of=self.primary, data=folder / f"{name}-2")
        self.standby.start()
        self.diverged = False
        """Whether the standby has another history than the primary, and has to be made anew."""
        self._ports = (self.primary.port, self.standby.port)

    def url(self, user: str, database: str) -> str:
        """Both hosts, always in the same order, with a parameter as libpq's users write it."""
        login, _, rest = self.primary.url(user, database=database).rpartition("@")
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        return f"{login}@{hosts}/{rest.partition('/')[2]}?target_session_attrs=read-write&connect_timeout=3"

    def synchronous(self, *, on: bool) -> None:
        """Whether commits wait for a standby, on both servers."""
        for server in (self.primary, self.standby):
            server.configure(synchronous_standby_names="*" if on else "")
        if on:
            wait_until(
                lambda: self.primary.value("select sync_state from pg_stat_replication") == "sync",
                "the standby is synchronous",
            )

    def promote(self) -> None:
        """The standby becomes the primary; what becomes of the old one is for the test to say."""
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary
        self.diverged = True

    def rebuild(self) -> None:
        """The old primary becomes the standby of the new one."""
        self.standby.become_standby(of=self.primary)
        self.standby.start()
        self.diverged = False

    def wait_until_caught_up(self) -> None:
        """Until the standby has replayed what the primary has written by now."""
        position = self.primary.value("select pg_current_wal_lsn()::text")
        wait_until(
            lambda: self.standby.value(f"select pg_last_wal_replay_lsn() >= '{position}'"),
            "the standby catches up",
        )

    def make_whole(self) -> None:
        """Whatever a test did: a primary, and a standby that follows it, neither waiting for the other."""
        for server in (self.primary, self.standby):
            if server.pid:
                server.resume()
        self.primary.start()
        self.primary.configure(synchronous_standby_names="")
        if self.diverged:
            self.rebuild()
        self.standby.start()
        self.standby.execute("select pg_wal_replay_resume()")
        self.standby.configure(synchronous_standby_names="")

    def stop(self) -> None:
        self.standby.stop("immediate")
        self.primary.stop("immediate")
