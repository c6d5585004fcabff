"""The servers and databases of the tests: real ones, started once, each test with a database of its own."""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

from orderkeep.embedded import KafkaServer, NatsServer, PostgresServer, RedisServer, StanServer, remove
from orderkeep.embedded.server import Server
from orderkeep.errors import Fatal
from orderkeep.storage.migrate import migrate
from tests.requirements import need
from tests.service import Service

OWNER, INGEST, READER = "test_owner", "test_ingest", "test_reader"
PASSWORD = "secret:/@ü"  # whatever a password holds, a URL must carry
TEMPLATE = "migrated"

_numbers = itertools.count(1)


class Database:
    """A database with the tables of Orderkeep, and URLs for each of its three users.

    `execute` and `fetch` are the owner's; they block, and may be called while an event loop runs.
    """

    def __init__(self, server: PostgresServer, name: str) -> None:
        self.server, self.name = server, name
        self.owner_url = server.url(OWNER, database=name)
        self.ingest_url = server.url(INGEST, database=name)
        self.reader_url = server.url(READER, database=name)
        self.url = self.owner_url

    def execute(self, sql: str, *arguments: Any) -> None:
        """Run a statement; without arguments it may be several."""
        self.fetch(sql, *arguments) if arguments else self.server.execute(sql, self.name)

    def fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows; json comes as str."""
        with ThreadPoolExecutor(1) as elsewhere:  # a thread without a loop
            return elsewhere.submit(asyncio.run, _fetch(self.owner_url, sql, arguments)).result()

    def value(self, sql: str, *arguments: Any) -> Any:
        """The first column of the first row."""
        return self.fetch(sql, *arguments)[0][0]


async def _fetch(url: str, sql: str, arguments: tuple[Any, ...]) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(sql, *arguments)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """A folder that every user can enter: PostgreSQL does not run as root."""
    path = Path(tempfile.mkdtemp(prefix="orderkeep-test-"))
    path.chmod(0o755)
    yield path
    for data in path.iterdir():
        remove(data)
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def postgres(servers_folder: Path) -> Iterator[PostgresServer]:
    """PostgreSQL, not durable against a crash of the machine, which no test brings about."""
    server = PostgresServer(servers_folder / "postgres", settings={"fsync": "off", "max_connections": "200"})
    start_or_skip(server)
    try:
        yield server
    finally:
        server.stop("immediate")


@pytest.fixture(scope="session")
def kafka(servers_folder: Path) -> Iterator[KafkaServer]:
    """Apache Kafka, one node."""
    yield from running(KafkaServer(servers_folder / "kafka"))


@pytest.fixture(scope="session")
def nats(servers_folder: Path) -> Iterator[NatsServer]:
    """NATS with JetStream."""
    yield from running(NatsServer(servers_folder / "nats"))


@pytest.fixture(scope="session")
def redis(servers_folder: Path) -> Iterator[RedisServer]:
    """Valkey or Redis."""
    yield from running(RedisServer(servers_folder / "redis"))


@pytest.fixture(scope="session")
def stan(servers_folder: Path) -> Iterator[StanServer]:
    """NATS Streaming."""
    yield from running(StanServer(servers_folder / "stan"))


@pytest.fixture
def subject() -> str:
    """A subject, and the name of a stream or a channel, that nobody else uses."""
    return f"orders-{next(_numbers)}"


AnyServer = TypeVar("AnyServer", bound=Server)


def running(server: AnyServer) -> Iterator[AnyServer]:
    """The server, started, and stopped afterwards."""
    start_or_skip(server)
    try:
        yield server
    finally:
        server.stop()


def start_or_skip(server: Server) -> None:
    """Start it; where it cannot be had, skip what asked for it by name, or fail where all is required."""
    try:
        server.start()
    except Fatal as error:
        need(condition=False, reason=str(error))


@pytest.fixture(scope="session")
def migrated(postgres: PostgresServer) -> PostgresServer:
    """The server with its users, and the database that the tests' own are copied from."""
    postgres.create_user(OWNER, PASSWORD, createrole=True)
    postgres.create_database(TEMPLATE, OWNER)
    with ThreadPoolExecutor(1) as elsewhere:  # a thread without a loop
        elsewhere.submit(asyncio.run, migrate(postgres.url(OWNER, database=TEMPLATE))).result()
    postgres.create_user(INGEST, PASSWORD, in_role="orderkeep_ingest")
    postgres.create_user(READER, PASSWORD, in_role="orderkeep_reader")
    return postgres


@pytest.fixture
def database(migrated: PostgresServer) -> Iterator[Database]:
    """A migrated database that nobody else uses."""
    made = make_database(migrated)
    yield made
    drop_database(made)


@pytest.fixture
def empty_database(migrated: PostgresServer) -> Iterator[Database]:
    """A database without any table, which nobody else uses."""
    made = make_database(migrated, template="template1")
    yield made
    drop_database(made)


@pytest.fixture
def topic(kafka: KafkaServer) -> Iterator[str]:
    """A topic of four partitions that nobody else uses."""
    name = f"orders-{next(_numbers)}"
    kafka.create_topic(name, partitions=4)
    yield name
    kafka.delete_topic(name)


@pytest.fixture(scope="module")
def service(
    kafka: KafkaServer, migrated: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The whole service, running, with a topic and a database of its own; `url` is where it answers."""
    with ExitStack() as cleanup:
        name = f"orders-{next(_numbers)}"
        kafka.create_topic(name, partitions=4)
        cleanup.callback(kafka.delete_topic, name)
        database = make_database(migrated)
        cleanup.callback(drop_database, database)
        running = Service(
            tmp_path_factory.mktemp("service"),
            brokers=kafka.bootstrap,
            topic=name,
            database_url=database.ingest_url,
            read_url=database.reader_url,
        )
        cleanup.callback(running.stop)
        running.start()
        yield running


def make_database(server: PostgresServer, template: str = TEMPLATE) -> Database:
    name = f"test_{next(_numbers)}"
    server.execute(f"create database {name} template {template} owner {OWNER}")
    return Database(server, name)


def drop_database(database: Database) -> None:
    database.server.execute(f"drop database {database.name} with (force)")
