"""`orderkeep health`: what the health check of a container is told."""

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from orderkeep.errors import ConfigurationError
from orderkeep.probe import Health, ask
from orderkeep.settings import Settings


class Process(BaseHTTPRequestHandler):
    """Lives, and is not ready."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/live" else 503)
        self.end_headers()
        self.wfile.write(f"{self.path} of {self.headers['host']}".encode())

    def log_message(self, *_: object) -> None:
        """A test has no use for the server's log."""


@pytest.fixture
def port() -> Iterator[int]:
    """Where a process of ours answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Process) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_lives(port: int) -> None:
    """A process that answers with 200 is well, and its answer is told."""
    assert ask(Settings(http_port=port), "api") == Health(True, f"/health/live of 127.0.0.1:{port}")


def test_not_ready(port: int) -> None:
    """Another status is not well; ingest is asked at its own port."""
    found = ask(Settings(ingest_port=port), "ingest", ready=True)
    assert found == Health(False, f"/health/ready of 127.0.0.1:{port}")


def test_every_address(port: int) -> None:
    """A process that listens on every address is asked on loopback."""
    assert ask(Settings(http_host="0.0.0.0", http_port=port), "api").well


def test_nobody_there() -> None:
    """A port on which nobody listens is not well, and is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = ask(Settings(http_port=port), "api")
    assert not found.well
    assert f"127.0.0.1:{port}" in found.text


def test_unknown_port() -> None:
    """A port that was chosen at the start cannot be asked, and the setting is named."""
    with pytest.raises(ConfigurationError, match="ORDERKEEP_INGEST_PORT is 0"):
        ask(Settings(ingest_port=0), "ingest")
