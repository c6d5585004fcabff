"""TLS to every neighbour, with an authority of one's own; what is not trusted is not talked to."""

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from orderkeep.audit.evidence import connected
from orderkeep.audit.kafka_survey import survey
from orderkeep.embedded import KafkaServer, NatsServer, ports
from orderkeep.errors import ConfigurationError, DatabaseUnavailable, Fatal, ServerUnavailable
from orderkeep.nats_connection import connect
from orderkeep.publish.given import given
from orderkeep.publish.jetstream import JetStreamPublisher
from orderkeep.publish.kafka import KafkaPublisher
from orderkeep.refused_certificate import find_refused, passes, why_refused
from orderkeep.sources import kafka_client
from orderkeep.sources.jetstream import JetStreamSource
from orderkeep.sources.kafka import KafkaSource
from orderkeep.storage.migrate import check_migrated, migrate
from orderkeep.storage.postgres_errors import translated
from orderkeep.storage.postgres_events import PostgresEvents
from orderkeep.storage.postgres_reader import PostgresReader
from orderkeep.storage.postgres_rejects import PostgresRejects
from orderkeep.storage.postgres_writer import PostgresWriter
from orderkeep.storage.rejects import RejectFilter
from tests.conftest import Database, running
from tests.contract.reading import Known, messages, opened, read
from tests.orders import order, orders_batch
from tests.tls import in_front_of_postgres

NAME, OTHER_NAME = "127.0.0.1", "localhost"
"""The servers are certified for the first alone, and answer under both."""


class Authority(NamedTuple):
    """The files of a certificate that it has issued for `NAME`, and of two authorities."""

    cert: Path
    key: Path
    ours: Path
    foreign: Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    made = Authority(*(folder / name for name in ("cert.pem", "key.pem", "ours.pem", "foreign.pem")))
    ours = trustme.CA()
    ours.cert_pem.write_to_path(made.ours)
    trustme.CA().cert_pem.write_to_path(made.foreign)
    leaf = ours.issue_cert(NAME)
    leaf.cert_chain_pems[0].write_to_path(made.cert)
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


@pytest.fixture
async def secured(database: Database, authority: Authority) -> AsyncIterator[Callable[..., str]]:
    """The way to the test's database over TLS alone: makes a URL that trusts nobody but who is named."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.cert, authority.key)
    async with in_front_of_postgres(database.server.port, context) as port:

        def trusting(url: str, authority: Path | str, name: str = NAME) -> str:
            there = url.replace(f"{NAME}:{database.server.port}", f"{name}:{port}")
            return f"{there}?sslmode=verify-full&sslrootcert={authority}"

        yield trusting


async def test_postgres(database: Database, secured: Callable[..., str], authority: Authority) -> None:
    """Writing, reading, listening, migrating and auditing all work where nothing but TLS is taken."""
    owner, ingest, reader = (
        secured(url, authority.ours) for url in (database.owner_url, database.ingest_url, database.reader_url)
    )
    with pytest.raises(DatabaseUnavailable):
        await check_migrated(reader.replace("verify-full", "disable"))
    assert await migrate(owner) == 0
    await check_migrated(reader)
    orders, rejects = PostgresReader(reader, primary_url=ingest), PostgresRejects(ingest)
    writer, events = PostgresWriter(ingest), PostgresEvents(ingest)
    following = orders.follow()
    assert await anext(following) == []
    await writer.write(orders_batch([order("a"), b"broken"]))
    assert await anext(following)
    assert await orders.order("a") is not None
    assert [len(page) async for page in orders.newest()] == [1]
    (reject,) = await rejects.page(RejectFilter(), 10)
    await rejects.record_replay(reject.id, "rejected", "")
    await events.clock()
    async with connected(reader) as connection:
        assert await connection.fetchval("select count(*) from orders") == 1
    await following.aclose()
    for each in (orders, rejects, writer, events):
        await each.close()


async def test_postgres_refused(
    database: Database, secured: Callable[..., str], authority: Authority
) -> None:
    """A server that another authority vouches for, or that has another name, is not talked to."""
    url = database.reader_url
    foreign = secured(url, authority.foreign)
    with pytest.raises(
        Fatal, match=r"certificate of PostgreSQL is refused .*: name the authority.*sslrootcert"
    ):
        await check_migrated(foreign)
    with pytest.raises(Fatal, match="certificate of PostgreSQL is refused"):
        async with connected(foreign):
            pass
    with pytest.raises(Fatal, match="connect by a name that the certificate has"):
        await check_migrated(secured(url, authority.ours, OTHER_NAME))
    with pytest.raises(ConfigurationError, match=r"missing\.pem"):
        await check_migrated(secured(url, "missing.pem"))


@pytest.fixture(scope="module")
def nats_over_tls(servers_folder: Path, authority: Authority) -> Iterator[NatsServer]:
    tls = {"cert_file": str(authority.cert), "key_file": str(authority.key), "ca_file": str(authority.ours)}
    yield from running(NatsServer(servers_folder / "nats-tls", settings={"tls": {**tls, "verify": True}}))


async def test_nats(nats_over_tls: NatsServer, authority: Authority, subject: str) -> None:
    """Publishing and reading work over TLS, with a certificate of the client's own."""
    url = f"{nats_over_tls.url.replace('nats://', 'tls://')}?ssl_ca_certs={authority.ours}"
    url += f"&ssl_certfile={authority.cert}&ssl_keyfile={authority.key}"
    connection = await connect(url, "test")
    await connection.jetstream().add_stream(name=subject, subjects=[subject])
    await connection.end()
    async with opened(JetStreamSource(url, subject, subject, "group"), Known()) as source:
        publisher = JetStreamPublisher(url, subject)
        publisher.send(given(order("a")))
        publisher.flush(60)
        publisher.close()
        (message,) = messages(await read(source, 1))
        assert message.payload == order("a")


@pytest.mark.parametrize(
    ("name", "query", "says"),
    [
        (NAME, "", "is refused .*: name the authority that signed it by .ssl_ca_certs"),
        (NAME, "?ssl_ca_certs={foreign}", "is refused .*: name the authority"),
        (OTHER_NAME, "?ssl_ca_certs={ours}", "connect by a name"),
        (NAME, "?ssl_ca_certs=missing.pem", r"missing\.pem cannot be used"),
        (NAME, "?ssl_certfile={ours}", "cannot be used, PEM files"),
        (NAME, "?ca=x", "there is no ca, only ssl_ca_certs"),
    ],
    ids=["none", "foreign", "name", "missing", "no key", "unknown"],
)
async def test_nats_refused(
    nats_over_tls: NatsServer, authority: Authority, name: str, query: str, says: str
) -> None:
    """A server that is not trusted is not talked to, and what is wrong is one line."""
    with pytest.raises(Fatal, match=says) as caught:
        await connect(f"tls://{name}:{nats_over_tls.port}{query.format(**authority._asdict())}", "test")
    assert "\n" not in str(caught.value)


class TlsKafka(KafkaServer):
    """A node with a second listener, which speaks TLS and asks clients for no certificate."""

    authority: Authority
    tls_port = 0

    def _choose_ports(self) -> None:
        super()._choose_ports()
        self.tls_port = ports.choose(None, self.name, besides=[self.port, self._controller_port])

    def _settings(self) -> dict[str, str]:
        settings = super()._settings()
        pem = self.data / "keystore.pem"
        pem.write_bytes(self.authority.key.read_bytes() + self.authority.cert.read_bytes())
        return {
            **settings,
            "listeners": f"{settings['listeners']},SSL://{NAME}:{self.tls_port}",
            "advertised.listeners": f"{settings['advertised.listeners']},SSL://{NAME}:{self.tls_port}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": pem.name,
        }


@pytest.fixture(scope="module")
def kafka_over_tls(servers_folder: Path, authority: Authority) -> Iterator[TlsKafka]:
    server = TlsKafka(servers_folder / "kafka-tls")
    server.authority = authority
    for one in running(server):
        one.create_topic("orders", partitions=1)
        yield one


async def test_kafka(kafka_over_tls: TlsKafka, authority: Authority) -> None:
    """Publishing, reading and auditing work over TLS."""
    brokers = f"{NAME}:{kafka_over_tls.tls_port}"
    options = {"security.protocol": "SSL", "ssl.ca.location": str(authority.ours)}
    publisher = KafkaPublisher(brokers, "orders", options=options)
    publisher.send(given(order("a")))
    publisher.flush(60)
    publisher.close()
    async with opened(KafkaSource(brokers, "orders", "group", options), Known()) as source:
        (message,) = messages(await read(source, 1))
        assert message.payload == order("a")
    assert survey(brokers, options, "orders", "group").end == {0: 1}


@pytest.mark.parametrize(("name", "trusts"), [(NAME, "foreign"), (OTHER_NAME, "ours")])
async def test_kafka_refused(
    kafka_over_tls: TlsKafka, authority: Authority, name: str, trusts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that is not trusted is not talked to, and the line that ends the start says what to do."""
    monkeypatch.setattr(kafka_client, "CONNECT_SECONDS", 0.0)
    monkeypatch.setattr(kafka_client, "DESCRIBE_SECONDS", 1.0)
    options = {"security.protocol": "SSL", "ssl.ca.location": str(getattr(authority, trusts))}
    source = KafkaSource(f"{name}:{kafka_over_tls.tls_port}", "orders", "group", options)
    with pytest.raises(ServerUnavailable, match=r"certificate.*ssl\.ca\.location in ORDERKEEP_KAFKA_OPTIONS"):
        await source.open(Known().resume)


def test_a_time_that_passes() -> None:
    """A certificate whose time is over is waited for: whoever renews it changes nothing here."""
    error = ssl.SSLCertVerificationError(1, "verify failed")
    error.verify_code, error.verify_message = 10, "certificate has expired"
    outer = OSError("cannot connect")
    outer.__context__ = error
    assert find_refused(outer) is error
    assert passes(error)
    assert why_refused("X", error, "FILE").endswith(
        "(certificate has expired): renew it, or set the clocks right"
    )
    with pytest.raises(DatabaseUnavailable, match="renew it"), translated():
        raise error
