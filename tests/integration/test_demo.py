"""`orderkeep demo` shows the whole service, proves what it did, and leaves nothing behind."""

import json
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]  # the package has no types of its own
import pytest

from orderkeep.embedded import ports, remove
from tests.service import Process, wait_until

pytestmark = pytest.mark.timeout(180)

KEYS = {
    *("broker", "published", "stored", "duplicate", "rejected", "conflict", "missing", "restored"),
    *("get_checked", "get_wrong", "latency_ms"),
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that every user can enter: PostgreSQL does not run as root."""
    path = Path(tempfile.mkdtemp(prefix="orderkeep-demo-"))
    path.chmod(0o755)
    yield path
    for data in (path / ".orderkeep" / "demo").glob("*/"):
        remove(data)
    shutil.rmtree(path)


@pytest.fixture
def port() -> int:
    return ports.choose(None, "the demo")


def demo(folder: Path, port: int, *arguments: str) -> Process:
    flags = [f"--http-port={port}", *arguments]
    return Process(folder, "demo", ["demo", *flags], {})


def left_behind(folder: Path) -> list[str]:
    """The processes that run in the folder or were told of it."""
    found = []
    for process in psutil.process_iter():
        try:
            place, words = process.cwd(), process.cmdline()
        except psutil.Error:
            continue
        if Path(place).is_relative_to(folder) or any(str(folder) in word for word in words):
            found.append(f"{process.pid} {words}")
    return found


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def report_of(process: Process) -> dict[str, Any]:
    """The last line of a demo that went well, its sums checked."""
    assert process.wait(150) == 0, process.output()
    report: dict[str, Any] = json.loads(process.output().splitlines()[-1])
    assert set(report) >= KEYS
    assert (report["missing"], report["get_wrong"]) == (0, 0)
    assert (
        sum(report[name] for name in ("stored", "duplicate", "rejected", "conflict")) == report["published"]
    )
    assert "Traceback" not in process.output()
    return report


def test_a_run_and_another(folder: Path, port: int) -> None:
    """A run publishes, proves and reports; the next one has its orders back in memory; nothing is left."""
    first = demo(folder, port, "--for=8s", "--json", "--rate=300", "--bad=5%")
    first.launch()
    report = report_of(first)
    assert report["broker"] == "kafka"
    assert min(report[name] for name in ("published", "stored", "rejected", "get_checked", "restored")) > 0
    assert report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    assert left_behind(folder) == []
    assert is_free(port)

    second = demo(folder, port, "--for=2s", "--json", "--bad=0%")
    second.launch()
    again = report_of(second)
    assert again["restored"] > report["stored"]
    assert again["rejected"] == again["conflict"] == again["duplicate"] == 0
    assert left_behind(folder) == []


def test_where_kafka_cannot_be_had(folder: Path, port: int, tmp_path: Path) -> None:
    """Without Kafka's jars the demo says so, and does all of it on JetStream; asked for Kafka, it ends."""
    nowhere = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9")
    env = {**nowhere, "NO_PROXY": "", "no_proxy": "", "XDG_CACHE_HOME": str(tmp_path)}
    arguments = ["demo", f"--http-port={port}", "--json", "--rate=300", "--bad=5%"]
    without = Process(folder, "without", [*arguments, "--for=4s"], env)
    without.launch()
    report = report_of(without)
    assert report["broker"] == "jetstream"
    assert min(report[name] for name in ("published", "stored", "rejected", "get_checked", "restored")) > 0
    assert "could not be fetched from Maven" in without.output()
    assert "this demo runs on NATS JetStream" in without.output()
    assert left_behind(folder) == []

    asked = Process(folder, "asked", [*arguments, "--for=2s", "--broker=kafka"], env)
    asked.launch()
    assert asked.wait() == 3, asked.output()


@pytest.mark.usefixtures("stan")  # which is built, or says why it is not
def test_on_nats_streaming(folder: Path, port: int) -> None:
    """Asked for NATS Streaming, the demo does all of it there."""
    process = demo(folder, port, "--for=4s", "--json", "--rate=300", "--bad=5%", "--broker=stan")
    process.launch()
    report = report_of(process)
    assert report["broker"] == "stan"
    assert min(report[name] for name in ("published", "stored", "rejected", "get_checked", "restored")) > 0
    assert left_behind(folder) == []


def test_interrupted(folder: Path, port: int) -> None:
    """Ctrl-C in the middle stops everything, with exit code 0, and leaves neither process nor port."""
    process = demo(folder, port)
    process.launch()
    wait_until(lambda: process.exit_code is not None or "the page: " in process.output(), "it is at work")
    assert process.exit_code is None, process.output()
    assert f"http://127.0.0.1:{port}" in process.output()
    wait_until(lambda: httpx.get(f"http://127.0.0.1:{port}/orders").json()["orders"], "orders are served")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0, process.output()
    assert "Traceback" not in process.output()
    assert left_behind(folder) == []
    assert is_free(port)


@pytest.mark.parametrize("moment", ["starting PostgreSQL", "starting Apache Kafka"])
def test_interrupted_at_its_start(folder: Path, port: int, moment: str) -> None:
    """Ctrl-C while the servers are starting stops those, too, without a word of Python."""
    process = demo(folder, port)
    process.launch()
    wait_until(lambda: moment in process.output(), moment)
    process.send_signal(signal.SIGINT)
    assert process.wait() in (0, 130), process.output()
    assert "Traceback" not in process.output()
    wait_until(lambda: not left_behind(folder), "the servers have ended")


def test_killed(folder: Path, port: int) -> None:
    """When the demo is killed, all that it started ends too."""
    process = demo(folder, port)
    process.launch()
    wait_until(lambda: process.exit_code is not None or "the page: " in process.output(), "it is at work")
    process.kill()
    wait_until(lambda: not left_behind(folder), "the servers have ended")


def test_port_taken(tmp_path: Path) -> None:
    """A port that is taken is one line and exit code 2, before any server is started or any file made."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        process = demo(tmp_path, port, "--for=2s", "--json")
        process.launch()
        assert process.wait() == 2
    (line,) = process.output().splitlines()
    assert line.startswith("orderkeep: ")
    assert str(port) in line
    assert "ORDERKEEP_HTTP_PORT" in line
    assert [path.name for path in tmp_path.iterdir()] == ["demo.log"]


def test_folder_in_use(folder: Path, port: int) -> None:
    """After one that was killed a demo starts again; another on the same folder is told that it runs."""
    first = demo(folder, port)
    first.launch()
    wait_until(lambda: first.exit_code is not None or "the page: " in first.output(), "it is at work")
    second = Process(folder, "second", ["demo", f"--http-port={ports.choose(None, 'another')}"], {})
    second.launch()
    assert second.wait() == 2
    told = [line for line in second.output().splitlines() if line.startswith("orderkeep: ")]
    assert len(told) == 1
    assert "Traceback" not in second.output()
    assert first.pid
    first.send_signal(signal.SIGTERM)
    assert first.wait() == 0
    assert left_behind(folder) == []
