"""What the faults of a sequence may touch: its servers, its service, its stream."""

import asyncio
import json
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from orderkeep.embedded import PostgresServer, ports
from orderkeep.embedded.kafka_cluster import KafkaCluster
from tests.chaos.load import Load
from tests.chaos.plan import PROTOCOLS, Plan
from tests.chaos.servers import Links, Servers
from tests.conftest import INGEST, READER
from tests.service import PATIENCE, Service, run_command

BROKER_SECONDS = 10.0


class KeptService(Service):
    """The service with somebody who starts its processes again when they could not reach a server at start.

    After the first start nothing waits for a start to be complete: servers may be away.
    """

    UNAVAILABLE = 3
    EXPECTED = (None, 0, -signal.SIGKILL)

    def __init__(self, folder: Path, **given: Any) -> None:
        super().__init__(folder, **given)
        self.restarts = 0

    def keep_up(self, *, may_stop: bool) -> None:
        """Start what could not reach a server when it was started; to be called again and again.

        A process that ended otherwise, but for our own signals, raises AssertionError, unless it `may_stop`.
        """
        for process in (self.ingest, self.api):
            code = process.exit_code
            if code == self.UNAVAILABLE:
                self.restarts += 1
                process.launch()
            elif code not in self.EXPECTED and not may_stop:
                raise AssertionError(f"{process.name} ended with {code}: {process.output()[-1_000:]}")

    def start(self) -> None:
        self.api.arguments[-1] = f"--http-port={ports.choose(None, 'the API')}"
        super().start_ingest()
        super().start_api()

    def start_ingest(self) -> None:
        self.ingest.launch()

    def start_api(self) -> None:
        self.api.launch()

    @property
    def port(self) -> int:
        """The API's; it stays."""
        return urlsplit(self.url).port or 0

    def kill(self) -> None:
        """SIGKILL to all that runs."""
        for process in (self.ingest, *self._others, self.api):
            process.kill()


class Scene:
    """One sequence: a topic, a database, the service and its load, on the run's servers."""

    def __init__(self, servers: Servers, plan: Plan, folder: Path, *, name: str, rate: float) -> None:
        """`folder` takes the logs; `name` names topic, database and group."""
        self.servers, self.plan = servers, plan
        self.topic = self.database = self.group = name
        self.folder = folder
        options = json.dumps(PROTOCOLS[plan.protocol])
        env = {
            "ORDERKEEP_KAFKA_OPTIONS": options,
            "ORDERKEEP_SHUTDOWN_SECONDS": "10",
        }
        if plan.cache_bytes is not None:
            env["ORDERKEEP_CACHE_MAX_BYTES"] = str(plan.cache_bytes)
        self.service = KeptService(
            folder,
            brokers=self.kafka.service_bootstrap,
            topic=self.topic,
            group=self.group,
            database_url=servers.ingest_url(self.database),
            read_url=servers.reader_url(self.database, standby_first=plan.reads_standby),
            env=env,
        )
        if plan.has_fault("the API's clock"):  # only where it is needed: libfaketime slows every thread
            self.service.api.env.update(servers.clocks["api"].env)
        self.load = Load(self.kafka.bootstrap, self.topic, seed=plan.seed, bad=plan.bad, rate=rate)

    @property
    def kafka(self) -> KafkaCluster:
        return self.servers.kafka

    @property
    def primary(self) -> PostgresServer:
        return self.servers.primary

    @property
    def standby(self) -> PostgresServer:
        return self.servers.standby

    @property
    def links(self) -> Links:
        return self.servers.links

    @property
    def owner_url(self) -> str:
        return self.servers.owner_url(self.database)

    def open(self) -> None:
        """Make topic and database, and start the service."""
        self.kafka.create_topic(self.topic, self.plan.partitions)
        self.servers.make_database(self.database)
        if "group.protocol" in PROTOCOLS[self.plan.protocol]:
            self._let_dead_members_be_missed_soon()
        self.service.start()

    def close(self) -> None:
        """Remove topic and database."""
        self.kafka.delete_topic(self.topic)
        self.servers.drop_database(self.database)

    def execute(self, sql: str) -> None:
        """Run SQL in the database of the sequence, as the superuser of the primary."""
        self.primary.execute(sql, self.database)

    def fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows of one statement there."""
        with ThreadPoolExecutor(1) as elsewhere:  # a thread without a loop
            url = self.primary.url(database=self.database)
            return elsewhere.submit(asyncio.run, _fetch(url, sql, arguments)).result()

    @contextmanager
    def meanwhile(
        self, action: Callable[[], object], dice: random.Random, every: tuple[float, float] = (0.3, 1.0)
    ) -> Iterator[None]:
        """Call `action` again and again, in a thread, as long as this holds; its error is raised at the end.

        A process that the action starts dies with the thread (Linux).
        """
        stop = threading.Event()
        with ThreadPoolExecutor(1) as elsewhere:

            def repeat() -> None:
                while not stop.wait(dice.uniform(*every)):
                    action()

            repeating = elsewhere.submit(repeat)
            try:
                yield
            finally:
                stop.set()
                repeating.result()

    def partitions(self) -> list[int]:
        """The numbers of the topic's partitions now."""
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap, "log_level": 0})
        return sorted(admin.list_topics(self.topic, BROKER_SECONDS).topics[self.topic].partitions)

    def wait_until_acknowledged(self, seconds: float = PATIENCE) -> None:
        """Wait until the group has committed the end of every partition."""
        deadline = time.monotonic() + seconds
        consumer = Consumer(
            {"bootstrap.servers": self.kafka.bootstrap, "group.id": self.group, "log_level": 0}
        )
        try:
            while left := self._unacknowledged(consumer):
                if time.monotonic() > deadline:
                    raise AssertionError(f"{left} messages are not acknowledged after {seconds:g} seconds")
                time.sleep(0.1)
        finally:
            consumer.close()

    def audit(self) -> dict[str, Any]:
        """The report of `orderkeep audit --json`, direct from the servers."""
        env = {
            **{name: value for name, value in self.service.env.items() if name.startswith("ORDERKEEP_")},
            "ORDERKEEP_KAFKA_BROKERS": self.kafka.bootstrap,
            "ORDERKEEP_DATABASE_URL": self.primary.url(INGEST, database=self.database),
            "ORDERKEEP_DATABASE_READ_URL": self.primary.url(READER, database=self.database),
        }
        done = run_command(self.folder, ["audit", "--json"], env)
        if done.returncode not in (0, 1):
            raise AssertionError(f"the audit ended with {done.returncode}: {done.stderr[-500:]}")
        report: dict[str, Any] = json.loads(done.stdout)
        (self.folder / "audit.json").write_text(done.stdout)
        return report

    def _unacknowledged(self, consumer: Consumer) -> int:
        numbers = consumer.list_topics(self.topic, BROKER_SECONDS).topics[self.topic].partitions
        parts = [TopicPartition(self.topic, number) for number in numbers]
        committed = consumer.committed(parts, BROKER_SECONDS)
        ends = {part.partition: consumer.get_watermark_offsets(part, BROKER_SECONDS)[1] for part in parts}
        return sum(ends[part.partition] - max(0, part.offset) for part in committed)

    def _let_dead_members_be_missed_soon(self) -> None:
        """With the newer protocol the broker says how long a session is: 45 seconds, unless it is told."""
        wanted = {"consumer.session.timeout.ms": "3000", "consumer.heartbeat.interval.ms": "700"}
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in wanted.items()
        ]
        resource = ConfigResource(ResourceType.GROUP, self.group, incremental_configs=entries)
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap, "log_level": 0})
        admin.incremental_alter_configs([resource])[resource].result()


async def _fetch(url: str, sql: str, arguments: tuple[Any, ...]) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url, ssl=False)
    try:
        return await connection.fetch(sql, *arguments)
    finally:
        await connection.close()
