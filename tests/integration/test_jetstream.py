"""What only NATS JetStream does to the service: each message has one outcome."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orderkeep.embedded import NatsServer
from orderkeep.publish.broken import BREAKAGES
from tests.conftest import Database
from tests.jetstream_service import DURABLE, JetStreamService
from tests.orders import order
from tests.service import wait_until

from .load import Load, prove, read_back, wait_for_commits

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def service(nats: NatsServer, subject: str, database: Database, tmp_path: Path) -> Iterator[JetStreamService]:
    made = JetStreamService(
        tmp_path, nats, subject, database_url=database.ingest_url, read_url=database.reader_url
    )
    yield made
    made.stop()


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
