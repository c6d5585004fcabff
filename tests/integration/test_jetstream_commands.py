"""The commands on NATS JetStream: what they do, and what they say when something is wrong."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from orderkeep.embedded import NatsServer
from orderkeep.errors import ServerUnavailable
from orderkeep.publish.jetstream import JetStreamPublisher
from orderkeep.publish.mixture import Mixture
from orderkeep.publish.run import publish
from tests.conftest import Database, start_or_skip
from tests.jetstream_service import JetStreamService
from tests.nats_wire import NatsWire
from tests.orders import order
from tests.service import run_command


@pytest.fixture
def service(nats: NatsServer, subject: str, database: Database, tmp_path: Path) -> Iterator[JetStreamService]:
    made = JetStreamService(
        tmp_path, nats, subject, database_url=database.ingest_url, read_url=database.reader_url
    )
    yield made
    made.stop()


def test_audit_says_what_it_does_not_see(service: JetStreamService) -> None:
    """What is not acknowledged yet, or was deleted since, is told with its number."""
    service.send([order(f"uid-{number}") for number in range(20)])
    service.start_ingest()
    service.wait_until_acknowledged()
    assert service.ingest.stop() == 0
    service.send([order("not-yet")])
    service.wire().ask(f"STREAM.PURGE.{service.topic}", {"seq": 6})
    report = service.audit()
    assert (report["exit_code"], report["messages"], report["stored"]) == (0, 15, 15)
    assert any("5 offsets before 6 were deleted" in sentence for sentence in report["unseen"])
    assert any("at most 1 messages after" in sentence for sentence in report["unseen"])


def test_nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server a command ends with a line that names it, the setting, and no password."""
    url = "nats://me:secret@127.0.0.1:1"
    done = run_command(tmp_path, ["audit"], {"ORDERKEEP_SOURCE": "jetstream", "ORDERKEEP_NATS_URL": url})
    assert done.returncode == 3, done
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("orderkeep: ")]
    assert "127.0.0.1:1" in line
    assert "ORDERKEEP_NATS_URL" in line
    assert "secret" not in done.stderr + done.stdout

    monkeypatch.setattr("orderkeep.publish.nats.CONNECT_SECONDS", 0.1)
    with pytest.raises(ServerUnavailable, match=r"127\.0\.0\.1:1 .*ORDERKEEP_NATS_URL") as raised:
        JetStreamPublisher(url, "orders")
    assert "secret" not in str(raised.value)


def test_no_stream(nats: NatsServer, tmp_path: Path) -> None:
    """A subject that no stream takes is named, with what to do; so is a stream that is not there."""
    env = {
        "ORDERKEEP_SOURCE": "jetstream",
        "ORDERKEEP_NATS_URL": nats.url,
        "ORDERKEEP_NATS_SUBJECT": "nowhere",
        "ORDERKEEP_NATS_STREAM": "nothing",
    }
    assert "no stream takes the subject 'nowhere'" in run_command(tmp_path, ["publish"], env).stderr
    assert "There is no stream 'nothing'" in run_command(tmp_path, ["audit"], env).stderr


def test_published_once(tmp_path: Path, subject: str) -> None:
    """A server that is killed under a publisher has each message once, in their order, when it is done."""
    server = NatsServer(tmp_path / "nats")
    start_or_skip(server)
    with server:
        server.create_stream(subject, subject)
        confirmed: list[bytes] = []
        publisher = JetStreamPublisher(
            server.url, subject, on_delivery=lambda message, _: confirmed.append(message.payload or b"")
        )
        messages = Mixture(1, 0.1)
        publish(publisher, messages, count=500)
        for _ in range(2):
            for _ in range(300):
                publisher.send(next(messages))
            server.kill()
            for _ in range(300):
                publisher.send(next(messages))
            server.start()
            publisher.flush(60)
        publisher.close()
        wire = NatsWire(server.port)
        assert wire.ask(f"STREAM.INFO.{subject}")["state"]["messages"] == 1_700
        kept = [wire.ask(f"STREAM.MSG.GET.{subject}", {"seq": seq})["message"] for seq in range(1, 1_701)]
        again = Mixture(1, 0.1)
        sent = [next(again).payload or b"" for _ in range(1_700)]
        assert [base64.b64decode(message.get("data", "")) for message in kept] == sent
        assert sorted(confirmed) == sorted(sent)
        assert (publisher.delivered, publisher.failed) == (1_700, 0)


def test_what_a_killed_server_keeps(tmp_path: Path, subject: str) -> None:
    """A server that is killed has all that it has confirmed, and is ended with whoever started it."""
    server = NatsServer(tmp_path / "nats")
    start_or_skip(server)
    with server:
        server.create_stream(subject, subject)
        wire = NatsWire(server.port)
        for number in range(1_000):
            wire.publish(subject, b"%d" % number)
        wire.flush()
        server.kill()
        server.start()
        assert NatsWire(server.port).ask(f"STREAM.INFO.{subject}")["state"]["messages"] == 1_000
    assert server.pid is None
