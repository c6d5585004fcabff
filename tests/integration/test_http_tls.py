"""The API over TLS: the same answers as without, by all processes, and a certificate that is renewed."""

import asyncio
import itertools
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
import trustme

from orderkeep.embedded import KafkaServer, PostgresServer
from tests.conftest import drop_database, make_database
from tests.service import PATIENCE, Process, Service, wait_until

from .api_scene import ORDERS, is_whole, store

AUTHORITY = trustme.CA()
PROCESSES = 2
HSTS = b"strict-transport-security: max-age=31536000\r\n"


class SecureApi(NamedTuple):
    """The processes of the API behind one address, and the files of their certificate."""

    url: str
    serve: Process
    cert: Path
    key: Path

    def certify(self) -> None:
        """Write a new certificate."""
        leaf = AUTHORITY.issue_cert("localhost", "127.0.0.1")
        leaf.private_key_pem.write_to_path(self.key)
        leaf.cert_chain_pems[0].write_to_path(self.cert)

    def connect(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        return (context or trusting()).wrap_socket(self.connect_plain(), server_hostname="localhost")

    def connect_plain(self) -> socket.socket:
        place = urlsplit(self.url)
        return socket.create_connection((place.hostname, place.port), PATIENCE)

    def serial(self) -> str:
        """The number of the certificate that a new connection is shown."""
        with self.connect() as connection:
            shown = connection.getpeercert()
            assert shown
            return str(shown["serialNumber"])


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


def ask(connection: ssl.SSLSocket, request: bytes) -> bytes:
    """One whole answer, or what there is until the connection is closed."""
    connection.sendall(request)
    answer = b""
    while not is_whole(answer) and (piece := connection.recv(65_536)):
        answer += piece
    return answer


@pytest.fixture(scope="module")
def api(
    kafka: KafkaServer, migrated: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecureApi]:
    """`orderkeep serve` with several processes of the API."""
    folder = tmp_path_factory.mktemp("tls")
    with ExitStack() as cleanup:
        kafka.create_topic("tls")
        cleanup.callback(kafka.delete_topic, "tls")
        database = make_database(migrated)
        cleanup.callback(drop_database, database)
        asyncio.run(store(database, list(ORDERS.values())))
        service = Service(folder, brokers=kafka.bootstrap, topic="tls", database_url=database.ingest_url)
        tls = {"ORDERKEEP_HTTP_TLS_CERT_FILE": "cert.pem", "ORDERKEEP_HTTP_TLS_KEY_FILE": "key.pem"}
        settings = {"ORDERKEEP_HTTP_PORT": "0", "ORDERKEEP_HTTP_WORKERS": str(PROCESSES), **tls}
        serve = Process(folder, "serve", ["serve"], {**service.env, **settings})
        made = SecureApi("", serve, folder / "cert.pem", folder / "key.pem")
        made.certify()
        cleanup.callback(serve.kill)
        url = serve.start()["address"]
        wait_until(lambda: len(serve.events("started")) == 2 + PROCESSES, "all have started")
        yield made._replace(url=url)
        assert serve.stop() == 0
        assert not serve.events("request_failed")


def test_orders(api: SecureApi) -> None:
    """Every address that is shown is one of HTTPS; orders are byte for byte what they were, by both ways."""
    assert api.url.startswith("https://127.0.0.1:")
    addresses = {event["address"] for event in api.serve.events("started") if "address" in event}
    assert addresses == {api.url}
    with httpx.Client(base_url=api.url, verify=trusting()) as client:
        for uid, payload in itertools.islice(itertools.cycle(ORDERS.items()), 12):
            answer = client.get(f"/orders/{uid}")
            assert (answer.status_code, answer.content) == (200, payload)
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
        lane = [line for line in client.get("/metrics").text.splitlines() if '"fast_lane"' in line]
        assert any(not line.endswith(" 0.0") for line in lane)  # each process has a line, and one was asked
        assert client.get("/orders/none").status_code == 404
        assert client.get("/").headers["content-type"].startswith("text/html")


def test_refusals(api: SecureApi) -> None:
    """What is no HTTP, too large or asked last gets its whole answer, and the connection is closed."""
    for request, status in (
        (b"hello\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: %b\r\n\r\n" % (b"x" * 40_000), b"431"),
        (b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", b"200"),
    ):
        with api.connect() as connection:
            answer = ask(connection, request)
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert HSTS in answer
            assert connection.recv(1) == b""


def test_nothing_but_tls(api: SecureApi) -> None:
    """Plain HTTP is not answered, nor a version of TLS before 1.2; both others are spoken."""
    with closing(api.connect_plain()) as plain:
        plain.sendall(b"GET /orders/a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with suppress(ConnectionResetError):
            assert b"HTTP" not in plain.recv(1_000)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        api.connect(old)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = trusting()
        context.minimum_version = context.maximum_version = version
        with api.connect(context) as connection:
            assert ask(connection, b"GET /orders/a HTTP/1.1\r\nHost: localhost\r\n\r\n").endswith(ORDERS["a"])


def test_renewed(api: SecureApi) -> None:
    """Every process shows a renewed certificate without a restart, and no connection is lost for it."""
    before = api.serial()
    with api.connect() as kept:
        api.certify()
        wait_until(lambda: len(api.serve.events("certificate_renewed")) >= PROCESSES, "all have the new one")
        assert before not in {api.serial() for _ in range(5 * PROCESSES)}
        assert ask(kept, b"GET /orders/a HTTP/1.1\r\nHost: localhost\r\n\r\n").endswith(ORDERS["a"])


def test_refused_at_the_start(api: SecureApi, tmp_path: Path) -> None:
    """A certificate that cannot be used ends the command with one line, before anything listens."""
    settings = {**api.serve.env, "ORDERKEEP_HTTP_TLS_KEY_FILE": "missing.pem"}
    process = Process(tmp_path, "refused", ["serve"], settings)
    process.launch()
    assert process.wait() == 2
    assert process.output().count("\n") == 1
    assert "ORDERKEEP_HTTP_TLS_CERT_FILE: cert.pem cannot be read" in process.output()
