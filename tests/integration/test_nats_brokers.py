"""The service on NATS JetStream and on NATS Streaming, with every neighbour failing in its turn: each message
has one outcome."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from orderkeep.embedded import NatsServer, StanServer
from orderkeep.publish.message import GeneratedMessage
from tests.conftest import INGEST, Database, drop_database, make_database, start_or_skip
from tests.jetstream_service import JetStreamService
from tests.orders import order
from tests.pair import Pair
from tests.service import wait_until
from tests.stan_service import StanService

from .load import Load, prove, read_back, status, stored, wait_for_commits

pytestmark = pytest.mark.timeout(150)

LARGE = 24
"""Messages of a megabyte: more than the buffers of both sides hold."""

AnyServer = NatsServer | StanServer
NatsService = JetStreamService | StanService


def prove_at_least_once(service: NatsService, load: Load) -> None:
    """As `prove`, where the server may have a message twice: the publisher did not hear of the first."""
    service.wait_until_acknowledged()
    report = service.audit()
    assert (report["exit_code"], report["missing"], report["extra"]) == (0, 0, 0), report
    assert report["messages"] >= load.delivered
    assert report["stored"] == load.expected["stored"]
    assert report["rejected"] >= load.expected["rejected"]


class Kind(NamedTuple):
    """`shared`: what a service is given whose ingest processes share the work. `prove_after_outage`: what
    holds where the publisher sent again what it had no answer to; JetStream knows it by its id.
    """

    server: type[AnyServer]
    service: Callable[..., NatsService]
    shared: dict[str, str]
    prove_after_outage: Callable[[NatsService, Load], None]


KINDS = {
    "jetstream": Kind(NatsServer, JetStreamService, {}, prove),
    "stan": Kind(StanServer, StanService, {"queue": "workers"}, prove_at_least_once),
}


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: Kind) -> AnyServer:
    """The server of all tests."""
    found: AnyServer = request.getfixturevalue("nats" if kind.server is NatsServer else "stan")
    return found


@pytest.fixture(scope="module")
def mortal(kind: Kind, servers_folder: Path) -> Iterator[AnyServer]:
    """A server of these tests' own, to be killed."""
    server = kind.server(servers_folder / f"mortal-{kind.server.__name__}")
    start_or_skip(server)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def pair(servers_folder: Path) -> Iterator[Pair]:
    pair = Pair(servers_folder, "nats")
    yield pair
    pair.stop()


@pytest.fixture
def make(
    kind: Kind, subject: str, database: Database, tmp_path: Path
) -> Iterator[Callable[..., NatsService]]:
    """Makes the service of a test on a server."""
    with ExitStack() as cleanup:

        def make(server: AnyServer, **given: str) -> NatsService:
            urls = {"database_url": database.ingest_url, "read_url": database.reader_url}
            made = kind.service(tmp_path, server, subject, **urls, **given)
            cleanup.callback(made.stop)
            return made

        yield make


@pytest.fixture
def service(make: Callable[..., NatsService], server: AnyServer) -> NatsService:
    return make(server)


@pytest.fixture
def shared(make: Callable[..., NatsService], kind: Kind, server: AnyServer) -> NatsService:
    """Whose ingest processes share the work."""
    return make(server, **kind.shared)


@pytest.fixture
def on_mortal(make: Callable[..., NatsService], mortal: AnyServer) -> NatsService:
    return make(mortal)


def test_ingest_killed(service: NatsService) -> None:
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


def test_orderly_stop(service: NatsService) -> None:
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


def test_shared(shared: NatsService) -> None:
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


def test_shared_and_frozen(shared: NatsService) -> None:
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


@pytest.mark.parametrize("fault", ["stopped", "killed", "frozen"])
def test_server_away(fault: str, kind: Kind, mortal: AnyServer, on_mortal: NatsService) -> None:
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
    kind.prove_after_outage(service, load)
    read_back(service, load)
    assert service.ingest.pid == pid


def test_stopped_while_the_server_is_away(kind: Kind, mortal: AnyServer, on_mortal: NatsService) -> None:
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
    kind.prove_after_outage(service, load)


def test_killed_under_large_messages(mortal: AnyServer, on_mortal: NatsService) -> None:
    """What a server did not take any more before it died is sent to the next one, however much it is."""
    publisher = on_mortal.publisher(lambda *_: None)
    mortal.pause()
    for number in range(LARGE):
        text = order(f"large-{number}", locale="x" * 900_000)
        publisher.send(GeneratedMessage(b"key", text, "given", None, None))
    time.sleep(0.5)  # for the connection to be full
    mortal.kill()
    mortal.start()
    publisher.flush(60)
    publisher.close()
    assert (publisher.delivered, publisher.failed) == (LARGE, 0)


def test_database_went_back(kind: Kind, pair: Pair, server: AnyServer, subject: str, tmp_path: Path) -> None:
    """A database that is put back to a backup gets again what it lacks, acknowledged as it may be; and so
    does a new primary without what another process had confirmed, which is dead since."""
    database = make_database(pair.primary)
    pair.wait_until_caught_up()
    url = pair.url(INGEST, database.name)
    service = kind.service(tmp_path, server, subject, **kind.shared, database_url=url, read_url=url)
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


def test_publish_and_audit(service: NatsService, database: Database) -> None:
    """What is published is audited by content: a row that is gone, another text, a row too many."""
    assert service.command("publish", "--count", "300", "--bad", "10%", "--seed", "3").returncode == 0
    service.send([order("kept"), order("gone"), order("other")])
    service.start_ingest()
    service.wait_until_acknowledged()
    report = service.audit()
    assert (report["exit_code"], report["messages"], report["partitions"][0]["next"]) == (0, 303, 304)
    assert report["unseen"] == []

    database.execute("delete from orders where order_uid = 'gone'")
    database.execute("update orders set payload = '{}' where order_uid = 'other'")
    database.execute(
        "insert into rejected_messages (source, partition, position, sha256, kind, reason)"
        " select source, 0, position, 'x', 'not_json', '' from orders where order_uid = 'kept'"
    )
    report = service.audit()
    assert report["exit_code"] == 1
    assert {problem["order_uid"] for problem in report["problems"]} == {"kept", "gone", "other"}
