"""Packets that are to be lost are lost, and nothing of it stays behind."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.requirements import need
from tests.service import wait_until

from .packet_loss import missing, packet_loss

LOSE_AND_WAIT = """
import time
from tests.chaos.packet_loss import packet_loss
with packet_loss([1], 0.5):
    print("lost", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _possible() -> None:
    need(missing() is None, missing() or "")


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_loses(port: int) -> None:
    """With everything lost nobody can connect, and afterwards everybody can."""
    with packet_loss([port], 1.0), pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.3)
    socket.create_connection(("127.0.0.1", port), timeout=20).close()


def test_killed() -> None:
    """The rules go when the process that made them is killed."""
    process = subprocess.Popen([sys.executable, "-c", LOSE_AND_WAIT], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    chain = f"ORDERKEEP-{process.pid}"
    assert chain in _rules()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: chain not in _rules(), "the rules are gone")


def _rules() -> str:
    return subprocess.run(
        ["iptables", "--wait", "10", "-S"], check=True, capture_output=True, text=True
    ).stdout
