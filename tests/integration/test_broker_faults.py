"""Kafka goes away under load, and comes back: nothing is lost, and nobody has to help."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orderkeep.embedded import KafkaServer
from tests.conftest import start_or_skip
from tests.service import Service

from .conftest import QUICK_GROUP
from .load import Load, prove, read_back, wait_for_commits

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def kafka(servers_folder: Path) -> Iterator[KafkaServer]:
    """A Kafka of these tests' own, to be killed."""
    server = KafkaServer(servers_folder / "mortal-kafka")
    start_or_skip(server)
    yield server
    server.stop()


@pytest.fixture
def topic(kafka: KafkaServer, request: pytest.FixtureRequest) -> str:
    kafka.start()
    name = f"orders-{abs(hash(request.node.name))}"
    kafka.create_topic(name, partitions=4)
    return name


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_away_for_a_while(own_service: Service, kafka: KafkaServer, kill: bool) -> None:
    """Stopped or killed under load, the broker is waited for, and the group goes on where it was."""
    own_service.start()
    pid = own_service.ingest.pid
    with Load(own_service) as load:
        wait_for_commits(own_service.ingest)
        if kill:
            kafka.kill()
        else:
            kafka.stop()
        own_service.ingest.wait_for("broker_unavailable")
        kafka.start()
        wait_for_commits(own_service.ingest)
    prove(own_service, load)
    read_back(own_service, load)
    assert own_service.ingest.pid == pid


def test_stopped_while_the_broker_is_away(own_service: Service, kafka: KafkaServer) -> None:
    """Asked to stop without a broker, ingest ends with 0; what comes again is not added again."""
    own_service.start()
    with Load(own_service) as load:
        wait_for_commits(own_service.ingest)
        kafka.kill()
        own_service.ingest.wait_for("broker_unavailable")
        assert own_service.ingest.stop() == 0
        kafka.start()
        own_service.start_ingest()
        wait_for_commits(own_service.ingest)
    prove(own_service, load)


def test_frozen(own_service: Service, kafka: KafkaServer) -> None:
    """Brokers that answer nothing for longer than a session, of the group and their own, are waited for."""
    # After a crash the broker's own session is 3 s. Beyond it the client may be told of no broker and forget
    # the last one (librdkafka's issue 5301): then another client is made.
    kafka.kill()
    kafka.start()
    own_service.start()
    pid = own_service.ingest.pid
    with Load(own_service) as load:
        wait_for_commits(own_service.ingest)
        kafka.pause()
        time.sleep(2 * QUICK_GROUP["session.timeout.ms"] / 1_000)  # the fault itself, not a wait for anything
        kafka.resume()
        wait_for_commits(own_service.ingest)
    prove(own_service, load)
    assert own_service.ingest.pid == pid
