"""Keeping processes up: real ones, of this program, that end in every way."""

import asyncio
from pathlib import Path

import pytest

from orderkeep import supervise
from orderkeep.errors import Fatal
from orderkeep.supervise import Service, keep_all_up


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "RESTART_SECONDS", 0.0)


async def test_only_a_person_can_help(tmp_path: Path) -> None:
    """A process that ends with the code for a wrong set-up is not started again."""
    service = Service("nonsense", ["nonsense"], settings={}, output=tmp_path / "log")
    with pytest.raises(Fatal, match=r"nonsense cannot run: see .*log"):
        await service.keep_up()
    assert (tmp_path / "log").read_text().count("orderkeep: ") == 1


async def test_ends_again_and_again(tmp_path: Path) -> None:
    """A process that ends by itself is started again, and given up when that happens too often."""
    service = Service("version", ["--version"], settings={}, output=tmp_path / "log")
    with pytest.raises(Fatal, match="version ended 5 times within a minute, last with 0"):
        await service.keep_up()
    assert len((tmp_path / "log").read_text().split()) == supervise.MOST_STARTS


async def test_one_ends_all(tmp_path: Path) -> None:
    """When one process cannot be kept up, the others are stopped, and the reason is raised."""
    nowhere = {"ORDERKEEP_DATABASE_URL": "postgresql://user@127.0.0.1:1/none", "ORDERKEEP_INGEST_PORT": "0"}
    waiting = Service("waiting", ["ingest"], settings=nowhere, output=tmp_path / "a")
    broken = Service("broken", ["nonsense"], settings={}, output=tmp_path / "b")
    with pytest.raises(Fatal, match="broken cannot run"):
        await keep_all_up([waiting, broken], asyncio.Event())
    assert waiting._process is None or waiting._process.returncode is not None


async def test_settings_of_the_child(tmp_path: Path) -> None:
    """A child has the settings that it is given, beside the environment."""
    service = Service("config", ["config"], settings={"ORDERKEEP_HTTP_PORT": "x"}, output=tmp_path / "log")
    with pytest.raises(Fatal):
        await service.keep_up()
    assert "ORDERKEEP_HTTP_PORT" in (tmp_path / "log").read_text()


async def test_told_to_stop(tmp_path: Path) -> None:
    """When told to stop, nothing is running afterwards, and nothing is raised."""
    service = Service("version", ["--version"], settings={}, output=tmp_path / "log")
    stop = asyncio.Event()
    stop.set()
    await keep_all_up([service], stop)
    assert service._process is None or service._process.returncode is not None
