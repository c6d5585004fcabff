"""The servers of a run: started once, broken by faults, whole again after each sequence."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from orderkeep.embedded import PostgresServer, remove
from orderkeep.embedded.kafka_cluster import KafkaCluster
from orderkeep.storage.migrate import migrate
from tests.chaos import small_disk
from tests.chaos.clock import Clock
from tests.chaos.proxy import Proxy
from tests.chaos.small_disk import SmallDisk
from tests.conftest import INGEST, OWNER, PASSWORD, READER, TEMPLATE

POSTGRES_SETTINGS = {
    "fsync": "off",  # no test crashes the machine
    "max_connections": "60",
    "max_notify_queue_pages": "64",  # the least: a listener that stands still fills it within a sequence
}
DISK_MEGABYTES = 6_000


@dataclass
class Links:
    """The proxies between the service and its servers: of Kafka one a node, of PostgreSQL one a server."""

    ingest_kafka: list[Proxy] = field(default_factory=list)
    ingest_postgres: list[Proxy] = field(default_factory=list)
    api_postgres: list[Proxy] = field(default_factory=list)

    def all(self) -> list[Proxy]:
        return [*self.ingest_kafka, *self.ingest_postgres, *self.api_postgres]


class Servers:
    """A cluster of Kafka, and PostgreSQL with a standby, in `folder`.

    `primary` is the server that takes writes now, `standby` the other: a failover swaps them. The links to
    PostgreSQL stay in the order of `postgres`.
    """

    def __init__(self, folder: Path, *, nodes: int = 3, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.links = Links()
        self.disks = [SmallDisk(folder / f"disk-{number}", DISK_MEGABYTES) for number in (1, 2)]
        self.clocks = {name: Clock(folder / f"clock-{name}") for name in ("postgres", "api")}
        self.kafka = KafkaCluster(folder / "kafka", nodes=nodes, through=self._proxied_node, say=say)
        first, second = (disk.folder / "postgres" for disk in self.disks)
        self.primary = PostgresServer(first, settings=POSTGRES_SETTINGS, say=say)
        self.standby = PostgresServer.standby(of=self.primary, data=second, say=say)
        self.postgres = [self.primary, self.standby]
        self._cleanup = ExitStack()

    def start(self) -> None:
        """Start all; raises `Fatal`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)  # PostgreSQL does not run as root
        self._prepare_disks_and_clocks()
        self._cleanup.callback(self.kafka.stop)
        with ThreadPoolExecutor(1) as elsewhere:
            kafka = elsewhere.submit(self.kafka.start)
            self._start_postgres()
            kafka.result()

    def stop(self) -> None:
        """Stop all, and remove what they stored."""
        for server in (*self.kafka.nodes, *self.postgres):
            if server.pid:
                server.resume()
        self._cleanup.close()
        for proxy in self.links.all():
            proxy.close()
        for data in [*(server.data for server in self.postgres), *(node.data for node in self.kafka.nodes)]:
            remove(data)
        remove(self.kafka.data)
        shutil.rmtree(self.folder, ignore_errors=True)

    def make_whole(self) -> None:
        """After a failure: start and resume what does not run, heal the links, undo settings."""
        for proxy in self.links.all():
            proxy.heal()
        for clock in self.clocks.values():
            clock.set_right()
        for disk in self.disks:
            if disk.folder.is_mount() and not disk.has_room():
                disk.free()
        for server in (*self.kafka.nodes, *self.postgres):
            if server.pid:
                server.resume()
        self.kafka.start()
        self._make_postgres_whole()

    def make_database(self, name: str) -> None:
        """A migrated database, copied from the template."""
        self.primary.execute(f"create database {name} template {TEMPLATE} owner {OWNER}")

    def drop_database(self, name: str) -> None:
        self.primary.execute(f"drop database if exists {name} with (force)")

    def ingest_url(self, database: str) -> str:
        """What ingest is given: every server through its proxy."""
        return self._url_through(self.links.ingest_postgres, INGEST, database)

    def reader_url(self, database: str, *, standby_first: bool = False) -> str:
        """What the API reads from; the first server that answers is taken."""
        links = self.links.api_postgres
        if standby_first and self.standby is self.postgres[1]:
            links = links[::-1]
        return self._url_through(links, READER, database)

    def owner_url(self, database: str) -> str:
        """Of the owner of the tables, direct to the primary."""
        return self.primary.url(OWNER, PASSWORD, database)

    def _url_through(self, links: Sequence[Proxy], user: str, database: str) -> str:
        direct = self.primary.url(user, PASSWORD, database)
        hosts = ",".join(f"{self.primary.host}:{proxy.port}" for proxy in links)
        return direct.replace(f"{self.primary.host}:{self.primary.port}", hosts)

    def _proxied_node(self, port: int) -> int:
        proxy = Proxy(port)
        self.links.ingest_kafka.append(proxy)
        return proxy.port

    def _prepare_disks_and_clocks(self) -> None:
        if small_disk.missing() is None:
            for disk in self.disks:
                self._cleanup.callback(disk.unmount)
                disk.mount()
        for clock in self.clocks.values():
            clock.set_right()
        for server in self.postgres:
            server.env.update(self.clocks["postgres"].env)

    def _start_postgres(self) -> None:
        self._cleanup.callback(lambda: self.primary.stop("immediate"))
        self.primary.start()
        self.primary.create_user(OWNER, PASSWORD, createrole=True)
        self.primary.create_database(TEMPLATE, OWNER)
        asyncio.run(migrate(self.owner_url(TEMPLATE)))
        self.primary.create_user(INGEST, PASSWORD, in_role="orderkeep_ingest")
        self.primary.create_user(READER, PASSWORD, in_role="orderkeep_reader")
        self._cleanup.callback(lambda: self.standby.stop("immediate"))
        self.standby.start()
        for server in self.postgres:
            self.links.ingest_postgres.append(Proxy(server.port))
            self.links.api_postgres.append(Proxy(server.port))

    def _make_postgres_whole(self) -> None:
        self.primary.start()
        if self.primary.value("select pg_is_in_recovery()"):
            self.primary.promote()
        with suppress(asyncpg.PostgresError, OSError):
            self.primary.execute("alter system reset all")
            self.primary.execute("select pg_reload_conf()")
        self.standby.become_standby(self.primary)
        self.standby.start()
