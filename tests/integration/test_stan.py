"""The service on NATS Streaming, with every neighbour failing in its turn: each message has one outcome."""

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from orderkeep.embedded import StanServer
from orderkeep.publish.broken import BREAKAGES
from tests.chaos.proxy import Proxy
from tests.conftest import INGEST, Database, drop_database, make_database, start_or_skip
from tests.orders import order
from tests.pair import Pair
from tests.service import wait_until
from tests.stan_service import StanService

from .load import Load, prove, read_back, status, stored, wait_for_commits

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def service(stan: StanServer, subject: str, database: Database, tmp_path: Path) -> Iterator[StanService]:
    made = StanService(
        tmp_path, stan=stan, channel=subject, database_url=database.ingest_url, read_url=database.reader_url
    )
    yield made
    made.stop()


@pytest.fixture
def shared(stan: StanServer, subject: str, database: Database, tmp_path: Path) -> Iterator[StanService]:
    """Whose ingest processes share the work."""
    made = StanService(
        tmp_path,
        stan=stan,
        channel=subject,
        queue="workers",
        database_url=database.ingest_url,
        read_url=database.reader_url,
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
        tmp_path, stan=mortal, channel=subject, database_url=database.ingest_url, read_url=database.reader_url
    )
    yield made
    made.stop()


@pytest.fixture(scope="module")
def pair(servers_folder: Path) -> Iterator[Pair]:
    pair = Pair(servers_folder, "stan")
    yield pair
    pair.stop()


def prove_at_least_once(service: StanService, *loads: Load) -> None:
    """As `prove`, where the server may have a message twice: the publisher did not hear of the first."""
    service.wait_until_acknowledged()
    report = service.audit()
    assert (report["exit_code"], report["missing"], report["extra"]) == (0, 0, 0), report
    assert report["messages"] >= sum(load.delivered for load in loads)
    assert report["stored"] == sum(load.expected["stored"] for load in loads)
    assert report["rejected"] >= sum(load.expected["rejected"] for load in loads)


def test_ingest_killed(service: StanService) -> None:
    """Killed again and again under load, ingest goes on where it was: each message has one outcome."""
    service.start()
    with Load(service) as load:
        for _ in range(3):
            wait_for_commits(service.ingest)
            service.ingest.kill()
            load.wait_for_more()
            service.start_ingest()
        wait_for_commits(service.ingest)
    prove(service, load)
    read_back(service, load)


def test_orderly_stop(service: StanService) -> None:
    """Asked to stop under load, ingest ends with 0, and the next one finds nothing that it had stored."""
    with Load(service) as load:
        for _ in range(2):
            service.start_ingest()
            wait_for_commits(service.ingest)
            assert status(service.ingest)["outcomes"].get("redelivered", 0) == 0
            assert service.ingest.stop() == 0
            assert service.ingest.events("stopped")[0]["finished"] is True
    service.start_ingest()
    prove(service, load)
    assert status(service.ingest)["outcomes"].get("redelivered", 0) == 0


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


def test_shared(shared: StanService) -> None:
    """Two processes share the work; one is killed, and the other is stopped: nothing is left undone."""
    shared.start()
    other = shared.another_ingest("other")
    with Load(shared, rate=1_000) as load:
        other.start()
        wait_for_commits(shared.ingest)
        wait_for_commits(other)
        other.kill()
        load.wait_for_more(500)
        other.start()
        wait_for_commits(other)
        assert shared.ingest.stop() == 0
        load.wait_for_more(500)
        shared.start_ingest()
        wait_for_commits(shared.ingest)
    prove(shared, load)
    read_back(shared, load)


def test_shared_and_frozen(shared: StanService) -> None:
    """A frozen process loses its messages to another, and adds nothing when it goes on."""
    shared.start()
    other = shared.another_ingest("other")
    other.start()
    with Load(shared) as load:
        wait_for_commits(shared.ingest)
        wait_for_commits(other)
        other.send_signal(signal.SIGSTOP)
        load.wait_for_more(1_000)
        other.send_signal(signal.SIGCONT)
        wait_for_commits(other)
    prove(shared, load)


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


@pytest.mark.parametrize("fault", ["stopped", "killed", "frozen"])
def test_server_away(fault: str, mortal: StanServer, on_mortal: StanService) -> None:
    """Stopped, killed or frozen under load, the server is waited for, and nothing is lost on either side."""
    service = on_mortal
    service.start()
    pid = service.ingest.pid
    with Load(service) as load:
        wait_for_commits(service.ingest)
        if fault == "frozen":
            mortal.pause()
            time.sleep(3)  # the fault itself, not a wait for anything
            mortal.resume()
        else:
            mortal.kill() if fault == "killed" else mortal.stop()
            service.ingest.wait_for("broker_unavailable")
            mortal.start()
        wait_for_commits(service.ingest)
    prove_at_least_once(service, load)
    read_back(service, load)
    assert service.ingest.pid == pid


def test_stopped_while_the_server_is_away(mortal: StanServer, on_mortal: StanService) -> None:
    """Asked to stop without a server, ingest ends with 0; what comes again is not added again."""
    service = on_mortal
    service.start_ingest()
    with Load(service) as load:
        wait_for_commits(service.ingest)
        mortal.kill()
        service.ingest.wait_for("broker_unavailable")
        assert service.ingest.stop() == 0
        mortal.start()
        service.start_ingest()
        wait_for_commits(service.ingest)
    prove_at_least_once(service, load)


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
        stan=stan,
        channel=subject,
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


def test_database_went_back(pair: Pair, stan: StanServer, subject: str, tmp_path: Path) -> None:
    """A database that is put back to a backup gets again what it lacks, acknowledged as it may be; and so
    does a new primary without what another process of the queue had confirmed, which is dead since."""
    database = make_database(pair.primary)
    pair.wait_until_caught_up()
    url = pair.url(INGEST, database.name)
    service = StanService(
        tmp_path, stan=stan, channel=subject, queue="workers", database_url=url, read_url=url
    )
    service.start()
    try:
        with Load(service) as load:
            wait_for_commits(service.ingest)
            pair.primary.back_up()
            wait_for_commits(service.ingest, 200)
            pair.standby.kill()
            pair.diverged = True
            pair.primary.restore_backup()
            pair.primary.start()
            service.ingest.wait_for("database_went_back")
            load.wait_for_more()
        prove(service, load)
        pair.make_whole()

        other = service.another_ingest("other")
        other.start()
        with Load(service, seed=2) as more:
            wait_for_commits(service.ingest)
            wait_for_commits(other)
            pair.standby.kill()
            before = stored(other)
            wait_until(lambda: stored(other) > before + 100, "the other confirms what only this primary has")
            other.kill()
            pair.primary.kill()
            pair.standby.start()
            pair.promote()
            wait_until(
                lambda: len(service.ingest.events("database_went_back")) >= 2, "the failover is noticed"
            )
            other.start()
            more.wait_for_more()
        prove(service, load, more)
        read_back(service, more)
    finally:
        service.stop()
        pair.make_whole()
        with suppress(Exception):
            drop_database(Database(pair.primary, database.name))
