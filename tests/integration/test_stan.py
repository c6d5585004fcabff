"""What only NATS Streaming does to the service: each message has one outcome."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from orderkeep.embedded import StanServer
from orderkeep.publish.broken import BREAKAGES
from tests.chaos.proxy import Proxy
from tests.conftest import Database, start_or_skip
from tests.orders import order
from tests.service import wait_until
from tests.stan_service import StanService

from .load import Load, prove, read_back, wait_for_commits

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def service(stan: StanServer, subject: str, database: Database, tmp_path: Path) -> Iterator[StanService]:
    made = StanService(
        tmp_path, stan, subject, database_url=database.ingest_url, read_url=database.reader_url
    )
    yield made
    made.stop()


@pytest.fixture(scope="module")
def mortal(servers_folder: Path) -> Iterator[StanServer]:
    """A NATS Streaming of these tests' own, to be killed."""
    server = StanServer(servers_folder / "mortal-stan")
    start_or_skip(server)
    yield server
    server.stop()


@pytest.fixture
def on_mortal(mortal: StanServer, subject: str, database: Database, tmp_path: Path) -> Iterator[StanService]:
    made = StanService(
        tmp_path, mortal, subject, database_url=database.ingest_url, read_url=database.reader_url
    )
    yield made
    made.stop()


def test_poison(service: StanService) -> None:
    """Broken messages of every kind, and fields that no client would send, break nothing."""
    service.start()
    pid = service.ingest.pid
    wire = service.wire()
    with Load(service, bad=0.5) as load:
        wire.publish(service.topic, b"garbage", raw=b"\x22\x02\xff\xfe")  # a reply subject that is not UTF-8
        wire.publish(service.topic, b"")
        wire.publish(service.topic, order("odd"), raw=b"\x22\x02\xff\xfe")
        wire.flush()
        wait_until(lambda: set(load.kinds) >= set(BREAKAGES), "every kind was sent")
    service.wait_until_acknowledged()
    report = service.audit()
    assert (report["exit_code"], report["missing"], report["extra"]) == (0, 0, 0), report
    assert report["stored"] == load.expected["stored"] + 1
    assert report["rejected"] == load.expected["rejected"] + 2
    assert service.ingest.pid == pid
    read_back(service, load)


def test_second_process(service: StanService) -> None:
    """A second process with our client id takes over when we are frozen, and when we wake up, we end with a
    word on what to do."""
    service.start_ingest()
    other = service.another_ingest("other")
    with Load(service) as load:
        wait_for_commits(service.ingest)
        service.ingest.send_signal(signal.SIGSTOP)
        other.start()
        wait_for_commits(other)
        service.ingest.send_signal(signal.SIGCONT)
        assert service.ingest.wait() == 2
        assert "ORDERKEEP_STAN_QUEUE" in service.ingest.output()
        wait_for_commits(other)
    prove(service, load)


def test_store_made_again(mortal: StanServer, on_mortal: StanService) -> None:
    """A server that comes back without its files is read from the beginning, by the same process."""
    service = on_mortal
    service.start()
    with Load(service) as before:
        wait_for_commits(service.ingest)
    service.wait_until_acknowledged()
    mortal.stop()
    shutil.rmtree(mortal.data / "store")
    mortal.start()
    with Load(service, seed=2) as load:
        load.wait_for_more(300)
    service.ingest.wait_for("topic_made_again")
    prove(service, load)
    read_back(service, before)
    read_back(service, load)


def test_connections_cut(stan: StanServer, subject: str, database: Database, tmp_path: Path) -> None:
    """Connections to the server and to the database that are reset or stalled are made again."""
    to_stan, to_database = Proxy(stan.port), Proxy(database.server.port)
    url = database.ingest_url.replace(f":{database.server.port}/", f":{to_database.port}/")
    service = StanService(
        tmp_path,
        stan,
        subject,
        port=to_stan.port,
        database_url=url,
        read_url=database.reader_url,
    )
    service.start_ingest()
    try:
        with Load(service) as load:
            for break_it in (to_stan.cut, to_database.cut, to_stan.stall, to_database.stall):
                wait_for_commits(service.ingest)
                break_it()
                load.wait_for_more(400)
                to_stan.heal()
                to_database.heal()
            wait_for_commits(service.ingest)
        prove(service, load)
    finally:
        service.stop()
        to_stan.close()
        to_database.close()
