"""The service on NATS JetStream, with every neighbour failing in its turn: each message has one outcome."""

import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from orderkeep.embedded import NatsServer
from orderkeep.publish.broken import BREAKAGES
from tests.conftest import INGEST, Database, drop_database, make_database, start_or_skip
from tests.jetstream_service import DURABLE, JetStreamService
from tests.orders import order
from tests.pair import Pair
from tests.service import wait_until

from .load import Load, prove, read_back, status, stored, wait_for_commits

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def service(nats: NatsServer, subject: str, database: Database, tmp_path: Path) -> Iterator[JetStreamService]:
    made = JetStreamService(
        tmp_path, nats=nats, subject=subject, database_url=database.ingest_url, read_url=database.reader_url
    )
    yield made
    made.stop()


@pytest.fixture(scope="module")
def mortal(servers_folder: Path) -> Iterator[NatsServer]:
    """A NATS of these tests' own, to be killed."""
    server = NatsServer(servers_folder / "mortal-nats")
    start_or_skip(server)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def pair(servers_folder: Path) -> Iterator[Pair]:
    pair = Pair(servers_folder, "jetstream")
    yield pair
    pair.stop()


def test_ingest_killed(service: JetStreamService) -> None:
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


def test_orderly_stop(service: JetStreamService) -> None:
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


def test_poison(service: JetStreamService) -> None:
    """Broken messages of every kind, and headers that no client would send, break nothing."""
    service.start()
    pid = service.ingest.pid
    blocks = (
        b"NATS/1.0 409 Consumer Deleted\r\n\r\n",
        b"NATS/1.0 \xff\xfe\xfd\r\n\r\n",
        b"NATS/1.0\r\n\xff: \xff\r\n: \r\nno colon\r\n\r\n",
        b"NATS/1.0\r\n\r\n",
    )
    wire = service.wire()
    with Load(service, bad=0.5) as load:
        for block in blocks:
            wire.publish(service.topic, b"garbage", block=block)
            wire.publish(service.topic, b"", block=block)
        wire.publish(service.topic, order("odd-headers"), block=blocks[1])
        wire.flush()
        wait_until(lambda: set(load.kinds) >= set(BREAKAGES), "every kind was sent")
    service.wait_until_acknowledged()
    report = service.audit()
    assert (report["exit_code"], report["missing"], report["extra"]) == (0, 0, 0), report
    assert report["stored"] == load.expected["stored"] + 1
    assert report["rejected"] == load.expected["rejected"] + 2 * len(blocks)
    assert service.ingest.pid == pid
    read_back(service, load)


def test_shared(service: JetStreamService) -> None:
    """Two processes share the work; one is killed, and the other is stopped: nothing is left undone."""
    service.start()
    other = service.another_ingest("other")
    with Load(service, rate=1_000) as load:
        other.start()
        wait_for_commits(service.ingest)
        wait_for_commits(other)
        other.kill()
        load.wait_for_more(500)
        other.start()
        wait_for_commits(other)
        assert service.ingest.stop() == 0
        load.wait_for_more(500)
        service.start_ingest()
        wait_for_commits(service.ingest)
    prove(service, load)
    read_back(service, load)


@pytest.mark.parametrize("fault", ["stopped", "killed", "frozen"])
def test_server_away(
    fault: str, mortal: NatsServer, subject: str, database: Database, tmp_path: Path
) -> None:
    """Stopped, killed or frozen under load, the server is waited for, and nothing is lost on either side."""
    service = JetStreamService(
        tmp_path, nats=mortal, subject=subject, database_url=database.ingest_url, read_url=database.reader_url
    )
    service.start()
    try:
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
        prove(service, load)
        read_back(service, load)
        assert service.ingest.pid == pid
    finally:
        service.stop()


def test_stopped_while_the_server_is_away(
    mortal: NatsServer, subject: str, database: Database, tmp_path: Path
) -> None:
    """Asked to stop without a server, ingest ends with 0; what comes again is not added again."""
    service = JetStreamService(tmp_path, nats=mortal, subject=subject, database_url=database.ingest_url)
    service.start_ingest()
    try:
        with Load(service) as load:
            wait_for_commits(service.ingest)
            mortal.kill()
            service.ingest.wait_for("broker_unavailable")
            assert service.ingest.stop() == 0
            mortal.start()
            service.start_ingest()
            wait_for_commits(service.ingest)
        prove(service, load)
    finally:
        service.stop()


def test_ingest_frozen(service: JetStreamService) -> None:
    """A frozen process loses its messages to another, and adds nothing when it goes on."""
    service.start()
    other = service.another_ingest("other")
    other.start()
    with Load(service) as load:
        wait_for_commits(service.ingest)
        wait_for_commits(other)
        other.send_signal(signal.SIGSTOP)
        load.wait_for_more(1_000)
        other.send_signal(signal.SIGCONT)
        wait_for_commits(other)
    prove(service, load)


def test_consumer_deleted(service: JetStreamService) -> None:
    """Without its consumer ingest ends and says what to do; started again it goes on, and nothing is lost."""
    service.start()
    with Load(service) as load:
        wait_for_commits(service.ingest)
        service.wire().ask(f"CONSUMER.DELETE.{service.topic}.{DURABLE}")
        assert service.ingest.wait() == 2
        assert "was deleted while it was in use" in service.ingest.output()
        service.start_ingest()
        wait_for_commits(service.ingest)
    prove(service, load)
    read_back(service, load)


def test_stream_made_again(service: JetStreamService) -> None:
    """A stream that is deleted and made again under a running ingest is read from its beginning."""
    service.start()
    with Load(service) as before:
        wait_for_commits(service.ingest)
    service.wait_until_acknowledged()
    service.wire().ask(f"STREAM.DELETE.{service.topic}")
    service.make_stream()
    service.ingest.wait_for("topic_made_again")
    with Load(service, seed=2) as load:
        load.wait_for_more(300)
    prove(service, load)
    read_back(service, before)
    read_back(service, load)


def test_gap(service: JetStreamService, database: Database) -> None:
    """Ingest stops and says how many are gone; told to accept it, it records the gap and goes on."""
    service.start()
    service.publish([order("before")])
    service.wait_until_acknowledged()
    assert service.ingest.stop() == 0
    service.send([order(f"gone-{number}") for number in range(5)])
    service.send([order("left")])
    service.wire().ask(f"STREAM.PURGE.{service.topic}", {"keep": 1})

    service.ingest.launch()
    assert service.ingest.wait() == 2
    assert "5 messages were deleted before they were stored" in service.ingest.output()
    assert "`orderkeep ingest --accept-gap`" in service.ingest.output()

    service.ingest.arguments.append("--accept-gap")
    service.start_ingest()
    service.publish([order("next")])
    service.wait_until_acknowledged()
    gaps = database.fetch("select partition, first_position, next_position from gaps")
    assert [tuple(gap) for gap in gaps] == [(0, 2, 7)]
    report = service.audit()
    assert (report["exit_code"], report["missing"], report["stored"]) == (0, 0, 2), report
    assert any("at most 5 messages" in sentence for sentence in report["unseen"]), report


def test_database_went_back(pair: Pair, nats: NatsServer, subject: str, tmp_path: Path) -> None:
    """A database that is put back to a backup gets again what it lacks, acknowledged as it may be; and so
    does a new primary without what another process had confirmed, which is dead since."""
    database = make_database(pair.primary)
    pair.wait_until_caught_up()
    url = pair.url(INGEST, database.name)
    service = JetStreamService(tmp_path, nats=nats, subject=subject, database_url=url, read_url=url)
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
            more.wait_for_more()
        prove(service, load, more)
        read_back(service, more)
    finally:
        service.stop()
        pair.make_whole()
        with suppress(Exception):
            drop_database(Database(pair.primary, database.name))
