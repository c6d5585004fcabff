"""What a start imports: help answers at once, and nothing needs a client of what it does not use."""

import subprocess
import sys

import pytest

SERVICE = {"asyncpg", "httptools", "jsonschema", "litestar", "msgspec", "pydantic", "uvicorn", "uvloop"}
CLIENTS = {"confluent_kafka", "nats", "valkey"}
SERVERS = {"jgo", "psutil"}


def imported(*arguments: str) -> set[str]:
    """The packages that a run of Python imports."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "orderkeep" in names, done
    return names


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["demo", "--help"], ["rejects", "--help"]])
def test_help(arguments: list[str]) -> None:
    """Help and the version import nothing of the service, not even its settings."""
    names = imported("-m", "orderkeep", *arguments)
    assert "cyclopts" in names
    assert names & (SERVICE | CLIENTS | SERVERS) == set()


def test_extras() -> None:
    """The service itself imports nothing that an extra brings: each is imported by what was chosen."""
    names = imported("-c", "import orderkeep.compose, orderkeep.audit, orderkeep.storage.migrate")
    assert "asyncpg" in names
    assert names & (CLIENTS | SERVERS) == set()
