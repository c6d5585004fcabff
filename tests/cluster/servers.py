"""The servers of the cluster: three brokers, a primary with a synchronous standby, Valkey."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from confluent_kafka.admin import AdminClient

from orderkeep.embedded import PostgresServer, RedisServer
from orderkeep.embedded.kafka_cluster import KafkaCluster
from orderkeep.storage.migrate import migrate
from tests.conftest import INGEST, OWNER, PASSWORD, READER
from tests.service import wait_until

TOPIC = DATABASE = "orders"
PARTITIONS = 12
LOOK_SECONDS = 0.2


class Servers:
    """Started by `start`, all with what they need; `primary` and `standby` change places in a failover."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.kafka = KafkaCluster(folder / "kafka", say=say)
        settings = {"max_connections": "200"}
        self.primary = PostgresServer(folder / "postgres-1", settings=settings, say=say)
        self.standby = PostgresServer.standby(of=self.primary, data=folder / "postgres-2", say=say)
        self.redis = RedisServer(folder / "redis", say=say)
        self._hosts: list[PostgresServer] = [self.primary, self.standby]

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def url(self, user: str) -> str:
        """Both servers of PostgreSQL, always in the same order."""
        login, _, rest = self.primary.url(user, PASSWORD, DATABASE).rpartition("@")
        hosts = ",".join(f"{server.host}:{server.port}" for server in self._hosts)
        return f"{login}@{hosts}/{rest.partition('/')[2]}"

    def swap(self) -> None:
        """The standby becomes the primary; the other is not its standby yet."""
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def make_standby(self) -> None:
        """Make the other server a standby of the primary, and wait until commits wait for it."""
        self.standby.become_standby(of=self.primary)
        self.standby.start()
        self.wait_for_standby()

    def wait_for_standby(self) -> None:
        """Wait until commits are confirmed by the standby."""
        wait_until(
            lambda: self.primary.value("select sync_state from pg_stat_replication") == "sync",
            "the standby is synchronous",
        )

    def wait_in_sync(self) -> None:
        """Wait until every partition is on all three brokers: only then may the next one go."""
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap, "log_level": 0})

        def all_there() -> bool:
            topics = admin.list_topics(timeout=10).topics.values()
            partitions = [each for topic in topics for each in topic.partitions.values()]
            time.sleep(LOOK_SECONDS)  # a look asks the brokers for all that they have
            return all(len(each.isrs) == len(each.replicas) and each.leader != -1 for each in partitions)

        wait_until(all_there, "every partition is on all brokers")

    def _start(self) -> None:
        with ThreadPoolExecutor(1) as elsewhere:
            kafka = elsewhere.submit(self.kafka.start)
            self._start_postgres()
            self.redis.start()
            kafka.result()
        self.kafka.create_topic(TOPIC, PARTITIONS)

    def _start_postgres(self) -> None:
        self.primary.start()
        self.primary.create_user(OWNER, PASSWORD, createrole=True)
        self.primary.create_database(DATABASE, OWNER)
        asyncio.run(migrate(self.primary.url(OWNER, PASSWORD, DATABASE)))
        self.primary.create_user(INGEST, PASSWORD, in_role="orderkeep_ingest")
        self.primary.create_user(READER, PASSWORD, in_role="orderkeep_reader")
        self.standby.start()
        for server in (self.primary, self.standby):
            server.configure(synchronous_standby_names="*")
        self.wait_for_standby()

    def _stop(self) -> None:
        for stop in (
            self.redis.stop,
            lambda: self.standby.stop("immediate"),
            lambda: self.primary.stop("immediate"),
            self.kafka.kill,
        ):
            stop()
